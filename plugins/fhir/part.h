/*
 * Which part of resources a read or a history asks for: _summary and _elements, which mean what
 * they mean in a search. All other parameters of a read are ignored.
 */
#ifndef FHIR_PART_H
#define FHIR_PART_H

#include "fhir.h"

struct parts;

/* What the request's query says; NULL in *ret: whole resources. -1 and err. */
int parts_read(const struct fhir *fhir, struct andiron_request *req, struct parts **ret,
               struct andiron_error *err);

/* The parameters themselves, for links: "_summary=true". */
andiron_str parts_query(const struct parts *parts);

/* The part of a resource's text; parts may be NULL. */
andiron_str parts_text(struct parts *parts, const struct resource_type *type, andiron_str text);

#endif
