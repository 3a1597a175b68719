/*
 * Client validation, rule by rule, secrets and token parameters.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "basic.h"
#include "client.h"
#include "params.h"
#include "secret.h"

#define N                                                                                          \
    "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4" \
    "d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5re" \
    "xMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxX" \
    "FvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"
#define KEY "{\"kty\":\"RSA\",\"kid\":\"a\",\"n\":\"" N "\",\"e\":\"AQAB\"}"

static struct andiron_arena *arena;

static int set_up(void **state)
{
    (void)state;
    arena = andiron_arena_new(0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    andiron_arena_free(arena);
    return 0;
}

static int no_url(void *self, andiron_str url, struct andiron_error *err)
{
    (void)self;
    return url.len > 8 && memcmp(url.data, "https://", 8) == 0
               ? 0
               : andiron_error_set(err, ANDIRON_E_VALUE, "", "must be https");
}

static int no_scope(void *self, andiron_str scope, struct andiron_error *err)
{
    (void)self;
    return andiron_str_eq(scope, ANDIRON_STR("system/broken"))
               ? andiron_error_set(err, ANDIRON_E_VALUE, "", "is malformed")
               : 0;
}

static int validate(const char *text, bool has_secret, struct andiron_error *err)
{
    const struct client_checks checks = { .jwks_uri = no_url, .scope = no_scope };
    andiron_json v;
    if (andiron_json_parse(arena, andiron_str_of(text), &v, err) != 0)
        fail_msg("%s: %s", text, err->message);
    return client_validate(arena, v, has_secret, &checks, err);
}

static void clients_as_people_write_them_are_taken(void **state)
{
    (void)state;
    static const char *const good[] = {
        "{}",
        "{\"resourceType\":\"Client\",\"id\":\"x\",\"meta\":{},\"secret\":\"s\",\"grant_types\":["
        "\"basic\"]}",
        "{\"type\":\"bulk-api-client\",\"active\":true,\"auth\":{\"client_credentials\":{"
        "\"client_assertion_types\":[\"urn:ietf:params:oauth:client-assertion-type:jwt-bearer\"],"
        "\"access_token_expiration\":300,\"token_format\":\"jwt\"}},\"scope\":[\"system/*.read\"],"
        "\"jwks_uri\":\"https://a.example/jwks\",\"grant_types\":[\"client_credentials\"]}",
        "{\"grant_types\":[\"client_credentials\"],\"jwks\":[" KEY "]}",
        "{\"grant_types\":[\"client_credentials\"],\"jwks\":{\"keys\":[" KEY "]}}",
        "{\"details\":{\"anything\":[1,{\"a\":null}]},\"smart\":{\"launch_uri\":\"https://a\"}}",
        "{\"grant_types\":[\"code\"],\"auth\":{\"authorization_code\":{\"redirect_uri\":"
        "\"http://localhost:3000/cb\",\"pkce\":true}}}",
        "{\"scopes\":[{\"policy\":{}}],\"allowed-scopes\":[],\"fhir-base-url\":\"x\"}",
        "{\"secret\":null}",
    };
    struct andiron_error err;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        if (validate(good[i], true, &err) != 0)
            fail_msg("%s: %s %s", good[i], err.where, err.message);
}

struct row {
    const char *client;
    enum andiron_code code;
    const char *where;
};

static void broken_clients_are_refused_at_their_element(void **state)
{
    (void)state;
    static const struct row rows[] = {
        /* CL-20 */
        { "{\"grantTypes\":[]}", ANDIRON_E_ELEMENT, "Client.grantTypes" },
        { "{\"active\":\"true\"}", ANDIRON_E_ELEMENT, "Client.active" },
        { "{\"grant_types\":\"basic\"}", ANDIRON_E_ELEMENT, "Client.grant_types" },
        { "{\"grant_types\":[1]}", ANDIRON_E_ELEMENT, "Client.grant_types" },
        { "{\"scope\":[\"\"]}", ANDIRON_E_ELEMENT, "Client.scope" },
        { "{\"auth\":[]}", ANDIRON_E_ELEMENT, "Client.auth" },
        { "{\"auth\":{\"basic\":{}}}", ANDIRON_E_ELEMENT, "Client.auth.basic" },
        { "{\"auth\":{\"password\":7}}", ANDIRON_E_ELEMENT, "Client.auth.password" },
        { "{\"auth\":{\"client_credentials\":{\"token_format\":1}}}", ANDIRON_E_ELEMENT,
          "Client.auth.client_credentials.token_format" },
        { "{\"jwks\":7}", ANDIRON_E_ELEMENT, "Client.jwks" },
        { "{\"jwks_uri\":7}", ANDIRON_E_ELEMENT, "Client.jwks_uri" },
        /* CL-21 */
        { "{\"grant_types\":[\"client-credentials\"]}", ANDIRON_E_VALUE, "Client.grant_types" },
        { "{\"auth\":{\"client_credentials\":{\"client_assertion_types\":[\"saml\"]}}}",
          ANDIRON_E_VALUE, "Client.auth.client_credentials.client_assertion_types" },
        { "{\"auth\":{\"client_credentials\":{\"token_format\":\"opaque\"}}}", ANDIRON_E_VALUE,
          "Client.auth.client_credentials.token_format" },
        { "{\"auth\":{\"client_credentials\":{\"access_token_expiration\":0}}}", ANDIRON_E_VALUE,
          "Client.auth.client_credentials.access_token_expiration" },
        { "{\"auth\":{\"client_credentials\":{\"access_token_expiration\":86401}}}",
          ANDIRON_E_VALUE, "Client.auth.client_credentials.access_token_expiration" },
        { "{\"auth\":{\"client_credentials\":{\"access_token_expiration\":1.5}}}", ANDIRON_E_VALUE,
          "Client.auth.client_credentials.access_token_expiration" },
        /* CL-22 */
        { "{\"grant_types\":[\"basic\"]}", ANDIRON_E_BUSINESS_RULE, "Client.secret" },
        { "{\"grant_types\":[\"client_credentials\"]}", ANDIRON_E_BUSINESS_RULE,
          "Client.jwks_uri" },
        { "{\"grant_types\":[\"client_credentials\"],\"jwks\":[]}", ANDIRON_E_BUSINESS_RULE,
          "Client.jwks_uri" },
        { "{\"grant_types\":[\"client_credentials\"],\"jwks\":{\"keys\":[]}}",
          ANDIRON_E_BUSINESS_RULE, "Client.jwks_uri" },
        { "{\"grant_types\":[\"basic\"],\"jwks\":[" KEY "]}", ANDIRON_E_BUSINESS_RULE,
          "Client.secret" },
        /* CL-23 */
        { "{\"jwks\":[],\"jwks_uri\":\"https://a.example\"}", ANDIRON_E_BUSINESS_RULE,
          "Client.jwks" },
        /* CL-24 */
        { "{\"jwks_uri\":\"http://a.example\"}", ANDIRON_E_VALUE, "Client.jwks_uri" },
        /* CL-25 */
        { "{\"jwks\":[" KEY "," KEY "]}", ANDIRON_E_VALUE, "Client.jwks[1]" },
        { "{\"jwks\":[{\"kty\":\"RSA\",\"n\":\"" N "\",\"e\":\"AQAB\"}]}", ANDIRON_E_VALUE,
          "Client.jwks[0]" },
        { "{\"jwks\":[{\"kty\":\"oct\",\"kid\":\"a\",\"k\":\"AA\"}]}", ANDIRON_E_VALUE,
          "Client.jwks[0]" },
        { "{\"jwks\":[{\"kty\":\"RSA\",\"kid\":\"a\",\"n\":\"" N
          "\",\"e\":\"AQAB\",\"d\":\"AQ\"}]}",
          ANDIRON_E_VALUE, "Client.jwks[0]" },
        { "{\"jwks\":[{\"kty\":\"RSA\",\"kid\":\"a\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}",
          ANDIRON_E_VALUE, "Client.jwks[0]" },
        /* CL-26 */
        { "{\"scope\":[\"system/*.read system/*.write\"]}", ANDIRON_E_VALUE, "Client.scope" },
        { "{\"scope\":[\"system/broken\"]}", ANDIRON_E_VALUE, "Client.scope" },
        /* CL-27 */
        { "{\"grant_types\":[\"authorization_code\"]}", ANDIRON_E_BUSINESS_RULE,
          "Client.auth.authorization_code.redirect_uri" },
        { "{\"auth\":{\"authorization_code\":{\"redirect_uri\":\"https://a/#x\"}}}",
          ANDIRON_E_VALUE, "Client.auth.authorization_code.redirect_uri" },
        { "{\"auth\":{\"authorization_code\":{\"redirect_uri\":\"/cb\"}}}", ANDIRON_E_VALUE,
          "Client.auth.authorization_code.redirect_uri" },
        { "{\"auth\":{\"authorization_code\":{\"redirect_uri\":\"http://localhost.evil/\"}}}",
          ANDIRON_E_VALUE, "Client.auth.authorization_code.redirect_uri" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct andiron_error err = { .code = ANDIRON_OK };
        if (validate(rows[i].client, false, &err) == 0)
            fail_msg("accepted: %s", rows[i].client);
        if (err.code != rows[i].code || strcmp(err.where, rows[i].where) != 0)
            fail_msg("%s: %d at %s: %s", rows[i].client, (int)err.code, err.where, err.message);
    }
}

static void stored_text_has_keys_as_an_array_and_the_secret_given(void **state)
{
    (void)state;
    andiron_json v;
    assert_int_equal(
        andiron_json_parse(arena,
                           ANDIRON_STR("{\"id\":\"x\",\"secret\":\"plain\",\"incarnation\":\"old\","
                                       "\"jwks\":{\"keys\":[1]}}"),
                           &v, NULL),
        0);
    andiron_str with = client_text(arena, v, ANDIRON_STR("hash"), ANDIRON_STR("one"));
    assert_true(andiron_str_eq(with, ANDIRON_STR("{\"id\":\"x\",\"jwks\":[1],\"secret\":\"hash\","
                                                 "\"incarnation\":\"one\"}")));
    andiron_str without = client_text(arena, v, (andiron_str){ NULL, 0 }, (andiron_str){ NULL, 0 });
    assert_true(andiron_str_eq(without, ANDIRON_STR("{\"id\":\"x\",\"jwks\":[1]}")));
}

static void ids_are_those_of_fhir(void **state)
{
    (void)state;
    assert_true(client_is_id(ANDIRON_STR("a-B.9")));
    assert_false(client_is_id(ANDIRON_STR("")));
    assert_false(client_is_id(ANDIRON_STR("a/b")));
    assert_false(client_is_id(ANDIRON_STR("a_b")));
    assert_false(client_is_id(
        ANDIRON_STR("0123456789012345678901234567890123456789012345678901234567890123x")));
}

/* ---- secrets ------------------------------------------------------------------------------ */

static void secret_is_proven_by_itself_only(void **state)
{
    (void)state;
    andiron_str one, two;
    struct secret secret;
    struct andiron_error err;
    assert_int_equal(secret_make(arena, ANDIRON_STR("correct horse"), 1000, &one, &err), 0);
    assert_int_equal(secret_make(arena, ANDIRON_STR("correct horse"), 1000, &two, &err), 0);
    assert_false(andiron_str_eq(one, two)); /* salted */
    assert_int_equal(secret_read(one, &secret), 0);
    assert_int_equal(secret.rounds, 1000);
    assert_true(secret_is(&secret, ANDIRON_STR("correct horse")));
    assert_false(secret_is(&secret, ANDIRON_STR("correct hors")));
    assert_false(secret_is(&secret, ANDIRON_STR("correct horse ")));
    assert_false(secret_is(&secret, ANDIRON_STR("")));
}

/* Made with OpenSSL: "password", salt "0123456789abcdef", 100,000 rounds. */
static void hash_is_pbkdf2_with_hmac_sha_256(void **state)
{
    (void)state;
    struct secret secret;
    assert_int_equal(secret_read(ANDIRON_STR("pbkdf2-sha256$100000$MDEyMzQ1Njc4OWFiY2RlZg$"
                                             "p1GQp5LNWdbZyMOmOxHCdq1EmXK3iG4cLYGcKGBTNm8"),
                                 &secret),
                     0);
    assert_true(secret_is(&secret, ANDIRON_STR("password")));
}

static void stored_secrets_of_other_forms_are_none(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "secret",
        "pbkdf2-sha256$",
        "pbkdf2-sha256$0$MDEyMzQ1Njc4OWFiY2RlZg$p1GQp5LNWdbZyMOmOxHCdq1EmXK3iG4cLYGcKGBTNm8",
        "pbkdf2-sha256$99999999999$MDEyMzQ1Njc4OWFiY2RlZg$"
        "p1GQp5LNWdbZyMOmOxHCdq1EmXK3iG4cLYGcKGBTNm8",
        "pbkdf2-sha256$1x$MDEyMzQ1Njc4OWFiY2RlZg$p1GQp5LNWdbZyMOmOxHCdq1EmXK3iG4cLYGcKGBTNm8",
        "pbkdf2-sha256$1000$MDEy$p1GQp5LNWdbZyMOmOxHCdq1EmXK3iG4cLYGcKGBTNm8",
        "pbkdf2-sha256$1000$MDEyMzQ1Njc4OWFiY2RlZg$AAAA",
        "pbkdf2-sha256$1000$MDEyMzQ1Njc4OWFiY2RlZg$p1GQp5LNWdbZyMOmOxHCdq1EmXK3iG4cLYGcKGBTNm8$",
    };
    struct secret secret;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (secret_read(andiron_str_of(bad[i]), &secret) == 0)
            fail_msg("accepted: %s", bad[i]);
}

/* ---- parameters of the token endpoint ----------------------------------------------------- */

#define FORM ANDIRON_STR("application/x-www-form-urlencoded; charset=UTF-8")
#define JSON ANDIRON_STR("application/json")

static void form_and_json_carry_the_same_parameters(void **state)
{
    (void)state;
    struct oauth_params form, json;
    struct andiron_error err;
    assert_int_equal(params_read(arena, FORM,
                                 ANDIRON_STR("grant_type=client_credentials&scope=a%2Fb+c&"
                                             "other=1&other=2&client_id=&client_%73ecret=%25"),
                                 PARAMS_OF_GRANT, &form, &err),
                     0);
    assert_int_equal(params_read(arena, JSON,
                                 ANDIRON_STR("{\"grant_type\":\"client_credentials\",\"scope\":"
                                             "\"a/b c\",\"other\":[1],\"client_id\":\"\","
                                             "\"client_secret\":\"%\"}"),
                                 PARAMS_OF_GRANT, &json, &err),
                     0);
    assert_true(andiron_str_eq(form.grant_type, ANDIRON_STR("client_credentials")));
    assert_true(andiron_str_eq(form.scope, ANDIRON_STR("a/b c")));
    assert_true(andiron_str_eq(form.client_secret, ANDIRON_STR("%")));
    assert_null(form.client_id.data); /* empty is omitted, RFC 6749 section 3.2 */
    assert_true(andiron_str_eq(json.grant_type, form.grant_type));
    assert_true(andiron_str_eq(json.scope, form.scope));
    assert_true(andiron_str_eq(json.client_secret, form.client_secret));
    assert_null(json.client_id.data);
}

static void ambiguous_or_broken_bodies_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *type, *body;
    } rows[] = {
        { "application/x-www-form-urlencoded", "grant_type=a&grant_type=a" },
        { "application/x-www-form-urlencoded", "grant_type=a&grant%5ftype=b" },
        { "application/x-www-form-urlencoded", "scope=&scope=x" },
        { "application/x-www-form-urlencoded", "scope=%" },
        { "application/x-www-form-urlencoded", "scope=%2" },
        { "application/x-www-form-urlencoded", "scope=%zz" },
        { "application/x-www-form-urlencoded", "scope=%00" },
        { "application/json", "" },
        { "application/json", "{" },
        { "application/json", "[]" },
        { "application/json", "\"x\"" },
        { "application/json", "{\"scope\":1}" },
        { "application/json", "{\"scope\":null}" },
        { "application/json", "{\"scope\":[\"a\"]}" },
        { "application/json", "{\"scope\":\"a\\u0000b\"}" },
        { "application/json", "{\"scope\":\"a\",\"scope\":\"b\"}" },
        { "text/plain", "grant_type=a" },
        { "multipart/form-data; boundary=x", "" },
        { "application/jsonx", "{}" },
    };
    struct oauth_params params;
    struct andiron_error err;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (params_read(arena, andiron_str_of(rows[i].type), andiron_str_of(rows[i].body),
                        PARAMS_OF_GRANT, &params, &err) == 0)
            fail_msg("accepted: %s %s", rows[i].type, rows[i].body);
}

static void parameters_of_other_endpoints_are_ignored(void **state)
{
    (void)state;
    struct oauth_params params;
    struct andiron_error err;
    assert_int_equal(params_read(arena, JSON, ANDIRON_STR("{\"scope\":\"a\",\"token\":[1]}"),
                                 PARAMS_OF_GRANT, &params, &err),
                     0);
    assert_null(params.token.data);
    assert_int_equal(params_read(arena, JSON, ANDIRON_STR("{\"scope\":[1],\"token\":\"a\"}"),
                                 PARAMS_OF_TOKEN, &params, &err),
                     0);
    assert_null(params.scope.data);
    assert_true(andiron_str_eq(params.token, ANDIRON_STR("a")));
    assert_int_equal(
        params_read(arena, FORM, ANDIRON_STR("token=a&token=a"), PARAMS_OF_TOKEN, &params, &err),
        -1);
}

static void basic_credentials_have_one_spelling(void **state)
{
    (void)state;
    static const char *const wrong[] = { "",
                                         "cm9vd DpzZWNyZXQ=",
                                         "cm9vdDpzZWNyZXQ= ",
                                         "!!!",
                                         "cm9vdA==",
                                         "cm9vdDpzZWNyZXQ",
                                         "cm9vdDpzZWNyZXQ==",
                                         "cm9vdDoA",
                                         "cm9vdDpz\nZWNyZXQ=" };
    andiron_str id, secret;
    assert_int_equal(basic_read(arena, ANDIRON_STR("cm9vdDpzZWNyZXQ="), &id, &secret), 0);
    assert_true(andiron_str_eq(id, ANDIRON_STR("root")));
    assert_true(andiron_str_eq(secret, ANDIRON_STR("secret")));
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        if (basic_read(arena, andiron_str_of(wrong[i]), &id, &secret) == 0)
            fail_msg("taken: %s", wrong[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clients_as_people_write_them_are_taken),
        cmocka_unit_test(broken_clients_are_refused_at_their_element),
        cmocka_unit_test(stored_text_has_keys_as_an_array_and_the_secret_given),
        cmocka_unit_test(ids_are_those_of_fhir),
        cmocka_unit_test(secret_is_proven_by_itself_only),
        cmocka_unit_test(hash_is_pbkdf2_with_hmac_sha_256),
        cmocka_unit_test(stored_secrets_of_other_forms_are_none),
        cmocka_unit_test(form_and_json_carry_the_same_parameters),
        cmocka_unit_test(ambiguous_or_broken_bodies_are_refused),
        cmocka_unit_test(parameters_of_other_endpoints_are_ignored),
        cmocka_unit_test(basic_credentials_have_one_spelling),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
