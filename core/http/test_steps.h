/*
 * Hooks and handlers for the tests of the phase engine: they write down that they ran, and do what
 * headers of the request tell them.
 */
#ifndef CORE_HTTP_TEST_STEPS_H
#define CORE_HTTP_TEST_STEPS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/test_client.h"
#include "http/test_server.h"

static struct test_server server;
static struct route_table *routes;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char trail[4096]; /* what ran, in order */
static struct andiron_counter *slow;

static void mark(const char *what)
{
    pthread_mutex_lock(&lock);
    snprintf(trail + strlen(trail), sizeof(trail) - strlen(trail), "%s ", what);
    pthread_mutex_unlock(&lock);
}

static bool header_is(struct andiron_request *req, const char *name, const char *value)
{
    return andiron_str_eq(andiron_request_header(req, name), andiron_str_of(value));
}

/* ---- hooks --------------------------------------------------------------------- */

static const struct andiron_principal somebody = { .size = sizeof(somebody),
                                                   .kind = ANDIRON_CLIENT,
                                                   .id = "somebody" };

static enum andiron_step receive(struct andiron_request *req, void *self)
{
    (void)self;
    if (andiron_request_operation(req) != NULL &&
        strcmp(andiron_request_operation(req), "Plain") == 0 &&
        andiron_request_header(req, "if-none-exist").data != NULL)
        andiron_request_refine_operation(req, "Conditional");
    mark("receive");
    if (header_is(req, "x-receive", "refuse"))
        return andiron_fail(req, ANDIRON_E_THROTTLED, "too fast");
    return ANDIRON_NEXT;
}

static enum andiron_step late_principal(struct andiron_request *req, void *state)
{
    (void)state;
    mark("waited");
    andiron_request_set_principal(req, &somebody);
    return ANDIRON_NEXT;
}

static void do_nothing(void *state)
{
    (void)state;
}

static enum andiron_step authenticate(struct andiron_request *req, void *self)
{
    (void)self;
    mark("authenticate");
    if (header_is(req, "authorization", "Bearer bad"))
        return andiron_fail(req, ANDIRON_E_CREDENTIALS, "signature of key 7 is wrong");
    if (header_is(req, "authorization", "Bearer old"))
        return andiron_fail(req, ANDIRON_E_EXPIRED, "expired");
    if (header_is(req, "authorization", "Basic bad"))
        return andiron_fail(req, ANDIRON_E_CREDENTIALS, "no such client");
    if (header_is(req, "authorization", "Bearer slow"))
        return andiron_offload(req, do_nothing, late_principal, NULL);
    if (andiron_request_header(req, "authorization").data != NULL)
        andiron_request_set_principal(req, &somebody);
    return ANDIRON_NEXT;
}

static enum andiron_step authorize(struct andiron_request *req, void *self)
{
    (void)self;
    mark("authorize");
    if (header_is(req, "x-scope", "no")) {
        andiron_reply_header(req, "WWW-Authenticate",
                             ANDIRON_STR("Bearer error=\"insufficient_scope\""));
        return andiron_fail(req, ANDIRON_E_FORBIDDEN, "scope");
    }
    /* Inner requests are judged by their path. */
    if (header_is(req, "x-grant", "yes") ||
        andiron_str_eq(andiron_request_path(req), ANDIRON_STR("/inner/yes")))
        andiron_request_grant(req, "AccessPolicy/test");
    return ANDIRON_NEXT;
}

static enum andiron_step respond(struct andiron_request *req, void *self)
{
    (void)self;
    mark("respond");
    if (header_is(req, "x-respond", "replace"))
        return andiron_reply(req, 202, "text/plain", ANDIRON_STR("replaced"));
    return ANDIRON_NEXT;
}

static enum andiron_step respond_too(struct andiron_request *req, void *self)
{
    (void)self;
    andiron_reply_header(req, "X-Second", ANDIRON_STR("yes"));
    return ANDIRON_NEXT;
}

static enum andiron_step write_log(struct andiron_request *req, void *self)
{
    char line[64];

    (void)self;
    snprintf(line, sizeof(line), "log:%d", andiron_reply_status(req));
    mark(line);
    return ANDIRON_NEXT;
}

/* ---- handlers ---------------------------------------------------------------------- */

static enum andiron_step handle(struct andiron_request *req, void *self)
{
    (void)self;
    mark("handle");
    return andiron_reply(req, 200, "text/plain", ANDIRON_STR("done"));
}

static enum andiron_step forgets_to_answer(struct andiron_request *req, void *self)
{
    (void)req;
    (void)self;
    return ANDIRON_NEXT;
}

static enum andiron_step forgets_to_say_for_what(struct andiron_request *req, void *self)
{
    (void)req;
    (void)self;
    return ANDIRON_AGAIN;
}

static enum andiron_step never_called(struct andiron_request *req, void *state)
{
    (void)state;
    mark("never");
    return andiron_reply(req, 200, NULL, ANDIRON_STR(""));
}

static enum andiron_step waits_and_answers(struct andiron_request *req, void *self)
{
    (void)andiron_offload(req, do_nothing, never_called, self);
    return andiron_reply(req, 200, "text/plain", ANDIRON_STR("both"));
}

struct counting {
    unsigned left;
    uintptr_t lowest, highest; /* frames */
};

static enum andiron_step count_down(struct andiron_request *req, void *state)
{
    struct counting *c = state;
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);

    if (c->lowest == 0 || here < c->lowest)
        c->lowest = here;
    if (here > c->highest)
        c->highest = here;
    if (c->left-- == 0)
        return andiron_reply(req, 200, "text/plain",
                             c->highest - c->lowest < 4096 ? ANDIRON_STR("flat")
                                                           : ANDIRON_STR("deep"));
    return andiron_ready(req, count_down, c);
}

static enum andiron_step ready_often(struct andiron_request *req, void *self)
{
    struct counting *c = andiron_new(andiron_request_arena(req), struct counting);

    (void)self;
    c->left = 100000;
    return andiron_ready(req, count_down, c);
}

struct places {
    pthread_t loop, pool;
};

static void where_am_i(void *state)
{
    ((struct places *)state)->pool = pthread_self();
}

static enum andiron_step compare_places(struct andiron_request *req, void *state)
{
    struct places *p = state;
    bool right = pthread_equal(p->loop, pthread_self()) && !pthread_equal(p->pool, pthread_self());

    return andiron_reply(req, 200, "text/plain",
                         right ? ANDIRON_STR("right") : ANDIRON_STR("wrong"));
}

static enum andiron_step offloads(struct andiron_request *req, void *self)
{
    struct places *p = andiron_new(andiron_request_arena(req), struct places);

    (void)self;
    p->loop = pthread_self();
    return andiron_offload(req, where_am_i, compare_places, p);
}

struct inners {
    struct andiron_request *sub;
    const char *target;
    unsigned left, allowed, refused;
    bool check_only;
    const char *operation;
};

static enum andiron_step inner_done(struct andiron_request *req, void *state);

static enum andiron_step run_inner(struct andiron_request *req, struct inners *s)
{
    struct andiron_inner inner = { .size = sizeof(inner),
                                   .method = ANDIRON_STR("GET"),
                                   .target = andiron_str_of(s->target),
                                   .if_none_exist = ANDIRON_STR("a=b"),
                                   .bundle_type = "batch",
                                   .check_only = s->check_only };

    return andiron_request_run(req, &inner, &s->sub, inner_done, s);
}

static enum andiron_step inner_done(struct andiron_request *req, void *state)
{
    struct inners *s = state;
    struct andiron_arena *arena = andiron_request_arena(req);
    andiron_str body = andiron_reply_body(s->sub);

    if (andiron_reply_status(s->sub) == 200)
        s->allowed++;
    else
        s->refused++;
    if (--s->left != 0)
        return run_inner(req, s);
    return andiron_reply(
        req, 200, "text/plain",
        andiron_str_of(andiron_printf(
            arena, "%u %u %.*s %s", s->allowed, s->refused, (int)body.len,
            body.data != NULL ? body.data : "",
            andiron_request_operation(s->sub) != NULL ? andiron_request_operation(s->sub) : "-")));
}

static enum andiron_step runs_inner(struct andiron_request *req, void *self)
{
    struct andiron_arena *arena = andiron_request_arena(req);
    struct inners *s = andiron_new(arena, struct inners);

    (void)self;
    s->target = andiron_copy(arena, andiron_request_header(req, "x-target"));
    s->left = (unsigned)atoi(andiron_copy(arena, andiron_request_header(req, "x-count")));
    s->check_only = header_is(req, "x-check", "only");
    return run_inner(req, s);
}

static void mark_release(void *arg)
{
    char line[32];

    snprintf(line, sizeof(line), "released:%d", andiron_reply_status(arg));
    mark(line);
}

static struct andiron_request *_Atomic beside_parked;

static enum andiron_step beside_over(struct andiron_request *req, void *state)
{
    struct andiron_request **sub = state;
    char line[64];

    snprintf(line, sizeof(line), "beside:%s:%d", andiron_request_principal(req)->id,
             sub != NULL ? andiron_reply_status(*sub) : 0);
    mark(line);
    return ANDIRON_DONE;
}

static enum andiron_step beside_first(struct andiron_request *req, void *state)
{
    struct andiron_request **sub =
        andiron_new(andiron_request_arena(req), struct andiron_request *);
    struct andiron_inner inner = { .size = sizeof(inner),
                                   .method = ANDIRON_STR("GET"),
                                   .target = ANDIRON_STR("/inner/yes") };

    if (state == NULL)
        return andiron_request_run(req, &inner, sub, beside_over, sub);
    enum andiron_step step = andiron_wait(req, beside_over, NULL);
    atomic_store(&beside_parked, req);
    return step;
}

/* Answers before what runs beside it has begun. */
static enum andiron_step begins_beside(struct andiron_request *req, void *self)
{
    static char parks[] = "parks";

    (void)self;
    andiron_at_release(andiron_request_arena(req), mark_release, req);
    andiron_request_beside(req, "beside", beside_first,
                           header_is(req, "x-beside", "parks") ? parks : NULL);
    return andiron_reply(req, 200, "text/plain", ANDIRON_STR("begun"));
}

static enum andiron_step grows(struct andiron_request *req, void *state)
{
    memset(andiron_alloc(andiron_request_arena(req), 1 << 20), 1, 1 << 20);
    return andiron_ready(req, grows, state);
}

static enum andiron_step json(struct andiron_request *req, void *self)
{
    andiron_json v;

    (void)self;
    if (andiron_request_json(req, &v) != 0)
        return ANDIRON_DONE;
    return andiron_reply(
        req, 200, "text/plain",
        andiron_str_of(andiron_printf(andiron_request_arena(req), "%zu", andiron_json_count(v))));
}

static enum andiron_step validates(struct andiron_request *req, void *self)
{
    struct andiron_error err;

    (void)self;
    andiron_reply_header(req, "ETag", ANDIRON_STR("W/\"1\""));
    andiron_reply_header(req, "X-Evil", ANDIRON_STR("a\r\nSet-Cookie: b"));
    andiron_reply_header(req, "Content-Length", ANDIRON_STR("7"));
    andiron_error_set(&err, ANDIRON_E_ELEMENT, "Patient.foo", "unknown");
    andiron_fail_also(req, &err);
    andiron_error_set(&err, ANDIRON_E_VALUE, "Patient.gender", "\"x\" is no gender");
    return andiron_fail_with(req, &err);
}

static enum andiron_step breaks(struct andiron_request *req, void *self)
{
    (void)self;
    return andiron_fail(req, ANDIRON_E_INTERNAL, "secret table missing");
}

static enum andiron_step time_left(struct andiron_request *req, void *self)
{
    (void)self;
    return andiron_reply(req, 200, "text/plain",
                         andiron_str_of(andiron_printf(andiron_request_arena(req), "%lld",
                                                       (long long)andiron_request_time_left(req))));
}

static inline int slow_steps_counted(void)
{
    static const char name[] = "\ntest_slow_steps_total ";
    struct andiron_arena *arena = arena_new();
    const char *line = strstr(andiron_copy(arena, andiron_metrics_text(arena)), name);
    int count = line != NULL ? atoi(line + sizeof(name) - 1) : -1;

    arena_free(arena);
    return count;
}

/* Until that has been seen, however seldom the watching thread runs on a loaded machine; or 10 s. */
static enum andiron_step holds_the_loop(struct andiron_request *req, void *self)
{
    (void)self;
    client_pause(30);
    for (int i = 0; i < 500 && slow_steps_counted() == 0; i++)
        client_pause(20);
    return andiron_reply(req, 200, "text/plain", ANDIRON_STR("slow"));
}

static enum andiron_step vars(struct andiron_request *req, void *self)
{
    andiron_str type = andiron_request_var(req, "type"), id = andiron_request_var(req, "id");

    (void)self;
    assert(andiron_request_var(req, "other").data == NULL);
    return andiron_reply(req, 200, "text/plain",
                         andiron_str_of(andiron_printf(
                             andiron_request_arena(req), "%.*s %.*s %.*s %.*s", (int)type.len,
                             type.data, (int)id.len, id.data, (int)andiron_request_query(req).len,
                             andiron_request_query(req).data, (int)andiron_request_base(req).len,
                             andiron_request_base(req).data)));
}

#define PUBLIC ANDIRON_ROUTE_PUBLIC
static const struct andiron_route table[] = {
    { "GET", "/private", handle, "Plain", 0, NULL },
    { "POST", "/private", handle, "Plain", 0, NULL },
    { "GET", "/public", handle, "Public", PUBLIC, NULL },
    { "GET", "/oauth", handle, "OAuth", ANDIRON_ROUTE_OAUTH, NULL },
    { "GET", "/inner/{x}", handle, "Plain", 0, NULL },
    { "GET", "/forgets", forgets_to_answer, NULL, PUBLIC, NULL },
    { "GET", "/forgets-what", forgets_to_say_for_what, NULL, PUBLIC, NULL },
    { "GET", "/both", waits_and_answers, NULL, PUBLIC, NULL },
    { "GET", "/ready", ready_often, NULL, PUBLIC, NULL },
    { "GET", "/offload", offloads, NULL, PUBLIC, NULL },
    { "GET", "/batch", runs_inner, NULL, PUBLIC, NULL },
    { "GET", "/beside", begins_beside, NULL, 0, NULL },
    { "GET", "/grows", grows, NULL, PUBLIC, NULL },
    { "POST", "/json", json, NULL, 0, NULL },
    { "GET", "/validates", validates, NULL, PUBLIC, NULL },
    { "GET", "/breaks", breaks, NULL, PUBLIC, NULL },
    { "GET", "/time-left", time_left, NULL, PUBLIC, NULL },
    { "GET", "/slow", holds_the_loop, NULL, PUBLIC, NULL },
    { "GET", "/fhir/{type}/{id}", vars, NULL, PUBLIC, NULL },
    { "GET", "/metrics", handle, NULL, ANDIRON_ROUTE_ADMIN, NULL },
};
enum { ROUTES = sizeof(table) / sizeof(table[0]) };

static inline void serve(struct http_settings settings)
{
    static struct http_route own[ROUTES];
    static struct http_owner owner = { .name = "test" };
    static const struct http_hook hooks[HTTP_PHASES][2] = {
        [ANDIRON_PHASE_RECEIVE] = { { receive, NULL, &owner } },
        [ANDIRON_PHASE_AUTHENTICATE] = { { authenticate, NULL, &owner } },
        [ANDIRON_PHASE_AUTHORIZE] = { { authorize, NULL, &owner } },
        [ANDIRON_PHASE_RESPOND] = { { respond, NULL, &owner }, { respond_too, NULL, &owner } },
        [ANDIRON_PHASE_LOG] = { { write_log, NULL, &owner } },
    };
    struct andiron_error err;

    owner.steps_slow = slow;
    for (size_t i = 0; i < ROUTES; i++)
        own[i] = (struct http_route){ .route = &table[i], .owner = &owner };
    routes = route_table_new(own, ROUTES, &err);
    assert_non_null(routes);
    server = (struct test_server){ .settings = settings, .loop_count = 1 };
    server.app.routes = routes;
    for (size_t i = 0; i < HTTP_PHASES; i++) {
        server.app.hooks[i] = hooks[i];
        server.app.hook_count[i] = i == ANDIRON_PHASE_RESPOND ? 2 : 1;
    }
    trail[0] = '\0';
    assert_int_equal(pool_start(2, &err), 0);
    test_server_start(&server);
}

static inline void stop(void)
{
    test_server_stop(&server); /* ends the pool */
    route_table_free(routes);
}

static inline struct answer get(const char *path, const char *headers)
{
    struct client c = client_open(server.port);
    char request[4096];
    struct answer a;

    snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n%s\r\n",
             path, headers);
    client_send(&c, request);
    a = client_read(&c, true);
    (void)client_ends(&c, 1000); /* LOG has run by then */
    client_close(&c);
    return a;
}

static inline void assert_trail(const char *expected)
{
    pthread_mutex_lock(&lock);
    assert_string_equal(trail, expected);
    trail[0] = '\0';
    pthread_mutex_unlock(&lock);
}

static inline void assert_get(const char *path, const char *headers, int status, const char *body)
{
    struct answer a = get(path, headers);

    if (a.status != status || (body != NULL && strcmp(a.body, body) != 0))
        print_error("GET %s -> %d %s\n", path, a.status, a.body);
    assert_int_equal(a.status, status);
    if (body != NULL)
        assert_string_equal(a.body, body);
    answer_free(&a);
}

static inline int make_counter(void **state)
{
    (void)state;
    slow = andiron_counter(NULL, "test_slow_steps_total", NULL, "slow steps of this test");
    return slow != NULL ? 0 : -1;
}

#endif
