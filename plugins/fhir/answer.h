/*
 * Answers with a resource: what a reader sees of stored bytes, and the headers that
 * go with a version. Stored bytes of FHIR types are sent as they are.
 */
#ifndef FHIR_ANSWER_H
#define FHIR_ANSWER_H

#include "fhir.h"
#include "negotiate.h"
#include "part.h"

/* A version as it is answered. */
struct shown {
    const struct resource_type *type;
    andiron_str id;
    uint64_t version;
    andiron_usec updated;
    andiron_str body; /* as stored; absent: none */
};

/* Stored text as seen below base: secrets removed, references in that base's form. */
andiron_str answer_text(const struct fhir *fhir, struct andiron_request *req,
                        const struct resource_type *type, enum fhir_base base, andiron_str stored);

/* ETag and Last-Modified. */
void answer_version(struct andiron_request *req, uint64_t version, andiron_usec updated);

/* Whether the client's copy is current: If-None-Match, If-Modified-Since. */
bool answer_is_current(struct andiron_request *req, uint64_t version, andiron_usec updated);

/* A version's URL as of answer_url(), put behind a text. */
struct text;
void answer_add_url(struct text *t, const struct andiron_request *req, enum fhir_base base,
                    const struct resource_type *type, andiron_str id, uint64_t version);

/* "BASE/fhir/Patient/1/_history/2", below / without "/fhir"; version 0: without it. In the arena. */
andiron_str answer_url(struct andiron_request *req, enum fhir_base base,
                       const struct resource_type *type, andiron_str id, uint64_t version);

/* "W/"3"" in the arena. */
andiron_str answer_etag(struct andiron_request *req, uint64_t version);

/*
 * A read: 200 with the resource, or 304 where the client's copy is current. parts says which
 * elements are wanted; NULL: all.
 */
enum andiron_step answer_read(const struct fhir *fhir, struct andiron_request *req,
                              const struct wanted *wanted, const struct shown *shown,
                              struct parts *parts);

/* The note of a type's own plugin for whoever wrote the resource. */
#define ANSWER_WARNING "warning"

/* Adds an OperationOutcome: what was written (NULL: nothing of it), and a warning if there is one. */
void answer_add_outcome(struct text *t, int status, const struct shown *shown, andiron_str warning);

/* A write: status, Location, and what Prefer asks for. */
enum andiron_step answer_write(const struct fhir *fhir, struct andiron_request *req,
                               const struct wanted *wanted, int status, const struct shown *shown);

/* JSON with line breaks and indents of two blanks; strings and numbers untouched. */
andiron_str answer_pretty(struct andiron_arena *arena, andiron_str json);

/* The reply itself, indented if wanted. */
enum andiron_step answer_json(struct andiron_request *req, const struct wanted *wanted, int status,
                              andiron_str body);

#endif
