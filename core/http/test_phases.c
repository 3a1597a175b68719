/*
 * Phases, default deny and errors: what plugins are promised by andiron/request.h, over a real server.
 */
#include "http/test_steps.h"

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
        a.body, "{\"resourceType\":\"OperationOutcome\",\"id\":\"forbidden\",\"text\":{\"status\":"
                "\"generated\",\"div\":\"<div "
                "xmlns=\\\"http://www.w3.org/1999/xhtml\\\">Forbidden</div>\"},"
                "\"issue\":[{\"severity\":\"fatal\",\"code\":\"forbidden\",\"diagnostics\":"
                "\"Forbidden\"}]}");
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

static struct answer options(const char *path)
{
    struct client c = client_open(server.port);
    char request[256];

    snprintf(request, sizeof(request),
             "OPTIONS %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", path);
    client_send(&c, request);
    struct answer a = client_read(&c, true);
    client_close(&c);
    return a;
}

static void options_names_the_methods_of_a_path(void **state)
{
    (void)state;
    serve(test_settings());
    struct answer a = options("/json");
    assert_int_equal(a.status, 204);
    assert_string_equal(head_value(a.head, "allow"), "POST, OPTIONS");
    answer_free(&a);
    a = options("/nowhere");
    assert_int_equal(a.status, 404);
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
    assert_string_equal(head_value(a.head, "www-authenticate"),
                        "Bearer error=\"insufficient_scope\"");
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(phases_run_in_order),
        cmocka_unit_test(public_routes_ignore_credentials),
        cmocka_unit_test(oauth_routes_authenticate_themselves_but_need_a_grant),
        cmocka_unit_test(without_a_grant_nothing_is_handled),
        cmocka_unit_test(a_refusal_goes_straight_to_respond),
        cmocka_unit_test(options_names_the_methods_of_a_path),
        cmocka_unit_test(challenges_tell_no_more_than_they_must),
        cmocka_unit_test(respond_hooks_may_replace_the_response),
        cmocka_unit_test(steps_that_break_the_rules_cost_only_their_request),
        cmocka_unit_test(json_is_parsed_wherever_it_is_cheapest),
        cmocka_unit_test(all_issues_are_shown_at_once),
        cmocka_unit_test(internal_errors_say_only_the_request_id),
        cmocka_unit_test(variables_query_and_base_are_there),
    };
    return cmocka_run_group_tests(tests, make_counter, NULL);
}
