/*
 * Index terms of a resource: one walk through its JSON along an extraction program.
 *
 * Pure computation, any thread; memory comes from the arena given.
 */
#ifndef FHIR_EXTRACT_H
#define FHIR_EXTRACT_H

#include <andiron/store.h>

#include "program.h"

/* Where the parameters of a type are: those of its own, and those that every resource has. */
struct fhir_extract_root {
    const struct fhir_program *program;
    uint16_t node;
    uint16_t first, count; /* of its own rows of params */
};

struct fhir_extract_options {
    andiron_str base; /* own public base URL, or absent: absolute references below it are local */
    bool has_text;    /* tokens also give strings, for :text */
    size_t max_terms;
};

/* Root of an R4 resource type, 0 .. FHIR_TYPE_COUNT - 1. */
struct fhir_extract_root fhir_extract_r4(int type);

/* Terms of a resource; the same term may come twice. -1: more than max_terms. */
int fhir_extract(struct andiron_arena *arena, const struct fhir_extract_options *options,
                 const struct fhir_extract_root *root, andiron_json resource,
                 const struct andiron_term **ret_terms, size_t *ret_count,
                 struct andiron_error *err);

/*
 * The same, and then the terms of further programs of one parameter each, made at run time
 * (expression.h); without root only those. Groups count anew in each of them, so that the terms of
 * a parameter do not depend on which others there are.
 */
int fhir_extract_more(struct andiron_arena *arena, const struct fhir_extract_options *options,
                      const struct fhir_extract_root *root,
                      const struct fhir_extract_root *const *more, size_t more_count,
                      andiron_json resource, const struct andiron_term **ret_terms,
                      size_t *ret_count, struct andiron_error *err);

#endif
