/*
 * Client assertions: a good one passes, and each rule violated alone refuses it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "assertion.h"
#include "common/jose/base64url.h"

enum { NOW = 1700000000 };

static struct andiron_arena *arena;
static const struct jose_alg *algs[3];
static struct assertion_rules rules;

static int set_up(void **state)
{
    (void)state;
    arena = andiron_arena_new(0);
    algs[0] = jose_alg_find(ANDIRON_STR("RS384"));
    algs[1] = jose_alg_find(ANDIRON_STR("ES384"));
    rules = (struct assertion_rules){ .algs = algs,
                                      .max_bytes = 16 * 1024,
                                      .audience = ANDIRON_STR("https://a.example/auth/token"),
                                      .skew_s = 5,
                                      .life_s = 300,
                                      .now_s = NOW };
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    andiron_arena_free(arena);
    return 0;
}

/* The signature is not looked at here. */
static andiron_str compact(const char *header, const char *claims)
{
    andiron_str h = jose_base64url_text(arena, header, strlen(header));
    andiron_str c = jose_base64url_text(arena, claims, strlen(claims));
    return andiron_str_of(
        andiron_printf(arena, "%.*s.%.*s.AAAA", (int)h.len, h.data, (int)c.len, c.data));
}

static int judge(andiron_str text, struct assertion *ret, struct andiron_error *err)
{
    if (assertion_read(arena, text, &rules, ret, err) != 0)
        return -1;
    return assertion_check(ret, &rules, err);
}

#define HEADER "{\"alg\":\"RS384\",\"kid\":\"k\",\"typ\":\"JWT\"}"
#define AUD "\"aud\":\"https://a.example/auth/token\""
#define WHO "\"iss\":\"c\",\"sub\":\"c\""
#define GOOD "{" WHO "," AUD ",\"exp\":1700000300,\"jti\":\"j\"}"

static void good_assertion_passes_with_its_claims(void **state)
{
    (void)state;
    struct assertion a;
    struct andiron_error err;
    if (judge(compact(HEADER, GOOD), &a, &err) != 0)
        fail_msg("%s", err.message);
    assert_string_equal(a.alg->name, "RS384");
    assert_true(andiron_str_eq(a.kid, ANDIRON_STR("k")));
    assert_true(andiron_str_eq(a.client, ANDIRON_STR("c")));
    assert_true(andiron_str_eq(a.jti, ANDIRON_STR("j")));
    assert_true(a.exp_s == 1700000300.0);
    assert_null(a.jku.data);
}

struct row {
    const char *header, *claims;
};

static void what_the_rules_leave_open_passes(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "{\"alg\":\"ES384\",\"kid\":\"k\"}", GOOD },
        { "{\"alg\":\"RS384\",\"kid\":\"k\",\"typ\":\"jwt\"}", GOOD },
        { "{\"alg\":\"RS384\",\"kid\":\"k\",\"typ\":\"Client-Authentication+JWT\"}", GOOD },
        { "{\"alg\":\"RS384\",\"kid\":\"k\",\"jku\":\"https://x\",\"x5c\":[],\"jwk\":{}}", GOOD },
        { HEADER, "{" WHO ",\"aud\":[\"https://a.example/auth/token\"],\"exp\":1700000300,"
                  "\"jti\":\"j\"}" },
        { HEADER, "{" WHO "," AUD ",\"exp\":1700000305,\"jti\":\"j\"}" },
        { HEADER, "{" WHO "," AUD ",\"exp\":1699999996,\"jti\":\"j\"}" },
        { HEADER, "{" WHO "," AUD ",\"exp\":1700000299.5,\"jti\":\"j\"}" },
        { HEADER, "{" WHO "," AUD ",\"exp\":1.7000003e9,\"jti\":\"j\"}" },
        { HEADER, "{" WHO "," AUD ",\"exp\":1700000300,\"jti\":\"j\",\"nbf\":1700000005,"
                  "\"iat\":1700000005}" },
        { HEADER, "{" WHO "," AUD ",\"exp\":1700000300,\"jti\":\"j\",\"iat\":1699996400}" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct assertion a;
        struct andiron_error err;
        if (judge(compact(rows[i].header, rows[i].claims), &a, &err) != 0)
            fail_msg("row %zu: %s", i, err.message);
    }
}

static void each_rule_violated_alone_refuses(void **state)
{
    (void)state;
    static const struct row rows[] = {
        /* JA-1 */
        { "{\"alg\":\"RS384\",\"alg\":\"RS384\",\"kid\":\"k\"}", GOOD },
        { "[]", GOOD },
        { HEADER, "[]" },
        { HEADER, "{" WHO "," AUD "," AUD ",\"exp\":1700000300,\"jti\":\"j\"}" },
        { HEADER, "" },
        /* JA-2 */
        { "{\"alg\":\"none\",\"kid\":\"k\"}", GOOD },
        { "{\"alg\":\"HS256\",\"kid\":\"k\"}", GOOD },
        { "{\"alg\":\"RS256\",\"kid\":\"k\"}", GOOD },
        { "{\"alg\":\"rs384\",\"kid\":\"k\"}", GOOD },
        { "{\"alg\":[\"RS384\"],\"kid\":\"k\"}", GOOD },
        { "{\"kid\":\"k\"}", GOOD },
        /* JA-3 */
        { "{\"alg\":\"RS384\",\"kid\":\"k\",\"typ\":\"JWE\"}", GOOD },
        { "{\"alg\":\"RS384\",\"kid\":\"k\",\"typ\":\"at+jwt\"}", GOOD },
        { "{\"alg\":\"RS384\",\"kid\":\"k\",\"typ\":\"\"}", GOOD },
        { "{\"alg\":\"RS384\",\"kid\":\"k\",\"typ\":null}", GOOD },
        /* JA-4 */
        { "{\"alg\":\"RS384\"}", GOOD },
        { "{\"alg\":\"RS384\",\"kid\":\"\"}", GOOD },
        { "{\"alg\":\"RS384\",\"kid\":7}", GOOD },
        { "{\"alg\":\"RS384\",\"kid\":\"k\",\"crit\":[\"exp\"]}", GOOD },
        { "{\"alg\":\"RS384\",\"kid\":\"k\",\"crit\":null}", GOOD },
        { "{\"alg\":\"RS384\",\"kid\":\"k\",\"b64\":true}", GOOD },
        { "{\"alg\":\"RS384\",\"kid\":\"k\",\"zip\":\"DEF\"}", GOOD },
        /* JA-5 */
        { "{\"alg\":\"RS384\",\"kid\":\"k\",\"jku\":null}", GOOD },
        /* JA-6 */
        { HEADER, "{\"sub\":\"c\"," AUD ",\"exp\":1700000300,\"jti\":\"j\"}" },
        { HEADER, "{\"iss\":\"c\"," AUD ",\"exp\":1700000300,\"jti\":\"j\"}" },
        { HEADER, "{\"iss\":\"c\",\"sub\":\"d\"," AUD ",\"exp\":1700000300,\"jti\":\"j\"}" },
        { HEADER, "{\"iss\":\"\",\"sub\":\"\"," AUD ",\"exp\":1700000300,\"jti\":\"j\"}" },
        { HEADER, "{\"iss\":1,\"sub\":1," AUD ",\"exp\":1700000300,\"jti\":\"j\"}" },
        { HEADER, "{\"iss\":[\"c\"],\"sub\":[\"c\"]," AUD ",\"exp\":1700000300,\"jti\":\"j\"}" },
        /* JA-9 */
        { HEADER, "{" WHO ",\"exp\":1700000300,\"jti\":\"j\"}" },
        { HEADER, "{" WHO ",\"aud\":\"https://a.example/auth/token/\",\"exp\":1700000300,"
                  "\"jti\":\"j\"}" },
        { HEADER, "{" WHO ",\"aud\":\"https://A.example/auth/token\",\"exp\":1700000300,"
                  "\"jti\":\"j\"}" },
        { HEADER, "{" WHO ",\"aud\":\"https://a.example\",\"exp\":1700000300,\"jti\":\"j\"}" },
        { HEADER, "{" WHO ",\"aud\":[],\"exp\":1700000300,\"jti\":\"j\"}" },
        { HEADER, "{" WHO ",\"aud\":[[\"https://a.example/auth/token\"]],\"exp\":1700000300,"
                  "\"jti\":\"j\"}" },
        { HEADER, "{" WHO ",\"aud\":[\"https://a.example/auth/token\",\"https://b\"],"
                  "\"exp\":1700000300,\"jti\":\"j\"}" },
        { HEADER, "{" WHO ",\"aud\":[\"https://a.example/auth/token\","
                  "\"https://a.example/auth/token\"],\"exp\":1700000300,\"jti\":\"j\"}" },
        /* JA-10 */
        { HEADER, "{" WHO "," AUD ",\"jti\":\"j\"}" },
        { HEADER, "{" WHO "," AUD ",\"exp\":\"1700000300\",\"jti\":\"j\"}" },
        { HEADER, "{" WHO "," AUD ",\"exp\":null,\"jti\":\"j\"}" },
        { HEADER, "{" WHO "," AUD ",\"exp\":1e999,\"jti\":\"j\"}" },
        { HEADER, "{" WHO "," AUD ",\"exp\":1699999995,\"jti\":\"j\"}" },
        { HEADER, "{" WHO "," AUD ",\"exp\":-1,\"jti\":\"j\"}" },
        { HEADER, "{" WHO "," AUD ",\"exp\":1700000306,\"jti\":\"j\"}" },
        /* JA-11 */
        { HEADER, "{" WHO "," AUD ",\"exp\":1700000300,\"jti\":\"j\",\"nbf\":1700000006}" },
        { HEADER, "{" WHO "," AUD ",\"exp\":1700000300,\"jti\":\"j\",\"nbf\":\"1\"}" },
        { HEADER, "{" WHO "," AUD ",\"exp\":1700000300,\"jti\":\"j\",\"iat\":1700000006}" },
        { HEADER, "{" WHO "," AUD ",\"exp\":1700000300,\"jti\":\"j\",\"iat\":1699996399}" },
        { HEADER, "{" WHO "," AUD ",\"exp\":1700000300,\"jti\":\"j\",\"iat\":null}" },
        /* JA-12 */
        { HEADER, "{" WHO "," AUD ",\"exp\":1700000300}" },
        { HEADER, "{" WHO "," AUD ",\"exp\":1700000300,\"jti\":\"\"}" },
        { HEADER, "{" WHO "," AUD ",\"exp\":1700000300,\"jti\":5}" },
        { HEADER, "{" WHO "," AUD ",\"exp\":1700000300,\"jti\":\"j\\u0000\"}" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct assertion a;
        struct andiron_error err = { .code = ANDIRON_OK };
        if (judge(compact(rows[i].header, rows[i].claims), &a, &err) == 0)
            fail_msg("accepted: %s . %s", rows[i].header, rows[i].claims);
        assert_int_equal(err.code, ANDIRON_E_CREDENTIALS);
        if (strcmp(err.message, "client or signature not accepted") != 0) /* JA-6 */
            assert_memory_equal(err.message, "assertion: ", 11);
    }
}

static void jti_has_a_largest_size(void **state)
{
    (void)state;
    char jti[258];
    struct assertion a;
    struct andiron_error err;
    memset(jti, 'j', sizeof(jti));
    jti[256] = '\0';
    for (int longer = 0; longer < 2; longer++) {
        int status =
            judge(compact(HEADER, andiron_printf(arena, "{%s,%s,\"exp\":1700000300,\"jti\":\"%s\"}",
                                                 WHO, AUD, jti)),
                  &a, &err);
        assert_int_equal(status, longer ? -1 : 0);
        jti[256] = 'j';
        jti[257] = '\0';
    }
}

static void issuer_is_an_audience_only_if_configured(void **state)
{
    (void)state;
    struct assertion a;
    struct andiron_error err;
    andiron_str text = compact(HEADER, "{" WHO ",\"aud\":\"https://a.example\",\"exp\":1700000300,"
                                       "\"jti\":\"j\"}");
    assert_int_equal(judge(text, &a, &err), -1);
    rules.other_audience = ANDIRON_STR("https://a.example");
    assert_int_equal(judge(text, &a, &err), 0);
    rules.other_audience = (andiron_str){ NULL, 0 };
}

static void size_is_limited(void **state)
{
    (void)state;
    struct assertion a;
    struct andiron_error err;
    andiron_str text = compact(HEADER, GOOD);
    rules.max_bytes = text.len - 1;
    assert_int_equal(judge(text, &a, &err), -1);
    rules.max_bytes = text.len;
    assert_int_equal(judge(text, &a, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_assertion_passes_with_its_claims),
        cmocka_unit_test(what_the_rules_leave_open_passes),
        cmocka_unit_test(each_rule_violated_alone_refuses),
        cmocka_unit_test(jti_has_a_largest_size),
        cmocka_unit_test(issuer_is_an_audience_only_if_configured),
        cmocka_unit_test(size_is_limited),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
