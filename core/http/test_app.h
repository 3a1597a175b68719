/*
 * What the tests of connections serve: routes that use the calls of andiron/request.h as plugins do.
 */
#ifndef CORE_HTTP_TEST_APP_H
#define CORE_HTTP_TEST_APP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/test_client.h"
#include "http/test_server.h"

static const struct http_owner owner = { .name = "test" };
static char text[200 * 1024];
static atomic_uint released; /* arenas of requests that asked to be told */
static atomic_uint stream_pieces;
static struct andiron_request *_Atomic parked;
static atomic_uint continued;

/* ---- routes ------------------------------------------------------------------- */

static enum andiron_step hello(struct andiron_request *req, void *self)
{
    (void)self;
    andiron_reply_header(req, "ETag", ANDIRON_STR("W/\"1\""));
    return andiron_reply(req, 200, "application/json", ANDIRON_STR("{\"hello\":\"world\"}"));
}

static enum andiron_step echo(struct andiron_request *req, void *self)
{
    (void)self;
    return andiron_reply(req, 200, "text/plain", andiron_request_body(req));
}

static enum andiron_step large(struct andiron_request *req, void *self)
{
    (void)self;
    return andiron_reply(req, 200, "application/json", (andiron_str){ text, sizeof(text) });
}

static enum andiron_step empty(struct andiron_request *req, void *self)
{
    (void)self;
    return andiron_reply(req, 204, NULL, ANDIRON_STR(""));
}

static void count_release(void *arg)
{
    (void)arg;
    atomic_fetch_add(&released, 1);
}

static enum andiron_step parked_over(struct andiron_request *req, void *state)
{
    (void)state;
    atomic_fetch_add(&continued, 1);
    return andiron_reply(req, 200, "text/plain", ANDIRON_STR("at last"));
}

static enum andiron_step park(struct andiron_request *req, void *self)
{
    enum andiron_step step = andiron_wait(req, parked_over, self);

    andiron_at_release(andiron_request_arena(req), count_release, NULL);
    atomic_store(&parked, req);
    return step;
}

struct stream {
    size_t left, piece;
};

static enum andiron_step stream_on(struct andiron_request *req, void *state)
{
    struct stream *s = state;
    size_t n = s->left < s->piece ? s->left : s->piece;

    if (n == 0)
        return andiron_reply_end(req);
    s->left -= n;
    atomic_fetch_add(&stream_pieces, 1);
    return andiron_reply_write(req, (andiron_str){ text, n }, stream_on, s);
}

static enum andiron_step stream(struct andiron_request *req, void *self)
{
    struct stream *s = andiron_new(andiron_request_arena(req), struct stream);

    (void)self;
    s->left = strtoul(andiron_copy(andiron_request_arena(req), andiron_request_var(req, "bytes")),
                      NULL, 10);
    s->piece = 5000;
    andiron_at_release(andiron_request_arena(req), count_release, NULL);
    andiron_reply_start(req, 200, "text/plain");
    return stream_on(req, s);
}

static enum andiron_step stream_fails(struct andiron_request *req, void *state)
{
    (void)state;
    return andiron_fail(req, ANDIRON_E_UNAVAILABLE, "half way");
}

static enum andiron_step stream_breaks(struct andiron_request *req, void *self)
{
    (void)self;
    andiron_reply_start(req, 200, "text/plain");
    return andiron_reply_write(req, (andiron_str){ text, 100000 }, stream_fails, NULL);
}

struct upload {
    andiron_str piece;
    uint64_t bytes, pieces;
};

static enum andiron_step upload_on(struct andiron_request *req, void *state)
{
    struct upload *u = state;

    if (u->piece.data == NULL)
        return andiron_reply(req, 200, "text/plain",
                             andiron_str_of(andiron_printf(andiron_request_arena(req), "%llu",
                                                           (unsigned long long)u->bytes)));
    u->bytes += u->piece.len;
    u->pieces++;
    return andiron_request_read(req, &u->piece, upload_on, u);
}

static enum andiron_step upload(struct andiron_request *req, void *self)
{
    struct upload *u = andiron_new(andiron_request_arena(req), struct upload);

    (void)self;
    return andiron_request_read(req, &u->piece, upload_on, u);
}

static enum andiron_step file(struct andiron_request *req, void *self)
{
    int fd = open(self, O_RDONLY | O_CLOEXEC);

    return andiron_reply_file(req, 200, "text/plain", fd, 1, sizeof(text) - 1);
}

static enum andiron_step remote(struct andiron_request *req, void *self)
{
    (void)self;
    return andiron_reply(req, 200, "text/plain", andiron_request_remote(req));
}

static enum andiron_step params(struct andiron_request *req, void *self)
{
    struct andiron_arena *arena = andiron_request_arena(req);
    andiron_str name, value;
    const char *all = "";
    size_t pos = 0;

    (void)self;
    while (andiron_request_param(req, &pos, &name, &value))
        all = andiron_printf(arena, "%s[%.*s=%.*s]", all, (int)name.len, name.data, (int)value.len,
                             value.data);
    return andiron_reply(req, 200, "text/plain", andiron_str_of(all));
}

static char file_path[] = "/tmp/andiron-test-XXXXXX";

#define PUBLIC ANDIRON_ROUTE_PUBLIC
static const struct andiron_route table[] = {
    { "GET", "/hello", hello, NULL, PUBLIC, NULL },
    { "GET", "/empty", empty, NULL, PUBLIC, NULL },
    { "GET", "/large", large, NULL, PUBLIC, NULL },
    { "POST", "/echo", echo, NULL, PUBLIC, NULL },
    { "GET", "/park", park, NULL, PUBLIC, NULL },
    { "GET", "/stream/{bytes}", stream, NULL, PUBLIC | ANDIRON_ROUTE_STREAM, NULL },
    { "GET", "/broken", stream_breaks, NULL, PUBLIC, NULL },
    { "POST", "/upload", upload, NULL, PUBLIC | ANDIRON_ROUTE_UPLOAD, NULL },
    { "GET", "/file", file, NULL, PUBLIC, NULL },
    { "GET", "/remote", remote, NULL, PUBLIC, NULL },
    { "POST", "/fhir/_search", params, NULL, PUBLIC, NULL },
    { "POST", "/auth/token", echo, NULL, PUBLIC | ANDIRON_ROUTE_OAUTH, NULL },
    { "GET", "/private", hello, NULL, 0, NULL },
    { "POST", "/private", echo, NULL, 0, NULL },
};
enum { ROUTES = sizeof(table) / sizeof(table[0]) };

static struct test_server server;
static struct route_table *routes;

static inline void serve(struct http_settings settings, size_t loops)
{
    static struct http_route own[ROUTES];
    struct andiron_error err;

    for (size_t i = 0; i < ROUTES; i++)
        own[i] = (struct http_route){ .route = &table[i], .owner = &owner, .self = file_path };
    routes = route_table_new(own, ROUTES, &err);
    server = (struct test_server){ .settings = settings, .loop_count = loops };
    server.app.routes = routes;
    assert_int_equal(pool_start(2, &err), 0);
    test_server_start(&server);
}

static inline void stop(void)
{
    test_server_stop(&server);
    route_table_free(routes);
}

static inline struct answer ask(const char *request)
{
    struct client c = client_open(server.port);
    struct answer a;

    client_send(&c, request);
    a = client_read(&c, strncmp(request, "HEAD", 4) != 0);
    client_close(&c);
    return a;
}

static inline void assert_status(const char *request, int status)
{
    struct answer a = ask(request);

    if (a.status != status)
        print_error("%s\n-> %s\n%s\n", request, a.head, a.body);
    assert_int_equal(a.status, status);
    answer_free(&a);
}

#define GET_HELLO "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"

static inline int make_file(void **state)
{
    int fd = mkstemp(file_path);

    (void)state;
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)('a' + i % 23 + (i / 1000) % 3);
    if (fd < 0 || write(fd, text, sizeof(text)) != (ssize_t)sizeof(text) || close(fd) != 0)
        return -1;
    return 0;
}

static inline int drop_file(void **state)
{
    (void)state;
    return unlink(file_path);
}

#endif
