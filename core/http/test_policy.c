/*
 * What policies see of a request, and of the inner requests of a batch.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/test_judged.h"

static enum andiron_step authorize(struct andiron_request *req, void *self)
{
    (void)self;
    return judged_grant(req);
}

static enum andiron_step runs_inner(struct andiron_request *req, void *self)
{
    static const struct andiron_inner_header headers[] = {
        { "accept", { "application/fhir+json", sizeof("application/fhir+json") - 1 } }, { NULL }
    };
    struct andiron_request **sub =
        andiron_new(andiron_request_arena(req), struct andiron_request *);
    struct andiron_inner inner = { .size = sizeof(inner),
                                   .method = ANDIRON_STR("GET"),
                                   .target = andiron_request_header(req, "x-target"),
                                   .if_match = ANDIRON_STR("W/\"7\""),
                                   .headers = headers,
                                   .bundle_type = "batch",
                                   .bundle_index = 3 };
    (void)self;
    return andiron_request_run(req, &inner, sub, judged_inner_done, sub);
}

static const struct andiron_route table[] = {
    { "GET", "/one/{id}", judged_handle, "One", 0, NULL },
    { "GET", "/batch", runs_inner, "Batch", ANDIRON_ROUTE_PUBLIC, NULL },
    { "GET", "/endless", judged_handle, "Endless", ANDIRON_ROUTE_STREAM, NULL },
};

static int set_up(void **state)
{
    (void)state;
    return judged_start(table, sizeof(table) / sizeof(table[0]), NULL, authorize);
}

/* The status of a GET; what its policies saw is in `seen`. */
static int get(const char *path, const char *headers)
{
    struct client c = client_open(server.port);
    char request[16 * 1024];

    snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: a\r\n%s\r\n", path, headers);
    seen[0] = '\0';
    client_send(&c, request);
    struct answer a = client_read(&c, true);
    int status = a.status;
    answer_free(&a);
    client_close(&c);
    return status;
}

static void a_request_is_shown_without_its_credentials(void **state)
{
    (void)state;
    assert_int_equal(get("/one/7?a=1&b=2&a=3&empty=&resource/id=8",
                         "Authorization: Bearer hidden\r\nCookie: hidden\r\nX-Mine: 1\r\n"),
                     200);
    assert_seen("\"request-method\":\"get\"");
    assert_seen("\"uri\":\"/one/7\"");
    assert_seen("\"a\":[\"1\",\"3\"]");
    assert_seen("\"resource/id\":\"7\"");
    assert_seen("\"x-mine\":\"1\"");
    assert_seen("\"operation\":{\"id\":\"One\",\"module\":\"test\",\"public\":false}");
    assert_not_seen("hidden");
    assert_not_seen("\"empty\"");
}

static void an_inner_request_has_the_headers_of_the_outer_one_and_its_own_conditions(void **state)
{
    (void)state;
    assert_int_equal(get("/batch", "X-Target: /one/7?a=1\r\nX-Mine: 1\r\nIf-Match: W/\"1\"\r\n"
                                   "If-None-Match: *\r\nAuthorization: Bearer hidden\r\n"
                                   "Accept: text/html\r\nContent-Type: text/csv\r\n"
                                   "Content-Encoding: gzip\r\n"),
                     200);
    assert_seen("\"params\":{\"a\":\"1\",\"resource/id\":\"7\"}");
    assert_seen("\"x-mine\":\"1\"");
    assert_seen("\"if-match\":\"W/\\\"7\\\"\"");
    assert_seen("\"bundle\":{\"type\":\"batch\",\"index\":3}");
    assert_seen("\"accept\":\"application/fhir+json\"");
    assert_not_seen("text/html");
    assert_not_seen("if-none-match");
    assert_not_seen("content-");
    assert_not_seen("hidden");
}

/* Else policies would see none, and handlers that read the query for themselves would. */
static void an_inner_request_with_broken_parameters_is_not_judged(void **state)
{
    static const char *const broken[] = { "a=%zz", "a=1&b=%00", "_include=x&c=%ff" };
    (void)state;
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        char header[64];
        snprintf(header, sizeof(header), "X-Target: /one/7?%s\r\n", broken[i]);
        assert_int_equal(get("/batch", header), 400);
        assert_string_equal(seen, "");
    }
}

static void a_stream_is_no_part_of_another_request(void **state)
{
    (void)state;
    assert_int_equal(get("/endless", ""), 200);
    assert_int_equal(get("/batch", "X-Target: /endless\r\n"), 501);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_shown_without_its_credentials),
        cmocka_unit_test(an_inner_request_has_the_headers_of_the_outer_one_and_its_own_conditions),
        cmocka_unit_test(an_inner_request_with_broken_parameters_is_not_judged),
        cmocka_unit_test(a_stream_is_no_part_of_another_request),
    };
    return cmocka_run_group_tests(tests, set_up, judged_stop);
}
