/*
 * Each member of the request object: what is in it, and what must not be.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <andiron/auth.h>

#include "http/request.h"
#include "http/test_judged.h"

static bool was_read_for_policies, was_read_again;

/* ---- a server whose one principal has everything ------------------------------------------ */

static const char client_json[] =
    "{\"resourceType\":\"Client\",\"id\":\"c\",\"secret\":\"hidden\",\"name\":null,\"scope\":[],"
    "\"details\":{\"password\":\"hidden\",\"ward\":\"3n\",\"empty\":\"\",\"deep\":{\"none\":{}}},"
    "\"auth\":[{\"secret\":\"hidden\",\"kind\":\"k\"}]}";
static const char user_json[] = "{\"id\":\"u\",\"password\":\"hidden\",\"active\":false,\"n\":0}";
static const char roles_json[] = "[{\"name\":\"nurse\",\"secret\":\"hidden\"}]";
static const char session_json[] =
    "{\"id\":\"s\",\"access_token\":\"hidden\",\"refresh_token\":\"hidden\",\"secret\":\"hidden\","
    "\"_token\":\"a\",\"token\":\"b\",\"role\":\"forged\",\"note\":\"\","
    "\"user\":{\"id\":\"u\",\"password\":\"hidden\"}}";
static const char jwt_json[] = "{\"sub\":\"u\",\"password\":\"is a claim like others\",\"x\":null}";
static const char *const scopes[] = { "user/Patient.rs?gender=male",
                                      "patient/*.read",
                                      "openid",
                                      "launch/patient",
                                      "offline.access",
                                      "system/Task.c",
                                      NULL };

static andiron_json parse(struct andiron_request *req, const char *text)
{
    andiron_json ret;
    struct andiron_error err;
    if (andiron_json_parse(andiron_request_arena(req), andiron_str_of(text), &ret, &err) != 0)
        abort();
    return ret;
}

static enum andiron_step authenticate(struct andiron_request *req, void *self)
{
    (void)self;
    if (andiron_request_header(req, "x-nobody").data != NULL)
        return ANDIRON_NEXT;
    struct andiron_principal *principal =
        andiron_new(andiron_request_arena(req), struct andiron_principal);
    *principal = (struct andiron_principal){ .size = sizeof(*principal),
                                             .kind = ANDIRON_USER,
                                             .id = "u",
                                             .client = parse(req, client_json),
                                             .user = parse(req, user_json),
                                             .roles = parse(req, roles_json),
                                             .session = parse(req, session_json),
                                             .jwt = parse(req, jwt_json),
                                             .scopes = scopes };
    andiron_request_set_principal(req, principal);
    return ANDIRON_NEXT;
}

static enum andiron_step authorize(struct andiron_request *req, void *self)
{
    andiron_json early = { NULL, 0 };
    (void)self;
    if (andiron_request_header(req, "x-early").data != NULL &&
        andiron_request_json(req, &early) != 0)
        return ANDIRON_DONE;
    enum andiron_step step = judged_grant(req);
    pthread_mutex_lock(&lock);
    was_read_for_policies = req->json_state == JSON_READ;
    was_read_again = early.doc != NULL && req->json.doc != early.doc;
    pthread_mutex_unlock(&lock);
    return step;
}

/* An inner request with headers of its own; of a Bundle if x-bundle says so. */
static enum andiron_step runs_inner(struct andiron_request *req, void *self)
{
    struct andiron_inner_header *own =
        andiron_alloc(andiron_request_arena(req), 3 * sizeof(own[0]));
    struct andiron_request **sub =
        andiron_new(andiron_request_arena(req), struct andiron_request *);
    bool has_own = andiron_request_header(req, "x-plain").data == NULL;
    bool of_bundle = andiron_request_header(req, "x-bundle").data != NULL;
    struct andiron_inner inner = { .size = sizeof(inner),
                                   .method = ANDIRON_STR("GET"),
                                   .target = ANDIRON_STR("/fhir/Patient"),
                                   .headers = has_own ? own : NULL,
                                   .bundle_type = of_bundle ? "batch" : NULL };
    (void)self;
    own[0] = (struct andiron_inner_header){ "x-own", ANDIRON_STR("1") };
    own[1] = (struct andiron_inner_header){ "authorization", ANDIRON_STR("hidden") };
    own[2] = (struct andiron_inner_header){ NULL, { NULL, 0 } };
    return andiron_request_run(req, &inner, sub, judged_inner_done, sub);
}

static const struct andiron_route table[] = {
    { "GET", "/fhir/{type}", judged_handle, "FhirSearch", 0, NULL },
    { "POST", "/fhir/{type}", judged_handle, "FhirCreate", 0, NULL },
    { "PATCH", "/fhir/{type}/{id}", judged_handle, "FhirPatch", 0, NULL },
    { "PUT", "/fhir/{type}/{id}", judged_handle, "FhirUpdate", 0, NULL },
    { "GET", "/fhir/{type}/{id}", judged_handle, "ReadPlatform", 0, NULL },
    { "GET", "/fhirx/{type}", judged_handle, "ReadOther", 0, NULL },
    { "GET", "/fhir/metadata", judged_handle, "Conformance", 0, NULL },
    { "GET", "/unnamed", judged_handle, NULL, 0, NULL },
    { "GET", "/inner", runs_inner, "Inner", ANDIRON_ROUTE_PUBLIC, NULL },
};

static int set_up(void **state)
{
    (void)state;
    return judged_start(table, sizeof(table) / sizeof(table[0]), authenticate, authorize);
}

/* What policies see is in `seen` when it returns. */
static void ask(const char *method, const char *target, const char *headers, const char *body)
{
    struct client c = client_open(server.port);
    char request[4096], length[40] = "";

    if (body != NULL)
        snprintf(length, sizeof(length), "Content-Length: %zu\r\n", strlen(body));
    snprintf(request, sizeof(request), "%s %s HTTP/1.1\r\nHost: a\r\n%s%s\r\n%s", method, target,
             headers, length, body != NULL ? body : "");
    seen[0] = '\0';
    client_send(&c, request);
    struct answer a = client_read(&c, strcmp(method, "HEAD") != 0);
    assert_int_equal(a.status, 200);
    answer_free(&a);
    client_close(&c);
}

/* ---- tests --------------------------------------------------------------------------------- */

static void head_is_judged_as_get(void **state)
{
    (void)state;
    ask("HEAD", "/fhir/Patient", "", NULL);
    assert_seen("\"request-method\":\"get\"");
}

static void secrets_are_left_out_wherever_they_stand(void **state)
{
    (void)state;
    ask("GET", "/fhir/Patient", "Authorization: hidden\r\nCookie: hidden\r\n", NULL);
    assert_seen(
        "\"client\":{\"resourceType\":\"Client\",\"id\":\"c\",\"details\":{\"ward\":\"3n\"},"
        "\"auth\":[{\"kind\":\"k\"}]}");
    assert_seen("\"user\":{\"id\":\"u\",\"active\":false,\"n\":0}");
    assert_seen("\"role\":[{\"name\":\"nurse\"}]");
    assert_not_seen("hidden");
    ask("GET", "/fhir/Patient", "Proxy-Authorization: hidden\r\n", NULL);
    assert_not_seen("hidden");
    assert_not_seen("authorization");
}

static void a_session_shows_no_token_and_the_roles_as_they_are(void **state)
{
    (void)state;
    ask("GET", "/fhir/Patient", "", NULL);
    assert_seen(
        "\"session\":{\"id\":\"s\",\"_token\":\"a\",\"token\":\"b\",\"user\":{\"id\":\"u\"},"
        "\"role\":[{\"name\":\"nurse\"}]}");
    assert_not_seen("forged");
}

static void claims_are_shown_as_they_were_signed(void **state)
{
    (void)state;
    ask("GET", "/fhir/Patient", "", NULL);
    assert_seen("\"jwt\":{\"sub\":\"u\",\"password\":\"is a claim like others\"}");
}

static void scopes_are_shown_in_their_parts_and_others_not_at_all(void **state)
{
    (void)state;
    ask("GET", "/fhir/Patient", "", NULL);
    assert_seen("\"scope\":[{\"context\":\"user\",\"type\":\"Patient\",\"perm\":\"rs\","
                "\"params\":\"gender=male\"},"
                "{\"context\":\"patient\",\"type\":\"*\",\"perm\":\"read\"},"
                "{\"context\":\"system\",\"type\":\"Task\",\"perm\":\"c\"}]");
}

static void nobody_has_no_members(void **state)
{
    static const char *const of_principals[] = {
        "client", "user", "role", "session", "jwt", "scope"
    };
    char name[32];

    (void)state;
    ask("GET", "/fhir/Patient", "X-Nobody: 1\r\n", NULL);
    for (size_t i = 0; i < sizeof(of_principals) / sizeof(of_principals[0]); i++) {
        snprintf(name, sizeof(name), "\"%s\":", of_principals[i]);
        assert_not_seen(name);
    }
    assert_not_seen("\"bundle\"");
    assert_not_seen("\"body\"");
}

/* Else a policy on ^/fhir/ would open platform types, or one on /Patient FHIR ones. */
static void the_uri_of_platform_types_is_that_of_their_own_base(void **state)
{
    static const struct {
        const char *target, *uri;
    } all[] = {
        { "/fhir/Client/c", "\"uri\":\"/Client/c\"" },
        { "/fhir/Patient", "\"uri\":\"/fhir/Patient\"" },
        { "/fhir/metadata", "\"uri\":\"/fhir/metadata\"" },
        { "/fhirx/Client", "\"uri\":\"/fhirx/Client\"" },
        { "/unnamed", "\"uri\":\"/unnamed\"" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        ask("GET", all[i].target, "", NULL);
        assert_seen(all[i].uri);
    }
    assert_not_seen("\"operation\"");
}

static void parameters_stand_once_with_all_their_values_and_never_for_the_route(void **state)
{
    (void)state;
    ask("GET",
        "/fhir/Patient?a=1&b=2&a=3&c=&resource/id=forged&resource/type=forged&a=4&b%3aexact=5", "",
        NULL);
    assert_seen("\"params\":{\"a\":[\"1\",\"3\",\"4\"],\"b\":\"2\",\"b:exact\":\"5\","
                "\"resource/type\":\"Patient\"}");
    assert_seen("\"query-string\":\"a=1&b=2&a=3&c=&resource/id=forged");
}

/* A body is no resource because it is JSON: a patch changes one that policies do not see. */
static void a_body_is_the_resource_only_where_one_is_sent(void **state)
{
    static const char patch[] = "[{\"op\":\"remove\",\"path\":\"/a\",\"value\":null}]";
    static const char type[] = "Content-Type: application/json\r\n";

    (void)state;
    ask("POST", "/fhir/Patient", type, "{\"id\":\"a\",\"password\":\"x\",\"b\":[{}],\"c\":{}}");
    assert_seen("\"body\":{\"id\":\"a\",\"password\":\"x\",\"b\":[{}]}");
    assert_seen("\"resource\":{\"id\":\"a\",\"password\":\"x\",\"b\":[{}]}");
    ask("PUT", "/fhir/Patient/a", type, "{\"id\":\"a\"}");
    assert_seen("\"resource\":{\"id\":\"a\"}");
    ask("PATCH", "/fhir/Patient/a", type, patch);
    assert_seen("\"body\":[{\"op\":\"remove\",\"path\":\"/a\"}]");
    assert_not_seen("\"resource\"");
    ask("PATCH", "/fhir/Patient/a", type, "{\"id\":\"a\"}");
    assert_seen("\"body\":{\"id\":\"a\"}");
    assert_not_seen("\"resource\"");
    ask("POST", "/fhir/Patient", type, "[1]");
    assert_seen("\"body\":[1]");
    assert_not_seen("\"resource\"");
    ask("POST", "/fhir/Patient", type, "{\"id\":");
    assert_not_seen("\"body\"");
    ask("POST", "/fhir/Patient", type, "{\"id\":\"\"}");
    assert_not_seen("\"body\"");
    assert_not_seen("\"resource\"");
}

/* Megabytes, at times: for a hook, for policies and for the handler it is one document. */
static void a_body_is_parsed_once(void **state)
{
    (void)state;
    ask("POST", "/fhir/Patient", "", "{\"id\":\"a\"}");
    assert_true(was_read_for_policies);
    ask("POST", "/fhir/Patient", "X-Early: 1\r\n", "{\"id\":\"a\"}");
    assert_seen("\"body\":{\"id\":\"a\"}");
    assert_false(was_read_again);
}

static void repeated_headers_are_one_and_empty_ones_none(void **state)
{
    (void)state;
    ask("GET", "/fhir/Patient", "X-A: 1\r\nX-B: 2\r\nX-A: 3\r\nX-C:\r\n", NULL);
    assert_seen("\"x-a\":\"1, 3\",\"x-b\":\"2\"}");
    assert_not_seen("x-c");
}

static void what_is_asked_for_others_comes_with_their_headers_alone(void **state)
{
    (void)state;
    ask("GET", "/inner", "X-Mine: 1\r\n", NULL);
    assert_seen("\"headers\":{\"x-own\":\"1\"}");
    assert_not_seen("\"bundle\"");
    ask("GET", "/inner", "X-Mine: 1\r\nX-Plain: 1\r\n", NULL);
    assert_seen("\"x-mine\":\"1\"");
}

static void an_entry_of_a_bundle_comes_with_the_headers_of_the_bundle_too(void **state)
{
    (void)state;
    ask("GET", "/inner",
        "X-Mine: 1\r\nX-Own: 2\r\nX-Bundle: 1\r\nIf-Match: a\r\nIf-None-Match: a\r\n"
        "If-Modified-Since: a\r\nIf-None-Exist: a\r\nContent-Type: a/b\r\nCookie: hidden\r\n",
        "{}");
    assert_seen("\"headers\":{\"x-own\":\"1\",");
    assert_seen("\"x-mine\":\"1\",\"x-bundle\":\"1\"}");
    assert_seen("\"bundle\":{\"type\":\"batch\",\"index\":0}");
    assert_not_seen("\"if-");
    assert_not_seen("content-");
    assert_not_seen("\"x-own\":\"2\"");
    assert_not_seen("hidden");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(head_is_judged_as_get),
        cmocka_unit_test(secrets_are_left_out_wherever_they_stand),
        cmocka_unit_test(a_session_shows_no_token_and_the_roles_as_they_are),
        cmocka_unit_test(claims_are_shown_as_they_were_signed),
        cmocka_unit_test(scopes_are_shown_in_their_parts_and_others_not_at_all),
        cmocka_unit_test(nobody_has_no_members),
        cmocka_unit_test(the_uri_of_platform_types_is_that_of_their_own_base),
        cmocka_unit_test(parameters_stand_once_with_all_their_values_and_never_for_the_route),
        cmocka_unit_test(a_body_is_the_resource_only_where_one_is_sent),
        cmocka_unit_test(a_body_is_parsed_once),
        cmocka_unit_test(repeated_headers_are_one_and_empty_ones_none),
        cmocka_unit_test(what_is_asked_for_others_comes_with_their_headers_alone),
        cmocka_unit_test(an_entry_of_a_bundle_comes_with_the_headers_of_the_bundle_too),
    };
    return cmocka_run_group_tests(tests, set_up, judged_stop);
}
