/*
 * SearchParameter resources: what they define, checked and compiled. Pure computation, any thread.
 */
#ifndef SEARCH_CUSTOM_H
#define SEARCH_CUSTOM_H

#include <andiron/error.h>
#include <andiron/json.h>

#include "common/fhir/expression.h"

enum {
    CUSTOM_TYPES_MAX = 160, /* more than R4 has */
    CUSTOM_MEANING = 32
};

/* A parameter of one type. */
struct custom_base {
    int type; /* types.h */
    struct fhir_extract_root root;
    bool is_plain;
};

/* A definition in force, in the arena it was read into. */
struct custom {
    const char *code;
    const char *term;  /* what its index terms are called */
    const char *words; /* of a string: the same with "#word" */
    const char *url;   /* or "" */
    enum fhir_param_kind kind;
    struct custom_base *bases;
    size_t base_count;
    uint8_t targets[CUSTOM_TYPES_MAX]; /* of a reference: indices of types; none: any */
    size_t target_count;
    struct fhir_param parts[FHIR_EXPRESSION_PARTS]; /* of a composite */
    size_t part_count;
};

/*
 * Reads a SearchParameter. *ret is NULL if it defines nothing here: it is not active, or is one
 * of R4's own, which are always there, or derived from one that has its code. -1: it is active and
 * cannot be in force; err says why and where, "SearchParameter.expression". Its terms are called
 * term; NULL: like its code.
 */
int custom_read(struct andiron_arena *arena, andiron_json resource, const char *term,
                const struct custom **ret, struct andiron_error *err);

/*
 * A digest, in hexadecimal digits, of what the index terms of a SearchParameter depend on: its
 * code, type, base, expression and components. With another one its index has to be built anew.
 */
void custom_meaning(andiron_json resource, char ret[CUSTOM_MEANING + 1]);

#endif
