/*
 * Asking the engines.
 */
#include "decide.h"

#include <andiron/auth.h>

#include "caller.h"
#include "nanoseconds.h"
#include "refusals.h"

/* A decision under way. */
struct deciding {
    const struct decide_with *with;
    struct set *set; /* held while an engine is waited for */
    bool is_held, is_timed;
    struct set_walk walk;
    const struct policy *policy; /* the one that is asked */
    struct andiron_policy_call *call;
    enum andiron_verdict verdict; /* of an engine that was waited for */
    struct andiron_request *req;
    unsigned asked;
    andiron_usec begun;
    int64_t policy_begun_ns;

    /* Verdicts of `counted` since they were added to its metrics: engines come in runs. */
    const struct engine *counted;
    uint32_t verdicts[VERDICTS];

    /* The first policies that did not grant, for those who ask why; explained one by one. */
    struct refused_policy *first; /* REFUSED_POLICIES of them; NULL: none yet */
    unsigned at;
};

/* ---- counting ------------------------------------------------------------------------- */

static void add_verdicts(struct deciding *d)
{
    for (int i = 0; d->counted != NULL && i < VERDICTS; i++) {
        if (d->verdicts[i] > 0)
            andiron_count(d->counted->verdicts[i], d->verdicts[i]);
        d->verdicts[i] = 0;
    }
}

static void count_verdict(struct deciding *d, enum andiron_verdict verdict)
{
    if (d->policy->engine != d->counted) {
        add_verdicts(d);
        d->counted = d->policy->engine;
    }
    d->verdicts[verdict]++;
    if (verdict == ANDIRON_MATCH) {
        struct policy_use *use = d->policy->use;
        (void)atomic_fetch_add_explicit(&use->matches, 1, memory_order_relaxed);
        atomic_store_explicit(&use->last_match_us, (uint64_t)d->begun, memory_order_relaxed);
    }
}

/* A clock costs as much as a small policy: only some decisions are timed. */
static void count_time(struct deciding *d, enum andiron_verdict verdict)
{
    int64_t took = nanoseconds() - d->policy_begun_ns;
    struct policy_use *use = d->policy->use;
    (void)atomic_fetch_add_explicit(&use->timed, 1, memory_order_relaxed);
    (void)atomic_fetch_add_explicit(&use->timed_ns, (uint64_t)took, memory_order_relaxed);
    andiron_observe(d->policy->engine->times[verdict], took / 1000);
}

/* By hand: every request has two of them, and printf takes longer than a small policy. */
static void note_number(struct andiron_request *req, const char *name, int64_t number)
{
    enum { DIGITS = 20 };
    char *text = andiron_alloc(andiron_request_arena(req), DIGITS);
    size_t at = DIGITS;
    uint64_t left = number > 0 ? (uint64_t)number : 0; /* a clock may have been set back */

    do
        text[--at] = (char)('0' + left % 10);
    while ((left /= 10) != 0);
    andiron_request_note(req, name, (andiron_str){ text + at, DIGITS - at });
}

/* AP-6: for the access line. */
static void note_decision(struct andiron_request *req, const struct deciding *d)
{
    note_number(req, "policies", d->asked + d->walk.passed);
    note_number(req, "policy-us", andiron_now() - d->begun);
}

static void log_fault(struct andiron_request *req, const struct deciding *d)
{
    andiron_str why = andiron_policy_reason(d->call);
    andiron_request_log(req, ANDIRON_LOG_WARN, "policy.error",
                        "%s (engine %s) could not tell: %.*s", d->policy->grant,
                        d->policy->engine->name, (int)why.len, why.len > 0 ? why.data : "");
}

/* ---- verdicts --------------------------------------------------------------------------- */

enum verdict_effect { GO_ON, GRANTED, DENIED };

/* AP-4, AP-5: a fault never grants; of a policy that denies it denies. */
static enum verdict_effect effect_of(const struct policy *policy, enum andiron_verdict verdict)
{
    if (policy->denies)
        return verdict == ANDIRON_NO_MATCH ? GO_ON : DENIED;
    return verdict == ANDIRON_MATCH ? GRANTED : GO_ON;
}

static void note_refused(struct deciding *d, enum andiron_verdict verdict, bool waited)
{
    if (d->first == NULL)
        d->first =
            andiron_alloc(andiron_request_arena(d->req), REFUSED_POLICIES * sizeof(d->first[0]));
    d->first[d->asked - 1] = (struct refused_policy){
        .policy = d->policy,
        .verdict = verdict,
        .waited = waited,
        .reason =
            verdict == ANDIRON_FAULT ? andiron_policy_reason(d->call) : (andiron_str){ NULL, 0 },
    };
}

static enum verdict_effect judge(struct andiron_request *req, struct deciding *d,
                                 enum andiron_verdict verdict, bool waited)
{
    if ((int)verdict < 0 || (int)verdict >= VERDICTS) /* a newer verdict, or nonsense: a fault */
        verdict = ANDIRON_FAULT;
    count_verdict(d, verdict);
    if (d->policy_begun_ns != 0 && (d->is_timed || waited))
        count_time(d, verdict);
    if (verdict == ANDIRON_FAULT)
        log_fault(req, d);
    enum verdict_effect effect = effect_of(d->policy, verdict);
    if (effect != GRANTED && d->asked <= REFUSED_POLICIES)
        note_refused(d, verdict, waited);
    return effect;
}

/* ---- refusals: why ------------------------------------------------------------------------ */

static void drop_held(void *arg)
{
    set_drop(arg);
}

static void verdict_given(void *state, enum andiron_verdict verdict)
{
    struct deciding *d = state;
    d->verdict = verdict;
    andiron_resume(d->req);
}

static enum andiron_step wait_for(struct deciding *d, andiron_step_fn then)
{
    if (!d->is_held) { /* once is enough */
        set_hold(d->set);
        andiron_at_release(andiron_request_arena(d->req), drop_held, d->set);
        d->is_held = true;
    }
    return andiron_wait(d->req, then, d);
}

static enum andiron_step explain_on(struct andiron_request *req, struct deciding *d);

static enum andiron_step explained(struct andiron_request *req, void *state)
{
    struct deciding *d = state;
    d->first[d->at].reason = andiron_policy_reason(d->call);
    d->at++;
    return explain_on(req, d);
}

static void keep_refusal(struct andiron_request *req, const struct deciding *d, const char *reason)
{
    const struct refusal refusal = { .policies = d->first,
                                     .count =
                                         d->asked < REFUSED_POLICIES ? d->asked : REFUSED_POLICIES,
                                     .asked = d->asked + d->walk.passed,
                                     .took_us = andiron_now() - d->begun,
                                     .reason = reason };
    refusals_keep(d->with->refusals, req, &refusal);
}

/*
 * Those that said no are asked once more, this time for their reasons, which are not worth making
 * for requests that others let through. What had to be waited for is not asked again.
 */
static enum andiron_step explain_on(struct andiron_request *req, struct deciding *d)
{
    unsigned count = d->asked < REFUSED_POLICIES ? d->asked : REFUSED_POLICIES;
    for (; d->at < count; d->at++) {
        struct refused_policy *r = &d->first[d->at];
        if (r->verdict != ANDIRON_NO_MATCH || r->waited)
            continue;
        int64_t begun = nanoseconds();
        enum andiron_verdict verdict = andiron_policy_ask(d->call, &r->policy->engine->ref,
                                                          r->policy->compiled, verdict_given, d);
        if (verdict == ANDIRON_PENDING)
            return wait_for(d, explained);
        r->took_ns = nanoseconds() - begun;
        r->reason = andiron_policy_reason(d->call);
    }
    keep_refusal(req, d, "no policy matches");
    return ANDIRON_NEXT;
}

static enum andiron_step refuse(struct andiron_request *req, struct deciding *d)
{
    andiron_request_note(req, "reason", ANDIRON_STR("no policy matches"));
    /* What only asks whether it may is no refusal, and comes by the thousand. */
    if (d->with->refusals == NULL || andiron_request_is_check(req))
        return ANDIRON_NEXT;
    d->call = andiron_policy_begin(req);
    andiron_policy_want_reasons(d->call);
    return explain_on(req, d);
}

static enum andiron_step finish(struct andiron_request *req, struct deciding *d,
                                enum verdict_effect effect)
{
    struct andiron_arena *arena = andiron_request_arena(req);
    add_verdicts(d);
    note_decision(req, d);
    if (effect == GO_ON)
        return refuse(req, d);
    /* The policy may be replaced before the request's log line is written: copy its name. */
    const char *name = andiron_copy(arena, andiron_str_of(d->policy->grant));
    if (effect == GRANTED) {
        andiron_request_grant(req, name);
        return ANDIRON_NEXT;
    }
    andiron_request_note(req, "policy", andiron_str_of(name));
    andiron_request_note(req, "reason", ANDIRON_STR("denied by policy"));
    if (d->with->refusals != NULL && !andiron_request_is_check(req))
        keep_refusal(req, d, "denied by policy");
    return andiron_fail(req, ANDIRON_E_FORBIDDEN, "denied by a policy");
}

/* ---- asking ------------------------------------------------------------------------------- */

static enum andiron_step ask_on(struct andiron_request *req, struct deciding *d);

static enum andiron_step engine_answered(struct andiron_request *req, void *state)
{
    struct deciding *d = state;
    enum verdict_effect effect = judge(req, d, d->verdict, true);
    return effect == GO_ON ? ask_on(req, d) : finish(req, d, effect);
}

static enum andiron_step ask_on(struct andiron_request *req, struct deciding *d)
{
    while ((d->policy = set_walk_next(&d->walk)) != NULL) {
        d->asked++;
        d->policy_begun_ns = d->is_timed || d->policy->engine->may_wait ? nanoseconds() : 0;
        enum andiron_verdict verdict = andiron_policy_ask(d->call, &d->policy->engine->ref,
                                                          d->policy->compiled, verdict_given, d);
        if (verdict == ANDIRON_PENDING)
            return wait_for(d, engine_answered);
        enum verdict_effect effect = judge(req, d, verdict, false);
        if (effect != GO_ON)
            return finish(req, d, effect);
    }
    return finish(req, d, GO_ON);
}

enum andiron_step decide(struct andiron_request *req, struct set *set,
                         const struct decide_with *with, bool is_timed)
{
    struct andiron_arena *arena = andiron_request_arena(req);
    struct deciding *d = andiron_new(arena, struct deciding);
    size_t count = 0;

    _Static_assert((int)WALK_UNSCREENED >= (int)REFUSED_POLICIES, "refusals name the first ones");

    d->with = with;
    d->set = set;
    d->req = req;
    d->is_timed = is_timed;
    d->call = andiron_policy_begin(req);
    d->begun = andiron_now();
    const struct link *links = caller_links(req, d->call, set, &count);
    set_walk_start(set, arena, links, count, &d->walk);
    set_walk_screen(&d->walk, d->call);
    return ask_on(req, d);
}
