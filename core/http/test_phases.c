/*
 * Phases, waits, inner requests, jobs and errors: what plugins are promised by andiron/request.h
 * and andiron/async.h, over a real server.
 */
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
                             c->highest - c->lowest < 4096 ? ANDIRON_STR("flat") :
                                                             ANDIRON_STR("deep"));
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

    return andiron_reply(req, 200, "text/plain", right ? ANDIRON_STR("right") : ANDIRON_STR("wrong"));
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
        andiron_str_of(andiron_printf(arena, "%u %u %.*s %s", s->allowed, s->refused,
                                      (int)body.len, body.data != NULL ? body.data : "",
                                      andiron_request_operation(s->sub) != NULL ?
                                          andiron_request_operation(s->sub) :
                                          "-")));
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
    return andiron_reply(req, 200, "text/plain",
                         andiron_str_of(andiron_printf(andiron_request_arena(req), "%zu",
                                                       andiron_json_count(v))));
}

static enum andiron_step validates(struct andiron_request *req, void *self)
{
    struct andiron_error err;

    (void)self;
    andiron_reply_header(req, "ETag", ANDIRON_STR("W/\"1\""));
    andiron_reply_header(req, "X-Evil", ANDIRON_STR("a\r\nSet-Cookie: b"));
    andiron_reply_header(req, "Content-Length", ANDIRON_STR("7"));
    andiron_error_set(&err, ANDIRON_E_VALUE, "Patient.gender", "\"x\" is no gender");
    andiron_fail_also(req, &err);
    andiron_error_set(&err, ANDIRON_E_ELEMENT, "Patient.foo", "unknown");
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

static enum andiron_step holds_the_loop(struct andiron_request *req, void *self)
{
    (void)self;
    client_pause(80);
    return andiron_reply(req, 200, "text/plain", ANDIRON_STR("slow"));
}

static enum andiron_step vars(struct andiron_request *req, void *self)
{
    andiron_str type = andiron_request_var(req, "type"), id = andiron_request_var(req, "id");

    (void)self;
    assert(andiron_request_var(req, "other").data == NULL);
    return andiron_reply(req, 200, "text/plain",
                         andiron_str_of(andiron_printf(andiron_request_arena(req), "%.*s %.*s %.*s %.*s",
                                                       (int)type.len, type.data, (int)id.len, id.data,
                                                       (int)andiron_request_query(req).len,
                                                       andiron_request_query(req).data,
                                                       (int)andiron_request_base(req).len,
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

static void serve(struct http_settings settings)
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

static void stop(void)
{
    test_server_stop(&server); /* ends the pool */
    route_table_free(routes);
}

static struct answer get(const char *path, const char *headers)
{
    struct client c = client_open(server.port);
    char request[4096];
    struct answer a;

    snprintf(request, sizeof(request),
             "GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n%s\r\n", path, headers);
    client_send(&c, request);
    a = client_read(&c, true);
    (void)client_ends(&c, 1000); /* LOG has run by then */
    client_close(&c);
    return a;
}

static void assert_trail(const char *expected)
{
    pthread_mutex_lock(&lock);
    assert_string_equal(trail, expected);
    trail[0] = '\0';
    pthread_mutex_unlock(&lock);
}

static void assert_get(const char *path, const char *headers, int status, const char *body)
{
    struct answer a = get(path, headers);

    if (a.status != status || (body != NULL && strcmp(a.body, body) != 0))
        print_error("GET %s -> %d %s\n", path, a.status, a.body);
    assert_int_equal(a.status, status);
    if (body != NULL)
        assert_string_equal(a.body, body);
    answer_free(&a);
}

/* ---- phases -------------------------------------------------------------------------- */

static void phases_run_in_order(void **state)
{
    (void)state;
    serve(test_settings());
    struct answer a = get("/private", "Authorization: Bearer x\r\nX-Grant: yes\r\n");
    assert_int_equal(a.status, 200);
    assert_string_equal(head_value(a.head, "x-second"), "yes");
    answer_free(&a);
    assert_trail("receive authenticate authorize handle respond log:200 ");
    stop();
}

static void public_routes_ignore_credentials(void **state)
{
    (void)state;
    serve(test_settings());
    assert_get("/public", "Authorization: Bearer bad\r\n", 200, "done");
    assert_trail("receive handle respond log:200 ");
    stop();
}

static void oauth_routes_authenticate_themselves_but_need_a_grant(void **state)
{
    (void)state;
    serve(test_settings());
    assert_get("/oauth", "Authorization: Bearer bad\r\nX-Grant: yes\r\n", 200, "done");
    assert_trail("receive authorize handle respond log:200 ");
    struct answer a = get("/oauth", "");
    assert_int_equal(a.status, 401);
    assert_non_null(strstr(a.body, "\"error\":\"invalid_client\""));
    assert_string_equal(head_value(a.head, "www-authenticate"), "Basic realm=\"andiron\"");
    answer_free(&a);
    stop();
}

static void without_a_grant_nothing_is_handled(void **state)
{
    (void)state;
    serve(test_settings());
    assert_get("/private", "X-Grant: no\r\n", 401, NULL);
    assert_trail("receive authenticate authorize respond log:401 ");
    struct answer a = get("/private", "Authorization: Bearer x\r\n");
    assert_int_equal(a.status, 403);
    assert_null(head_value(a.head, "www-authenticate"));
    assert_string_equal(
        a.body,
        "{\"resourceType\":\"OperationOutcome\",\"id\":\"forbidden\",\"text\":{\"status\":"
        "\"generated\",\"div\":\"<div xmlns=\\\"http://www.w3.org/1999/xhtml\\\">Forbidden</div>\"},"
        "\"issue\":[{\"severity\":\"fatal\",\"code\":\"forbidden\",\"diagnostics\":\"Forbidden\"}]}");
    answer_free(&a);
    assert_trail("receive authenticate authorize respond log:403 ");
    /* An admin route is like any other on this listener. */
    assert_get("/metrics", "", 401, NULL);
    stop();
}

static void a_refusal_goes_straight_to_respond(void **state)
{
    (void)state;
    serve(test_settings());
    struct answer a = get("/private", "X-Receive: refuse\r\n");
    assert_int_equal(a.status, 429);
    assert_non_null(head_value(a.head, "retry-after"));
    answer_free(&a);
    assert_trail("receive respond log:429 ");
    assert_get("/nowhere", "Authorization: Bearer bad\r\n", 404, NULL);
    assert_trail("receive respond log:404 ");
    a = get("/json", "");
    assert_int_equal(a.status, 405);
    assert_string_equal(head_value(a.head, "allow"), "POST");
    answer_free(&a);
    stop();
}

static void challenges_tell_no_more_than_they_must(void **state)
{
    (void)state;
    serve(test_settings());
    struct answer a = get("/private", "Authorization: Bearer bad\r\n");
    assert_string_equal(head_value(a.head, "www-authenticate"),
                        "Bearer realm=\"andiron\", error=\"invalid_token\", "
                        "error_description=\"the token is not accepted\"");
    assert_non_null(strstr(a.body, "\"code\":\"security\""));
    assert_null(strstr(a.body, "key 7"));
    answer_free(&a);
    a = get("/private", "Authorization: Bearer old\r\n");
    assert_non_null(strstr(head_value(a.head, "www-authenticate"), "expired"));
    assert_non_null(strstr(a.body, "\"code\":\"expired\""));
    answer_free(&a);
    a = get("/private", "Authorization: Basic bad\r\n");
    assert_string_equal(head_value(a.head, "www-authenticate"), "Basic realm=\"andiron\"");
    answer_free(&a);
    a = get("/private", "X-Scope: no\r\n");
    assert_int_equal(a.status, 403);
    assert_string_equal(head_value(a.head, "www-authenticate"), "Bearer error=\"insufficient_scope\"");
    answer_free(&a);
    stop();
}

static void respond_hooks_may_replace_the_response(void **state)
{
    (void)state;
    serve(test_settings());
    struct answer a = get("/public", "X-Respond: replace\r\n");
    assert_int_equal(a.status, 202);
    assert_string_equal(a.body, "replaced");
    assert_string_equal(head_value(a.head, "x-second"), "yes");
    answer_free(&a);
    stop();
}

static void steps_that_break_the_rules_cost_only_their_request(void **state)
{
    (void)state;
    serve(test_settings());
    assert_get("/forgets", "", 500, NULL);
    assert_get("/forgets-what", "", 500, NULL);
    assert_get("/both", "", 500, NULL);
    assert_get("/public", "", 200, "done");
    pthread_mutex_lock(&lock);
    assert_null(strstr(trail, "never"));
    pthread_mutex_unlock(&lock);
    stop();
}

/* ---- waiting ---------------------------------------------------------------------------- */

static void a_hook_may_wait(void **state)
{
    (void)state;
    serve(test_settings());
    assert_get("/private", "Authorization: Bearer slow\r\nX-Grant: yes\r\n", 200, "done");
    assert_trail("receive authenticate waited authorize handle respond log:200 ");
    stop();
}

static void ready_results_cost_no_stack(void **state)
{
    (void)state;
    serve(test_settings());
    assert_get("/ready", "", 200, "flat");
    stop();
}

static void offloaded_work_runs_on_the_pool_and_goes_on_on_the_loop(void **state)
{
    (void)state;
    serve(test_settings());
    assert_get("/offload", "", 200, "right");
    stop();
}

static void request_memory_is_limited(void **state)
{
    struct http_settings settings = test_settings();
    (void)state;
    settings.request_memory = 8 << 20;
    serve(settings);
    struct answer a = get("/grows", "");
    assert_int_equal(a.status, 503);
    assert_non_null(head_value(a.head, "retry-after"));
    answer_free(&a);
    stop();
}

static void time_left_is_that_of_the_deadline(void **state)
{
    (void)state;
    serve(test_settings());
    struct answer a = get("/time-left", "");
    assert_in_range(atoi(a.body), 29000, 30000);
    answer_free(&a);
    stop();
}

static void slow_steps_are_counted(void **state)
{
    struct andiron_arena *arena = arena_new();
    (void)state;
    serve(test_settings());
    assert_get("/slow", "", 200, "slow");
    andiron_str all = andiron_metrics_text(arena);
    char *shown = andiron_copy(arena, all), *line = strstr(shown, "\ntest_slow_steps_total ");
    assert_non_null(line);
    assert_true(atoi(line + strlen("\ntest_slow_steps_total ")) >= 1);
    arena_free(arena);
    stop();
}

/* ---- inner requests ------------------------------------------------------------------------ */

static void inner_requests_are_judged_and_handled(void **state)
{
    (void)state;
    serve(test_settings());
    assert_get("/batch", "X-Target: /inner/yes?a=b\r\nX-Count: 1\r\n", 200, "1 0 done Conditional");
    assert_trail("receive receive authorize handle respond log:200 ");
    stop();
}

static void a_refused_inner_request_fails_alone(void **state)
{
    (void)state;
    serve(test_settings());
    struct answer a = get("/batch", "X-Target: /inner/no\r\nX-Count: 1\r\n");
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(a.body, "0 1 {\"resourceType\":\"OperationOutcome\""));
    answer_free(&a);
    a = get("/batch", "X-Target: /nowhere\r\nX-Count: 1\r\n");
    assert_non_null(strstr(a.body, "not-found"));
    answer_free(&a);
    a = get("/batch", "X-Target: /a//b\r\nX-Count: 1\r\n");
    assert_non_null(strstr(a.body, "\"invalid\""));
    answer_free(&a);
    stop();
}

static void check_only_asks_without_handling(void **state)
{
    (void)state;
    serve(test_settings());
    assert_get("/batch", "X-Check: only\r\nX-Target: /inner/yes\r\nX-Count: 1\r\n", 200,
               "1 0  Conditional");
    assert_trail("receive receive authorize respond log:200 ");
    assert_get("/batch", "X-Check: only\r\nX-Target: /inner/no\r\nX-Count: 1\r\n", 200, NULL);
    assert_trail("receive receive authorize respond log:200 ");
    stop();
}

static void thousands_of_inner_requests_cost_no_stack(void **state)
{
    (void)state;
    serve(test_settings());
    assert_get("/batch", "X-Target: /inner/yes\r\nX-Count: 20000\r\n", 200,
               "20000 0 done Conditional");
    stop();
}

/* ---- JSON -------------------------------------------------------------------------------------- */

static struct answer post_json(size_t elements, const char *end)
{
    struct client c = client_open(server.port);
    size_t len = 4 * elements + 1 + strlen(end);
    char *body = malloc(len + 1);
    char head[300];
    struct answer a;

    body[0] = '[';
    for (size_t i = 0; i < elements; i++)
        memcpy(body + 1 + 4 * i, i + 1 < elements ? "123," : "123 ", 4);
    memcpy(body + 1 + 4 * elements, end, strlen(end) + 1);
    snprintf(head, sizeof(head),
             "POST /json HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer x\r\nX-Grant: yes\r\n"
             "Content-Length: %zu\r\n\r\n",
             len);
    client_send(&c, head);
    client_send_bytes(&c, body, len);
    a = client_read(&c, true);
    client_close(&c);
    free(body);
    return a;
}

static void json_is_parsed_wherever_it_is_cheapest(void **state)
{
    static const size_t sizes[] = { 3, 2000, 400000 }; /* the last one goes to the pool */
    (void)state;
    serve(test_settings());
    for (size_t i = 0; i < 3; i++) {
        struct answer a = post_json(sizes[i], "]");
        assert_int_equal(a.status, 200);
        assert_int_equal(strtoul(a.body, NULL, 10), sizes[i]);
        answer_free(&a);
        a = post_json(sizes[i], ",]");
        assert_int_equal(a.status, 400);
        assert_non_null(strstr(a.body, "line 1, column"));
        assert_non_null(strstr(a.body, "structure"));
        answer_free(&a);
    }
    stop();
}

/* ---- errors and headers -------------------------------------------------------------------------- */

static void all_issues_are_shown_at_once(void **state)
{
    (void)state;
    serve(test_settings());
    struct answer a = get("/validates", "");
    assert_int_equal(a.status, 422);
    assert_string_equal(
        a.body,
        "{\"resourceType\":\"OperationOutcome\",\"issue\":["
        "{\"severity\":\"error\",\"code\":\"value\",\"diagnostics\":\"\\\"x\\\" is no gender\","
        "\"expression\":[\"Patient.gender\"]},"
        "{\"severity\":\"error\",\"code\":\"structure\",\"diagnostics\":\"unknown\","
        "\"expression\":[\"Patient.foo\"]}]}");
    assert_null(head_value(a.head, "etag"));
    assert_null(head_value(a.head, "x-evil"));
    assert_null(head_value(a.head, "set-cookie"));
    answer_free(&a);
    stop();
}

static void internal_errors_say_only_the_request_id(void **state)
{
    (void)state;
    serve(test_settings());
    struct answer a = get("/breaks", "X-Request-Id: r-1\r\n");
    assert_int_equal(a.status, 500);
    assert_null(strstr(a.body, "secret"));
    assert_non_null(strstr(a.body, "r-1"));
    answer_free(&a);
    stop();
}

static void variables_query_and_base_are_there(void **state)
{
    (void)state;
    serve(test_settings());
    assert_get("/fhir/Patient/a-1?x=%20", "", 200, "Patient a-1 x=%20 http://test.example");
    stop();
    struct http_settings settings = test_settings();
    settings.base_url = NULL;
    serve(settings);
    assert_get("/fhir/Patient/1", "", 200, "Patient 1  http://a");
    stop();
}

/* ---- jobs ------------------------------------------------------------------------------------------- */

static struct andiron_request *_Atomic job_parked;
static atomic_uint job_state;

static enum andiron_step job_over(struct andiron_request *req, void *state)
{
    (void)state;
    assert(andiron_request_principal(req)->kind == ANDIRON_SYSTEM);
    atomic_store(&job_state, 2);
    return ANDIRON_NEXT;
}

static void job_released(void *arg)
{
    (void)arg;
    atomic_fetch_add(&job_state, 100);
}

static enum andiron_step job_first(struct andiron_request *req, void *state)
{
    enum andiron_step step = andiron_wait(req, job_over, state);

    atomic_store(&job_state, 1);
    andiron_at_release(andiron_request_arena(req), job_released, NULL);
    atomic_store(&job_parked, req);
    return step;
}

static void await_job(unsigned wanted)
{
    for (int i = 0; i < 400 && atomic_load(&job_state) != wanted; i++)
        client_pause(5);
    assert_int_equal(atomic_load(&job_state), wanted);
}

static void jobs_run_as_the_server_itself(void **state)
{
    (void)state;
    serve(test_settings());
    atomic_store(&job_state, 0);
    andiron_job_start(server.loops[0], "fill", 5000, job_first, NULL);
    await_job(1);
    client_pause(5);
    andiron_resume(atomic_load(&job_parked));
    await_job(102);
    stop();
}

static void a_job_past_its_deadline_goes_no_further(void **state)
{
    (void)state;
    serve(test_settings());
    atomic_store(&job_state, 0);
    andiron_job_start(server.loops[0], "fill", 50, job_first, NULL);
    await_job(1);
    client_pause(150);
    assert_int_equal(atomic_load(&job_state), 1); /* somebody may still use its arena */
    andiron_resume(atomic_load(&job_parked));
    await_job(101);
    stop();
}

static atomic_int run_status;
static char run_body[64];

static void on_run(void *arg, int status, andiron_str body)
{
    (void)arg;
    snprintf(run_body, sizeof(run_body), "%.*s", (int)body.len, body.data);
    atomic_store(&run_status, status);
}

static void the_server_itself_needs_no_grant(void **state)
{
    struct andiron_inner inner = { .size = sizeof(inner),
                                   .method = ANDIRON_STR("GET"),
                                   .target = ANDIRON_STR("/private") };
    (void)state;
    serve(test_settings());
    atomic_store(&run_status, 0);
    http_server_run(server.server, &inner, on_run, NULL);
    for (int i = 0; i < 400 && atomic_load(&run_status) == 0; i++)
        client_pause(5);
    assert_int_equal(atomic_load(&run_status), 200);
    assert_string_equal(run_body, "done");
    assert_trail("receive authorize handle ");
    stop();
}

static int make_counter(void **state)
{
    (void)state;
    slow = andiron_counter(NULL, "test_slow_steps_total", NULL, "slow steps of this test");
    return slow != NULL ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(phases_run_in_order),
        cmocka_unit_test(public_routes_ignore_credentials),
        cmocka_unit_test(oauth_routes_authenticate_themselves_but_need_a_grant),
        cmocka_unit_test(without_a_grant_nothing_is_handled),
        cmocka_unit_test(a_refusal_goes_straight_to_respond),
        cmocka_unit_test(challenges_tell_no_more_than_they_must),
        cmocka_unit_test(respond_hooks_may_replace_the_response),
        cmocka_unit_test(steps_that_break_the_rules_cost_only_their_request),
        cmocka_unit_test(a_hook_may_wait),
        cmocka_unit_test(ready_results_cost_no_stack),
        cmocka_unit_test(offloaded_work_runs_on_the_pool_and_goes_on_on_the_loop),
        cmocka_unit_test(request_memory_is_limited),
        cmocka_unit_test(time_left_is_that_of_the_deadline),
        cmocka_unit_test(slow_steps_are_counted),
        cmocka_unit_test(inner_requests_are_judged_and_handled),
        cmocka_unit_test(a_refused_inner_request_fails_alone),
        cmocka_unit_test(check_only_asks_without_handling),
        cmocka_unit_test(thousands_of_inner_requests_cost_no_stack),
        cmocka_unit_test(json_is_parsed_wherever_it_is_cheapest),
        cmocka_unit_test(all_issues_are_shown_at_once),
        cmocka_unit_test(internal_errors_say_only_the_request_id),
        cmocka_unit_test(variables_query_and_base_are_there),
        cmocka_unit_test(jobs_run_as_the_server_itself),
        cmocka_unit_test(a_job_past_its_deadline_goes_no_further),
        cmocka_unit_test(the_server_itself_needs_no_grant),
    };
    return cmocka_run_group_tests(tests, make_counter, NULL);
}
