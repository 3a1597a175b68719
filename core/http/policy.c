/*
 * Policy calls: asking engines, and what they answer.
 *
 * A call belongs to its request; one is made for each engine that is asked. Engines that
 * answer later finish from any thread, and the answer is handed on from the loop.
 */
#include "http/policy.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "base/log.h"
#include "http/policy_input.h"
#include "http/request.h"

enum { REASON_MAX = 512 };

/* `andiron explain-policy` has no loop: it waits here. */
struct explaining {
    pthread_mutex_t lock;
    pthread_cond_t done;
    bool finished;
    enum andiron_verdict verdict;
    atomic_uint answers;
};

struct andiron_policy_call {
    struct andiron_request *req;
    struct andiron_arena *arena;
    struct policy_input *input;
    struct andiron_policy_call *parent; /* the one that asked; NULL: the first */
    struct andiron_policy_call *spare;  /* of an engine that has answered: for the next one */
    struct explaining *explaining;
    bool wants_reasons; /* of NO_MATCH too */
    andiron_str reason; /* of the engine asked last */
    andiron_verdict_fn then;
    void *state;
    enum andiron_verdict verdict;
    atomic_bool is_answered; /* a second answer of a faulty engine is nobody's */
};

struct andiron_policy_call *andiron_policy_begin(struct andiron_request *req)
{
    struct andiron_arena *arena = andiron_request_arena(req);
    struct andiron_policy_call *call = andiron_new(arena, struct andiron_policy_call);
    call->req = req;
    call->arena = arena;
    call->wants_reasons = log_enabled(ANDIRON_LOG_DEBUG);
    return call;
}

void andiron_policy_want_reasons(struct andiron_policy_call *call)
{
    call->wants_reasons = true;
}

bool andiron_policy_wants_reasons(const struct andiron_policy_call *call)
{
    return call->wants_reasons;
}

/* Made when an engine first asks for it, and shared by all calls of the request. */
static struct policy_input *input_of(struct andiron_policy_call *call)
{
    if (call->input != NULL)
        return call->input;
    if (call->parent != NULL)
        call->input = input_of(call->parent);
    else
        call->input = policy_input_new(call->arena, call->req, (andiron_json){ NULL, 0 });
    return call->input;
}

andiron_json andiron_policy_input(struct andiron_policy_call *call, const char *path)
{
    return policy_input_get(input_of(call), path);
}

struct andiron_request *andiron_policy_request(struct andiron_policy_call *call)
{
    return call->req;
}

andiron_str andiron_policy_reason(struct andiron_policy_call *call)
{
    return call->reason;
}

/* The reason also shows at the call that asked. */
static void set_reason(struct andiron_policy_call *call, const char *fmt, va_list args)
{
    char text[REASON_MAX];
    if (vsnprintf(text, sizeof(text), fmt, args) < 0)
        text[0] = '\0';
    andiron_str reason = andiron_str_of(andiron_copy(call->arena, andiron_str_of(text)));
    for (; call != NULL; call = call->parent)
        call->reason = reason;
}

enum andiron_verdict andiron_policy_no_match(struct andiron_policy_call *call, const char *fmt, ...)
{
    va_list args;
    if (!call->wants_reasons)
        return ANDIRON_NO_MATCH;
    va_start(args, fmt);
    set_reason(call, fmt, args);
    va_end(args);
    return ANDIRON_NO_MATCH;
}

enum andiron_verdict andiron_policy_fault(struct andiron_policy_call *call, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    set_reason(call, fmt, args);
    va_end(args);
    return ANDIRON_FAULT;
}

static void finished_on_loop(void *arg)
{
    struct andiron_policy_call *call = arg;
    call->then(call->state, call->verdict);
}

static void finished_explaining(struct andiron_policy_call *call, enum andiron_verdict verdict)
{
    if (call->then != NULL) {
        call->then(call->state, verdict);
        return;
    }
    struct explaining *e = call->explaining;
    (void)atomic_fetch_add(&e->answers, 1);
    (void)pthread_mutex_lock(&e->lock);
    e->verdict = verdict;
    e->finished = true;
    (void)pthread_cond_signal(&e->done);
    (void)pthread_mutex_unlock(&e->lock);
}

void andiron_policy_finish(struct andiron_policy_call *call, enum andiron_verdict verdict)
{
    bool is_first = !atomic_exchange(&call->is_answered, true);
    if (call->explaining == NULL && !is_first)
        return; /* while the call is there, which it need not be: see ANDIRON_PENDING */
    if (call->explaining != NULL) {
        finished_explaining(call, verdict);
        return;
    }
    call->verdict = verdict;
    andiron_loop_post(andiron_request_loop(call->req), finished_on_loop, call);
}

enum andiron_verdict andiron_policy_ask(struct andiron_policy_call *call,
                                        const struct andiron_service_ref *engine,
                                        const void *compiled, andiron_verdict_fn then, void *state)
{
    const struct andiron_policy_engine *table = engine->table;
    struct andiron_policy_call *asked = call->spare;
    if (asked == NULL) /* a thousand policies must not take a thousand calls */
        asked = andiron_new(call->arena, struct andiron_policy_call);
    call->spare = NULL;
    *asked = (struct andiron_policy_call){ .req = call->req,
                                           .arena = call->arena,
                                           .input = call->input,
                                           .parent = call,
                                           .explaining = call->explaining,
                                           .wants_reasons = call->wants_reasons,
                                           .then = then,
                                           .state = state };
    call->reason = (andiron_str){ NULL, 0 };
    enum andiron_verdict verdict = table->evaluate(engine->self, compiled, asked);
    if (verdict != ANDIRON_PENDING) {
        atomic_store(&asked->is_answered, true);
        call->spare = asked;
    }
    return verdict;
}

/* ---- without a server --------------------------------------------------------------- */

static enum andiron_verdict wait_finished(struct explaining *e, int64_t limit_ms)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += (time_t)(limit_ms / 1000);
    until.tv_nsec += (long)(limit_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    enum andiron_verdict verdict = ANDIRON_FAULT;
    (void)pthread_mutex_lock(&e->lock);
    while (!e->finished && pthread_cond_timedwait(&e->done, &e->lock, &until) == 0)
        continue;
    if (e->finished)
        verdict = e->verdict;
    (void)pthread_mutex_unlock(&e->lock);
    return verdict;
}

enum andiron_verdict policy_explain(struct andiron_arena *arena, andiron_json request,
                                    const struct andiron_service_ref *engine, const void *compiled,
                                    int64_t limit_ms, andiron_str *ret_reason,
                                    const atomic_uint **ret_answers)
{
    static const struct andiron_principal nobody = { .size = sizeof(nobody) };
    struct andiron_request *req = andiron_new(arena, struct andiron_request);
    /* In the arena, since an engine that is too late still finishes the call. */
    struct explaining *e = andiron_new(arena, struct explaining);
    struct andiron_policy_call *call = andiron_new(arena, struct andiron_policy_call);
    const struct andiron_policy_engine *table = engine->table;

    req->arena = arena;
    req->principal = &nobody;
    (void)pthread_mutex_init(&e->lock, NULL); /* cannot fail for default attributes */
    (void)pthread_cond_init(&e->done, NULL);
    *call = (struct andiron_policy_call){ .req = req,
                                          .arena = arena,
                                          .explaining = e,
                                          .wants_reasons = true,
                                          .input = policy_input_new(arena, NULL, request) };
    enum andiron_verdict verdict = table->evaluate(engine->self, compiled, call);
    if (verdict != ANDIRON_PENDING)
        (void)atomic_fetch_add(&e->answers, 1);
    if (ret_answers != NULL)
        *ret_answers = &e->answers;
    if (verdict == ANDIRON_PENDING) {
        verdict = wait_finished(e, limit_ms);
        if (!e->finished)
            call->reason = ANDIRON_STR("the engine did not answer in time");
    }
    *ret_reason = call->reason;
    return verdict;
}
