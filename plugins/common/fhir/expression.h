/*
 * Search parameters made at run time: the FHIRPath subset of their expressions, compiled to
 * the extraction programs that tools/fhir generates for R4's own.
 *
 *     expression_parse.c    text to syntax tree
 *     expression_paths.c    tree to the paths from a resource to its values
 *     expression.c          paths to a program
 *
 * Whatever is outside of the subset is an error that names it and says where; nothing is
 * silently left out. Expressions come from clients: their length, nesting and number of paths
 * are limited. Pure computation over the arena given, any thread.
 */
#ifndef FHIR_EXPRESSION_H
#define FHIR_EXPRESSION_H

#include <andiron/error.h>

#include "extract.h"
#include "params.h"

enum {
    FHIR_EXPRESSION_MAX = 4096, /* bytes */
    FHIR_EXPRESSION_PARTS = 3   /* components of a composite */
};

/* One parameter of one type. Kind COMPOSITE: values are found from what expression leads to. */
struct fhir_expression {
    const char *code; /* what its terms are called */
    enum fhir_param_kind kind;
    andiron_str text; /* "Patient.birthDate" */
    struct {
        enum fhir_param_kind kind;
        andiron_str text;
    } parts[FHIR_EXPRESSION_PARTS];
    size_t part_count;
    size_t paths;  /* result: how many were followed, a measure of the work */
    bool is_plain; /* result: a number that is always whole, a token that is always a string */
};

/*
 * Program of parameters of a structure (elements.h), nearly always a resource type, in arena.
 * -1 with the first error, and in *ret_failed which parameter has it.
 */
int fhir_expression_compile(struct andiron_arena *arena, int structure,
                            struct fhir_expression *params, size_t count,
                            struct fhir_extract_root *ret, size_t *ret_failed,
                            struct andiron_error *err);

#endif
