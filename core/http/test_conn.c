/*
 * Connections: what a client sees on a real socket.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/resource.h>
#include <zlib.h>

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

static void serve(struct http_settings settings, size_t loops)
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

static void stop(void)
{
    test_server_stop(&server);
    route_table_free(routes);
}

static struct answer ask(const char *request)
{
    struct client c = client_open(server.port);
    struct answer a;

    client_send(&c, request);
    a = client_read(&c, strncmp(request, "HEAD", 4) != 0);
    client_close(&c);
    return a;
}

static void assert_status(const char *request, int status)
{
    struct answer a = ask(request);

    if (a.status != status)
        print_error("%s\n-> %s\n%s\n", request, a.head, a.body);
    assert_int_equal(a.status, status);
    answer_free(&a);
}

#define GET_HELLO "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"

/* ---- one request after the other ------------------------------------------------- */

static void connection_is_kept_for_the_next_request(void **state)
{
    (void)state;
    serve(test_settings(), 1);
    struct client c = client_open(server.port);
    for (int i = 0; i < 3; i++) {
        client_send(&c, GET_HELLO);
        struct answer a = client_read(&c, true);
        assert_int_equal(a.status, 200);
        assert_string_equal(a.body, "{\"hello\":\"world\"}");
        assert_null(head_value(a.head, "connection"));
        assert_non_null(head_value(a.head, "date"));
        assert_string_equal(head_value(a.head, "etag"), "W/\"1\"");
        assert_int_equal(strlen(head_value(a.head, "x-request-id")), 16);
        assert_null(head_value(a.head, "server"));
        answer_free(&a);
    }
    client_close(&c);
    stop();
}

static void connection_ends_where_the_client_says_so(void **state)
{
    (void)state;
    serve(test_settings(), 1);
    struct client c = client_open(server.port);
    client_send(&c, "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    struct answer a = client_read(&c, true);
    assert_string_equal(head_value(a.head, "connection"), "close");
    assert_true(client_ends(&c, 1000));
    answer_free(&a);
    client_close(&c);
    c = client_open(server.port);
    client_send(&c, "GET /hello HTTP/1.0\r\n\r\n");
    a = client_read(&c, true);
    assert_int_equal(a.status, 200);
    assert_true(client_ends(&c, 1000));
    answer_free(&a);
    client_close(&c);
    stop();
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    (void)state;
    serve(test_settings(), 1);
    struct client c = client_open(server.port);
    char all[16 * 1024] = "";
    size_t len = 0;
    for (int i = 0; i < 200; i++)
        len += (size_t)snprintf(all + len, sizeof(all) - len,
                                "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n%03d", i);
    client_send_bytes(&c, all, len);
    for (int i = 0; i < 200; i++) {
        char expected[16];
        struct answer a = client_read(&c, true);
        snprintf(expected, sizeof(expected), "%03d", i);
        assert_int_equal(a.status, 200);
        assert_string_equal(a.body, expected);
        answer_free(&a);
    }
    client_close(&c);
    stop();
}

static void half_closed_client_gets_all_answers(void **state)
{
    (void)state;
    serve(test_settings(), 1);
    struct client c = client_open(server.port);
    client_send(&c, GET_HELLO GET_HELLO GET_HELLO);
    assert_int_equal(shutdown(c.fd, SHUT_WR), 0);
    for (int i = 0; i < 3; i++) {
        struct answer a = client_read(&c, true);
        assert_int_equal(a.status, 200);
        answer_free(&a);
    }
    assert_true(client_ends(&c, 1000));
    client_close(&c);
    stop();
}

static void half_closed_client_gets_a_late_answer(void **state)
{
    (void)state;
    serve(test_settings(), 1);
    struct client c = client_open(server.port);
    atomic_store(&parked, NULL);
    client_send(&c, "GET /park HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(shutdown(c.fd, SHUT_WR), 0);
    while (atomic_load(&parked) == NULL)
        client_pause(1);
    client_pause(20);
    andiron_resume(atomic_load(&parked));
    struct answer a = client_read(&c, true);
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body, "at last");
    answer_free(&a);
    client_close(&c);
    stop();
}

static void request_arrives_byte_by_byte(void **state)
{
    static const char request[] = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                                  "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: x\r\n\r\n";
    (void)state;
    serve(test_settings(), 1);
    struct client c = client_open(server.port);
    for (size_t i = 0; i < sizeof(request) - 1; i++) {
        client_send_bytes(&c, request + i, 1);
        client_pause(1);
    }
    client_send(&c, GET_HELLO);
    struct answer a = client_read(&c, true);
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body, "abcde");
    answer_free(&a);
    a = client_read(&c, true);
    assert_int_equal(a.status, 200);
    answer_free(&a);
    client_close(&c);
    stop();
}

static void many_connections_on_several_loops(void **state)
{
    enum { CLIENTS = 60 };
    struct client c[CLIENTS];
    (void)state;
    serve(test_settings(), 3);
    for (int i = 0; i < CLIENTS; i++)
        c[i] = client_open(server.port);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < CLIENTS; i++)
            client_send(&c[i], GET_HELLO);
        for (int i = 0; i < CLIENTS; i++) {
            struct answer a = client_read(&c[i], true);
            assert_int_equal(a.status, 200);
            answer_free(&a);
        }
    }
    struct http_stats stats;
    http_server_stats(server.server, &stats);
    assert_int_equal(stats.connections, CLIENTS);
    assert_int_equal(stats.requests_total, 3 * CLIENTS);
    assert_true(stats.p99_us > 0 && stats.p99_us < 1000000);
    for (int i = 0; i < CLIENTS; i++)
        client_close(&c[i]);
    stop();
}

/* ---- responses --------------------------------------------------------------------- */

static void head_is_get_without_body(void **state)
{
    (void)state;
    serve(test_settings(), 1);
    struct client c = client_open(server.port);
    client_send(&c, "HEAD /large HTTP/1.1\r\nHost: a\r\n\r\n"
                    "HEAD /stream/9000000 HTTP/1.1\r\nHost: a\r\n\r\n"
                    "HEAD /file HTTP/1.1\r\nHost: a\r\n\r\n" GET_HELLO);
    struct answer a = client_read(&c, false);
    assert_int_equal(a.status, 200);
    assert_int_equal(atoi(head_value(a.head, "content-length")), sizeof(text));
    answer_free(&a);
    a = client_read(&c, false);
    assert_int_equal(a.status, 200);
    answer_free(&a);
    a = client_read(&c, false);
    assert_int_equal(atoi(head_value(a.head, "content-length")), sizeof(text) - 1);
    answer_free(&a);
    a = client_read(&c, true);
    assert_string_equal(a.body, "{\"hello\":\"world\"}");
    answer_free(&a);
    client_close(&c);
    stop();
}

static void no_content_has_no_length(void **state)
{
    (void)state;
    serve(test_settings(), 1);
    struct client c = client_open(server.port);
    client_send(&c, "GET /empty HTTP/1.1\r\nHost: a\r\n\r\n" GET_HELLO);
    struct answer a = client_read(&c, true);
    assert_int_equal(a.status, 204);
    assert_null(head_value(a.head, "content-length"));
    assert_null(head_value(a.head, "content-type"));
    answer_free(&a);
    a = client_read(&c, true);
    assert_int_equal(a.status, 200);
    answer_free(&a);
    client_close(&c);
    stop();
}

static void large_body_reaches_a_slow_reader(void **state)
{
    (void)state;
    serve(test_settings(), 1);
    struct client c = client_open(server.port);
    for (int i = 0; i < 100; i++) /* more than the kernel's buffers take */
        client_send(&c, "GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    client_pause(200);
    for (int i = 0; i < 100; i++) {
        struct answer a = client_read(&c, true);
        assert_int_equal(a.status, 200);
        assert_int_equal(a.body_len, sizeof(text));
        assert_memory_equal(a.body, text, sizeof(text));
        answer_free(&a);
    }
    client_close(&c);
    stop();
}

static void file_is_sent(void **state)
{
    (void)state;
    serve(test_settings(), 1);
    struct client c = client_open(server.port);
    client_send(&c, "GET /file HTTP/1.1\r\nHost: a\r\n\r\n" GET_HELLO);
    struct answer a = client_read(&c, true);
    assert_int_equal(a.body_len, sizeof(text) - 1);
    assert_memory_equal(a.body, text + 1, sizeof(text) - 1);
    answer_free(&a);
    a = client_read(&c, true);
    assert_int_equal(a.status, 200);
    answer_free(&a);
    client_close(&c);
    stop();
}

static void stream_is_chunked(void **state)
{
    (void)state;
    serve(test_settings(), 1);
    struct client c = client_open(server.port);
    client_send(&c, "GET /stream/3000000 HTTP/1.1\r\nHost: a\r\n\r\n" GET_HELLO);
    struct answer a = client_read(&c, true);
    assert_string_equal(head_value(a.head, "transfer-encoding"), "chunked");
    assert_int_equal(a.body_len, 3000000);
    assert_true(a.chunks > 1 && a.chunks < 200);
    for (size_t i = 0; i < a.body_len; i++)
        assert_int_equal(a.body[i], text[i % 5000]);
    answer_free(&a);
    a = client_read(&c, true);
    assert_int_equal(a.status, 200);
    answer_free(&a);
    client_close(&c);
    stop();
}

static void short_stream_has_a_length(void **state)
{
    (void)state;
    serve(test_settings(), 1);
    struct answer a = ask("GET /stream/12000 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_string_equal(head_value(a.head, "content-length"), "12000");
    assert_memory_equal(a.body + 5000, text, 5000);
    answer_free(&a);
    stop();
}

static void stream_to_an_old_client_ends_with_the_connection(void **state)
{
    (void)state;
    serve(test_settings(), 1);
    struct answer a = ask("GET /stream/3000000 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_null(head_value(a.head, "transfer-encoding"));
    assert_string_equal(head_value(a.head, "connection"), "close");
    assert_int_equal(a.body_len, 3000000);
    answer_free(&a);
    stop();
}

static void stream_waits_for_a_slow_reader(void **state)
{
    (void)state;
    serve(test_settings(), 1);
    struct client c = client_open(server.port);
    atomic_store(&stream_pieces, 0);
    client_send(&c, "GET /stream/100000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    client_pause(300);
    unsigned before = atomic_load(&stream_pieces);
    client_pause(100);
    /* The kernel's own buffers take some megabytes; after that the writer stands still. */
    assert_int_equal(atomic_load(&stream_pieces), before);
    assert_true(before * 5000 < 20000000);
    struct answer a = client_read(&c, true);
    assert_int_equal(a.body_len, 100000000);
    answer_free(&a);
    client_close(&c);
    stop();
}

static void leaving_reader_ends_a_stream(void **state)
{
    (void)state;
    serve(test_settings(), 1);
    struct client c = client_open(server.port);
    atomic_store(&released, 0);
    client_send(&c, "GET /stream/1000000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    (void)client_fill(&c, 1000);
    client_close(&c);
    for (int i = 0; i < 200 && atomic_load(&released) == 0; i++)
        client_pause(10);
    assert_int_equal(atomic_load(&released), 1);
    stop();
}

static void failed_stream_is_cut_off(void **state)
{
    (void)state;
    serve(test_settings(), 1);
    struct answer a = ask("GET /broken HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(a.status, 0);
    answer_free(&a);
    stop();
}

static void accepted_gzip_is_sent(void **state)
{
    struct http_settings settings = test_settings();
    (void)state;
    settings.compression_gzip = true;
    settings.compression_min = 1024;
    serve(settings, 1);
    struct answer a = ask("GET /large HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
    assert_string_equal(head_value(a.head, "content-encoding"), "gzip");
    assert_string_equal(head_value(a.head, "vary"), "Accept-Encoding");
    assert_true(a.body_len < sizeof(text) / 2);
    static char plain[sizeof(text) + 1];
    z_stream z = { .next_in = (Bytef *)a.body, .avail_in = (uInt)a.body_len,
                   .next_out = (Bytef *)plain, .avail_out = sizeof(plain) };
    assert_int_equal(inflateInit2(&z, 31), Z_OK);
    assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
    assert_int_equal(z.total_out, sizeof(text));
    assert_memory_equal(plain, text, sizeof(text));
    inflateEnd(&z);
    answer_free(&a);
    a = ask("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_null(head_value(a.head, "content-encoding"));
    assert_string_equal(head_value(a.head, "vary"), "Accept-Encoding");
    assert_int_equal(a.body_len, sizeof(text));
    answer_free(&a);
    a = ask("GET /hello HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
    assert_null(head_value(a.head, "content-encoding"));
    answer_free(&a);
    stop();
}

/* ---- bodies --------------------------------------------------------------------------- */

static char *post(const char *head, const char *body, size_t len, size_t *ret_len)
{
    char *all = malloc(strlen(head) + len + 1);

    *ret_len = strlen(head) + len;
    memcpy(all, head, strlen(head));
    memcpy(all + strlen(head), body, len);
    return all;
}

static struct answer ask_bytes(const char *bytes, size_t len)
{
    struct client c = client_open(server.port);
    struct answer a;

    client_send_bytes(&c, bytes, len);
    a = client_read(&c, true);
    client_close(&c);
    return a;
}

static void body_of_any_size_arrives(void **state)
{
    static const size_t sizes[] = { 1, 100, 16000, 16384, 16385, 40000, 65536 };
    (void)state;
    serve(test_settings(), 1);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char head[200];
        size_t len;
        snprintf(head, sizeof(head),
                 "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n", sizes[i]);
        char *all = post(head, text, sizes[i], &len);
        struct answer a = ask_bytes(all, len);
        assert_int_equal(a.status, 200);
        assert_int_equal(a.body_len, sizes[i]);
        assert_memory_equal(a.body, text, sizes[i]);
        answer_free(&a);
        free(all);
        /* In pieces with pauses the views must stay where they are. */
        all = post(head, text, sizes[i], &len);
        struct client c = client_open(server.port);
        for (size_t at = 0; at < len; at += len / 4 + 1) {
            client_send_bytes(&c, all + at, len - at < len / 4 + 1 ? len - at : len / 4 + 1);
            client_pause(3);
        }
        a = client_read(&c, true);
        assert_int_equal(a.body_len, sizes[i]);
        assert_memory_equal(a.body, text, sizes[i]);
        answer_free(&a);
        client_close(&c);
        free(all);
    }
    stop();
}

static void chunked_body_with_a_request_behind_it(void **state)
{
    (void)state;
    serve(test_settings(), 1);
    struct client c = client_open(server.port);
    client_send(&c, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 6; i++) {
        client_send(&c, "2710\r\n");
        client_send_bytes(&c, text + 10000 * i, 10000);
        client_send(&c, "\r\n");
    }
    client_send(&c, "0\r\n\r\n" GET_HELLO);
    struct answer a = client_read(&c, true);
    assert_int_equal(a.body_len, 60000);
    assert_memory_equal(a.body, text, 60000);
    answer_free(&a);
    a = client_read(&c, true);
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body, "{\"hello\":\"world\"}");
    answer_free(&a);
    client_close(&c);
    stop();
}

static size_t gzip(const char *from, size_t len, char *to, size_t room)
{
    z_stream z = { .next_in = (Bytef *)(uintptr_t)from, .avail_in = (uInt)len,
                   .next_out = (Bytef *)to, .avail_out = (uInt)room };

    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return z.total_out;
}

static void gzip_body_is_inflated_within_the_limit(void **state)
{
    static char coded[100000];
    char head[200];
    (void)state;
    serve(test_settings(), 1);
    size_t n = gzip(text, 60000, coded, sizeof(coded)), len;
    snprintf(head, sizeof(head),
             "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: %zu\r\n\r\n",
             n);
    char *all = post(head, coded, n, &len);
    struct answer a = ask_bytes(all, len);
    assert_int_equal(a.status, 200);
    assert_int_equal(a.body_len, 60000);
    assert_memory_equal(a.body, text, 60000);
    answer_free(&a);
    free(all);
    /* 64 KiB is the limit of anonymous bodies, after inflation. */
    n = gzip(text, 66000, coded, sizeof(coded));
    snprintf(head, sizeof(head),
             "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: %zu\r\n\r\n",
             n);
    all = post(head, coded, n, &len);
    a = ask_bytes(all, len);
    assert_int_equal(a.status, 413);
    answer_free(&a);
    free(all);
    /* Cut off, and other codings. */
    n = gzip(text, 60000, coded, sizeof(coded)) - 20;
    snprintf(head, sizeof(head),
             "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: %zu\r\n\r\n",
             n);
    all = post(head, coded, n, &len);
    a = ask_bytes(all, len);
    assert_int_equal(a.status, 400);
    answer_free(&a);
    free(all);
    assert_status("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Encoding: br\r\nContent-Length: 1\r\n\r\nx",
                  415);
    stop();
}

static void gzip_body_reaches_a_limit_of_any_size(void **state)
{
    static const size_t sizes[] = { 140000, 150000, 150001 };
    static char coded[100000], digits[150001];
    char head[200];

    (void)state;
    for (uint32_t i = 0, x = 1; i < sizeof(digits); i++) { /* hard to pack: the ratio is no matter */
        x = x * 1664525 + 1013904223;
        digits[i] = (char)('0' + (x >> 16) % 10);
    }
    struct http_settings settings = test_settings();
    settings.max_body_anonymous = 150000; /* where room has doubled past it */
    serve(settings, 1);
    for (size_t i = 0; i < 3; i++) {
        size_t n = gzip(digits, sizes[i], coded, sizeof(coded)), len;
        snprintf(head, sizeof(head),
                 "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\n"
                 "Content-Length: %zu\r\n\r\n",
                 n);
        char *all = post(head, coded, n, &len);
        struct answer a = ask_bytes(all, len);
        assert_int_equal(a.status, sizes[i] <= 150000 ? 200 : 413);
        assert_true(a.status != 200 || a.body_len == sizes[i]);
        answer_free(&a);
        free(all);
    }
    stop();
}

static void declared_large_body_is_refused_unread(void **state)
{
    (void)state;
    serve(test_settings(), 1);
    struct client c = client_open(server.port);
    client_send(&c, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n");
    struct answer a = client_read(&c, true);
    assert_int_equal(a.status, 413);
    assert_string_equal(head_value(a.head, "connection"), "close");
    assert_non_null(strstr(a.body, "too-long"));
    answer_free(&a);
    client_close(&c);
    stop();
}

static void answer_reaches_a_client_that_goes_on_sending(void **state)
{
    (void)state;
    serve(test_settings(), 1);
    struct client c = client_open(server.port);
    client_send(&c, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n");
    for (int i = 0; i < 20; i++)
        client_send_bytes(&c, text, 100000);
    struct answer a = client_read(&c, true);
    assert_int_equal(a.status, 413);
    answer_free(&a);
    client_close(&c);
    stop();
}

static void too_long_chunked_body_is_refused(void **state)
{
    (void)state;
    serve(test_settings(), 1);
    struct client c = client_open(server.port);
    client_send(&c, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n186a0\r\n");
    client_send_bytes(&c, text, 100000);
    struct answer a = client_read(&c, true);
    assert_int_equal(a.status, 413);
    assert_true(client_ends(&c, 3000));
    answer_free(&a);
    client_close(&c);
    stop();
}

static void bad_chunk_ends_the_connection(void **state)
{
    (void)state;
    serve(test_settings(), 1);
    struct client c = client_open(server.port);
    client_send(&c, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                    "3\r\nabcX\r\n" GET_HELLO);
    struct answer a = client_read(&c, true);
    assert_int_equal(a.status, 400);
    answer_free(&a);
    a = client_read(&c, true);
    assert_int_equal(a.status, 0);
    answer_free(&a);
    client_close(&c);
    stop();
}

static void refused_body_is_skipped(void **state)
{
    (void)state;
    serve(test_settings(), 1);
    struct client c = client_open(server.port);
    client_send(&c, "POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 30000\r\n\r\n");
    client_send_bytes(&c, text, 30000);
    client_send(&c, "POST /nowhere HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                    "5\r\nabcde\r\n0\r\n\r\n" GET_HELLO);
    struct answer a = client_read(&c, true);
    assert_int_equal(a.status, 404);
    assert_null(head_value(a.head, "connection"));
    answer_free(&a);
    a = client_read(&c, true);
    assert_int_equal(a.status, 404);
    answer_free(&a);
    a = client_read(&c, true);
    assert_int_equal(a.status, 200);
    answer_free(&a);
    client_close(&c);
    stop();
}

static void continue_comes_once_the_request_may_go_on(void **state)
{
    (void)state;
    serve(test_settings(), 1);
    struct client c = client_open(server.port);
    client_send(&c, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    struct answer a = client_read(&c, true);
    assert_int_equal(a.status, 100);
    answer_free(&a);
    client_send(&c, "abc");
    a = client_read(&c, true);
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body, "abc");
    answer_free(&a);
    /* Refused: the final status, and the connection ends since the body will not come. */
    client_send(&c, "POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    a = client_read(&c, true);
    assert_int_equal(a.status, 404);
    assert_string_equal(head_value(a.head, "connection"), "close");
    answer_free(&a);
    client_close(&c);
    c = client_open(server.port);
    client_send(&c, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\nExpect: 100-continue\r\n\r\n");
    a = client_read(&c, true);
    assert_int_equal(a.status, 413);
    answer_free(&a);
    client_close(&c);
    stop();
}

static void upload_comes_in_pieces_of_any_length(void **state)
{
    (void)state;
    serve(test_settings(), 1);
    struct client c = client_open(server.port);
    client_send(&c, "POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n");
    for (int i = 0; i < 20; i++)
        client_send_bytes(&c, text, 100000);
    struct answer a = client_read(&c, true);
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body, "2000000");
    answer_free(&a);
    client_send(&c, "POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 20; i++) {
        client_send(&c, "186a0\r\n");
        client_send_bytes(&c, text, 100000);
        client_send(&c, "\r\n");
    }
    client_send(&c, "0\r\n\r\n");
    a = client_read(&c, true);
    assert_string_equal(a.body, "2000000");
    answer_free(&a);
    static char coded[100000];
    size_t n = gzip(text, sizeof(text), coded, sizeof(coded)), len;
    char head[200];
    snprintf(head, sizeof(head),
             "POST /upload HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: %zu\r\n\r\n",
             n);
    char *all = post(head, coded, n, &len);
    client_send_bytes(&c, all, len);
    free(all);
    a = client_read(&c, true);
    assert_string_equal(a.body, "204800");
    answer_free(&a);
    client_send(&c, "POST /upload HTTP/1.1\r\nHost: a\r\n\r\n");
    a = client_read(&c, true);
    assert_string_equal(a.body, "0");
    answer_free(&a);
    client_close(&c);
    stop();
}

static void bodies_in_flight_are_limited(void **state)
{
    struct http_settings settings = test_settings();
    (void)state;
    settings.body_memory = 100000;
    serve(settings, 1);
    struct client first = client_open(server.port);
    client_send(&first, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\nabc");
    client_pause(50);
    struct client c = client_open(server.port);
    client_send(&c, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n");
    struct answer a = client_read(&c, true);
    assert_int_equal(a.status, 503);
    assert_non_null(head_value(a.head, "retry-after"));
    answer_free(&a);
    client_close(&c);
    client_send_bytes(&first, text, 59997);
    a = client_read(&first, true);
    assert_int_equal(a.status, 200);
    answer_free(&a);
    client_close(&first);
    client_pause(20);
    c = client_open(server.port);
    client_send(&c, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n");
    client_send_bytes(&c, text, 60000);
    a = client_read(&c, true);
    assert_int_equal(a.status, 200);
    answer_free(&a);
    client_close(&c);
    stop();
}

static void form_parameters_join_those_of_the_query(void **state)
{
    (void)state;
    serve(test_settings(), 1);
    struct answer a = ask("POST /fhir/_search?_count=2 HTTP/1.1\r\nHost: a\r\nContent-Length: 18\r\n"
                          "Content-Type: application/x-www-form-urlencoded\r\n\r\nname=a+b&code=%7Cx");
    assert_string_equal(a.body, "[_count=2][name=a b][code=|x]");
    answer_free(&a);
    assert_status("POST /fhir/_search?a=%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    stop();
}

/* ---- what is refused -------------------------------------------------------------------- */

static void syntax_errors_end_the_connection(void **state)
{
    (void)state;
    serve(test_settings(), 1);
    struct client c = client_open(server.port);
    client_send(&c, "GET /hello HTTP/1.1\r\nHost : a\r\n\r\n" GET_HELLO);
    struct answer a = client_read(&c, true);
    assert_int_equal(a.status, 400);
    assert_string_equal(head_value(a.head, "connection"), "close");
    assert_non_null(head_value(a.head, "x-request-id"));
    assert_int_equal(a.body_len, 0);
    answer_free(&a);
    a = client_read(&c, true);
    assert_int_equal(a.status, 0);
    assert_true(client_ends(&c, 3000));
    answer_free(&a);
    client_close(&c);
    assert_status("GET /hello HTTP/2.0\r\nHost: a\r\n\r\n", 505);
    assert_status("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 501);
    stop();
}

static void long_request_line_and_header_are_refused(void **state)
{
    static char request[64 * 1024];
    (void)state;
    serve(test_settings(), 1);
    size_t len = (size_t)snprintf(request, sizeof(request), "GET /fhir/");
    memset(request + len, 'x', 9000);
    struct client c = client_open(server.port);
    client_send(&c, request);
    struct answer a = client_read(&c, true);
    assert_int_equal(a.status, 414);
    assert_non_null(strstr(a.body, "OperationOutcome"));
    answer_free(&a);
    client_close(&c);
    len = (size_t)snprintf(request, sizeof(request), "GET /hello HTTP/1.1\r\nHost: a\r\nX: ");
    memset(request + len, 'x', 17000);
    request[len + 17000] = '\0';
    c = client_open(server.port);
    client_send(&c, request);
    a = client_read(&c, true);
    assert_int_equal(a.status, 431);
    answer_free(&a);
    client_close(&c);
    /* Just within the limits, which is more than the usual input buffer. */
    len = (size_t)snprintf(request, sizeof(request), "GET /hello?");
    memset(request + len, 'q', 8000);
    len += 8000;
    len += (size_t)snprintf(request + len, sizeof(request) - len, " HTTP/1.1\r\nHost: a\r\nX: ");
    memset(request + len, 'x', 16000);
    len += 16000;
    snprintf(request + len, sizeof(request) - len, "\r\n\r\n%s", GET_HELLO);
    c = client_open(server.port);
    client_send(&c, request);
    for (int i = 0; i < 2; i++) {
        a = client_read(&c, true);
        assert_int_equal(a.status, 200);
        answer_free(&a);
    }
    client_close(&c);
    stop();
}

static void repeated_credentials_and_odd_paths_are_refused(void **state)
{
    (void)state;
    serve(test_settings(), 1);
    assert_status("GET /hello HTTP/1.1\r\nHost: a\r\nAuthorization: a\r\nAuthorization: b\r\n\r\n", 400);
    assert_status("GET /hel%6Co HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    assert_status("GET //hello HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    assert_status("GET /./hello HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    assert_status("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 204);
    stop();
}

static void errors_on_oauth_routes_are_oauth_errors(void **state)
{
    (void)state;
    serve(test_settings(), 1);
    struct answer a = ask("POST /auth/token HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\n");
    assert_int_equal(a.status, 413);
    assert_non_null(strstr(a.body, "\"error\":\"invalid_request\""));
    assert_string_equal(head_value(a.head, "cache-control"), "no-store");
    answer_free(&a);
    stop();
}

static void anonymous_gets_the_exact_401(void **state)
{
    (void)state;
    serve(test_settings(), 1);
    struct answer a = ask("GET /private HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(a.status, 401);
    assert_string_equal(head_value(a.head, "www-authenticate"),
                        "Bearer realm=\"andiron\", Basic realm=\"andiron\"");
    assert_string_equal(
        a.body,
        "{\"resourceType\":\"OperationOutcome\",\"id\":\"unauthorized\",\"text\":{\"status\":"
        "\"generated\",\"div\":\"<div xmlns=\\\"http://www.w3.org/1999/xhtml\\\">Unauthorized</div>\"},"
        "\"issue\":[{\"severity\":\"fatal\",\"code\":\"login\",\"diagnostics\":\"Unauthorized\"}]}");
    answer_free(&a);
    stop();
}

static void request_id_is_echoed_if_it_is_one(void **state)
{
    (void)state;
    serve(test_settings(), 1);
    struct answer a = ask("GET /hello HTTP/1.1\r\nHost: a\r\nX-Request-Id: abc-1._\r\n\r\n");
    assert_string_equal(head_value(a.head, "x-request-id"), "abc-1._");
    answer_free(&a);
    a = ask("GET /hello HTTP/1.1\r\nHost: a\r\nX-Request-Id: a b\r\n\r\n");
    assert_int_equal(strlen(head_value(a.head, "x-request-id")), 16);
    answer_free(&a);
    stop();
}

static void forwarded_address_counts_from_trusted_proxies_only(void **state)
{
    static const char *const proxies[] = { "127.0.0.0/8", "10.1.0.0/16", NULL };
    static const char request[] = "GET /remote HTTP/1.1\r\nHost: a\r\n"
                                  "X-Forwarded-For: 1.2.3.4, 192.0.2.9, 10.1.2.3\r\n\r\n";
    struct http_settings settings = test_settings();
    (void)state;
    serve(settings, 1);
    struct answer a = ask(request);
    assert_string_equal(a.body, "127.0.0.1");
    answer_free(&a);
    stop();
    settings.trusted_proxies = proxies;
    serve(settings, 1);
    a = ask(request);
    assert_string_equal(a.body, "192.0.2.9");
    answer_free(&a);
    stop();
}

/* ---- time ------------------------------------------------------------------------------- */

static struct http_settings quick_settings(void)
{
    struct http_settings settings = test_settings();

    settings.header_timeout = 200;
    settings.body_timeout = 150;
    settings.idle_timeout = 250;
    settings.write_timeout = 200;
    settings.request_timeout = 200;
    return settings;
}

static void silent_client_is_closed_without_a_word(void **state)
{
    (void)state;
    serve(quick_settings(), 1);
    struct client c = client_open(server.port);
    int64_t from = client_now_ms();
    assert_true(client_ends(&c, 2000));
    assert_int_equal(c.len, 0);
    assert_in_range(client_now_ms() - from, 150, 1000);
    client_close(&c);
    stop();
}

static void slow_head_gets_408(void **state)
{
    (void)state;
    serve(quick_settings(), 1);
    struct client c = client_open(server.port);
    int64_t from = client_now_ms();
    /* Every byte resets nothing: the whole head has so much time. */
    for (int i = 0; i < 12; i++) {
        client_send(&c, i == 0 ? "GET /hello HTTP/1.1\r\n" : "x");
        client_pause(25);
    }
    struct answer a = client_read(&c, true);
    assert_int_equal(a.status, 408);
    assert_in_range(client_now_ms() - from, 200, 1000);
    answer_free(&a);
    client_close(&c);
    stop();
}

static void slow_second_head_gets_408(void **state)
{
    (void)state;
    serve(quick_settings(), 1);
    struct client c = client_open(server.port);
    client_send(&c, GET_HELLO "GET /he");
    struct answer a = client_read(&c, true);
    assert_int_equal(a.status, 200);
    answer_free(&a);
    a = client_read(&c, true);
    assert_int_equal(a.status, 408);
    answer_free(&a);
    client_close(&c);
    stop();
}

static void slow_body_gets_408(void **state)
{
    (void)state;
    serve(quick_settings(), 1);
    struct client c = client_open(server.port);
    client_send(&c, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n");
    for (int i = 0; i < 5; i++) { /* each piece in time */
        client_pause(80);
        client_send(&c, "x");
    }
    struct answer a = client_read(&c, true);
    assert_int_equal(a.status, 408);
    answer_free(&a);
    client_close(&c);
    stop();
}

static void idle_connection_is_closed(void **state)
{
    (void)state;
    serve(quick_settings(), 1);
    struct client c = client_open(server.port);
    client_send(&c, GET_HELLO);
    struct answer a = client_read(&c, true);
    answer_free(&a);
    int64_t from = client_now_ms();
    assert_true(client_ends(&c, 2000));
    assert_in_range(client_now_ms() - from, 200, 1000);
    client_close(&c);
    stop();
}

static void stalled_reader_is_closed(void **state)
{
    (void)state;
    serve(quick_settings(), 1);
    struct client c = client_open(server.port);
    atomic_store(&released, 0);
    client_send(&c, "GET /stream/1000000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    for (int i = 0; i < 200 && atomic_load(&released) == 0; i++)
        client_pause(10);
    assert_int_equal(atomic_load(&released), 1);
    client_close(&c);
    stop();
}

static void late_answer_is_504_and_the_wait_may_end_later(void **state)
{
    (void)state;
    serve(quick_settings(), 1);
    atomic_store(&released, 0);
    atomic_store(&continued, 0);
    atomic_store(&parked, NULL);
    struct answer a = ask("GET /park HTTP/1.1\r\nHost: a\r\nX-Request-Id: late\r\n\r\n");
    assert_int_equal(a.status, 504);
    assert_string_equal(head_value(a.head, "x-request-id"), "late");
    assert_non_null(head_value(a.head, "retry-after"));
    assert_non_null(strstr(a.body, "timeout"));
    answer_free(&a);
    assert_int_equal(atomic_load(&released), 0); /* somebody may still work in its arena */
    andiron_resume(atomic_load(&parked));
    for (int i = 0; i < 200 && atomic_load(&released) == 0; i++)
        client_pause(5);
    assert_int_equal(atomic_load(&released), 1);
    assert_int_equal(atomic_load(&continued), 0);
    stop();
}

static void client_that_leaves_during_a_wait_is_forgotten_after_it(void **state)
{
    (void)state;
    serve(test_settings(), 1);
    struct linger hard = { .l_onoff = 1 };
    struct client c = client_open(server.port);
    atomic_store(&released, 0);
    atomic_store(&continued, 0);
    atomic_store(&parked, NULL);
    client_send(&c, "GET /park HTTP/1.1\r\nHost: a\r\n\r\n");
    while (atomic_load(&parked) == NULL)
        client_pause(1);
    assert_int_equal(setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), 0);
    client_close(&c); /* with a reset */
    client_pause(50);
    assert_int_equal(atomic_load(&released), 0);
    andiron_resume(atomic_load(&parked));
    for (int i = 0; i < 200 && atomic_load(&released) == 0; i++)
        client_pause(5);
    assert_int_equal(atomic_load(&released), 1);
    assert_int_equal(atomic_load(&continued), 0);
    stop();
}

static void requests_behind_a_waiting_one_wait(void **state)
{
    (void)state;
    serve(test_settings(), 1);
    struct client c = client_open(server.port);
    static char padding[12000];
    memset(padding, 'p', sizeof(padding) - 1);
    atomic_store(&parked, NULL);
    client_send(&c, "GET /park HTTP/1.1\r\nHost: a\r\n\r\n");
    for (int i = 0; i < 10; i++) { /* 120 KB, more than is read ahead */
        char request[13000];
        snprintf(request, sizeof(request), "GET /hello HTTP/1.1\r\nHost: a\r\nX: %s\r\n\r\n", padding);
        client_send(&c, request);
    }
    while (atomic_load(&parked) == NULL)
        client_pause(1);
    client_pause(50);
    assert_false(client_fill(&c, 0));
    andiron_resume(atomic_load(&parked));
    struct answer a = client_read(&c, true);
    assert_string_equal(a.body, "at last");
    answer_free(&a);
    for (int i = 0; i < 10; i++) {
        a = client_read(&c, true);
        assert_string_equal(a.body, "{\"hello\":\"world\"}");
        answer_free(&a);
    }
    client_close(&c);
    stop();
}

/* ---- connections ---------------------------------------------------------------------------- */

static void oldest_idle_connection_makes_room(void **state)
{
    struct http_settings settings = test_settings();
    (void)state;
    settings.max_connections = 3;
    serve(settings, 1);
    struct client c[4];
    for (int i = 0; i < 3; i++) {
        c[i] = client_open(server.port);
        client_send(&c[i], GET_HELLO);
        struct answer a = client_read(&c[i], true);
        answer_free(&a);
        client_pause(20);
    }
    c[3] = client_open(server.port);
    client_send(&c[3], GET_HELLO);
    struct answer a = client_read(&c[3], true);
    assert_int_equal(a.status, 200);
    answer_free(&a);
    assert_true(client_ends(&c[0], 1000));
    assert_false(client_ends(&c[1], 50));
    for (int i = 0; i < 4; i++)
        client_close(&c[i]);
    stop();
}

static void connections_of_one_address_are_limited(void **state)
{
    struct http_settings settings = test_settings();
    (void)state;
    settings.max_connections_per_address = 2;
    serve(settings, 1);
    struct client c[3];
    for (int i = 0; i < 2; i++) {
        c[i] = client_open(server.port);
        client_send(&c[i], GET_HELLO);
        struct answer a = client_read(&c[i], true);
        assert_int_equal(a.status, 200);
        answer_free(&a);
    }
    c[2] = client_open(server.port);
    assert_true(client_ends(&c[2], 1000));
    client_close(&c[2]);
    client_close(&c[0]);
    client_pause(50);
    c[2] = client_open(server.port);
    client_send(&c[2], GET_HELLO);
    struct answer a = client_read(&c[2], true);
    assert_int_equal(a.status, 200);
    answer_free(&a);
    struct http_stats stats;
    http_server_stats(server.server, &stats);
    assert_int_equal(stats.rejected[HTTP_REJECTED_ADDRESS], 1);
    client_close(&c[1]);
    client_close(&c[2]);
    stop();
}

static void accepting_goes_on_after_a_shortage_of_descriptors(void **state)
{
    struct rlimit before, few;
    (void)state;
    serve(test_settings(), 1);
    struct client c = client_open(server.port); /* its own descriptor is there already */
    client_send(&c, GET_HELLO);
    struct answer a = client_read(&c, true);
    answer_free(&a);
    struct client late = { .fd = socket(AF_INET, SOCK_STREAM, 0) };
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    few.rlim_cur = (rlim_t)late.fd + 1;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons(server.port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    assert_int_equal(connect(late.fd, (struct sockaddr *)&to, sizeof(to)), 0);
    client_send(&late, GET_HELLO);
    assert_false(client_fill(&late, 150));
    client_send(&c, GET_HELLO); /* others are served meanwhile */
    a = client_read(&c, true);
    assert_int_equal(a.status, 200);
    answer_free(&a);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    a = client_read(&late, true);
    assert_int_equal(a.status, 200);
    answer_free(&a);
    client_close(&late);
    client_close(&c);
    stop();
}

static atomic_uint drained;

static void on_drained(void *arg)
{
    (void)arg;
    atomic_fetch_add(&drained, 1);
}

static void drain_loses_no_request(void **state)
{
    struct http_settings settings = test_settings();
    (void)state;
    settings.drain_grace = 300;
    settings.drain_timeout = 3000;
    serve(settings, 2);
    struct client waiting = client_open(server.port), idle = client_open(server.port),
                  unused = client_open(server.port);
    atomic_store(&parked, NULL);
    atomic_store(&drained, 0);
    client_send(&waiting, "GET /park HTTP/1.1\r\nHost: a\r\n\r\n");
    client_send(&idle, GET_HELLO);
    struct answer a = client_read(&idle, true);
    answer_free(&a);
    while (atomic_load(&parked) == NULL)
        client_pause(1);
    http_server_drain(server.server, on_drained, NULL);
    client_pause(100);
    assert_int_equal(atomic_load(&drained), 0);
    client_send(&idle, GET_HELLO); /* within its grace */
    a = client_read(&idle, true);
    assert_int_equal(a.status, 200);
    assert_string_equal(head_value(a.head, "connection"), "close");
    answer_free(&a);
    assert_true(client_ends(&idle, 200));
    assert_true(client_ends(&unused, 1000));
    andiron_resume(atomic_load(&parked));
    a = client_read(&waiting, true);
    assert_int_equal(a.status, 200);
    assert_string_equal(head_value(a.head, "connection"), "close");
    answer_free(&a);
    for (int i = 0; i < 100 && atomic_load(&drained) == 0; i++)
        client_pause(5);
    assert_int_equal(atomic_load(&drained), 1);
    client_close(&waiting);
    client_close(&idle);
    client_close(&unused);
    stop();
}

static void drain_ends_at_its_timeout(void **state)
{
    struct http_settings settings = test_settings();
    (void)state;
    settings.drain_grace = 50;
    settings.drain_timeout = 200;
    serve(settings, 2);
    struct client c = client_open(server.port);
    atomic_store(&parked, NULL);
    atomic_store(&drained, 0);
    client_send(&c, "GET /park HTTP/1.1\r\nHost: a\r\n\r\n");
    while (atomic_load(&parked) == NULL)
        client_pause(1);
    http_server_drain(server.server, on_drained, NULL);
    for (int i = 0; i < 200 && atomic_load(&drained) == 0; i++)
        client_pause(5);
    assert_int_equal(atomic_load(&drained), 1);
    assert_true(client_ends(&c, 100));
    client_close(&c);
    andiron_resume(atomic_load(&parked));
    client_pause(20);
    stop();
}

static int make_file(void **state)
{
    int fd = mkstemp(file_path);

    (void)state;
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)('a' + i % 23 + (i / 1000) % 3);
    if (fd < 0 || write(fd, text, sizeof(text)) != (ssize_t)sizeof(text) || close(fd) != 0)
        return -1;
    return 0;
}

static int drop_file(void **state)
{
    (void)state;
    return unlink(file_path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connection_is_kept_for_the_next_request),
        cmocka_unit_test(connection_ends_where_the_client_says_so),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(half_closed_client_gets_all_answers),
        cmocka_unit_test(half_closed_client_gets_a_late_answer),
        cmocka_unit_test(request_arrives_byte_by_byte),
        cmocka_unit_test(many_connections_on_several_loops),
        cmocka_unit_test(head_is_get_without_body),
        cmocka_unit_test(no_content_has_no_length),
        cmocka_unit_test(large_body_reaches_a_slow_reader),
        cmocka_unit_test(file_is_sent),
        cmocka_unit_test(stream_is_chunked),
        cmocka_unit_test(short_stream_has_a_length),
        cmocka_unit_test(stream_to_an_old_client_ends_with_the_connection),
        cmocka_unit_test(stream_waits_for_a_slow_reader),
        cmocka_unit_test(leaving_reader_ends_a_stream),
        cmocka_unit_test(failed_stream_is_cut_off),
        cmocka_unit_test(accepted_gzip_is_sent),
        cmocka_unit_test(body_of_any_size_arrives),
        cmocka_unit_test(chunked_body_with_a_request_behind_it),
        cmocka_unit_test(gzip_body_is_inflated_within_the_limit),
        cmocka_unit_test(gzip_body_reaches_a_limit_of_any_size),
        cmocka_unit_test(declared_large_body_is_refused_unread),
        cmocka_unit_test(answer_reaches_a_client_that_goes_on_sending),
        cmocka_unit_test(too_long_chunked_body_is_refused),
        cmocka_unit_test(bad_chunk_ends_the_connection),
        cmocka_unit_test(refused_body_is_skipped),
        cmocka_unit_test(continue_comes_once_the_request_may_go_on),
        cmocka_unit_test(upload_comes_in_pieces_of_any_length),
        cmocka_unit_test(bodies_in_flight_are_limited),
        cmocka_unit_test(form_parameters_join_those_of_the_query),
        cmocka_unit_test(syntax_errors_end_the_connection),
        cmocka_unit_test(long_request_line_and_header_are_refused),
        cmocka_unit_test(repeated_credentials_and_odd_paths_are_refused),
        cmocka_unit_test(errors_on_oauth_routes_are_oauth_errors),
        cmocka_unit_test(anonymous_gets_the_exact_401),
        cmocka_unit_test(request_id_is_echoed_if_it_is_one),
        cmocka_unit_test(forwarded_address_counts_from_trusted_proxies_only),
        cmocka_unit_test(silent_client_is_closed_without_a_word),
        cmocka_unit_test(slow_head_gets_408),
        cmocka_unit_test(slow_second_head_gets_408),
        cmocka_unit_test(slow_body_gets_408),
        cmocka_unit_test(idle_connection_is_closed),
        cmocka_unit_test(stalled_reader_is_closed),
        cmocka_unit_test(late_answer_is_504_and_the_wait_may_end_later),
        cmocka_unit_test(client_that_leaves_during_a_wait_is_forgotten_after_it),
        cmocka_unit_test(requests_behind_a_waiting_one_wait),
        cmocka_unit_test(oldest_idle_connection_makes_room),
        cmocka_unit_test(connections_of_one_address_are_limited),
        cmocka_unit_test(accepting_goes_on_after_a_shortage_of_descriptors),
        cmocka_unit_test(drain_loses_no_request),
        cmocka_unit_test(drain_ends_at_its_timeout),
    };
    return cmocka_run_group_tests(tests, make_file, drop_file);
}
