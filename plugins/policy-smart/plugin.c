/*
 * policy-smart: the access-policy engine "smart-on-fhir", which matches what the scopes of a
 * token cover (seed-semantics 5.5).
 *
 * Asks scopes/1; keeps nothing.
 */
#include <andiron/auth.h>
#include <andiron/policy.h>

struct smart {
    struct andiron_service_ref scopes;
};

static int init(struct andiron_host *host, const void *config, void **ret_self,
                struct andiron_error *err)
{
    (void)config;
    (void)err;
    *ret_self = andiron_new(andiron_host_arena(host), struct smart);
    return 0;
}

static int start(struct andiron_host *host, void *self, struct andiron_error *err)
{
    struct smart *smart = self;
    if (!andiron_service_find(host, ANDIRON_SCOPES, NULL, &smart->scopes, NULL))
        return andiron_error_set(err, ANDIRON_E_INTERNAL, "", "no service scopes/1 was found");
    return 0;
}

static enum andiron_verdict evaluate(void *self, const void *compiled,
                                     struct andiron_policy_call *call)
{
    (void)compiled;
    const struct smart *smart = self;
    const struct andiron_scopes *scopes = smart->scopes.table;
    struct andiron_request *req = andiron_policy_request(call);

    if (scopes == NULL || andiron_request_loop(req) == NULL) /* explain-policy: no token */
        return andiron_policy_fault(call, "scopes can only be judged by a running server");
    if (andiron_request_principal(req)->scopes == NULL)
        return andiron_policy_no_match(call, "the caller is not limited by scopes");
    if (!scopes->covered(smart->scopes.self, req))
        return andiron_policy_no_match(call, "the scopes do not cover this request");
    return ANDIRON_MATCH;
}

ANDIRON_POLICY_SERVICE(engine, "smart-on-fhir", .cost = 5, .evaluate = evaluate);

static const char *const needs[] = { ANDIRON_SCOPES, NULL };

ANDIRON_PLUGIN(.name = "policy-smart", .version = "0.1.0",
               .summary = "Access policies that match what scopes cover", .provides = engine,
               .needs = needs, .init = init, .start = start);
