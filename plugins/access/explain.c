/*
 * Asking policies without deciding anything.
 *
 * First those that apply, in their order; then, if none of them decides, those that would if they
 * were linked or switched on. At last the question is put as a request would put it, so that the
 * decision shown is the one that is made.
 */
#include "explain.h"

#include "caller.h"
#include "nanoseconds.h"
#include "trial.h"

enum { ANSWER_MAX = 256 * 1024 * 1024, SHOWN_MAX = 1000, OTHERS_MAX = 1000 };

struct explaining {
    const struct explaining_with *with;
    struct set *set; /* held */
    struct trial trial;
    struct andiron_policy_call *call;
    struct set_walk walk;
    struct policy own; /* the one that was sent */

    struct refused_policy *shown;
    size_t shown_count, asked;
    const char *decided_by; /* the first that grants or denies; NULL */
    bool decided, denied;

    size_t other; /* next policy that does not apply */
    const struct policy **would;
    size_t would_count;

    const struct policy *policy; /* the one that is asked */
    enum andiron_verdict verdict;
    struct andiron_request *req;
    int64_t begun_ns;

    struct andiron_inner inner;
    struct andiron_request *check;
};

/* ---- asking, whatever waits ----------------------------------------------------------------- */

static void verdict_given(void *state, enum andiron_verdict verdict)
{
    struct explaining *e = state;
    e->verdict = verdict;
    andiron_resume(e->req);
}

/* Goes on with `then` once e->verdict is there; true: it is already. */
static bool ask(struct explaining *e, const struct policy *policy)
{
    e->policy = policy;
    e->begun_ns = nanoseconds();
    e->verdict =
        andiron_policy_ask(e->call, &policy->engine->ref, policy->compiled, verdict_given, e);
    return e->verdict != ANDIRON_PENDING;
}

static struct refused_policy result_of(const struct explaining *e)
{
    bool is_known = e->verdict == ANDIRON_MATCH || e->verdict == ANDIRON_NO_MATCH;
    return (struct refused_policy){ .policy = e->policy,
                                    .verdict = is_known ? e->verdict : ANDIRON_FAULT,
                                    .reason = andiron_policy_reason(e->call),
                                    .took_ns = nanoseconds() - e->begun_ns };
}

/* ---- the answer ------------------------------------------------------------------------------ */

static void put_operation(struct andiron_json_writer *w, const struct explaining *e)
{
    andiron_json operation = andiron_policy_input(e->call, "operation");
    andiron_json_put(w, "operation", operation);
}

static void put_decision(struct andiron_json_writer *w, const struct explaining *e)
{
    struct andiron_request *checked = e->check != NULL ? e->check : e->trial.sub;
    const char *granted = andiron_request_granted(checked);
    andiron_str reason = andiron_request_noted(checked, "reason");

    andiron_json_put_object(w, "decision");
    andiron_json_put_int(w, "status", andiron_reply_status(checked));
    if (granted != NULL)
        andiron_json_put_str(w, "policy", andiron_str_of(granted));
    else if (e->denied)
        andiron_json_put_str(w, "policy", andiron_str_of(e->decided_by));
    if (reason.len > 0)
        andiron_json_put_str(w, "reason", reason);
    andiron_json_put_end(w);
}

static bool scopes_cover(const struct explaining *e)
{
    const struct andiron_scopes *scopes = e->trial.scopes.table;
    return e->trial.principal.scopes == NULL || scopes == NULL ||
           scopes->covered(e->trial.scopes.self, e->trial.sub);
}

/* "Client/lab", "User/u", "Operation/FhirRead", or of a role "a User with the role x". */
static const char *link_named(struct andiron_arena *arena, const struct link *link)
{
    static const char *const before[] = { [LINK_CLIENT] = "Client/",
                                          [LINK_USER] = "User/",
                                          [LINK_OPERATION] = "Operation/",
                                          [LINK_ROLE] = "Users with the role " };
    return andiron_printf(arena, "%s%.*s", before[link->kind], (int)link->id.len, link->id.data);
}

/* Of a policy that would match, why it does not count. */
static const char *what_it_lacks(struct andiron_arena *arena, const struct policy *policy)
{
    if (!policy->applies)
        return "it is not active, or not of type rest";
    if (policy->link_count == 0) /* one of very many, behind those that were asked */
        return "others come first";
    return andiron_printf(arena, "it is for %s%s", link_named(arena, &policy->links[0]),
                          policy->link_count > 1 ? " and others" : "");
}

/* What would have to change for the request to be let through. */
static const char *advice(struct andiron_arena *arena, const struct explaining *e)
{
    int status = andiron_reply_status(e->check != NULL ? e->check : e->trial.sub);
    if (status < 400)
        return NULL;
    if (e->check == NULL)
        return "the request itself: it is refused before anybody is asked";
    if (!scopes_cover(e))
        return "the scopes: they do not cover this request, and no policy makes up for that";
    if (e->denied)
        return andiron_printf(arena, "%s: it denies, whatever others grant", e->decided_by);
    if (e->asked == 1 && e->shown_count == 1 && e->shown[0].reason.len > 0)
        return andiron_printf(arena, "%s, the only policy that applies: %.*s",
                              e->shown[0].policy->grant, (int)e->shown[0].reason.len,
                              e->shown[0].reason.data);
    if (e->asked > 0)
        return "one of the policies that apply: each one's reason says what it asks for";
    if (e->would_count > 0)
        return andiron_printf(arena,
                              "no policy applies; AccessPolicy/%s would let this through, but %s",
                              e->would[0]->id, what_it_lacks(arena, e->would[0]));
    return "no policy applies: link one to the Client, the User or the operation";
}

static enum andiron_step answer(struct andiron_request *req, struct explaining *e)
{
    struct andiron_arena *arena = andiron_request_arena(req);
    struct andiron_json_writer *w = andiron_json_write(arena, ANSWER_MAX);

    andiron_json_put_object(w, NULL);
    andiron_json_put(w, "request", andiron_policy_input(e->call, ""));
    put_operation(w, e);
    refusal_put_caller(w, e->trial.sub);
    if (e->trial.principal.scopes != NULL)
        andiron_json_put_bool(w, "scopes-cover", scopes_cover(e));
    if (andiron_json_type(e->trial.policy) != ANDIRON_JSON_MISSING) {
        struct refused_policy *r = &e->shown[0];
        andiron_json_put(w, "policy", e->trial.policy);
        andiron_json_put_object(w, "result");
        refusal_put_verdict(w, r);
        if (e->own.warning != NULL)
            andiron_json_put_str(w, "warning", andiron_str_of(e->own.warning));
        andiron_json_put_end(w);
    } else {
        const char *change = advice(arena, e);
        andiron_json_put_array(w, "policies");
        for (size_t i = 0; i < e->shown_count; i++)
            refusal_put_policy(w, &e->shown[i]);
        andiron_json_put_end(w);
        andiron_json_put_int(w, "policies-asked", (int64_t)e->asked);
        if (e->would_count > 0) {
            andiron_json_put_array(w, "would-match");
            for (size_t i = 0; i < e->would_count; i++)
                andiron_json_put_str(w, NULL, andiron_str_of(e->would[i]->id));
            andiron_json_put_end(w);
        }
        put_decision(w, e);
        if (change != NULL)
            andiron_json_put_str(w, "change", andiron_str_of(change));
    }
    andiron_json_put_end(w);
    andiron_str text = andiron_json_written(w);
    if (text.data == NULL)
        return andiron_fail(req, ANDIRON_E_TOO_LARGE, "the answer is too large");
    return andiron_reply(req, 200, "application/json", text);
}

/* ---- the decision as it is made -------------------------------------------------------------- */

static enum andiron_step checked(struct andiron_request *req, void *state)
{
    return answer(req, state);
}

/* check_only is a part of the request now: the same, but with AUTHORIZE. */
static enum andiron_step check(struct andiron_request *req, struct explaining *e)
{
    e->inner = e->trial.inner;
    e->inner.routed_only = false;
    e->inner.check_only = true;
    return andiron_request_run(req, &e->inner, &e->check, checked, e);
}

/* ---- policies that do not apply ---------------------------------------------------------------- */

enum { WOULD_MAX = 10 };

static bool was_shown(const struct explaining *e, const struct policy *policy)
{
    for (size_t i = 0; i < e->shown_count; i++)
        if (e->shown[i].policy == policy)
            return true;
    return false;
}

static enum andiron_step ask_others(struct andiron_request *req, struct explaining *e);

static void take_other(struct explaining *e)
{
    if (e->verdict == ANDIRON_MATCH)
        e->would[e->would_count++] = e->policy;
}

static enum andiron_step other_answered(struct andiron_request *req, void *state)
{
    struct explaining *e = state;
    take_other(e);
    return ask_others(req, e);
}

static enum andiron_step ask_others(struct andiron_request *req, struct explaining *e)
{
    size_t count;
    struct policy *const *all = set_policies(e->set, &count);
    if (count > OTHERS_MAX)
        count = OTHERS_MAX;
    while (e->other < count && e->would_count < WOULD_MAX) {
        const struct policy *policy = all[e->other++];
        bool is_candidate = !policy->gone && policy->engine != NULL && !policy->denies &&
                            (policy->link_count > 0 || !policy->applies);
        if (!is_candidate || was_shown(e, policy))
            continue;
        if (!ask(e, policy))
            return andiron_wait(req, other_answered, e);
        take_other(e);
    }
    return check(req, e);
}

/* ---- policies that apply ------------------------------------------------------------------------ */

static enum andiron_step ask_on(struct andiron_request *req, struct explaining *e);

/* AP-4, AP-5: as decide.c does. */
static void take(struct explaining *e)
{
    struct refused_policy r = result_of(e);
    bool decides = r.policy->denies ? r.verdict != ANDIRON_NO_MATCH : r.verdict == ANDIRON_MATCH;
    e->asked++;
    if (e->shown_count < SHOWN_MAX)
        e->shown[e->shown_count++] = r;
    if (!decides)
        return;
    e->decided = true;
    e->denied = r.policy->denies;
    e->decided_by = r.policy->grant;
}

static enum andiron_step answered(struct andiron_request *req, void *state)
{
    struct explaining *e = state;
    take(e);
    return ask_on(req, e);
}

static enum andiron_step ask_on(struct andiron_request *req, struct explaining *e)
{
    const struct policy *policy;
    while (!e->decided && (policy = set_walk_next(&e->walk)) != NULL) {
        if (!ask(e, policy))
            return andiron_wait(req, answered, e);
        take(e);
    }
    return e->decided ? check(req, e) : ask_others(req, e);
}

/* ---- a policy that was sent ---------------------------------------------------------------------- */

static enum andiron_step own_answered(struct andiron_request *req, void *state)
{
    struct explaining *e = state;
    e->shown[0] = result_of(e);
    return answer(req, e);
}

static enum andiron_step ask_own(struct andiron_request *req, struct explaining *e)
{
    struct andiron_error err;
    if (policy_compile(e->with->engines, andiron_request_arena(req), e->trial.policy, false,
                       &e->own, &err) != 0)
        return andiron_fail_with(req, &err);
    return ask(e, &e->own) ? own_answered(req, e) : andiron_wait(req, own_answered, e);
}

/* ---- POST /auth/test-policy ------------------------------------------------------------------------ */

static enum andiron_step tried(struct andiron_request *req, void *state)
{
    struct explaining *e = state;
    struct andiron_arena *arena = andiron_request_arena(req);
    size_t count = 0;

    e->call = andiron_policy_begin(e->trial.sub);
    andiron_policy_want_reasons(e->call);
    e->shown = andiron_alloc(arena, SHOWN_MAX * sizeof(*e->shown));
    if (andiron_reply_status(e->trial.sub) != 200) /* no route, or a path nobody may ask for */
        return andiron_json_type(e->trial.policy) == ANDIRON_JSON_MISSING
                   ? answer(req, e)
                   : andiron_fail(req, ANDIRON_E_VALUE,
                                  "request: it is answered with %d before policies are asked",
                                  andiron_reply_status(e->trial.sub));
    if (andiron_json_type(e->trial.policy) != ANDIRON_JSON_MISSING)
        return ask_own(req, e);
    e->would = andiron_alloc(arena, WOULD_MAX * sizeof(*e->would));
    /* Without the index by tests: why a policy does not match is what is asked here. */
    const struct link *links = caller_links(e->trial.sub, e->call, NULL, &count);
    set_walk_all(e->set, arena, links, count, &e->walk);
    return ask_on(req, e);
}

static void drop_held(void *arg)
{
    set_drop(arg);
}

enum andiron_step explain_trial(struct andiron_request *req, struct set *set,
                                const struct explaining_with *with)
{
    struct explaining *e = andiron_new(andiron_request_arena(req), struct explaining);
    e->with = with;
    e->req = req;
    e->set = set;
    e->trial.scopes = with->scopes;
    set_hold(set);
    andiron_at_release(andiron_request_arena(req), drop_held, set);
    return trial_begin(req, &e->trial, tried, e);
}

/* ---- GET /auth/refusals/{request-id} ----------------------------------------------------------------- */

enum andiron_step explain_refusal(struct andiron_request *req, const struct explaining_with *with)
{
    andiron_str id = andiron_request_var(req, "request-id"), none = { NULL, 0 };
    andiron_str text = with->refusals != NULL
                           ? refusals_find(with->refusals, andiron_request_arena(req), id)
                           : none;
    if (text.data == NULL)
        return andiron_fail(req, ANDIRON_E_NOT_FOUND,
                            "no refusal with the request id '%.*s' is kept; the latest are, "
                            "see the directive refusals",
                            (int)(id.len < 64 ? id.len : 64), id.data);
    return andiron_reply(req, 200, "application/json", text);
}

/* ---- GET /control/policies ----------------------------------------------------------------------------- */

static void put_instant(struct andiron_json_writer *w, struct andiron_arena *arena,
                        const char *name, andiron_usec at)
{
    char *text = andiron_alloc(arena, ANDIRON_INSTANT_LEN);
    andiron_instant(at, text);
    andiron_json_put_str(w, name, (andiron_str){ text, ANDIRON_INSTANT_LEN });
}

static void put_use(struct andiron_json_writer *w, struct andiron_arena *arena,
                    const struct policy *policy)
{
    const struct policy_use *use = policy->use;
    uint64_t matches = atomic_load_explicit(&use->matches, memory_order_relaxed);
    uint64_t last = atomic_load_explicit(&use->last_match_us, memory_order_relaxed);
    uint64_t timed = atomic_load_explicit(&use->timed, memory_order_relaxed);
    uint64_t ns = atomic_load_explicit(&use->timed_ns, memory_order_relaxed);

    andiron_json_put_object(w, NULL);
    andiron_json_put_str(w, "id", andiron_str_of(policy->id));
    if (policy->engine != NULL)
        andiron_json_put_str(w, "engine", andiron_str_of(policy->engine->name));
    andiron_json_put_str(w, "applies",
                         !policy->applies          ? ANDIRON_STR("never")
                         : policy->link_count == 0 ? ANDIRON_STR("global")
                                                   : ANDIRON_STR("linked"));
    if (policy->denies)
        andiron_json_put_str(w, "effect", ANDIRON_STR("deny"));
    andiron_json_put_int(w, "hits", (int64_t)matches);
    if (last != 0)
        put_instant(w, arena, "last-hit", (andiron_usec)last);
    if (timed != 0)
        andiron_json_put_int(w, "mean-ns", (int64_t)(ns / timed));
    if (policy->warning != NULL)
        andiron_json_put_str(w, "warning", andiron_str_of(policy->warning));
    andiron_json_put_end(w);
}

enum andiron_step explain_use(struct andiron_request *req, struct set *set)
{
    struct andiron_arena *arena = andiron_request_arena(req);
    struct andiron_json_writer *w = andiron_json_write(arena, ANSWER_MAX);
    size_t count;
    struct policy *const *all = set_policies(set, &count);

    andiron_json_put_object(w, NULL);
    andiron_json_put_array(w, "policies");
    for (size_t i = 0; i < count; i++)
        if (!all[i]->gone)
            put_use(w, arena, all[i]);
    andiron_json_put_end(w);
    andiron_json_put_end(w);
    andiron_str text = andiron_json_written(w);
    if (text.data == NULL)
        return andiron_fail(req, ANDIRON_E_TOO_LARGE, "the list is too large");
    return andiron_reply(req, 200, "application/json", text);
}
