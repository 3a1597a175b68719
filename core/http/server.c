/*
 * The HTTP side of a worker: per-loop state, what loops share, drain, internal runs.
 * Listeners and the dealing of connections are in accept.c.
 */
#include "http/server.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/units.h"
#include "http/accept.h"
#include "http/coding.h"
#include "http/conn.h"
#include "http/per_loop.h"
#include "http/phases.h"
#include "http/shared.h"
#include "http/shown.h"
#include "http/tls.h"
#include "http/watch.h"

const char *const http_rejected_names[HTTP_REJECTED_REASONS] = {
    [HTTP_REJECTED_CONNECTIONS] = "connections", [HTTP_REJECTED_ADDRESS] = "address",
    [HTTP_REJECTED_SYNTAX] = "syntax",           [HTTP_REJECTED_TIMEOUT] = "timeout",
    [HTTP_REJECTED_DEADLINE] = "deadline",       [HTTP_REJECTED_SIZE] = "size",
    [HTTP_REJECTED_MEMORY] = "memory",
};

/* ---- per loop ------------------------------------------------------------------- */

char *input_take(struct http_loop *home)
{
    void *input = home->inputs;

    if (input != NULL) {
        memcpy(&home->inputs, input, sizeof(home->inputs));
        home->input_count--;
        return input;
    }
    input = malloc(INPUT_BYTES);
    if (input == NULL)
        abort(); /* out of memory: as in base/arena.c */
    return input;
}

void input_give(struct http_loop *home, char *input, size_t room, size_t used)
{
    /* Credentials come in heads and in small bodies; a large upload is not worth the time. */
    explicit_bzero(input, used < INPUT_SECRET ? used : INPUT_SECRET);
    if (room != INPUT_BYTES || home->input_count >= INPUT_CACHED) {
        free(input);
        return;
    }
    memcpy(input, &home->inputs, sizeof(home->inputs));
    home->inputs = input;
    home->input_count++;
}

/* splitmix64: a bijection, so ids of one loop never repeat, and seeds keep loops apart. */
void per_loop_request_id(struct http_loop *home, char out[REQUEST_ID_BYTES + 1])
{
    static const char hex[] = "0123456789abcdef";
    uint64_t z = home->id_seed + ++home->id_count * 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    for (int i = REQUEST_ID_BYTES - 1; i >= 0; i--, z >>= 4)
        out[i] = hex[z & 15];
    out[REQUEST_ID_BYTES] = '\0';
}

static void per_loop_init(struct http_loop *home, struct http_server *server,
                          struct andiron_loop *loop)
{
    const struct http_settings *settings = server->app->settings;
    const int64_t lengths[TIMEOUT_CLASSES] = {
        [TIMEOUT_HEADER] = settings->header_timeout, [TIMEOUT_BODY] = settings->body_timeout,
        [TIMEOUT_IDLE] = settings->idle_timeout,     [TIMEOUT_WRITE] = settings->write_timeout,
        [TIMEOUT_LINGER] = HTTP_LINGER_MS,           [TIMEOUT_REQUEST] = settings->request_timeout
    };

    home->server = server;
    home->app = server->app;
    home->settings = settings;
    home->loop = loop;
    home->base = andiron_loop_base(loop);
    home->id_seed = (uint64_t)units_monotonic() * 0x2545f4914f6cdd1du ^ (uint64_t)andiron_now() ^
                    (uint64_t)(uintptr_t)home << 32;
    buffer_init(&home->head, HTTP_HEAD_MAX);
    home->shown = shown_cache_new();
    timeouts_init(&home->timeouts, home->base, lengths, conn_timeout_ended);
    loop_set_http(loop, home);
}

/*
 * Requests that were cut off by the end of a drain. Plugins have stopped: neither steps nor
 * release hooks of theirs may run. The process ends soon, and takes the memory with it.
 */
static struct andiron_request *_Atomic left_behind;

static void leave_requests(struct http_loop *home)
{
    struct andiron_request *last = home->requests;

    if (last == NULL)
        return;
    while (last->next != NULL)
        last = last->next;
    last->next = atomic_exchange(&left_behind, home->requests);
    home->requests = NULL;
}

static void per_loop_free(struct http_loop *home)
{
    home->closed = true;
    loop_flush(home->loop);
    conn_close_all(home);
    leave_requests(home);
    timeouts_close(&home->timeouts);
    buffer_free(&home->head);
    free(home->fields);
    coding_deflater_free(home->deflater);
    shown_cache_free(home->shown);
    while (home->inputs != NULL)
        free(input_take(home));
    loop_set_http(home->loop, NULL);
}

/* ---- what loops share ---------------------------------------------------------------- */

const struct http_limits *server_limits(const struct http_server *server)
{
    return &server->limits;
}

andiron_str server_base(const struct http_server *server)
{
    return server->base;
}

const struct tls_context *server_tls(const struct http_server *server)
{
    return server->tls;
}

andiron_str server_remote(const struct http_server *server, const struct conn *conn,
                          andiron_str forwarded)
{
    andiron_str remote = andiron_str_of(conn->remote), from;

    if (forwarded.len == 0 || !remote_in(&conn->address, server->proxies, server->proxy_count))
        return remote;
    from = remote_forwarded(forwarded, server->proxies, server->proxy_count);
    return from.data != NULL ? from : remote;
}

bool server_reserve(struct http_server *server, uint64_t bytes)
{
    uint64_t before = atomic_fetch_add_explicit(&server->body_bytes, bytes, memory_order_relaxed);
    int64_t limit = server->app->settings->body_memory;

    if (limit <= 0 || (before <= (uint64_t)limit && bytes <= (uint64_t)limit - before))
        return true;
    server_release(server, bytes);
    return false;
}

void server_release(struct http_server *server, uint64_t bytes)
{
    if (bytes != 0)
        atomic_fetch_sub_explicit(&server->body_bytes, bytes, memory_order_relaxed);
}

/* ---- making and ending ------------------------------------------------------------------ */

static int read_proxies(struct http_server *server, struct andiron_error *err)
{
    const char *const *texts = server->app->settings->trusted_proxies;
    size_t count = 0;

    while (texts != NULL && texts[count] != NULL)
        count++;
    server->proxies = calloc(count + 1, sizeof(*server->proxies));
    if (server->proxies == NULL)
        abort();
    for (size_t i = 0; i < count; i++) {
        if (remote_range_parse(texts[i], &server->proxies[i], err) != 0)
            return -1;
        server->proxy_count++;
    }
    return 0;
}

static uint32_t limit_of(int64_t value, uint32_t fallback)
{
    return value > 0 && value <= 1024 * 1024 ? (uint32_t)value : fallback;
}

static int prepare(struct http_server *server, struct andiron_error *err)
{
    const struct http_settings *settings = server->app->settings;
    bool tls = false;

    server->base = andiron_str_of(settings->base_url);
    server->limits =
        (struct http_limits){ .request_line = limit_of(settings->max_request_line, 8 * 1024),
                              .header = limit_of(settings->max_header, 16 * 1024),
                              .fields = limit_of(settings->max_header_fields, 100) };
    for (size_t i = 0; i < server->loop_count; i++) {
        server->loops[i].fields = calloc(server->limits.fields, sizeof(struct http_field));
        if (server->loops[i].fields == NULL)
            abort();
    }
    if (read_proxies(server, err) != 0)
        return -1;
    for (size_t i = 0; i < server->listener_count; i++)
        tls = tls || server->listeners[i].tls;
    if (tls) {
        server->tls = tls_context_new(settings, err);
        if (server->tls == NULL)
            return -1;
    }
    accept_prepare(server);
    return 0;
}

struct http_server *http_server_new(const struct http_app *app, struct andiron_loop *const *loops,
                                    size_t loop_count, const struct http_listener *listeners,
                                    size_t listener_count, struct andiron_error *err)
{
    struct http_server *server = calloc(1, sizeof(*server));

    if (server == NULL)
        abort();
    server->app = app;
    server->listeners = listeners;
    server->listener_count = listener_count;
    server->started_us = units_monotonic();
    server->loops = calloc(loop_count, sizeof(*server->loops));
    if (server->loops == NULL)
        abort();
    for (; server->loop_count < loop_count; server->loop_count++)
        per_loop_init(&server->loops[server->loop_count], server, loops[server->loop_count]);
    if (prepare(server, err) != 0) {
        http_server_free(server);
        return NULL;
    }
    return server;
}

void http_server_free(struct http_server *server)
{
    if (server == NULL)
        return;
    watch_stop(server);
    accept_free(server);
    for (size_t i = 0; i < server->loop_count; i++)
        per_loop_free(&server->loops[i]);
    accept_counts_free(server);
    tls_context_free(server->tls);
    free(server->proxies);
    free(server->loops);
    free(server);
}

/* ---- drain --------------------------------------------------------------------------------- */

bool http_server_draining(const struct http_server *server)
{
    return atomic_load_explicit(&server->draining, memory_order_relaxed);
}

static unsigned open_connections(const struct http_server *server)
{
    unsigned open = 0;

    for (size_t i = 0; i < server->loop_count; i++)
        open += atomic_load_explicit(&server->loops[i].conn_count, memory_order_relaxed);
    return open;
}

static void close_idle(void *arg)
{
    conn_close_idle(arg);
}

static void close_all(void *arg)
{
    conn_close_all(arg);
}

static void on_every_loop(struct http_server *server, void (*fn)(void *arg))
{
    for (size_t i = 0; i < server->loop_count; i++)
        andiron_loop_post(server->loops[i].loop, fn, &server->loops[i]);
}

/* Loop 0 looks every few milliseconds how far the drain has got; it lasts seconds at most. */
static void on_drain(evutil_socket_t fd, short what, void *arg)
{
    static const struct timeval soon = { .tv_usec = 10000 };
    struct http_server *server = arg;
    const struct http_settings *settings = server->app->settings;
    int64_t ms = (units_monotonic() - server->drain_started_us) / 1000;
    void (*drained)(void *) = server->drained;

    (void)fd;
    (void)what;
    if (!server->idle_closed && ms >= settings->drain_grace) {
        server->idle_closed = true;
        on_every_loop(server, close_idle);
    }
    if (!server->all_closed && ms >= settings->drain_timeout) {
        server->all_closed = true;
        on_every_loop(server, close_all);
    }
    if (open_connections(server) != 0) {
        (void)evtimer_add(&server->drain_timer, &soon); /* fails only without memory */
        return;
    }
    server->drained = NULL;
    if (drained != NULL)
        drained(server->drained_arg);
}

static void begin_drain(void *arg)
{
    struct http_server *server = arg;

    accept_stop(server);
    server->drain_started_us = units_monotonic();
    (void)evtimer_assign(&server->drain_timer, server->loops[0].base, on_drain, server);
    on_drain(-1, 0, server);
}

void http_server_drain(struct http_server *server, void (*drained)(void *arg), void *arg)
{
    if (atomic_exchange(&server->draining, true))
        return;
    server->drained = drained;
    server->drained_arg = arg;
    andiron_loop_post(server->loops[0].loop, begin_drain, server);
}

/* ---- statistics -------------------------------------------------------------------------------- */

void http_server_stats(struct http_server *server, struct http_stats *ret)
{
    const struct stats *all[64];
    size_t count = server->loop_count < 64 ? server->loop_count : 64;
    int64_t now = units_monotonic();
    double uptime = (double)(now - server->started_us) / 1e6;

    for (size_t i = 0; i < count; i++)
        all[i] = &server->loops[i].stats;
    stats_sum(all, count, now, uptime > 1 ? uptime : 1, ret);
    ret->connections = open_connections(server);
}

int64_t http_server_certificate_expiry(const struct http_server *server)
{
    return server->tls != NULL ? tls_context_expiry(server->tls) : 0;
}

/* ---- requests of the worker itself -------------------------------------------------------------- */

struct run {
    struct andiron_inner inner;
    void (*done)(void *arg, int status, andiron_str body);
    void *arg;
    struct andiron_request *sub;
    struct andiron_arena *arena; /* holds this and the strings of inner */
};

static enum andiron_step run_done(struct andiron_request *req, void *state)
{
    struct run *run = state;

    (void)req;
    run->done(run->arg, andiron_reply_status(run->sub), andiron_reply_body(run->sub));
    return ANDIRON_DONE;
}

static void free_arena(void *arena)
{
    arena_free(arena);
}

static enum andiron_step run_begin(struct andiron_request *req, void *state)
{
    struct run *run = state;

    andiron_at_release(andiron_request_arena(req), free_arena, run->arena);
    return andiron_request_run(req, &run->inner, &run->sub, run_done, run);
}

static andiron_str kept(struct andiron_arena *arena, andiron_str s)
{
    return s.data != NULL ? (andiron_str){ andiron_copy(arena, s), s.len } : s;
}

void http_server_run(struct http_server *server, const struct andiron_inner *inner,
                     void (*done)(void *arg, int status, andiron_str body), void *arg)
{
    struct andiron_arena *arena = arena_new();
    struct run *run = andiron_new(arena, struct run);

    memcpy(&run->inner, inner, inner->size < sizeof(run->inner) ? inner->size : sizeof(run->inner));
    run->inner.method = kept(arena, run->inner.method);
    run->inner.target = kept(arena, run->inner.target);
    run->inner.body = kept(arena, run->inner.body);
    run->inner.if_match = kept(arena, run->inner.if_match);
    run->inner.if_none_match = kept(arena, run->inner.if_none_match);
    run->inner.if_none_exist = kept(arena, run->inner.if_none_exist);
    run->inner.if_modified_since = kept(arena, run->inner.if_modified_since);
    run->inner.content_type = kept(arena, run->inner.content_type);
    run->done = done;
    run->arg = arg;
    run->arena = arena;
    andiron_job_start(server->loops[0].loop, "core", 0, run_begin, run);
}
