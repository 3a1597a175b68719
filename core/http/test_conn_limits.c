/*
 * What connections are refused, timed out and closed for, on a real socket.
 */
#include "http/test_app.h"

#include <sys/resource.h>

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
    assert_status("GET /hello HTTP/1.1\r\nHost: a\r\nAuthorization: a\r\nAuthorization: b\r\n\r\n",
                  400);
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
    a = ask("GET /auth/token HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(a.status, 405);
    assert_non_null(strstr(a.body, "\"error\":\"invalid_request\""));
    assert_string_equal(head_value(a.head, "pragma"), "no-cache");
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
        "\"generated\",\"div\":\"<div "
        "xmlns=\\\"http://www.w3.org/1999/xhtml\\\">Unauthorized</div>\"},"
        "\"issue\":[{\"severity\":\"fatal\",\"code\":\"login\",\"diagnostics\":\"Unauthorized\"}]"
        "}");
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
        snprintf(request, sizeof(request), "GET /hello HTTP/1.1\r\nHost: a\r\nX: %s\r\n\r\n",
                 padding);
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

static void silent_connections_make_room_where_nobody_is_idle(void **state)
{
    struct http_settings settings = test_settings();
    (void)state;
    settings.max_connections = 3;
    settings.idle_timeout = 0; /* never, but the order counts */
    serve(settings, 1);
    struct client c[10];
    for (int i = 0; i < 9; i++)
        c[i] = client_open(server.port);
    client_pause(50);
    struct http_stats stats;
    http_server_stats(server.server, &stats);
    assert_in_range(stats.connections, 1, 3);
    assert_true(client_ends(&c[0], 1000));
    c[9] = client_open(server.port);
    for (int i = 7; i < 10; i++) {
        client_send(&c[i], GET_HELLO);
        struct answer a = client_read(&c[i], true);
        assert_int_equal(a.status, 200);
        answer_free(&a);
    }
    for (int i = 0; i < 10; i++)
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

int main(void)
{
    const struct CMUnitTest tests[] = {
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
        cmocka_unit_test(silent_connections_make_room_where_nobody_is_idle),
        cmocka_unit_test(connections_of_one_address_are_limited),
        cmocka_unit_test(accepting_goes_on_after_a_shortage_of_descriptors),
        cmocka_unit_test(drain_loses_no_request),
        cmocka_unit_test(drain_ends_at_its_timeout),
    };
    return cmocka_run_group_tests(tests, make_file, drop_file);
}
