/*
 * Listing what a policy asks for, place by place (struct andiron_policy_engine, literals): for
 * engines that walk their compiled form and enter members as they go.
 */
#ifndef COMMON_POLICY_LITERALS_H
#define COMMON_POLICY_LITERALS_H

#include <andiron/policy.h>

enum { POLICY_PATH_MAX = 256 };

struct policy_literals {
    struct andiron_arena *arena;
    struct andiron_policy_literal *ret;
    size_t count, max;
    char path[POLICY_PATH_MAX];
    size_t len;
    const char *kept; /* the path as of the last value put; NULL: it has changed since */
};

static inline struct policy_literals
policy_literals_into(struct andiron_arena *arena, struct andiron_policy_literal *ret, size_t max)
{
    return (struct policy_literals){ .arena = arena, .ret = ret, .max = max };
}

/* A step into a member, or into an element of an array. false: it has no path, and is not entered. */
bool policy_literals_enter(struct policy_literals *l, andiron_str name);
bool policy_literals_enter_index(struct policy_literals *l, size_t index);
bool policy_literals_enter_any(struct policy_literals *l);

/* Back out: len as it was before. */
void policy_literals_leave(struct policy_literals *l, size_t len);

/* A value of the place entered. false: no room, or it cannot be told. */
bool policy_literals_put(struct policy_literals *l, andiron_str value);
/* A text that a string there holds; an empty one says nothing. */
bool policy_literals_put_fragment(struct policy_literals *l, andiron_str text);
/* A value: a string or boolean. */
bool policy_literals_put_json(struct policy_literals *l, andiron_json value);

#endif
