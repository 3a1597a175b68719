/*
 * Asking the engines.
 */
#include "decide.h"

#include <andiron/auth.h>

enum { ROLES_MAX = 16 };

/* A decision under way. */
struct deciding {
    struct set *set; /* held while an engine is waited for */
    struct set_walk walk;
    const struct policy *policy; /* the one that is asked */
    struct andiron_policy_call *call;
    enum andiron_verdict verdict; /* of an engine that was waited for */
    struct andiron_request *req;
    unsigned asked;
    andiron_usec begun;
};

/* What the caller is and does, as links would name it. Client/User ids are views of the principal's. */
static size_t links_of(const struct andiron_request *req, struct link links[WALK_LISTS_MAX])
{
    const struct andiron_principal *p = andiron_request_principal(req);
    const char *operation = andiron_request_operation(req);
    andiron_str client = andiron_json_str(andiron_json_get(p->client, "id"));
    size_t count = 0;

    if (p->kind == ANDIRON_CLIENT && client.data == NULL)
        client = andiron_str_of(p->id);
    if (client.len > 0)
        links[count++] = (struct link){ LINK_CLIENT, client };
    if (p->kind == ANDIRON_USER && p->id != NULL)
        links[count++] = (struct link){ LINK_USER, andiron_str_of(p->id) };
    if (operation != NULL)
        links[count++] = (struct link){ LINK_OPERATION, andiron_str_of(operation) };
    struct andiron_json_iter it = { .of = p->roles };
    for (size_t i = 0; i < ROLES_MAX && andiron_json_next(&it); i++) {
        andiron_str name = andiron_json_str(andiron_json_get(it.value, "name"));
        if (name.len > 0)
            links[count++] = (struct link){ LINK_ROLE, name };
    }
    return count;
}

/* AP-6: for the access line and for `andiron explain`. */
static void note_decision(struct andiron_request *req, const struct deciding *d)
{
    struct andiron_arena *arena = andiron_request_arena(req);
    andiron_request_note(req, "policies", andiron_str_of(andiron_printf(arena, "%u", d->asked)));
    andiron_request_note(
        req, "policy-us",
        andiron_str_of(andiron_printf(arena, "%lld", (long long)(andiron_now() - d->begun))));
}

static void log_fault(struct andiron_request *req, const struct deciding *d)
{
    andiron_str why = andiron_policy_reason(d->call);
    andiron_request_log(req, ANDIRON_LOG_WARN, "policy.error",
                        "%s (engine %s) could not tell: %.*s", d->policy->grant,
                        d->policy->engine->name, (int)why.len, why.len > 0 ? why.data : "");
}

enum verdict_effect { GO_ON, GRANTED, DENIED };

/* AP-4, AP-5: a fault never grants; of a policy that denies it denies. */
static enum verdict_effect effect_of(const struct policy *policy, enum andiron_verdict verdict)
{
    if (policy->denies)
        return verdict == ANDIRON_NO_MATCH ? GO_ON : DENIED;
    return verdict == ANDIRON_MATCH ? GRANTED : GO_ON;
}

static enum verdict_effect judge(struct andiron_request *req, struct deciding *d,
                                 enum andiron_verdict verdict)
{
    if ((int)verdict >= VERDICTS) /* a newer verdict, or nonsense: counts as a fault */
        verdict = ANDIRON_FAULT;
    andiron_count(d->policy->engine->verdicts[verdict], 1);
    if (verdict == ANDIRON_FAULT)
        log_fault(req, d);
    return effect_of(d->policy, verdict);
}

static enum andiron_step finish(struct andiron_request *req, struct deciding *d,
                                enum verdict_effect effect)
{
    struct andiron_arena *arena = andiron_request_arena(req);
    note_decision(req, d);
    if (effect == GO_ON) {
        andiron_request_note(req, "reason", ANDIRON_STR("no policy matches"));
        return ANDIRON_NEXT;
    }
    /* The policy may be replaced before the request's log line is written: copy its name. */
    const char *name = andiron_copy(arena, andiron_str_of(d->policy->grant));
    if (effect == GRANTED) {
        andiron_request_grant(req, name);
        return ANDIRON_NEXT;
    }
    andiron_request_note(req, "policy", andiron_str_of(name));
    andiron_request_note(req, "reason", ANDIRON_STR("denied by policy"));
    return andiron_fail(req, ANDIRON_E_FORBIDDEN, "denied by a policy");
}

static enum andiron_step ask_on(struct andiron_request *req, struct deciding *d);

static enum andiron_step engine_answered(struct andiron_request *req, void *state)
{
    struct deciding *d = state;
    enum verdict_effect effect = judge(req, d, d->verdict);
    return effect == GO_ON ? ask_on(req, d) : finish(req, d, effect);
}

static void verdict_given(void *state, enum andiron_verdict verdict)
{
    struct deciding *d = state;
    d->verdict = verdict;
    andiron_resume(d->req);
}

static void drop_held(void *arg)
{
    set_drop(arg);
}

static enum andiron_step ask_on(struct andiron_request *req, struct deciding *d)
{
    while ((d->policy = set_walk_next(&d->walk)) != NULL) {
        d->asked++;
        enum andiron_verdict verdict = andiron_policy_ask(d->call, &d->policy->engine->ref,
                                                          d->policy->compiled, verdict_given, d);
        if (verdict == ANDIRON_PENDING) {
            if (d->set != NULL) {
                set_hold(d->set);
                andiron_at_release(andiron_request_arena(req), drop_held, d->set);
                d->set = NULL; /* held once is enough */
            }
            return andiron_wait(req, engine_answered, d);
        }
        enum verdict_effect effect = judge(req, d, verdict);
        if (effect != GO_ON)
            return finish(req, d, effect);
    }
    return finish(req, d, GO_ON);
}

enum andiron_step decide(struct andiron_request *req, struct set *set)
{
    struct deciding *d = andiron_new(andiron_request_arena(req), struct deciding);
    struct link links[WALK_LISTS_MAX];

    *d = (struct deciding){
        .set = set, .req = req, .call = andiron_policy_begin(req), .begun = andiron_now()
    };
    set_walk_start(set, links, links_of(req, links), &d->walk);
    return ask_on(req, d);
}
