/*
 * The scopes of one token, prepared: what they cover of each type, and the condition under
 * which they do. Made once for a token; read by all of its requests, on any thread.
 */
#ifndef SMART_SET_H
#define SMART_SET_H

#include <andiron/auth.h>

#include "query.h"

enum { SET_PATIENTS_MAX = 64 }; /* in one launch context */

struct set_settings {
    const struct query_search
        *search;           /* NULL: conditions are not prepared, and must not be asked for */
    const bool *is_shared; /* by type: patient-shared-types */
    andiron_str base;      /* own public base URL; absent: not configured */
};

struct scope_set;

/* As compile_in() of struct andiron_scopes. */
int set_compile(const struct set_settings *settings, struct andiron_arena *arena,
                const char *const *scopes, andiron_json context, const struct scope_set **ret,
                struct andiron_error *err);

/* Letters (scope.h) that the set holds for a type, perhaps for some of its resources only. */
unsigned set_letters(const struct scope_set *set, int type);

/* Whether there are types that the set holds a letter for under a condition. */
bool set_is_limited(const struct scope_set *set);

/* The set as a narrowing: every type that it does not cover is hidden. */
const struct andiron_narrowing *set_narrowing(const struct scope_set *set);

#endif
