/*
 * policy-matcho: the access-policy engine "matcho", which compares the request with a pattern
 * (seed-semantics 5.4).
 *
 * Patterns are compiled when a policy is written or loaded; each loop has a matcher for their
 * regular expressions.
 */
#include <andiron/policy.h>

#include "common/pattern/judge.h"
#include "screen.h"
#include "tests.h"
#include "trial.h"

struct config {
    struct policy_limits limits;
    bool null_equal;
};

struct matcho {
    struct andiron_host *host;
    const struct config *config;
    struct policy_lane *lane;
    andiron_str fhir_base; /* "https://host/fhir/"; absent if base-url is not set */
};

static const struct andiron_directive directives[] = {
    POLICY_LIMIT_DIRECTIVES(struct config),
    { .name = "null-equal",
      .type = ANDIRON_BOOL,
      .offset = offsetof(struct config, null_equal),
      .fallback = "off",
      .help = "a \".path\" holds where it and the value it is compared with are both missing" },
    { .name = NULL }
};

static int init(struct andiron_host *host, const void *config, void **ret_self,
                struct andiron_error *err)
{
    (void)err;
    struct andiron_arena *arena = andiron_host_arena(host);
    struct matcho *matcho = andiron_new(arena, struct matcho);
    const char *base = andiron_host_setting(host, "http.base-url");
    matcho->host = host;
    matcho->config = config;
    matcho->lane = policy_lane_new(host, &matcho->config->limits);
    if (base != NULL && base[0] != '\0') {
        size_t len = strlen(base);
        while (len > 0 && base[len - 1] == '/')
            len--;
        matcho->fhir_base = andiron_str_of(andiron_printf(arena, "%.*s/fhir/", (int)len, base));
    }
    *ret_self = matcho;
    return 0;
}

static int loop_start(struct andiron_loop *loop, void *self, void **ret_local,
                      struct andiron_error *err)
{
    (void)loop;
    (void)err;
    const struct matcho *matcho = self;
    *ret_local = policy_matcher_new(&matcho->config->limits);
    return 0;
}

static void loop_stop(struct andiron_loop *loop, void *self, void *local)
{
    (void)loop;
    (void)self;
    pattern_matcher_free(local);
}

/* ---- policy-engine/1:matcho -------------------------------------------------------------- */

static int compile(void *self, struct andiron_arena *arena, andiron_json policy,
                   void **ret_compiled, struct andiron_error *err)
{
    (void)self;
    andiron_json pattern = andiron_json_get(policy, "matcho");
    struct program *program = andiron_new(arena, struct program);

    if (andiron_json_type(pattern) == ANDIRON_JSON_MISSING)
        return andiron_error_set(err, ANDIRON_E_REQUIRED, "AccessPolicy.matcho",
                                 "is required: the pattern that requests must match");
    if (andiron_json_type(pattern) != ANDIRON_JSON_OBJECT || andiron_json_count(pattern) == 0)
        return andiron_error_set(
            err, ANDIRON_E_ELEMENT, "AccessPolicy.matcho",
            "is a non-empty object, such as {\"request-method\":\"get\"}; for a policy that "
            "always matches there is the engine \"allow\"");
    if (program_compile(arena, pattern, "AccessPolicy.matcho", program, err) != 0)
        return -1;
    if (program->warning != NULL)
        (void)andiron_error_set(err, ANDIRON_OK, "AccessPolicy.matcho", "%s", program->warning);
    *ret_compiled = program;
    return 0;
}

static andiron_json input_of_call(void *arg, const char *path)
{
    return andiron_policy_input(arg, path);
}

static void put_place(const struct match *m, struct policy_text *text)
{
    if (m->place.depth == 0)
        policy_text_put_string(text, "the request");
    policy_place_text(&m->place, text);
}

static enum andiron_verdict report(struct andiron_policy_call *call, const struct match *m)
{
    char reason[POLICY_REASON_MAX];
    struct policy_text text = { .out = reason, .max = POLICY_PLACE_MAX };
    if (!andiron_policy_wants_reasons(call))
        return ANDIRON_NO_MATCH;
    put_place(m, &text);
    text.max = sizeof(reason);
    policy_text_put_string(&text, m->failed->code == OP_NOT ? " must not be " : " must be ");
    match_expected(m->failed, &text);
    if (m->is_missing)
        policy_text_put_string(&text, ", but is missing");
    return andiron_policy_no_match(call, "%.*s", (int)text.len, reason);
}

static enum andiron_verdict give_up(struct andiron_policy_call *call, const struct match *m)
{
    char place[POLICY_REASON_MAX];
    struct policy_text text = { .out = place, .max = POLICY_PLACE_MAX };
    put_place(m, &text);
    return andiron_policy_fault(call, "%s took too long to compare; see regex-steps and time-limit",
                                place);
}

static enum andiron_verdict judge(const void *self, const void *compiled,
                                  struct andiron_policy_call *call, struct pattern_matcher *regex,
                                  int64_t limit_us)
{
    const struct matcho *matcho = self;
    struct match m; /* match_request() sets the rest */
    m.program = compiled;
    m.regex = regex;
    m.fhir_base = matcho->fhir_base;
    m.null_equal = matcho->config->null_equal;
    m.limit_us = limit_us;
    m.input = input_of_call;
    m.arg = call;
    switch (match_request(&m)) {
    case MATCH_YES:
        return ANDIRON_MATCH;
    case MATCH_NO:
        return report(call, &m);
    case MATCH_GAVE_UP:
    default:
        return give_up(call, &m);
    }
}

static enum andiron_verdict evaluate(void *self, const void *compiled,
                                     struct andiron_policy_call *call)
{
    const struct matcho *matcho = self;
    return policy_lane_judge(matcho->lane, matcho, compiled, call, judge);
}

/* ---- many at a time ------------------------------------------------------------------------ */

static const void *gather(void *self, const void *const *compiled, size_t count,
                          struct andiron_arena *arena)
{
    (void)self;
    return screen_new(arena, (const struct program *const *)compiled, count);
}

static void screen(void *self, const void *gathered, struct andiron_policy_call *call,
                   uint64_t *may_match)
{
    const struct matcho *matcho = self;
    struct andiron_request *req = andiron_policy_request(call);
    const struct match with = { .fhir_base = matcho->fhir_base,
                                .null_equal = matcho->config->null_equal,
                                .regex = andiron_loop_state(andiron_request_loop(req), self),
                                .input = input_of_call,
                                .arg = call };
    screen_run(gathered, &with, andiron_request_arena(req), may_match);
}

/* ---- what indexes may know ------------------------------------------------------------------ */

static size_t tests(void *self, const void *compiled, struct andiron_policy_test *ret, size_t max)
{
    (void)self;
    return program_tests(compiled, ret, max);
}

static size_t literals(void *self, const void *compiled, struct andiron_arena *arena,
                       struct andiron_policy_literal *ret, size_t max)
{
    (void)self;
    return program_literals(compiled, arena, ret, max);
}

static size_t fragments(void *self, const void *compiled, struct andiron_arena *arena,
                        struct andiron_policy_literal *ret, size_t max)
{
    (void)self;
    return program_fragments(compiled, arena, ret, max);
}

/* ---- POST /$matcho ------------------------------------------------------------------------- */

static enum andiron_step try_pattern(struct andiron_request *req, void *self)
{
    const struct matcho *matcho = self;
    const struct trial_settings settings = { .regex_steps =
                                                 (uint32_t)matcho->config->limits.regex_steps,
                                             .regex_subject =
                                                 (size_t)matcho->config->limits.regex_subject,
                                             .fhir_base = matcho->fhir_base,
                                             .null_equal = matcho->config->null_equal,
                                             .limit_us = matcho->config->limits.time_limit * 1000 };
    return trial_serve(&settings, req);
}

static const struct andiron_route routes[] = {
    { .method = "POST", .pattern = "/$matcho", .handle = try_pattern, .operation = "MatchoTest" },
    { .method = NULL }
};

ANDIRON_POLICY_SERVICE(engine, "matcho", .cost = 10, .compile = compile, .evaluate = evaluate,
                       .tests = tests, .literals = literals, .fragments = fragments,
                       .gather = gather, .screen = screen);

ANDIRON_PLUGIN(.name = "policy-matcho", .version = "0.1.0",
               .summary = "Access policies that compare the request with a pattern",
               .directives = directives, .config_size = sizeof(struct config), .provides = engine,
               .routes = routes, .init = init, .loop_start = loop_start, .loop_stop = loop_stop);
