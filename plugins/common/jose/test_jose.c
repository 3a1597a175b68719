/*
 * JWS, JWK and base64url against the examples of RFC 7515, 7638 and 8037, and against input
 * that must be refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <gnutls/crypto.h>

#include "base/arena.h"
#include "common/jose/base64url.h"
#include "common/jose/jws.h"
#include "common/jose/sign.h"

/* RFC 7515 appendix A.2 */
#define RSA_N                                                                                      \
    "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4" \
    "d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5re" \
    "xMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxX" \
    "FvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"
#define JOE                                                                                        \
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVl" \
    "fQ"
#define RS256_JWS                                                                                  \
    "eyJhbGciOiJSUzI1NiJ9." JOE "."                                                                \
    "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5" \
    "jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb" \
    "1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QO" \
    "YEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
#define RSA_JWK "{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQAB\"}"

/* RFC 7515 appendix A.3 */
#define EC_X "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
#define EC_Y "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
#define EC_JWK "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" EC_X "\",\"y\":\"" EC_Y "\"}"
#define ES256_JWS                                                                                  \
    "eyJhbGciOiJFUzI1NiJ9." JOE "."                                                                \
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"

/* RFC 7515 appendix A.4: its payload is not JSON */
#define EC521_JWK                                                                                  \
    "{\"kty\":\"EC\",\"crv\":\"P-521\",\"x\":\"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp"  \
    "5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk\",\"y\":\"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_"  \
    "l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2\"}"
#define ES512_SIGNATURE                                                                            \
    "AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8G" \
    "aSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn"

/* RFC 8037 appendices A.2 and A.4 */
#define ED_JWK                                                                                     \
    "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}"
#define EDDSA_DATA "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
#define EDDSA_SIGNATURE                                                                            \
    "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"

/* RFC 7638 section 3.1 */
#define THUMB_JWK                                                                                  \
    "{\"kty\":\"RSA\",\"n\":"                                                                      \
    "\"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1R"                       \
    "K7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4" \
    "QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyr" \
    "dkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"   \
    "\",\"e\":\"AQAB\",\"alg\":\"RS256\",\"kid\":\"2011-04-29\"}"

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

static andiron_json parsed(const char *text)
{
    andiron_json v;
    struct andiron_error err;
    if (andiron_json_parse(arena, andiron_str_of(text), &v, &err) != 0)
        fail_msg("%s: %s", err.message, text);
    return v;
}

static struct jose_key key_of(const char *jwk)
{
    struct jose_key key;
    struct andiron_error err;
    if (jose_jwk_read(arena, parsed(jwk), &key, &err) != 0)
        fail_msg("%s: %s", err.where, err.message);
    return key;
}

static const struct jose_alg *alg_of(const char *name)
{
    const struct jose_alg *alg = jose_alg_find(andiron_str_of(name));
    assert_non_null(alg);
    return alg;
}

static andiron_str bytes_of(const char *base64url)
{
    andiron_str bytes;
    assert_int_equal(jose_base64url_read(arena, andiron_str_of(base64url), &bytes), 0);
    return bytes;
}

/* As the users of a set do: parse, check, import. */
static int read_set(const char *text, size_t max_keys, struct jose_set *ret,
                    struct andiron_error *err)
{
    andiron_json root;
    if (andiron_json_parse(arena, andiron_str_of(text), &root, err) != 0 ||
        jose_set_check(jose_set_keys(root), max_keys, err) != 0)
        return -1;
    return jose_set_read(arena, jose_set_keys(root), (andiron_str){ NULL, 0 }, ret, err);
}

/* ---- base64url ------------------------------------------------------------------ */

static void base64url_comes_back_for_every_length(void **state)
{
    (void)state;
    uint8_t in[300] = { 0 }, out[300];
    char text[400];
    for (size_t len = 0; len < sizeof(in); len++) {
        for (size_t i = 0; i < len; i++)
            in[i] = (uint8_t)(i * 37 + len);
        size_t chars = jose_base64url_encode(in, len, text), back = 999;
        assert_int_equal(chars, jose_base64url_length(len));
        assert_int_equal(jose_base64url_bytes(chars), len);
        assert_int_equal(jose_base64url_decode((andiron_str){ text, chars }, out, &back), 0);
        assert_int_equal(back, len);
        assert_memory_equal(in, out, len);
    }
}

static void base64url_has_one_spelling(void **state)
{
    (void)state;
    static const char *const refused[] = { "A",
                                           "AAAAA",
                                           "AB",
                                           "AAB",
                                           "QQ==",
                                           "QUI=",
                                           "Q+==",
                                           "+AAA",
                                           "/AAA",
                                           "AA A",
                                           "AA\n",
                                           "A.AA",
                                           "\x80"
                                           "AAA",
                                           "AP" };
    uint8_t out[16];
    size_t len;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        if (jose_base64url_decode(andiron_str_of(refused[i]), out, &len) == 0)
            fail_msg("accepted: %s", refused[i]);
    assert_int_equal(jose_base64url_decode(ANDIRON_STR("AA\0A"), out, &len), -1);
    assert_int_equal(jose_base64url_decode(ANDIRON_STR("-_-_"), out, &len), 0);
    assert_int_equal(jose_base64url_decode(ANDIRON_STR("AAA"), out, &len), 0);
}

/* ---- verifying ------------------------------------------------------------------- */

static void published_examples_verify(void **state)
{
    (void)state;
    static const struct {
        const char *alg, *jwk, *jws;
    } examples[] = { { "RS256", RSA_JWK, RS256_JWS }, { "ES256", EC_JWK, ES256_JWS } };
    for (size_t i = 0; i < 2; i++) {
        struct jose_jws jws;
        struct andiron_error err;
        struct jose_key key = key_of(examples[i].jwk);
        assert_int_equal(jose_jws_split(arena, andiron_str_of(examples[i].jws), 4096, &jws, &err),
                         0);
        assert_true(andiron_str_eq(andiron_json_str(andiron_json_get(jws.header, "alg")),
                                   andiron_str_of(examples[i].alg)));
        assert_int_equal(andiron_json_int(andiron_json_get(jws.claims, "exp"), 0), 1300819380);
        assert_true(jose_verify(&key, alg_of(examples[i].alg), jws.signed_part, jws.signature));
        jws.signed_part.len--;
        assert_false(jose_verify(&key, alg_of(examples[i].alg), jws.signed_part, jws.signature));
    }
    struct jose_key p521 = key_of(EC521_JWK), ed = key_of(ED_JWK);
    assert_true(jose_verify(&p521, alg_of("ES512"), ANDIRON_STR("eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA"),
                            bytes_of(ES512_SIGNATURE)));
    assert_true(
        jose_verify(&ed, alg_of("EdDSA"), ANDIRON_STR(EDDSA_DATA), bytes_of(EDDSA_SIGNATURE)));
    assert_false(
        jose_verify(&ed, alg_of("EdDSA"), ANDIRON_STR(EDDSA_DATA "x"), bytes_of(EDDSA_SIGNATURE)));
}

static void signature_of_other_form_or_algorithm_is_refused(void **state)
{
    (void)state;
    struct jose_jws jws;
    struct andiron_error err;
    struct jose_key ec = key_of(EC_JWK), rsa = key_of(RSA_JWK);
    assert_int_equal(jose_jws_split(arena, ANDIRON_STR(ES256_JWS), 4096, &jws, &err), 0);
    const struct jose_alg *es256 = alg_of("ES256");

    /* DER instead of r and s */
    gnutls_datum_t r = { (unsigned char *)jws.signature.data, 32 };
    gnutls_datum_t s = { (unsigned char *)jws.signature.data + 32, 32 }, der;
    assert_int_equal(gnutls_encode_rs_value(&der, &r, &s), 0);
    assert_false(
        jose_verify(&ec, es256, jws.signed_part, (andiron_str){ (char *)der.data, der.size }));
    gnutls_free(der.data);

    char longer[66] = { 0 }, zero[64] = { 0 };
    memcpy(longer, jws.signature.data, 64); /* a good one, and more behind it */
    assert_true(jose_verify(&ec, es256, jws.signed_part, (andiron_str){ longer, 64 }));
    assert_false(jose_verify(&ec, es256, jws.signed_part, (andiron_str){ longer, 66 }));
    assert_false(jose_verify(&ec, es256, jws.signed_part, (andiron_str){ longer, 63 }));
    memset(longer, 0, sizeof(longer));
    memcpy(longer + 1, jws.signature.data, 32);
    memcpy(longer + 34, jws.signature.data + 32, 32);
    assert_false(jose_verify(&ec, es256, jws.signed_part, (andiron_str){ longer, 66 }));
    assert_false(jose_verify(&ec, es256, jws.signed_part, (andiron_str){ zero, 64 }));
    assert_false(jose_verify(&ec, es256, jws.signed_part, (andiron_str){ "", 0 }));
    assert_false(jose_verify(&ec, alg_of("ES384"), jws.signed_part, jws.signature));
    assert_false(jose_verify(&rsa, es256, jws.signed_part, jws.signature));
    assert_false(jose_verify(&ec, alg_of("RS256"), jws.signed_part, jws.signature));

    /* RSA: a signature with a leading zero byte is the same number, but not the same bytes */
    assert_int_equal(jose_jws_split(arena, ANDIRON_STR(RS256_JWS), 4096, &jws, &err), 0);
    char padded[257] = { 0 };
    memcpy(padded + 1, jws.signature.data, 256);
    assert_false(jose_verify(&rsa, alg_of("RS256"), jws.signed_part, (andiron_str){ padded, 257 }));
    assert_false(jose_verify(&rsa, alg_of("RS384"), jws.signed_part, jws.signature));
    assert_false(jose_verify(&rsa, alg_of("PS256"), jws.signed_part, jws.signature));
}

static void unknown_and_symmetric_algorithms_do_not_exist(void **state)
{
    (void)state;
    static const char *const names[] = { "none", "None",   "HS256", "HS384",  "HS512", "rs256",
                                         "RS25", "RS2566", "",      "ES256K", "RS1" };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_null(jose_alg_find(andiron_str_of(names[i])));
    assert_null(jose_alg_find(ANDIRON_STR("RS256\0")));
}

static void malformed_compact_form_is_refused(void **state)
{
    (void)state;
    static const char *const refused[] = {
        "",
        ".",
        "..",
        "a.b",
        "eyJhIjoxfQ.eyJhIjoxfQ",
        "eyJhIjoxfQ.eyJhIjoxfQ.",
        ".eyJhIjoxfQ.AAAA",
        "eyJhIjoxfQ..AAAA",
        "eyJhIjoxfQ.eyJhIjoxfQ.AAAA.AAAA",
        "eyJhIjoxfQ==.eyJhIjoxfQ.AAAA",
        "eyJhIjoxfQ.eyJhIjoxfQ.AAAAA",
        "eyJhIjoxfQ.eyJhIjoxfQ.AA+A",
        " eyJhIjoxfQ.eyJhIjoxfQ.AAAA",
        "eyJhIjoxfQ.eyJhIjoxfQ.AAAA\n",
        "WzFd.eyJhIjoxfQ.AAAA",               /* header [1] */
        "eyJhIjoxfQ.WzFd.AAAA",               /* payload [1] */
        "eyJhIjoxfQ.eyJhIjoxLCJhIjoyfQ.AAAA", /* payload {"a":1,"a":2} */
        "eyJhIjoxLCJhIjoyfQ.eyJhIjoxfQ.AAAA", /* header {"a":1,"a":2} */
        "eyJhIjoxfQ.eyJhIjox.AAAA",           /* payload cut */
    };
    struct jose_jws jws;
    struct andiron_error err;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        if (jose_jws_split(arena, andiron_str_of(refused[i]), 4096, &jws, &err) == 0)
            fail_msg("accepted: %s", refused[i]);
    assert_int_equal(jose_jws_split(arena, (andiron_str){ NULL, 0 }, 4096, &jws, &err), -1);
    assert_int_equal(
        jose_jws_split(arena, ANDIRON_STR("eyJhIjoxfQ.eyJhIjoxfQ.AAAA"), 26, &jws, &err), 0);
    assert_int_equal(
        jose_jws_split(arena, ANDIRON_STR("eyJhIjoxfQ.eyJhIjoxfQ.AAAA"), 25, &jws, &err), -1);
}

/* ---- keys ------------------------------------------------------------------------- */

static void assert_refused(const char *jwk, const char *where)
{
    struct jose_key key;
    struct andiron_error err = { .code = ANDIRON_OK };
    if (jose_jwk_read(arena, parsed(jwk), &key, &err) == 0)
        fail_msg("accepted: %s", jwk);
    assert_string_equal(err.where, where);
}

static void weak_or_broken_keys_are_refused(void **state)
{
    (void)state;
    assert_refused("{}", "kty");
    assert_refused("{\"kty\":\"rsa\",\"n\":\"" RSA_N "\",\"e\":\"AQAB\"}", "kty");
    assert_refused("{\"kty\":\"RSA\",\"e\":\"AQAB\"}", "n");
    assert_refused("{\"kty\":\"RSA\",\"n\":\"" RSA_N "\"}", "e");
    assert_refused("{\"kty\":\"RSA\",\"n\":\"" RSA_N "==\",\"e\":\"AQAB\"}", "n");
    /* exponents 1, 2, even, leading zero, nine bytes */
    assert_refused("{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQ\"}", "e");
    assert_refused("{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"Ag\"}", "e");
    assert_refused("{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQAA\"}", "e");
    assert_refused("{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AAEAAQ\"}", "e");
    assert_refused("{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQAAAAAAAAAB\"}", "e");
    /* short, even */
    assert_refused("{\"kty\":\"RSA\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbj\",\"e\":"
                   "\"AQAB\"}",
                   "n");
    char even[] = "{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQAB\"}";
    memcpy(strstr(even, "uXpoQ\""), "uXpoA\"", 6);
    assert_refused(even, "n");
    /* EC: off the curve, short coordinate, unknown curve, no y */
    assert_refused("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" EC_Y "\",\"y\":\"" EC_X "\"}", "x");
    assert_refused("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AQ\",\"y\":\"" EC_Y "\"}", "x");
    assert_refused("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" EC_X "\",\"y\":\"AQ\"}", "y");
    assert_refused("{\"kty\":\"EC\",\"crv\":\"secp256k1\",\"x\":\"" EC_X "\",\"y\":\"" EC_Y "\"}",
                   "crv");
    assert_refused("{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"" EC_X "\",\"y\":\"" EC_Y "\"}", "x");
    assert_refused("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" EC_X "\"}", "y");
    /* secrets */
    assert_refused("{\"kty\":\"oct\",\"k\":\"AAAA\"}", "kty");
    assert_refused("{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQAB\",\"d\":\"AQ\"}", "kty");
    assert_refused("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" EC_X "\",\"y\":\"" EC_Y
                   "\",\"d\":null}",
                   "kty");
    assert_refused("{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQAB\",\"kid\":7}", "kid");
    assert_refused("{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQAB\",\"alg\":\"\"}", "alg");
}

static void use_operations_and_own_algorithm_limit_a_key(void **state)
{
    (void)state;
    static const struct {
        const char *members, *alg;
        bool fits;
    } rows[] = {
        { "", "RS384", true },
        { ",\"use\":\"sig\"", "RS384", true },
        { ",\"use\":\"enc\"", "RS384", false },
        { ",\"use\":1", "RS384", false },
        { ",\"key_ops\":[\"verify\"]", "RS384", true },
        { ",\"key_ops\":[\"encrypt\",\"verify\"]", "RS384", true },
        { ",\"key_ops\":[\"sign\"]", "RS384", false },
        { ",\"key_ops\":[]", "RS384", false },
        { ",\"key_ops\":\"verify\"", "RS384", false },
        { ",\"alg\":\"RS384\"", "RS384", true },
        { ",\"alg\":\"RS256\"", "RS384", false },
        { "", "ES384", false },
        { "", "EdDSA", false },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct jose_key key = key_of(andiron_printf(
            arena, "{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"AQAB\"%s}", RSA_N, rows[i].members));
        if (jose_key_fits(&key, alg_of(rows[i].alg)) != rows[i].fits)
            fail_msg("row %zu", i);
    }
    struct jose_key p256 = key_of(EC_JWK);
    assert_true(jose_key_fits(&p256, alg_of("ES256")));
    assert_false(jose_key_fits(&p256, alg_of("ES512")));
}

/* Assertions name keys before anything of them has been proven. */
static void names_that_are_not_in_a_set_cost_no_memory(void **state)
{
    (void)state;
    andiron_json keys = jose_set_keys(parsed("[" EC_JWK "," EC_JWK "," EC_JWK "]"));
    size_t before = arena_bytes(arena);
    struct jose_set set;
    struct andiron_error err;

    for (int i = 0; i < 10000; i++) {
        assert_int_equal(jose_set_read(arena, keys, ANDIRON_STR("nobody's"), &set, &err), 0);
        assert_int_equal(set.count, 0);
    }
    assert_int_equal(arena_bytes(arena), before);
}

static void set_skips_what_it_cannot_use_and_refuses_secrets(void **state)
{
    (void)state;
    struct jose_set set;
    struct andiron_error err;
    const char *mixed =
        "{\"keys\":[{\"kty\":\"unknown\"},{\"kty\":\"RSA\",\"n\":\"AQ\",\"e\":\"AQAB\"},"
        "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" EC_X "\",\"y\":\"" EC_Y
        "\",\"kid\":\"one\"},{\"kty\":\"RSA\",\"n\":\"" RSA_N
        "\",\"e\":\"AQAB\",\"kid\":\"one\"}],\"other\":1}";
    assert_int_equal(read_set(mixed, 64, &set, &err), 0);
    assert_int_equal(set.count, 2);
    assert_int_equal(set.skipped, 2);
    struct jose_set none;
    assert_int_equal(
        jose_set_read(arena, jose_set_keys(parsed(mixed)), ANDIRON_STR("two"), &none, &err), 0);
    assert_int_equal(none.count + none.skipped, 0);
    const struct jose_key *key = NULL;
    assert_int_equal(jose_set_find(&set, ANDIRON_STR("one"), alg_of("ES256"), &key), 1);
    assert_int_equal(key->kty, JOSE_EC);
    assert_int_equal(jose_set_find(&set, ANDIRON_STR("one"), alg_of("RS384"), &key), 1);
    assert_int_equal(key->kty, JOSE_RSA);
    assert_int_equal(jose_set_find(&set, ANDIRON_STR("One"), alg_of("RS384"), &key), 0);
    assert_int_equal(read_set(mixed, 3, &set, &err), -1);

    static const char *const refused[] = {
        "{}",
        "[1",
        "\"x\"",
        "{\"keys\":{}}",
        "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AA\"}]}",
        "{\"keys\":[" EC_JWK ",{\"kty\":\"EC\",\"d\":\"AA\"}]}",
    };
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        if (read_set(refused[i], 64, &set, &err) == 0)
            fail_msg("accepted: %s", refused[i]);
    assert_int_equal(read_set("[" EC_JWK "]", 64, &set, &err), 0);
    assert_int_equal(set.count, 1);
    const char *twice = "[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" EC_X "\",\"y\":\"" EC_Y
                        "\",\"kid\":\"k\"},{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" EC_X
                        "\",\"y\":\"" EC_Y "\",\"kid\":\"k\"}]";
    assert_int_equal(read_set(twice, 64, &set, &err), 0);
    assert_int_equal(jose_set_find(&set, ANDIRON_STR("k"), alg_of("ES256"), &key), 2);
}

static void thumbprints_are_those_of_the_standards(void **state)
{
    (void)state;
    char out[JOSE_THUMBPRINT + 1] = { 0 };
    struct andiron_error err;
    assert_int_equal(jose_thumbprint(key_of(THUMB_JWK).handle, out, &err), 0);
    assert_string_equal(out, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    assert_int_equal(jose_thumbprint(key_of(ED_JWK).handle, out, &err), 0);
    assert_string_equal(out, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    assert_int_equal(jose_thumbprint(key_of(EC_JWK).handle, out, &err), 0);
    assert_string_equal(out, "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U");
}

/* ---- signing ----------------------------------------------------------------------- */

static void what_is_signed_verifies_with_the_published_key(void **state)
{
    (void)state;
    static const char *const names[] = { "RS256", "RS384", "PS256", "ES256",
                                         "ES384", "ES512", "EdDSA" };
    struct andiron_error err;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const struct jose_alg *alg = alg_of(names[i]);
        struct jose_private *made = NULL, *key = NULL;
        andiron_str pem, jwk, text;
        struct jose_jws jws;
        if (jose_private_generate(alg, 2048, &made, &err) != 0)
            fail_msg("%s: %s", names[i], err.message);
        assert_int_equal(jose_private_pem(made, &pem, &err), 0);
        if (jose_private_read(pem, &key, &err) != 0)
            fail_msg("%s: %s", names[i], err.message);
        jose_pem_free(pem);
        jose_private_free(made);
        assert_int_equal(
            jose_jwk_write(arena, jose_private_public(key), ANDIRON_STR("k"), alg, &jwk, &err), 0);
        struct jose_key public = key_of(andiron_copy(arena, jwk));
        /* r or s is shorter than its field in 1 of 128 signatures: enough to meet padding */
        for (int round = 0; round < (alg->kty == JOSE_EC ? 200 : 2); round++) {
            if (jose_sign_compact(arena, key, alg, ANDIRON_STR("k"),
                                  andiron_str_of(andiron_printf(arena, "{\"n\":%d}", round)), &text,
                                  &err) != 0)
                fail_msg("%s: %s", names[i], err.message);
            assert_int_equal(jose_jws_split(arena, text, 4096, &jws, &err), 0);
            assert_true(jose_verify(&public, alg, jws.signed_part, jws.signature));
        }
        assert_true(andiron_str_eq(andiron_json_str(andiron_json_get(jws.header, "kid")),
                                   ANDIRON_STR("k")));
        jose_private_free(key);
    }
}

static void key_files_of_other_kinds_are_refused(void **state)
{
    (void)state;
    static const char *const refused[] = {
        "",
        "no pem",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        "-----BEGIN PUBLIC KEY-----\n"
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV7\n"
        "6e8Tus9uPHvRVEXH8UTNG72bfocs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==\n"
        "-----END PUBLIC KEY-----\n",
    };
    struct jose_private *key = NULL;
    struct andiron_error err;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        assert_int_equal(jose_private_read(andiron_str_of(refused[i]), &key, &err), -1);
    struct jose_private *p256 = NULL;
    andiron_str text;
    assert_int_equal(jose_private_generate(alg_of("ES256"), 0, &p256, &err), 0);
    assert_string_equal(jose_private_alg(p256)->name, "ES256");
    assert_int_equal(jose_sign_compact(arena, p256, alg_of("RS256"), ANDIRON_STR("k"),
                                       ANDIRON_STR("{}"), &text, &err),
                     -1);
    jose_private_free(p256);
    jose_private_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64url_comes_back_for_every_length),
        cmocka_unit_test(base64url_has_one_spelling),
        cmocka_unit_test(published_examples_verify),
        cmocka_unit_test(signature_of_other_form_or_algorithm_is_refused),
        cmocka_unit_test(unknown_and_symmetric_algorithms_do_not_exist),
        cmocka_unit_test(malformed_compact_form_is_refused),
        cmocka_unit_test(weak_or_broken_keys_are_refused),
        cmocka_unit_test(use_operations_and_own_algorithm_limit_a_key),
        cmocka_unit_test(names_that_are_not_in_a_set_cost_no_memory),
        cmocka_unit_test(set_skips_what_it_cannot_use_and_refuses_secrets),
        cmocka_unit_test(thumbprints_are_those_of_the_standards),
        cmocka_unit_test(what_is_signed_verifies_with_the_published_key),
        cmocka_unit_test(key_files_of_other_kinds_are_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
