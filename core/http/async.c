/*
 * Waiting without blocking: andiron/async.h. Nothing here calls a step; the phase engine does.
 */
#include <andiron/async.h>
#include <andiron/log.h>

#include <event2/event.h>

#include "base/arena.h"
#include "base/log.h"
#include "http/per_loop.h"
#include "http/phases.h"
#include "http/request.h"
#include "http/target.h"

enum andiron_step andiron_wait(struct andiron_request *req, andiron_step_fn then, void *state)
{
    req->then = then;
    req->then_state = state;
    req->ready = false;
    req->waiting = true;
    atomic_store_explicit(&req->resumable, true, memory_order_release);
    return ANDIRON_AGAIN;
}

void andiron_resume(struct andiron_request *req)
{
    if (!atomic_exchange_explicit(&req->resumable, false, memory_order_acq_rel)) {
        log_event(ANDIRON_LOG_ERROR, "plugin.fault", NULL,
                  "a request was resumed that did not wait; its wait was finished twice");
        return;
    }
    req->post = (struct loop_post){ .fn = phases_resume, .arg = req };
    loop_post_own(req->home->loop, &req->post);
}

enum andiron_step andiron_ready(struct andiron_request *req, andiron_step_fn then, void *state)
{
    req->then = then;
    req->then_state = state;
    req->ready = true;
    return ANDIRON_AGAIN;
}

static void run_work(void *arg)
{
    struct andiron_request *req = arg;

    req->work(req->work_state);
    andiron_resume(req);
}

enum andiron_step andiron_offload(struct andiron_request *req, void (*work)(void *state),
                                  andiron_step_fn then, void *state)
{
    (void)andiron_wait(req, then, state);
    req->work = work;
    req->work_state = state;
    req->job = (struct pool_job){ .work = run_work, .arg = req };
    pool_post_own(&req->job);
    return ANDIRON_AGAIN;
}

/* ---- inner requests --------------------------------------------------------------- */

static void set_target(struct andiron_request *sub, andiron_str target)
{
    const char *mark = target.len != 0 ? memchr(target.data, '?', target.len) : NULL;
    const char *reason;
    andiron_str raw = target;

    if (mark != NULL) {
        raw.len = (size_t)(mark - target.data);
        sub->query = (andiron_str){ mark + 1, target.len - raw.len - 1 };
    }
    if (target_path(sub->arena, raw, &sub->path, &reason) != 0) {
        sub->path = ANDIRON_STR("");
        (void)andiron_fail(sub, ANDIRON_E_INVALID, "%s", reason);
        sub->stage = STAGE_RESPOND;
    }
}

enum andiron_step andiron_request_run(struct andiron_request *req,
                                      const struct andiron_inner *inner,
                                      struct andiron_request **ret_sub, andiron_step_fn then,
                                      void *state)
{
    struct andiron_inner given = { .size = sizeof(given) };

    /* A caller built against an older header has a shorter struct. */
    memcpy(&given, inner, inner->size < sizeof(given) ? inner->size : sizeof(given));
    struct andiron_arena *arena = given.arena != NULL ? given.arena : req->arena;
    struct andiron_request *sub = andiron_new(arena, struct andiron_request);
    struct andiron_inner *presented = andiron_new(arena, struct andiron_inner);
    *presented = given;
    sub->arena = arena;
    sub->home = req->home;
    sub->parent = req;
    sub->stage = STAGE_RECEIVE;
    sub->presented = presented;
    sub->check_only = presented->check_only;
    sub->public_too = presented->public_too;
    sub->principal = given.principal != NULL ? given.principal : req->principal;
    sub->routed_only = given.routed_only;
    sub->id = req->id;
    sub->trace_id = req->trace_id;
    sub->base = req->base;
    sub->remote = req->remote;
    sub->side = ROUTE_SIDE_PUBLIC; /* a control command, too, asks for what everybody can ask for */
    sub->sampled = false;
    sub->deadline_ms = INT64_MAX;
    sub->reply.fd = -1;
    sub->body.view = presented->body;
    sub->body.complete = true;
    sub->is_head = andiron_str_eq(presented->method, ANDIRON_STR("HEAD"));
    sub->method = sub->is_head ? ANDIRON_STR("GET") : presented->method;
    set_target(sub, presented->target);
    if (sub->stage == STAGE_RECEIVE) {
        route_find(req->home->app->routes, sub->side, sub->method, sub->path, &sub->match);
        if (sub->match.route != NULL)
            sub->operation = sub->match.route->route->operation;
    }
    *ret_sub = sub;
    req->inner = sub;
    req->then = then;
    req->then_state = state;
    req->ready = true;
    return ANDIRON_AGAIN;
}

bool andiron_request_is_check(const struct andiron_request *req)
{
    return req->check_only;
}

/* ---- jobs ---------------------------------------------------------------------------- */

static void on_job_deadline(evutil_socket_t fd, short what, void *arg)
{
    struct andiron_request *req = arg;

    (void)fd;
    (void)what;
    andiron_request_log(req, ANDIRON_LOG_WARN, "job.timeout",
                        "job %s passed its deadline; its wait was begun by %s", req->name,
                        req->then_owner != NULL ? req->then_owner->name : "core");
    phases_abandon(req, 504);
}

static void start_job(void *arg)
{
    struct andiron_request *req = arg;

    /* Made on another thread: only here may it enter the loop's list. */
    req->next = req->home->requests;
    if (req->next != NULL)
        req->next->prev = req;
    req->home->requests = req;
    if (req->home->closed)
        return; /* plugins have stopped: left behind with the others */
    if (req->deadline_ms != INT64_MAX) {
        int64_t left = req->deadline_ms - timeouts_now();
        struct timeval after = { .tv_sec = left > 0 ? left / 1000 : 0,
                                 .tv_usec = left > 0 ? left % 1000 * 1000 : 1 };

        req->job_timer = evtimer_new(req->home->base, on_job_deadline, req);
        if (req->job_timer == NULL || evtimer_add(req->job_timer, &after) != 0)
            andiron_request_log(req, ANDIRON_LOG_WARN, "job.timeout", "job %s has no deadline",
                                req->name);
    }
    phases_run(req);
}

static struct andiron_request *new_job(struct http_loop *home, const char *name,
                                       andiron_step_fn first, void *state)
{
    static const struct http_owner nobody = { .name = "job" };
    struct andiron_arena *arena = arena_new();
    struct andiron_request *req = andiron_new(arena, struct andiron_request);

    req->arena = arena;
    req->home = home;
    req->stage = STAGE_JOB;
    req->name = andiron_copy(arena, andiron_str_of(name));
    req->principal = &request_system;
    req->base = andiron_str_of(req->home->settings->base_url != NULL ? req->home->settings->base_url
                                                                     : "http://localhost");
    req->id = andiron_str_of(req->name);
    req->remote = ANDIRON_STR("");
    req->deadline_ms = INT64_MAX;
    req->reply.fd = -1;
    req->then = first;
    req->then_state = state;
    req->then_owner = &nobody;
    req->post = (struct loop_post){ .fn = start_job, .arg = req };
    return req;
}

void andiron_job_start(struct andiron_loop *loop, const char *name, int64_t deadline_ms,
                       andiron_step_fn first, void *state)
{
    struct andiron_request *req = new_job(loop_http(loop), name, first, state);

    if (deadline_ms > 0)
        req->deadline_ms = timeouts_now() + deadline_ms;
    loop_post_own(loop, &req->post);
}

void andiron_request_beside(struct andiron_request *req, const char *name, andiron_step_fn first,
                            void *state)
{
    struct andiron_request *host = request_root(req);
    struct andiron_request *job = new_job(req->home, name, first, state);

    job->host = host;
    host->guests++;
    job->principal = req->principal;
    job->base = req->base;
    job->remote = req->remote;
    job->id = req->id;
    job->trace_id = req->trace_id;
    loop_post_own(req->home->loop, &job->post);
}
