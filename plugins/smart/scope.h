/*
 * SMART App Launch 2.2 scopes, one at a time: text to parts and back.
 *
 * A resource scope is context "/" type "." permissions, v1 (read, write, *) or v2 (a
 * subsequence of "cruds"), the latter perhaps with a "?" and search parameters. Whether the
 * type has these is for query.h to say. No state, any thread.
 */
#ifndef SMART_SCOPE_H
#define SMART_SCOPE_H

#include <andiron/error.h>

enum scope_context { SCOPE_PATIENT, SCOPE_USER, SCOPE_SYSTEM, SCOPE_CONTEXTS };

/* Permission letters, as bits. */
enum {
    SCOPE_C = 1 << 0,
    SCOPE_R = 1 << 1,
    SCOPE_U = 1 << 2,
    SCOPE_D = 1 << 3,
    SCOPE_S = 1 << 4,
    SCOPE_LETTERS = 32 /* values that a set of letters can have */
};

enum scope_kind {
    SCOPE_RESOURCE,
    SCOPE_OTHER,    /* launch, openid, or a name of somebody else's */
    SCOPE_MALFORMED /* begins like a resource scope and is none, or no scope-token at all */
};

struct scope {
    enum scope_context context;
    int type;          /* index of common/fhir/types.h; SCOPE_ANY_TYPE for "*" */
    unsigned letters;  /* SCOPE_C .. SCOPE_S */
    bool v1;           /* read, write or *: answers in the same syntax if it can */
    andiron_str query; /* behind "?"; absent: none */
};

enum { SCOPE_ANY_TYPE = -1 };

/* For SCOPE_MALFORMED, *ret_why (may be NULL) says what is wrong. */
enum scope_kind scope_parse(andiron_str text, struct scope *ret, const char **ret_why);

/*
 * "system/Observation.rs", in v1 syntax if v1 and the letters have a v1 name; with a query (absent:
 * none) always in v2. In arena.
 */
andiron_str scope_text(struct andiron_arena *arena, enum scope_context context, int type,
                       unsigned letters, bool v1, andiron_str query);

/* Takes the next "name=value" off *query; false at the end. */
bool scope_next_pair(andiron_str *query, andiron_str *ret);

/* Walks blank-separated tokens of *list; false at the end. */
bool scope_next_token(andiron_str *list, andiron_str *ret);

#endif
