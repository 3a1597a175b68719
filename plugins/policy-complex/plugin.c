/*
 * policy-complex: the access-policy engine "complex", which joins items of other engines by
 * "and" or "or" (seed-semantics 5.5).
 *
 * Finds the engines at start; keeps no other state.
 */
#include "list.h"

static int init(struct andiron_host *host, const void *config, void **ret_self,
                struct andiron_error *err)
{
    (void)config;
    (void)err;
    struct engines *engines = andiron_new(andiron_host_arena(host), struct engines);
    engines->self = engines;
    *ret_self = engines;
    return 0;
}

static int start(struct andiron_host *host, void *self, struct andiron_error *err)
{
    (void)err;
    struct engines *engines = self;
    struct andiron_service_ref ref;
    const char *name;
    size_t pos = 0, count = 0;

    while (andiron_service_find(host, ANDIRON_POLICY_ENGINE, &pos, &ref, &name))
        count++;
    engines->all = andiron_alloc(andiron_host_arena(host), (count + 1) * sizeof(*engines->all));
    pos = 0;
    while (engines->count < count &&
           andiron_service_find(host, ANDIRON_POLICY_ENGINE, &pos, &ref, &name))
        engines->all[engines->count++] =
            (struct engine){ .name = name + sizeof(ANDIRON_POLICY_ENGINE) - 1, .ref = ref };
    return 0;
}

static int compile(void *self, struct andiron_arena *arena, andiron_json policy,
                   void **ret_compiled, struct andiron_error *err)
{
    const struct engines *engines = self;
    const struct list *list = NULL;

    if (engines->all == NULL) /* explain-policy starts no plugin */
        return andiron_error_set(err, ANDIRON_E_UNAVAILABLE, "AccessPolicy.engine",
                                 "\"complex\" can only be judged by a running server, which has "
                                 "the engines of its items");
    if (list_compile(engines, arena, policy, &list, err) != 0)
        return -1;
    *ret_compiled = (void *)(uintptr_t)list;
    return 0;
}

static enum andiron_verdict evaluate(void *self, const void *compiled,
                                     struct andiron_policy_call *call)
{
    (void)self;
    return list_ask(compiled, call);
}

static size_t tests(void *self, const void *compiled, struct andiron_policy_test *ret, size_t max)
{
    (void)self;
    return list_tests(compiled, ret, max);
}

static size_t literals(void *self, const void *compiled, struct andiron_arena *arena,
                       struct andiron_policy_literal *ret, size_t max)
{
    (void)self;
    return list_literals(compiled, arena, ret, max);
}

static size_t fragments(void *self, const void *compiled, struct andiron_arena *arena,
                        struct andiron_policy_literal *ret, size_t max)
{
    (void)self;
    return list_fragments(compiled, arena, ret, max);
}

ANDIRON_POLICY_SERVICE(engine, "complex", .cost = 30, .compile = compile, .evaluate = evaluate,
                       .tests = tests, .literals = literals, .fragments = fragments);

/* Called only when policies are compiled and asked: "uses", so that engines may use each other. */
static const char *const uses[] = { ANDIRON_POLICY_ENGINE, NULL };

ANDIRON_PLUGIN(.name = "policy-complex", .version = "0.1.0",
               .summary = "Access policies that join others by and, or", .provides = engine,
               .uses = uses, .init = init, .start = start);
