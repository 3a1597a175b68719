/*
 * Items of other engines, joined by "and" or "or".
 *
 * Compiled once, read-only after that; an evaluation under way is in the request's arena.
 */
#ifndef COMPLEX_LIST_H
#define COMPLEX_LIST_H

#include <andiron/policy.h>

struct engine {
    const char *name; /* as AccessPolicy.engine has it */
    struct andiron_service_ref ref;
};

/* Those that are loaded. */
struct engines {
    struct engine *all;
    size_t count;
    void *self; /* of the engine "complex", whose items are compiled right here */
};

struct list;

/* The list in a policy's "and" or "or", in arena; err.where names the item at fault. Any thread. */
ANDIRON_MUST_CHECK int list_compile(const struct engines *engines, struct andiron_arena *arena,
                                    andiron_json policy, const struct list **ret,
                                    struct andiron_error *err);

/* As andiron_policy_engine.tests. */
size_t list_tests(const struct list *list, struct andiron_policy_test *ret, size_t max);

/* As andiron_policy_engine.literals. */
size_t list_literals(const struct list *list, struct andiron_arena *arena,
                     struct andiron_policy_literal *ret, size_t max);

/* As andiron_policy_engine.fragments. */
size_t list_fragments(const struct list *list, struct andiron_arena *arena,
                      struct andiron_policy_literal *ret, size_t max);

/* For evaluate(): the verdict, or PENDING and later andiron_policy_finish(). */
enum andiron_verdict list_ask(const struct list *list, struct andiron_policy_call *call);

#endif
