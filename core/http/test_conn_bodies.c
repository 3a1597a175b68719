/*
 * Request bodies of every framing, on a real socket: whole, in pieces, refused.
 */
#include "http/test_app.h"

#include <semaphore.h>

#include <zlib.h>

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
    z_stream z = { .next_in = (Bytef *)(uintptr_t)from,
                   .avail_in = (uInt)len,
                   .next_out = (Bytef *)to,
                   .avail_out = (uInt)room };

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
    snprintf(
        head, sizeof(head),
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
    snprintf(
        head, sizeof(head),
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: %zu\r\n\r\n",
        n);
    all = post(head, coded, n, &len);
    a = ask_bytes(all, len);
    assert_int_equal(a.status, 413);
    answer_free(&a);
    free(all);
    /* Cut off, and other codings. */
    n = gzip(text, 60000, coded, sizeof(coded)) - 20;
    snprintf(
        head, sizeof(head),
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: %zu\r\n\r\n",
        n);
    all = post(head, coded, n, &len);
    a = ask_bytes(all, len);
    assert_int_equal(a.status, 400);
    answer_free(&a);
    free(all);
    assert_status(
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Encoding: br\r\nContent-Length: 1\r\n\r\nx",
        415);
    stop();
}

static void gzip_body_reaches_a_limit_of_any_size(void **state)
{
    static const size_t sizes[] = { 140000, 150000, 150001 };
    static char coded[100000], digits[150001];
    char head[200];

    (void)state;
    for (uint32_t i = 0, x = 1; i < sizeof(digits);
         i++) { /* hard to pack: the ratio is no matter */
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

static sem_t busy;

static void keep_busy(void *arg)
{
    (void)arg;
    (void)sem_wait(&busy);
}

static void send_gzip(struct client *c, const char *coded, size_t len)
{
    char head[200];

    snprintf(head, sizeof(head),
             "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\n"
             "Content-Length: %zu\r\n\r\n",
             len);
    client_send(c, head);
    client_send_bytes(c, coded, len);
}

static void long_gzip_bodies_are_inflated_on_the_pool(void **state)
{
    static char coded[300000], digits[400000];
    struct pool_job jobs[2] = { { .work = keep_busy }, { .work = keep_busy } };
    (void)state;
    for (uint32_t i = 0, x = 1; i < sizeof(digits); i++) {
        x = x * 1664525 + 1013904223;
        digits[i] = (char)('0' + (x >> 16) % 10);
    }
    struct http_settings settings = test_settings();
    settings.max_body_anonymous = 1 << 20;
    serve(settings, 1);
    (void)sem_init(&busy, 0, 0);
    for (size_t i = 0; i < 2; i++) /* all threads it has */
        pool_post_own(&jobs[i]);
    size_t n = gzip(digits, sizeof(digits), coded, sizeof(coded));
    struct client c = client_open(server.port);
    send_gzip(&c, coded, n);
    assert_false(client_fill(&c, 200));
    assert_status(GET_HELLO, 200); /* the loop goes on */
    struct client small = client_open(server.port);
    char few[200];
    send_gzip(&small, few, gzip(digits, 100, few, sizeof(few)));
    struct answer a = client_read(&small, true);
    assert_int_equal(a.body_len, 100);
    answer_free(&a);
    client_close(&small);
    (void)sem_post(&busy);
    (void)sem_post(&busy);
    a = client_read(&c, true);
    assert_int_equal(a.status, 200);
    assert_int_equal(a.body_len, sizeof(digits));
    assert_memory_equal(a.body, digits, sizeof(digits));
    answer_free(&a);
    /* What is wrong behind the beginning is told as what is wrong there. */
    send_gzip(&c, coded, n - 20);
    a = client_read(&c, true);
    assert_int_equal(a.status, 400);
    assert_non_null(strstr(a.body, "cut off"));
    answer_free(&a);
    coded[n] = 'x';
    send_gzip(&c, coded, n + 1);
    a = client_read(&c, true);
    assert_int_equal(a.status, 400);
    assert_non_null(strstr(a.body, "nothing may follow"));
    answer_free(&a);
    coded[n - 5] = (char)(coded[n - 5] ^ 1); /* of the length in the trailer */
    send_gzip(&c, coded, n);
    a = client_read(&c, true);
    assert_int_equal(a.status, 400);
    answer_free(&a);
    client_close(&c);
    /* 16 MiB of one sign in 16 KiB: what is not allowed is not unfolded. */
    char *zeros = calloc(16, 1 << 20);
    n = gzip(zeros, 16 << 20, coded, sizeof(coded));
    free(zeros);
    c = client_open(server.port);
    send_gzip(&c, coded, n);
    a = client_read(&c, true);
    assert_int_equal(a.status, 413);
    answer_free(&a);
    client_close(&c);
    stop();
}

static void a_client_may_leave_while_its_body_is_inflated(void **state)
{
    static char coded[300000], digits[400000];
    struct pool_job jobs[2] = { { .work = keep_busy }, { .work = keep_busy } };
    (void)state;
    for (size_t i = 0; i < sizeof(digits); i++)
        digits[i] = (char)('0' + i * i % 7);
    struct http_settings settings = test_settings();
    settings.max_body_anonymous = 1 << 20;
    serve(settings, 1);
    (void)sem_init(&busy, 0, 0);
    for (size_t i = 0; i < 2; i++)
        pool_post_own(&jobs[i]);
    struct client c = client_open(server.port);
    send_gzip(&c, coded, gzip(digits, sizeof(digits), coded, sizeof(coded)));
    client_pause(50);
    client_close(&c);
    assert_status(GET_HELLO, 200);
    (void)sem_post(&busy);
    (void)sem_post(&busy);
    assert_status(GET_HELLO, 200);
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
    client_send(&c,
                "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n186a0\r\n");
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
    client_send(&c, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Encoding: br\r\n"
                    "Content-Length: 3\r\n\r\nabc");
    client_send(&c, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\n"
                    "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n");
    client_send(&c, "POST /nowhere HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                    "5\r\nabcde\r\n0\r\n\r\n" GET_HELLO);
    struct answer a = client_read(&c, true);
    assert_int_equal(a.status, 404);
    assert_null(head_value(a.head, "connection"));
    answer_free(&a);
    a = client_read(&c, true);
    assert_int_equal(a.status, 415);
    assert_null(head_value(a.head, "connection"));
    answer_free(&a);
    a = client_read(&c, true);
    assert_int_equal(a.status, 400);
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

static void bad_chunk_in_a_skipped_body_ends_the_connection(void **state)
{
    static const char bad[] =
        "POST /nowhere HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        "5\r\nabcdeXX\r\n" GET_HELLO;
    (void)state;
    serve(test_settings(), 1);
    struct client c = client_open(server.port);
    client_send(&c, bad);
    struct answer a = client_read(&c, true);
    assert_int_equal(a.status, 404);
    answer_free(&a);
    a = client_read(&c, true);
    assert_int_equal(a.status, 0);
    answer_free(&a);
    client_close(&c);
    /* The same, with the client's end known before the chunk is looked at. */
    c = client_open(server.port);
    atomic_store(&parked, NULL);
    client_send(&c, "GET /park HTTP/1.1\r\nHost: a\r\n\r\n");
    client_send(&c, bad);
    assert_int_equal(shutdown(c.fd, SHUT_WR), 0);
    while (atomic_load(&parked) == NULL)
        client_pause(1);
    client_pause(30);
    andiron_resume(atomic_load(&parked));
    a = client_read(&c, true);
    assert_int_equal(a.status, 200);
    answer_free(&a);
    a = client_read(&c, true);
    assert_int_equal(a.status, 404);
    answer_free(&a);
    assert_true(client_ends(&c, 1000));
    client_close(&c);
    /* Its timeouts must not outlive it: others start theirs behind it. */
    c = client_open(server.port);
    client_send(&c, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nx");
    client_pause(20);
    client_send(&c, "y");
    a = client_read(&c, true);
    assert_string_equal(a.body, "xy");
    answer_free(&a);
    client_close(&c);
    stop();
}

static void continue_comes_once_the_request_may_go_on(void **state)
{
    (void)state;
    serve(test_settings(), 1);
    struct client c = client_open(server.port);
    client_send(
        &c, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    struct answer a = client_read(&c, true);
    assert_int_equal(a.status, 100);
    answer_free(&a);
    client_send(&c, "abc");
    a = client_read(&c, true);
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body, "abc");
    answer_free(&a);
    /* Refused: the final status, and the connection ends since the body will not come. */
    client_send(
        &c,
        "POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    a = client_read(&c, true);
    assert_int_equal(a.status, 404);
    assert_string_equal(head_value(a.head, "connection"), "close");
    answer_free(&a);
    client_close(&c);
    c = client_open(server.port);
    client_send(
        &c,
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\nExpect: 100-continue\r\n\r\n");
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
    snprintf(
        head, sizeof(head),
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

/* The handler must not take the beginning for all of it: whoever reads pieces is not called again. */
static void upload_that_is_damaged_is_no_end(void **state)
{
    static char coded[100000];
    char head[200];
    (void)state;

    serve(test_settings(), 1);
    size_t n = gzip(text, sizeof(text), coded, sizeof(coded)), len;
    for (int damage = 0; damage < 2; damage++) {
        size_t sent = damage == 0 ? n - 20 : n;
        memset(coded + n / 2, 255, damage == 0 ? 0 : n / 4);
        snprintf(head, sizeof(head),
                 "POST /upload HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\n"
                 "Content-Length: %zu\r\n\r\n",
                 sent);
        char *all = post(head, coded, sent, &len);
        struct answer a = ask_bytes(all, len);
        assert_int_equal(a.status, 400);
        answer_free(&a);
        free(all);
    }
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
    struct answer a =
        ask("POST /fhir/_search?_count=2 HTTP/1.1\r\nHost: a\r\nContent-Length: 18\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\n\r\nname=a+b&code=%7Cx");
    assert_string_equal(a.body, "[_count=2][name=a b][code=|x]");
    answer_free(&a);
    assert_status("POST /fhir/_search?a=%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(body_of_any_size_arrives),
        cmocka_unit_test(chunked_body_with_a_request_behind_it),
        cmocka_unit_test(gzip_body_is_inflated_within_the_limit),
        cmocka_unit_test(gzip_body_reaches_a_limit_of_any_size),
        cmocka_unit_test(long_gzip_bodies_are_inflated_on_the_pool),
        cmocka_unit_test(a_client_may_leave_while_its_body_is_inflated),
        cmocka_unit_test(declared_large_body_is_refused_unread),
        cmocka_unit_test(answer_reaches_a_client_that_goes_on_sending),
        cmocka_unit_test(too_long_chunked_body_is_refused),
        cmocka_unit_test(bad_chunk_ends_the_connection),
        cmocka_unit_test(refused_body_is_skipped),
        cmocka_unit_test(bad_chunk_in_a_skipped_body_ends_the_connection),
        cmocka_unit_test(continue_comes_once_the_request_may_go_on),
        cmocka_unit_test(upload_comes_in_pieces_of_any_length),
        cmocka_unit_test(upload_that_is_damaged_is_no_end),
        cmocka_unit_test(bodies_in_flight_are_limited),
        cmocka_unit_test(form_parameters_join_those_of_the_query),
    };
    return cmocka_run_group_tests(tests, make_file, drop_file);
}
