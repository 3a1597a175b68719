/*
 * The phase engine. One loop takes a request from stage to stage; whatever waits
 * returns to the event loop and comes back through phases_resume().
 *
 * An inner request runs in the same loop as the one it belongs to: starting and
 * ending one is a change of the pointer, not a call, so that their number and
 * depth cost no stack.
 */
#include "http/phases.h"

#include <andiron/log.h>
#include <andiron/metrics.h>

#include "base/arena.h"
#include "base/current.h"
#include "base/log.h"
#include "base/units.h"
#include "http/body.h"
#include "http/compress.h"
#include "http/conn.h"
#include "http/per_loop.h"
#include "http/record.h"
#include "http/reply.h"
#include "http/send.h"

/* Stages and steps until other requests have their turn; a plain request takes about fifteen. */
enum { MOST_TURNS = 512 };

/* What turn() returns for a request that has been freed. */
static struct andiron_request gone;

struct call {
    andiron_step_fn run;
    void *state;
    const struct http_owner *owner;
};

bool phases_busy(const struct andiron_request *req)
{
    for (; req != NULL; req = req->inner) {
        if (req->waiting)
            return true;
    }
    return false;
}

/* ---- calling a step --------------------------------------------------------------- */

/* Who runs, for the crash handler and the watch of slow steps. */
static inline void enter_step(struct andiron_request *req, const struct http_owner *owner)
{
    struct http_running *running = &req->home->running;

    req->then_owner = owner;
    current.plugin = owner->name;
    atomic_store_explicit(&running->owner, owner, memory_order_relaxed);
    atomic_store_explicit(&running->steps,
                          atomic_load_explicit(&running->steps, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

static inline void leave_step(struct andiron_request *req)
{
    atomic_store_explicit(&req->home->running.owner, NULL, memory_order_relaxed);
    current.plugin = NULL;
    current.request_id = NULL;
}

static enum andiron_step run_timed(struct andiron_request *req, const struct http_owner *owner,
                                   andiron_step_fn run, void *state)
{
    int64_t began = units_monotonic();
    enum andiron_step step = run(req, state);
    if (owner->step_time != NULL)
        andiron_observe(owner->step_time, units_monotonic() - began);
    return step;
}

static enum andiron_step call_step(struct andiron_request *req, const struct call *call)
{
    struct andiron_request *root = request_root(req);
    enum andiron_step step;

    current.request_id = root->id.data;
    enter_step(req, call->owner);
    if (root->sampled)
        step = run_timed(req, call->owner, call->run, call->state);
    else
        step = call->run(req, call->state);
    leave_step(req);
    return step;
}

static void internal_error(struct andiron_request *req, const char *what)
{
    (void)andiron_fail(req, ANDIRON_E_INTERNAL, "%s", what); /* its outcome is logged */
}

/* ---- stages of core ------------------------------------------------------------------- */

static unsigned flags_of(const struct andiron_request *req)
{
    return req->match.route != NULL ? req->match.route->route->flags : 0;
}

/* Admin and control routes need no grant where their listener is the authority. */
static bool is_open(const struct andiron_request *req)
{
    unsigned flags = flags_of(req);

    return (flags & ANDIRON_ROUTE_PUBLIC) != 0 ||
           (req->side == ROUTE_SIDE_ADMIN && (flags & ANDIRON_ROUTE_ADMIN) != 0) ||
           req->side == ROUTE_SIDE_CONTROL;
}

static void go_to(struct andiron_request *req, enum request_stage stage)
{
    req->stage = (uint8_t)stage;
    req->hook = 0;
}

/* The response is known: what is left are RESPOND hooks and the socket. */
static void decide(struct andiron_request *req)
{
    reply_settle(req);
    go_to(req, STAGE_RESPOND);
}

/* Parameters that nobody can read must not look like none to policies. */
static void begin_inner(struct andiron_request *req)
{
    struct andiron_error err;

    if (request_params_read(req, &err) == 0) {
        go_to(req, req->routed_only ? STAGE_OVER : STAGE_AUTHORIZE);
        return;
    }
    (void)andiron_fail_with(req, &err);
    decide(req);
}

static void stage_routed(struct andiron_request *req)
{
    if (req->match.route == NULL) {
        if (req->match.allow != NULL && andiron_str_eq(req->method, ANDIRON_STR("OPTIONS"))) {
            andiron_reply_header(
                req, "Allow",
                andiron_str_of(andiron_printf(req->arena, "%s, OPTIONS", req->match.allow)));
            (void)andiron_reply(req, 204, NULL, (andiron_str){ NULL, 0 });
        } else if (req->match.allow != NULL) {
            andiron_reply_header(req, "Allow", andiron_str_of(req->match.allow));
            (void)andiron_fail(req, ANDIRON_E_METHOD, "this path answers to %s", req->match.allow);
        } else {
            (void)andiron_fail(req, ANDIRON_E_NOT_FOUND, "nothing is served under this path");
        }
        decide(req);
        return;
    }
    if (req->parent != NULL)
        begin_inner(req);
    else if (is_open(req) || (flags_of(req) & ANDIRON_ROUTE_OAUTH) != 0)
        go_to(req, STAGE_BODY);
    else
        go_to(req, STAGE_AUTHENTICATE);
}

/* The answer must begin within request-timeout from the whole request on. */
static void start_deadline(struct andiron_request *req)
{
    int64_t length = req->home->settings->request_timeout;

    if (req->conn == NULL || length <= 0 ||
        (flags_of(req) & (ANDIRON_ROUTE_STREAM | ANDIRON_ROUTE_UPLOAD)) != 0)
        return;
    req->deadline_ms = timeouts_now() + length;
}

/* It waits for somebody: only now must a timer watch the deadline. */
static void watch_deadline(struct andiron_request *req)
{
    struct andiron_request *root = request_root(req);

    if (root->deadline_ms != INT64_MAX && root->conn != NULL && !root->reply.begun &&
        root->timeout.next == NULL)
        timeout_start(&root->home->timeouts, &root->timeout, TIMEOUT_REQUEST);
}

/* false: it waits. */
static bool stage_body(struct andiron_request *req)
{
    switch (body_begin(req)) {
    case BODY_WAITS:
        timeout_stop(&req->timeout);
        req->deadline_ms = INT64_MAX;
        return false;
    case BODY_FAILED:
        decide(req);
        return true;
    case BODY_DONE:
        break;
    }
    go_to(req, STAGE_PARSE);
    return true;
}

static void unpack_on_pool(void *arg)
{
    body_unpack(arg);
    andiron_resume(arg);
}

static void parse_on_pool(void *arg)
{
    body_parse_json(arg);
    andiron_resume(arg);
}

/* No continuation: the stage is entered again and finds the work done. */
static void give_to_pool(struct andiron_request *req, void (*work)(void *req))
{
    (void)andiron_wait(req, NULL, NULL);
    req->job = (struct pool_job){ .work = work, .arg = req };
    pool_post_own(&req->job);
}

static bool stage_parse(struct andiron_request *req)
{
    struct andiron_error err;

    if (body_is_packed(req)) {
        give_to_pool(req, unpack_on_pool);
        return false;
    }
    if (body_refuses(req)) {
        decide(req);
        return true;
    }
    if (request_params_read(req, &err) != 0) {
        (void)andiron_fail_with(req, &err);
        decide(req);
        return true;
    }
    if (req->json_state == JSON_UNREAD && body_is_large_json(req)) {
        give_to_pool(req, parse_on_pool);
        return false;
    }
    go_to(req, is_open(req) ? STAGE_HANDLE : STAGE_AUTHORIZE);
    return true;
}

static void stage_granted(struct andiron_request *req)
{
    enum andiron_principal_kind kind = req->principal->kind;

    if (req->granted != NULL || kind == ANDIRON_SYSTEM || (is_open(req) && !req->public_too)) {
        if (req->parent == NULL || req->check_only || (flags_of(req) & ANDIRON_ROUTE_STREAM) == 0) {
            go_to(req, req->check_only ? STAGE_OVER : STAGE_HANDLE);
            return;
        }
        /* Nobody takes its pieces as they come: all of them would be kept in memory. */
        (void)andiron_fail(req, ANDIRON_E_NOT_IMPLEMENTED,
                           "this is sent piece by piece, and cannot be part of another request");
        decide(req);
        return;
    }
    if (kind == ANDIRON_ANONYMOUS)
        (void)andiron_fail(req, ANDIRON_E_UNAUTHENTICATED, "credentials are needed here");
    else
        (void)andiron_fail(req, ANDIRON_E_FORBIDDEN, "no policy allows this");
    decide(req);
}

/* ---- streams -------------------------------------------------------------------------- */

static void run_respond_hooks(struct andiron_request *req);

/* Hands what a stream has gathered to the socket; false: its writer must wait for room. */
static bool flush_stream(struct andiron_request *req, bool all)
{
    if (!req->reply.responded)
        run_respond_hooks(req);
    if (req->conn == NULL)
        return true; /* an inner stream is only gathered; a client that left gets nothing */
    switch (send_stream(req, all)) {
    case SEND_BLOCKED:
        return false;
    case SEND_LOST:
        conn_lost(req->conn);
        return true;
    case SEND_DONE:
        break;
    }
    return true;
}

/* ---- choosing what comes next ------------------------------------------------------------ */

static enum andiron_phase phase_of(enum request_stage stage)
{
    switch (stage) {
    case STAGE_RECEIVE:
        return ANDIRON_PHASE_RECEIVE;
    case STAGE_AUTHENTICATE:
        return ANDIRON_PHASE_AUTHENTICATE;
    case STAGE_AUTHORIZE:
        return ANDIRON_PHASE_AUTHORIZE;
    case STAGE_RESPOND:
        return ANDIRON_PHASE_RESPOND;
    default:
        return ANDIRON_PHASE_LOG;
    }
}

static bool has_hook(const struct andiron_request *req)
{
    return req->hook < req->home->app->hook_count[phase_of((enum request_stage)req->stage)];
}

/*
 * Calls the hooks of the stage's phase from the next one on, as long as they have nothing to say;
 * what the last one said. Filters come by the dozen, so nothing is done for each that is the same
 * for all.
 */
static enum andiron_step call_hooks(struct andiron_request *req)
{
    const enum andiron_phase phase = phase_of((enum request_stage)req->stage);
    const struct http_hook *hooks = req->home->app->hooks[phase];
    const size_t count = req->home->app->hook_count[phase];
    const struct andiron_request *root = request_root(req);
    const uint8_t stage = req->stage;
    enum andiron_step step;

    current.request_id = root->id.data;
    do {
        const struct http_hook *hook = &hooks[req->hook++];
        enter_step(req, hook->owner);
        if (root->sampled)
            step = run_timed(req, hook->owner, hook->run, hook->self);
        else
            step = hook->run(req, hook->self);
    } while (step == ANDIRON_NEXT && req->hook < count && !req->waiting && req->then == NULL &&
             !root->dead && req->stage == stage &&
             (stage != STAGE_RESPOND || !req->reply.responded));
    leave_step(req);
    return step;
}

enum next { NEXT_CALL, NEXT_HOOKS, NEXT_STAGE, NEXT_WAIT, NEXT_OVER };

static enum next send_reply(struct andiron_request *req)
{
    if (req->conn == NULL) {
        go_to(req, STAGE_LOG);
        return NEXT_STAGE;
    }
    switch (send_response(req)) {
    case SEND_BLOCKED:
        return NEXT_WAIT;
    case SEND_LOST:
        conn_lost(req->conn);
        break;
    case SEND_DONE:
        break;
    }
    go_to(req, STAGE_LOG);
    return NEXT_STAGE;
}

static enum next choose(struct andiron_request *req, struct call *call)
{
    if (req->then != NULL) {
        *call =
            (struct call){ .run = req->then, .state = req->then_state, .owner = req->then_owner };
        req->then = NULL;
        return NEXT_CALL;
    }
    switch ((enum request_stage)req->stage) {
    case STAGE_RECEIVE:
    case STAGE_AUTHENTICATE:
    case STAGE_AUTHORIZE:
        if (has_hook(req))
            return NEXT_HOOKS;
        go_to(req, (enum request_stage)(req->stage + 1));
        return NEXT_STAGE;
    case STAGE_ROUTED:
        stage_routed(req);
        return NEXT_STAGE;
    case STAGE_BODY:
        return stage_body(req) ? NEXT_STAGE : NEXT_WAIT;
    case STAGE_PARSE:
        return stage_parse(req) ? NEXT_STAGE : NEXT_WAIT;
    case STAGE_GRANTED:
        stage_granted(req);
        return NEXT_STAGE;
    case STAGE_HANDLE:
        *call = (struct call){ .run = req->match.route->route->handle,
                               .state = req->match.route->self,
                               .owner = req->match.route->owner };
        return NEXT_CALL;
    case STAGE_RESPOND:
        if (req->parent != NULL)
            return NEXT_OVER;
        if (!req->reply.responded && has_hook(req))
            return NEXT_HOOKS;
        go_to(req, STAGE_ENCODE);
        return NEXT_STAGE;
    case STAGE_ENCODE:
        if (!compress_reply(req))
            return NEXT_WAIT;
        go_to(req, STAGE_SEND);
        return NEXT_STAGE;
    case STAGE_SEND:
        return send_reply(req);
    case STAGE_LOG:
        return has_hook(req) ? NEXT_HOOKS : NEXT_OVER;
    case STAGE_JOB:
    case STAGE_OVER:
        break;
    }
    return NEXT_OVER;
}

/* ---- what a step's answer means -------------------------------------------------------------- */

static void done(struct andiron_request *req)
{
    switch ((enum request_stage)req->stage) {
    case STAGE_JOB:
        go_to(req, STAGE_OVER);
        return;
    case STAGE_RESPOND: /* it may have replaced the response: the other hooks still run */
        reply_settle(req);
        return;
    case STAGE_LOG:
        return;
    default:
        if (req->reply.kind == REPLY_NONE)
            internal_error(req, "a step ended the request without an answer");
        decide(req);
    }
}

static void next(struct andiron_request *req)
{
    if (req->stage == STAGE_JOB)
        go_to(req, STAGE_OVER);
    else if (req->stage == STAGE_HANDLE)
        done(req);
}

/* A request that may not wait in this stage, or did not say for what. */
static void faulty_wait(struct andiron_request *req, const char *what)
{
    req->then = NULL;
    req->ready = false;
    internal_error(req, what);
    done(req);
}

/* true: it need not wait. */
static bool again(struct andiron_request *req)
{
    struct reply *reply = &req->reply;

    if (req->then == NULL) {
        faulty_wait(req, "a step returned ANDIRON_AGAIN without naming a continuation");
        return !req->waiting;
    }
    if (req->stage == STAGE_LOG) {
        req->then = NULL;
        andiron_request_log(req, ANDIRON_LOG_ERROR, "plugin.fault", "%s: a LOG hook must not wait",
                            req->then_owner->name);
        return !req->waiting;
    }
    if (reply->kind == REPLY_STREAM && reply->out.len != 0) {
        if (!req->ready) {
            (void)flush_stream(req, true); /* the peer sees what there is while we wait */
        } else if (reply->out.len >= phases_stream_limit(req->home->settings) &&
                   !flush_stream(req, false)) {
            req->blocked = true;
            return false;
        }
    }
    if (!req->ready) {
        watch_deadline(req);
        return false;
    }
    req->ready = false;
    return true;
}

/* RESPOND hooks of a stream run before its first byte goes out; they must not wait. */
static void run_respond_hooks(struct andiron_request *req)
{
    andiron_step_fn then = req->then;
    void *then_state = req->then_state;
    const struct http_owner *owner = req->then_owner;
    bool ready = req->ready;
    uint8_t stage = req->stage;

    req->reply.responded = true;
    if (req->parent != NULL)
        return;
    go_to(req, STAGE_RESPOND);
    while (has_hook(req)) {
        if (call_hooks(req) == ANDIRON_AGAIN)
            andiron_request_log(req, ANDIRON_LOG_ERROR, "plugin.fault",
                                "%s: a RESPOND hook cannot wait while a response is streamed",
                                req->then_owner->name);
    }
    req->stage = stage;
    req->then = then;
    req->then_state = then_state;
    req->then_owner = owner;
    req->ready = ready;
}

/* ---- the loop ------------------------------------------------------------------------------ */

/* What a request may take is looked at between two steps. */
static void check_memory(struct andiron_request *req)
{
    int64_t limit = req->home->settings->request_memory;

    if (limit <= 0 || req->stage >= STAGE_RESPOND || req->stage == STAGE_JOB ||
        arena_bytes(req->arena) <= (uint64_t)limit)
        return;
    stats_add(&req->home->stats.rejected[HTTP_REJECTED_MEMORY], 1);
    req->then = NULL;
    andiron_request_log(req, ANDIRON_LOG_WARN, "http.request-memory",
                        "the request needs more than http.request-memory");
    (void)andiron_fail(req, ANDIRON_E_UNAVAILABLE, "the request needs too much memory");
    decide(req);
}

/* Others want their turn on this loop, too: goes on from its next round. */
static void yield(struct andiron_request *req)
{
    req->waiting = true;
    req->post = (struct loop_post){ .fn = phases_resume, .arg = req };
    loop_post_own(req->home->loop, &req->post);
}

/* A job beside host has ended. Where host was over before, it ends now, from the loop. */
static void take_leave(struct andiron_request *host)
{
    if (--host->guests == 0 && host->stage == STAGE_OVER && !host->waiting)
        yield(host);
}

/* Ends a request; returns the one to go on with, or NULL, or &gone. */
static struct andiron_request *over(struct andiron_request *req)
{
    struct andiron_request *parent = req->parent;

    if (parent != NULL) {
        reply_settle(req);
        if (req->stage == STAGE_OVER && req->reply.kind == REPLY_NONE)
            req->reply.status = 200; /* check_only, and it may; or routed_only */
        req->stage = STAGE_OVER;
        parent->inner = NULL;
        return parent;
    }
    req->stage = STAGE_OVER;
    if (req->guests > 0)
        return NULL; /* the last of them goes on with it */
    struct andiron_request *host = req->host;
    record_request(req);
    if (req->conn != NULL)
        conn_request_over(req->conn, req);
    request_free(req);
    if (host != NULL)
        take_leave(host);
    return &gone;
}

/* A dead request unwinds: inner ones end, then LOG hooks see the outermost. */
static struct andiron_request *unwind(struct andiron_request *req)
{
    req->then = NULL;
    req->ready = false;
    if (req->parent != NULL)
        return over(req);
    go_to(req, req->stage == STAGE_JOB ? STAGE_OVER : STAGE_LOG);
    return req;
}

/* Goes on by what a step said. */
static struct andiron_request *answered(struct andiron_request *req, enum andiron_step answer)
{
    if (req->waiting && answer != ANDIRON_AGAIN) {
        /* The wait must end before anything else can be done with the request. */
        req->then = NULL;
        internal_error(req, "a step began a wait and did not return ANDIRON_AGAIN");
        if (req->stage < STAGE_RESPOND && req->stage != STAGE_JOB)
            decide(req);
        return NULL;
    }
    switch (answer) {
    case ANDIRON_DONE:
        done(req);
        break;
    case ANDIRON_AGAIN:
        if (req->inner != NULL) {
            watch_deadline(req);
            req->ready = false;
            return req->inner;
        }
        if (!again(req))
            return NULL;
        break;
    case ANDIRON_NEXT:
    default:
        next(req);
        break;
    }
    check_memory(req);
    return req;
}

/* Does one thing; returns the request to go on with, NULL: an event will follow, or &gone. */
static struct andiron_request *turn(struct andiron_request *req)
{
    struct call call;

    if (request_root(req)->dead && req->stage < STAGE_LOG)
        return unwind(req);
    switch (choose(req, &call)) {
    case NEXT_STAGE:
        return req;
    case NEXT_WAIT:
        return NULL;
    case NEXT_OVER:
        return over(req);
    case NEXT_HOOKS:
        return answered(req, call_hooks(req));
    case NEXT_CALL:
        break;
    }
    return answered(req, call_step(req, &call));
}

void phases_run(struct andiron_request *req)
{
    struct andiron_request *root = request_root(req);

    root->running = true;
    for (unsigned turns = 0; req != NULL; turns++) {
        if (turns == MOST_TURNS) {
            yield(req);
            break;
        }
        req = turn(req);
        if (req == &gone)
            return;
    }
    root->running = false;
}

void phases_begin(struct andiron_request *req)
{
    start_deadline(req);
    phases_run(req);
}

void phases_body(struct andiron_request *req, enum body_state state)
{
    if (state == BODY_FAILED) {
        req->then = NULL;
        decide(req);
    } else if (req->stage == STAGE_BODY) {
        start_deadline(req);
        go_to(req, STAGE_PARSE);
    }
    phases_run(req);
}

void phases_resume(void *arg)
{
    struct andiron_request *req = arg;
    struct conn *conn = request_root(req)->conn;

    if (req->home->closed)
        return;
    req->waiting = false;
    phases_run(req);
    if (conn != NULL) {
        conn_turn(conn);
        conn_leave(conn);
    }
}

void phases_abandon(struct andiron_request *req, int status)
{
    timeout_stop(&req->timeout);
    if (req->stage == STAGE_OVER)
        return; /* answered, and only kept for what runs beside it */
    req->dead = true;
    req->reply.status = status;
    if (!phases_busy(req) && !req->running && !req->home->closed)
        phases_run(req);
}

const char *phases_waits_for(const struct andiron_request *req)
{
    while (req->inner != NULL)
        req = req->inner;
    return req->then_owner != NULL ? req->then_owner->name : "core";
}

size_t phases_stream_limit(const struct http_settings *settings)
{
    int64_t limit = settings->output_buffer / 16;

    return limit < 4096 ? 4096 : limit > 64 * 1024 ? 64 * 1024 : (size_t)limit;
}
