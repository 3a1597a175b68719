/*
 * Connections: one request after the other, and what comes back, on a real socket.
 */
#include "http/test_app.h"

#include <zlib.h>

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
        len +=
            (size_t)snprintf(all + len, sizeof(all) - len,
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
    static const char request[] =
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
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
    z_stream z = { .next_in = (Bytef *)a.body,
                   .avail_in = (uInt)a.body_len,
                   .next_out = (Bytef *)plain,
                   .avail_out = sizeof(plain) };
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
    };
    return cmocka_run_group_tests(tests, make_file, drop_file);
}
