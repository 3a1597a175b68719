/*
 * access: AccessPolicy resources, and the decision they make on every request.
 *
 * Owns the resource type AccessPolicy, keeps the policies in force, and in AUTHORIZE asks
 * their engines (policy-engine/1). Grants or denies; what nobody grants, core denies.
 */
#include <andiron/auth.h>
#include <andiron/plugin.h>
#include <andiron/resource.h>

#include "decide.h"
#include "explain.h"
#include "policies.h"
#include "refusals.h"

enum { DEFAULT_COST = 50, WAITING_COST = 30 /* complex, third parties, sql */ };

struct config {
    int64_t refusals;
};

static const struct andiron_directive directives[] = {
    { .name = "refusals",
      .type = ANDIRON_INT,
      .offset = offsetof(struct config, refusals),
      .fallback = "1000",
      .min = 0,
      .max = 100000,
      .help = "refused requests that are kept, without content, for andiron explain REQUEST-ID" },
    { .name = NULL }
};

struct access {
    struct andiron_host *host;
    struct engines engines;
    struct policies *policies;
    struct decide_with deciding;
    struct explaining_with explaining;
};

/* "policy-engine/1:allow" -> "allow" */
static const char *instance_of(const char *service)
{
    const char *colon = strchr(service, ':');
    return colon != NULL ? colon + 1 : service;
}

static void count_verdicts(struct andiron_host *host, struct engine *engine)
{
    static const char *const names[VERDICTS] = {
        [ANDIRON_NO_MATCH] = "no_match", [ANDIRON_MATCH] = "match", [ANDIRON_FAULT] = "fault"
    };
    for (int i = 0; i < VERDICTS; i++) {
        const char *labels = andiron_printf(andiron_host_arena(host),
                                            "engine=\"%s\",verdict=\"%s\"", engine->name, names[i]);
        engine->verdicts[i] = andiron_counter(host, "andiron_policy_decisions_total", labels,
                                              "Access policies asked, by engine and verdict.");
        engine->times[i] =
            andiron_histogram(host, "andiron_policy_evaluation_seconds", labels,
                              "Time of one policy: of all that wait, and of one decision in 64.");
    }
}

static void find_engines(struct andiron_host *host, struct engines *engines)
{
    struct andiron_arena *arena = andiron_host_arena(host);
    struct andiron_service_ref ref;
    const char *name;
    size_t pos = 0, count = 0;

    while (andiron_service_find(host, ANDIRON_POLICY_ENGINE, &pos, &ref, &name))
        count++;
    engines->all = andiron_alloc(arena, (count + 1) * sizeof(*engines->all));
    engines->names = andiron_alloc(arena, (count + 1) * sizeof(*engines->names));
    pos = 0;
    while (andiron_service_find(host, ANDIRON_POLICY_ENGINE, &pos, &ref, &name)) {
        const struct andiron_policy_engine *table = ref.table;
        struct engine *engine = &engines->all[engines->count];
        *engine = (struct engine){ .name = instance_of(name),
                                   .ref = ref,
                                   .cost = table->cost != 0 ? table->cost : DEFAULT_COST };
        engine->may_wait = engine->cost >= WAITING_COST;
        count_verdicts(host, engine);
        engines->names[engines->count++] = engine->name;
    }
}

static int init(struct andiron_host *host, const void *config, void **ret_self,
                struct andiron_error *err)
{
    (void)err;
    const struct config *c = config;
    struct access *access = andiron_new(andiron_host_arena(host), struct access);
    access->host = host;
    access->deciding.refusals = c->refusals > 0 ? refusals_new((size_t)c->refusals) : NULL;
    *ret_self = access;
    return 0;
}

static int start(struct andiron_host *host, void *self, struct andiron_error *err)
{
    struct access *access = self;
    struct andiron_service_ref store;

    if (!andiron_service_find(host, ANDIRON_STORE, NULL, &store, NULL))
        return andiron_error_set(err, ANDIRON_E_INTERNAL, "", "no store was found");
    find_engines(host, &access->engines);
    access->explaining = (struct explaining_with){ .engines = &access->engines,
                                                   .refusals = access->deciding.refusals };
    (void)andiron_service_find(host, ANDIRON_SCOPES, NULL, &access->explaining.scopes, NULL);
    access->policies = policies_new(host, &access->engines, store);
    return policies_start(access->policies, andiron_host_loop(host, 0), err);
}

static int loop_start(struct andiron_loop *loop, void *self, void **ret_local,
                      struct andiron_error *err)
{
    (void)loop;
    (void)self;
    *ret_local = policies_local_new();
    return *ret_local != NULL ? 0 : andiron_error_set(err, ANDIRON_E_INTERNAL, "", "out of memory");
}

static void loop_stop(struct andiron_loop *loop, void *self, void *local)
{
    (void)loop;
    (void)self;
    policies_local_free(local);
}

static void stop(void *self)
{
    struct access *access = self;
    if (access->policies != NULL)
        policies_free(access->policies);
    refusals_free(access->deciding.refusals);
}

/* The set in force; NULL: it must be loaded first. */
static struct set *current(struct andiron_request *req, struct access *access)
{
    return policies_current(access->policies,
                            andiron_loop_state(andiron_request_loop(req), access));
}

static enum andiron_step authorize(struct andiron_request *req, void *self)
{
    struct access *access = self;
    if (andiron_request_principal(req)->kind == ANDIRON_SYSTEM)
        return ANDIRON_NEXT;
    struct policies_local *local = andiron_loop_state(andiron_request_loop(req), self);
    struct set *set = policies_current(access->policies, local);
    if (set == NULL)
        return policies_load(access->policies, req, authorize, self);
    return decide(req, set, &access->deciding, policies_sample(local));
}

/* What was refused before policies were asked: scopes. LOG hook. */
static enum andiron_step note_refusal(struct andiron_request *req, void *self)
{
    struct access *access = self;
    int status = andiron_reply_status(req);
    if (access->deciding.refusals == NULL || (status != 403 && status != 401) ||
        andiron_request_operation(req) == NULL ||
        andiron_request_noted(req, "policies").data != NULL)
        return ANDIRON_NEXT;
    andiron_str reason = andiron_request_noted(req, "reason");
    const struct refusal refusal = { .reason =
                                         reason.len > 0
                                             ? andiron_copy(andiron_request_arena(req), reason)
                                             : "refused before policies were asked" };
    refusals_keep(access->deciding.refusals, req, &refusal);
    return ANDIRON_NEXT;
}

/* ---- routes ---------------------------------------------------------------------------- */

static enum andiron_step test_policy(struct andiron_request *req, void *self)
{
    struct access *access = self;
    struct set *set = current(req, access);
    return set != NULL ? explain_trial(req, set, &access->explaining)
                       : policies_load(access->policies, req, test_policy, self);
}

static enum andiron_step show_refusal(struct andiron_request *req, void *self)
{
    const struct access *access = self;
    return explain_refusal(req, &access->explaining);
}

static enum andiron_step list_policies(struct andiron_request *req, void *self)
{
    struct access *access = self;
    struct set *set = current(req, access);
    return set != NULL ? explain_use(req, set)
                       : policies_load(access->policies, req, list_policies, self);
}

/* ---- resource-type/1:AccessPolicy ------------------------------------------------------ */

static int accept_policy(void *self, struct andiron_request *req, andiron_json resource,
                         andiron_json before, andiron_str *ret_text, struct andiron_error *err)
{
    (void)before;
    (void)ret_text;
    const struct access *access = self;
    struct policy policy = { .arena = NULL };
    return policy_compile(&access->engines, andiron_request_arena(req), resource, false, &policy,
                          err);
}

static void policy_stored(void *self, struct andiron_request *req, andiron_str id,
                          andiron_json resource)
{
    struct access *access = self;
    const char *warning =
        policies_apply(access->policies, andiron_request_arena(req), id, resource);
    if (warning != NULL) /* ML-3: shown by whoever answers the write */
        andiron_request_note(req, "warning", andiron_str_of(warning));
}

static const char *const search[] = { "engine:token:engine", "link:reference:link",
                                      "type:token:type",     "roleName:token:roleName",
                                      "active:token:active", NULL };

static const struct andiron_resource_type resource_type = {
    .size = sizeof(resource_type),
    .accept = accept_policy,
    .stored = policy_stored,
    .search = search,
};

static const struct andiron_service provides[] = {
    { ANDIRON_RESOURCE_TYPE "AccessPolicy", &resource_type }, { NULL, NULL }
};
static const char *const needs[] = { ANDIRON_STORE, NULL };
/* scopes/1 only for the order: what scopes refuse need not be asked of policies. */
static const char *const wants[] = { ANDIRON_POLICY_ENGINE, ANDIRON_SCOPES, NULL };
static const struct andiron_hook hooks[] = { { ANDIRON_PHASE_AUTHORIZE, authorize },
                                             { ANDIRON_PHASE_LOG, note_refusal },
                                             { 0, NULL } };
static const struct andiron_route routes[] = {
    { .method = "POST",
      .pattern = "/auth/test-policy",
      .handle = test_policy,
      .operation = "TestPolicy" },
    { .method = "GET",
      .pattern = "/auth/refusals/{request-id}",
      .handle = show_refusal,
      .operation = "TestPolicy" },
    { .method = "GET",
      .pattern = "/control/policies",
      .handle = list_policies,
      .flags = ANDIRON_ROUTE_CONTROL },
    { .method = NULL },
};

ANDIRON_PLUGIN(.name = "access", .version = "0.1.0",
               .summary = "AccessPolicy resources and access decisions", .directives = directives,
               .config_size = sizeof(struct config), .provides = provides, .needs = needs,
               .wants = wants, .routes = routes, .hooks = hooks, .init = init, .start = start,
               .loop_start = loop_start, .loop_stop = loop_stop, .stop = stop);
