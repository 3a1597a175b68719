/*
 * policy-sql: the access-policy engine "sql", for which a query over the stored resources must be
 * true (seed-semantics 5.5).
 *
 * Queries are checked by the store when a policy is written or loaded, and run on the store's
 * threads; values of the request only ever reach them as bound parameters.
 */
#include <andiron/policy.h>
#include <andiron/store.h>

#include <stdio.h>

#include "template.h"

struct config {
    int64_t timeout;
};

struct engine {
    struct andiron_host *host;
    const struct config *config;
    struct andiron_service_ref sql;
    bool is_started;
};

static const struct andiron_directive directives[] = {
    { .name = "timeout",
      .type = ANDIRON_DURATION,
      .offset = offsetof(struct config, timeout),
      .fallback = "500ms",
      .min = 1,
      .max = 60000,
      .help = "how long a query may take, its wait included; then the policy fails" },
    { .name = NULL }
};

static int init(struct andiron_host *host, const void *config, void **ret_self,
                struct andiron_error *err)
{
    (void)err;
    struct engine *engine = andiron_new(andiron_host_arena(host), struct engine);
    engine->host = host;
    engine->config = config;
    *ret_self = engine;
    return 0;
}

static int start(struct andiron_host *host, void *self, struct andiron_error *err)
{
    (void)err;
    struct engine *engine = self;
    engine->is_started = andiron_service_find(host, ANDIRON_SQL, NULL, &engine->sql, NULL);
    return 0;
}

/* ---- compiling --------------------------------------------------------------------------------- */

/* With some table for each name: which, only the request says. */
static int check(const struct engine *engine, struct andiron_arena *arena, const struct template *t,
                 struct andiron_error *err)
{
    const struct andiron_sql *sql = engine->sql.table;
    andiron_str names[TEMPLATE_HOLES_MAX];
    for (size_t i = 0; i < t->name_count; i++)
        names[i] = ANDIRON_STR("Patient");
    return sql->check(engine->sql.self, template_text(arena, t, names), t->value_count, err);
}

static int compile(void *self, struct andiron_arena *arena, andiron_json policy,
                   void **ret_compiled, struct andiron_error *err)
{
    const struct engine *engine = self;
    andiron_json sql = andiron_json_get(policy, "sql");
    andiron_json query = andiron_json_get(sql, "query");
    struct template *t = andiron_new(arena, struct template);

    if (!engine->is_started) /* explain-policy starts no plugin */
        return andiron_error_set(
            err, ANDIRON_E_UNAVAILABLE, "AccessPolicy.engine",
            "\"sql\" can only be judged by a running server, which has the data");
    if (andiron_json_type(query) == ANDIRON_JSON_MISSING)
        return andiron_error_set(err, ANDIRON_E_REQUIRED, "AccessPolicy.sql.query",
                                 "is required: a SELECT whose first value says whether the policy "
                                 "matches");
    if (andiron_json_type(query) != ANDIRON_JSON_STRING || andiron_json_count(sql) != 1)
        return andiron_error_set(err, ANDIRON_E_ELEMENT, "AccessPolicy.sql",
                                 "is {\"query\": \"SELECT ...\"}, with the query as a string");
    if (template_compile(arena, andiron_json_str(query), t, err) != 0 ||
        check(engine, arena, t, err) != 0) {
        (void)snprintf(err->where, sizeof(err->where), "AccessPolicy.sql.query");
        return -1;
    }
    *ret_compiled = t;
    return 0;
}

/* ---- asking ------------------------------------------------------------------------------------- */

struct ask {
    struct andiron_policy_call *call;
    struct andiron_loop *loop;
    enum andiron_verdict verdict;
    struct andiron_error err;
};

static void finish_on_loop(void *arg)
{
    struct ask *ask = arg;
    switch (ask->verdict) {
    case ANDIRON_NO_MATCH:
        (void)andiron_policy_no_match(ask->call, "the query gave no row, or not true");
        break;
    case ANDIRON_FAULT:
        (void)andiron_policy_fault(ask->call, "%s", ask->err.message);
        break;
    default:
        break;
    }
    andiron_policy_finish(ask->call, ask->verdict);
}

/* On a thread of the store. */
static void answered(void *arg, bool truth, const struct andiron_error *err)
{
    struct ask *ask = arg;
    ask->verdict = truth ? ANDIRON_MATCH : ANDIRON_NO_MATCH;
    if (err != NULL) {
        ask->verdict = ANDIRON_FAULT;
        ask->err = *err;
    }
    andiron_loop_post(ask->loop, finish_on_loop, ask);
}

/* Strings by their content, all else as JSON text; what is missing is NULL. */
static andiron_str parameter_of(andiron_json v)
{
    if (andiron_json_type(v) <= ANDIRON_JSON_NULL)
        return (andiron_str){ NULL, 0 };
    return andiron_json_type(v) == ANDIRON_JSON_STRING ? andiron_json_str(v) : andiron_json_raw(v);
}

static enum andiron_verdict evaluate(void *self, const void *compiled,
                                     struct andiron_policy_call *call)
{
    const struct engine *engine = self;
    const struct andiron_sql *sql = engine->sql.table;
    const struct template *t = compiled;
    struct andiron_request *req = andiron_policy_request(call);
    struct andiron_arena *arena = andiron_request_arena(req);
    andiron_str names[TEMPLATE_HOLES_MAX];
    andiron_str *values = andiron_alloc(arena, (t->value_count + 1) * sizeof(*values));

    for (size_t i = 0; i < t->name_count; i++)
        names[i] = andiron_json_str(andiron_policy_input(call, t->names[i].path));
    andiron_str text = template_text(arena, t, names);
    if (text.data == NULL)
        return andiron_policy_no_match(call, "{{!...}} names no table of a FHIR type");
    for (size_t i = 0; i < t->value_count; i++)
        values[i] = parameter_of(andiron_policy_input(call, t->values[i]));
    struct ask *ask = andiron_new(arena, struct ask);
    ask->call = call;
    ask->loop = andiron_request_loop(req);
    sql->ask(engine->sql.self, text, values, t->value_count, engine->config->timeout, answered,
             ask);
    return ANDIRON_PENDING;
}

ANDIRON_POLICY_SERVICE(engine, "sql", .cost = 90, .compile = compile, .evaluate = evaluate);

static const char *const needs[] = { ANDIRON_SQL, NULL };

ANDIRON_PLUGIN(.name = "policy-sql", .version = "0.1.0",
               .summary = "Access policies that ask the stored resources", .directives = directives,
               .config_size = sizeof(struct config), .provides = engine, .needs = needs,
               .init = init, .start = start);
