/*
 * policy-allow: the access-policy engine "allow", which always matches (seed-semantics 5.3).
 *
 * What it opens is decided by the policy's links alone.
 */
#include <andiron/policy.h>

static enum andiron_verdict evaluate(void *self, const void *compiled,
                                     struct andiron_policy_call *call)
{
    (void)self;
    (void)compiled;
    (void)call;
    return ANDIRON_MATCH;
}

ANDIRON_POLICY_SERVICE(engine, "allow", .cost = 1, .evaluate = evaluate);

ANDIRON_PLUGIN(.name = "policy-allow", .version = "0.1.0",
               .summary = "Access policies that always match", .provides = engine);
