/*
 * policy-json-schema: the access-policy engine "json-schema", for which the request must be
 * valid by a JSON Schema of draft-07 (seed-semantics 5.5).
 *
 * Schemas are compiled when a policy is written or loaded; each loop has a matcher for their
 * regular expressions.
 */
#include <andiron/policy.h>

#include "check.h"
#include "common/pattern/judge.h"
#include "tests.h"

struct config {
    struct policy_limits limits;
};

struct engine {
    struct andiron_host *host;
    const struct config *config;
    struct policy_lane *lane;
};

static const struct andiron_directive directives[] = { POLICY_LIMIT_DIRECTIVES(struct config),
                                                       { .name = NULL } };

static int init(struct andiron_host *host, const void *config, void **ret_self,
                struct andiron_error *err)
{
    (void)err;
    struct engine *engine = andiron_new(andiron_host_arena(host), struct engine);
    engine->host = host;
    engine->config = config;
    engine->lane = policy_lane_new(host, &engine->config->limits);
    *ret_self = engine;
    return 0;
}

static int loop_start(struct andiron_loop *loop, void *self, void **ret_local,
                      struct andiron_error *err)
{
    (void)loop;
    (void)err;
    const struct engine *engine = self;
    *ret_local = policy_matcher_new(&engine->config->limits);
    return 0;
}

static void loop_stop(struct andiron_loop *loop, void *self, void *local)
{
    (void)loop;
    (void)self;
    pattern_matcher_free(local);
}

static int compile(void *self, struct andiron_arena *arena, andiron_json policy,
                   void **ret_compiled, struct andiron_error *err)
{
    (void)self;
    andiron_json schema = andiron_json_get(policy, "schema");
    struct schema_document *document = andiron_new(arena, struct schema_document);

    if (andiron_json_type(schema) == ANDIRON_JSON_MISSING)
        return andiron_error_set(err, ANDIRON_E_REQUIRED, "AccessPolicy.schema",
                                 "is required: the JSON Schema that requests must be valid by");
    if (andiron_json_type(schema) != ANDIRON_JSON_OBJECT || andiron_json_count(schema) == 0)
        return andiron_error_set(
            err, ANDIRON_E_ELEMENT, "AccessPolicy.schema",
            "is a non-empty object, such as {\"required\":[\"user\"]}; for a policy that always "
            "matches there is the engine \"allow\"");
    if (schema_compile(arena, schema, "AccessPolicy.schema", document, err) != 0)
        return -1;
    if (document->warning != NULL)
        (void)andiron_error_set(err, ANDIRON_OK, "AccessPolicy.schema", "%s", document->warning);
    *ret_compiled = document;
    return 0;
}

static andiron_json input_of_call(void *arg, const char *path)
{
    return andiron_policy_input(arg, path);
}

static enum andiron_verdict judge(const void *self, const void *compiled,
                                  struct andiron_policy_call *call, struct pattern_matcher *regex,
                                  int64_t limit_us)
{
    const struct schema_document *document = compiled;
    char place[POLICY_PLACE_MAX], reason[CHECK_REASON_MAX];
    struct policy_text text = { .out = place, .max = sizeof(place) };
    struct check c; /* check_request() sets the rest */
    (void)self;
    c.schema = document->root;
    c.regex = regex;
    c.limit_us = limit_us;
    c.input = input_of_call;
    c.arg = call;
    switch (check_request(&c)) {
    case CHECK_VALID:
        return ANDIRON_MATCH;
    case CHECK_INVALID:
        if (!andiron_policy_wants_reasons(call))
            return ANDIRON_NO_MATCH;
        policy_place_text(&c.place, &text);
        check_reason(&c, reason);
        return andiron_policy_no_match(call, "%s %s", place[0] == '\0' ? "the request" : place,
                                       reason);
    case CHECK_GAVE_UP:
    default:
        return andiron_policy_fault(call, "took too long to check; see regex-steps and time-limit");
    }
}

static enum andiron_verdict evaluate(void *self, const void *compiled,
                                     struct andiron_policy_call *call)
{
    const struct engine *engine = self;
    return policy_lane_judge(engine->lane, engine, compiled, call, judge);
}

static size_t tests(void *self, const void *compiled, struct andiron_policy_test *ret, size_t max)
{
    const struct schema_document *document = compiled;
    (void)self;
    return schema_tests(document->root, ret, max);
}

static size_t literals(void *self, const void *compiled, struct andiron_arena *arena,
                       struct andiron_policy_literal *ret, size_t max)
{
    (void)self;
    const struct schema_document *document = compiled;
    return schema_literals(document->root, arena, ret, max);
}

static size_t fragments(void *self, const void *compiled, struct andiron_arena *arena,
                        struct andiron_policy_literal *ret, size_t max)
{
    (void)self;
    const struct schema_document *document = compiled;
    return schema_fragments(document->root, arena, ret, max);
}

ANDIRON_POLICY_SERVICE(engine, "json-schema", .cost = 20, .compile = compile, .evaluate = evaluate,
                       .tests = tests, .literals = literals, .fragments = fragments);

ANDIRON_PLUGIN(.name = "policy-json-schema", .version = "0.1.0",
               .summary = "Access policies that check the request with a JSON Schema",
               .directives = directives, .config_size = sizeof(struct config), .provides = engine,
               .init = init, .loop_start = loop_start, .loop_stop = loop_stop);
