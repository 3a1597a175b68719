/*
 * The structure of FHIR resources on their way in: as R4 defines it, as strictly as the
 * directive `validation` says. Pure, any thread.
 */
#ifndef FHIR_STRUCTURE_H
#define FHIR_STRUCTURE_H

#include "check.h"
#include "fhir.h"

/* Adds what is wrong with a resource of the type, which is not a platform type. */
void structure_check(enum fhir_validation validation, const struct resource_type *type,
                     andiron_json resource, struct issues *issues);

#endif
