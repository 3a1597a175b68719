/*
 * JWK: import with every check, export, thumbprint. Uses GnuTLS for the keys themselves.
 */
#include "common/jose/jwk.h"

#include <nettle/sha2.h>

#include "common/jose/base64url.h"

enum { MAX_EXPONENT = 8, MAX_NUMBER = JOSE_RSA_MAX_BITS / 8 }; /* bytes */

struct curve {
    char name[10];
    enum jose_kty kty;
    gnutls_ecc_curve_t curve;
    size_t bytes; /* of a coordinate */
};

static const struct curve curves[] = {
    { "P-256", JOSE_EC, GNUTLS_ECC_CURVE_SECP256R1, 32 },
    { "P-384", JOSE_EC, GNUTLS_ECC_CURVE_SECP384R1, 48 },
    { "P-521", JOSE_EC, GNUTLS_ECC_CURVE_SECP521R1, 66 },
    { "Ed25519", JOSE_OKP, GNUTLS_ECC_CURVE_ED25519, 32 },
};
enum { CURVES = sizeof(curves) / sizeof(curves[0]) };

/* ---- import ------------------------------------------------------------------ */

bool jose_jwk_is_secret(andiron_json jwk)
{
    static const char members[][4] = { "d", "p", "q", "dp", "dq", "qi", "oth", "k" };

    if (andiron_str_eq(andiron_json_str(andiron_json_get(jwk, "kty")), ANDIRON_STR("oct")))
        return true;
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
        if (andiron_json_type(andiron_json_get(jwk, members[i])) != ANDIRON_JSON_MISSING)
            return true;
    return false;
}

/* A member of base64url bytes, at most max of them. */
static int read_bytes(andiron_json jwk, const char *name, uint8_t *out, size_t max, size_t *ret_len,
                      struct andiron_error *err)
{
    andiron_str text = andiron_json_str(andiron_json_get(jwk, name));
    if (text.len == 0)
        return andiron_error_set(err, ANDIRON_E_VALUE, name, "must be a string of base64url");
    if (text.len > jose_base64url_length(max))
        return andiron_error_set(err, ANDIRON_E_VALUE, name, "is longer than %zu bytes", max);
    if (jose_base64url_decode(text, out, ret_len) != 0)
        return andiron_error_set(err, ANDIRON_E_VALUE, name,
                                 "must be base64url without padding (RFC 4648 section 5)");
    return 0;
}

static unsigned bit_length(const uint8_t *number, size_t len)
{
    unsigned top = 0;
    for (uint8_t b = number[0]; b != 0; b >>= 1)
        top++;
    return (unsigned)(len - 1) * 8 + top;
}

static int check_rsa(const uint8_t *n, size_t n_len, const uint8_t *e, size_t e_len,
                     struct andiron_error *err)
{
    if (n[0] == 0)
        return andiron_error_set(err, ANDIRON_E_VALUE, "n",
                                 "must not begin with a zero byte (RFC 7518 section 2)");
    if (bit_length(n, n_len) < JOSE_RSA_MIN_BITS)
        return andiron_error_set(err, ANDIRON_E_VALUE, "n",
                                 "is a modulus of %u bits; at least %d are needed",
                                 bit_length(n, n_len), JOSE_RSA_MIN_BITS);
    if ((n[n_len - 1] & 1) == 0)
        return andiron_error_set(err, ANDIRON_E_VALUE, "n", "must be odd");
    if (e[0] == 0 || (e[e_len - 1] & 1) == 0 || (e_len == 1 && e[0] < 3))
        return andiron_error_set(err, ANDIRON_E_VALUE, "e", "must be odd and at least 3");
    return 0;
}

static int read_rsa(andiron_json jwk, struct jose_key *key, struct andiron_error *err)
{
    uint8_t n[MAX_NUMBER] = { 0 }, e[MAX_EXPONENT] = { 0 };
    size_t n_len = 0, e_len = 0;

    if (read_bytes(jwk, "n", n, sizeof(n), &n_len, err) != 0 ||
        read_bytes(jwk, "e", e, sizeof(e), &e_len, err) != 0 ||
        check_rsa(n, n_len, e, e_len, err) != 0)
        return -1;
    gnutls_datum_t modulus = { n, (unsigned)n_len }, exponent = { e, (unsigned)e_len };
    if (gnutls_pubkey_import_rsa_raw(key->handle, &modulus, &exponent) != 0)
        return andiron_error_set(err, ANDIRON_E_VALUE, "n", "is not an RSA modulus");
    key->kty = JOSE_RSA;
    key->bits = bit_length(n, n_len);
    return 0;
}

static const struct curve *curve_named(andiron_str name, enum jose_kty kty)
{
    for (size_t i = 0; i < CURVES; i++)
        if (curves[i].kty == kty && andiron_str_eq(name, andiron_str_of(curves[i].name)))
            return &curves[i];
    return NULL;
}

static int read_curve(andiron_json jwk, enum jose_kty kty, struct jose_key *key,
                      struct andiron_error *err)
{
    const struct curve *curve = curve_named(andiron_json_str(andiron_json_get(jwk, "crv")), kty);
    uint8_t x[MAX_NUMBER], y[MAX_NUMBER];
    size_t x_len = 0, y_len = 0;

    if (curve == NULL)
        return andiron_error_set(err, ANDIRON_E_VALUE, "crv", "must be %s",
                                 kty == JOSE_EC ? "P-256, P-384 or P-521" : "Ed25519");
    if (read_bytes(jwk, "x", x, curve->bytes, &x_len, err) != 0 ||
        (kty == JOSE_EC && read_bytes(jwk, "y", y, curve->bytes, &y_len, err) != 0))
        return -1;
    if (x_len != curve->bytes || (kty == JOSE_EC && y_len != curve->bytes))
        return andiron_error_set(err, ANDIRON_E_VALUE, x_len != curve->bytes ? "x" : "y",
                                 "must have the full %zu bytes of %s (RFC 7518 section 6.2.1.2)",
                                 curve->bytes, curve->name);
    gnutls_datum_t dx = { x, (unsigned)x_len }, dy = { y, (unsigned)y_len };
    /* Import alone takes any point; verify_params is what looks whether it is on the curve. */
    if (gnutls_pubkey_import_ecc_raw(key->handle, curve->curve, &dx, kty == JOSE_EC ? &dy : NULL) !=
            0 ||
        (kty == JOSE_EC && gnutls_pubkey_verify_params(key->handle) != 0))
        return andiron_error_set(err, ANDIRON_E_VALUE, "x", "is not a point of %s", curve->name);
    key->kty = kty;
    key->curve = curve->curve;
    return 0;
}

/* RFC 7517 sections 4.2 and 4.3. */
static bool may_verify(andiron_json jwk)
{
    andiron_json use = andiron_json_get(jwk, "use"), ops = andiron_json_get(jwk, "key_ops");
    struct andiron_json_iter it = { .of = ops };

    if (andiron_json_type(use) != ANDIRON_JSON_MISSING &&
        !andiron_str_eq(andiron_json_str(use), ANDIRON_STR("sig")))
        return false;
    if (andiron_json_type(ops) == ANDIRON_JSON_MISSING)
        return true;
    while (andiron_json_type(ops) == ANDIRON_JSON_ARRAY && andiron_json_next(&it))
        if (andiron_str_eq(andiron_json_str(it.value), ANDIRON_STR("verify")))
            return true;
    return false;
}

static void release_pubkey(void *handle)
{
    gnutls_pubkey_deinit(handle);
}

static int string_or_absent(andiron_json jwk, const char *name, andiron_str *ret,
                            struct andiron_error *err)
{
    andiron_json v = andiron_json_get(jwk, name);
    if (andiron_json_type(v) != ANDIRON_JSON_MISSING &&
        (andiron_json_type(v) != ANDIRON_JSON_STRING || andiron_json_str(v).len == 0))
        return andiron_error_set(err, ANDIRON_E_VALUE, name, "must be a non-empty string");
    *ret = andiron_json_str(v);
    return 0;
}

int jose_jwk_read(struct andiron_arena *arena, andiron_json jwk, struct jose_key *ret,
                  struct andiron_error *err)
{
    andiron_str kty = andiron_json_str(andiron_json_get(jwk, "kty"));
    struct jose_key key = { .may_verify = may_verify(jwk) };

    if (andiron_json_type(jwk) != ANDIRON_JSON_OBJECT)
        return andiron_error_set(err, ANDIRON_E_VALUE, "", "must be an object (RFC 7517)");
    if (jose_jwk_is_secret(jwk))
        return andiron_error_set(err, ANDIRON_E_VALUE, "kty",
                                 "only public asymmetric keys are taken: leave out kty \"oct\" "
                                 "and private members (d, p, q, dp, dq, qi, oth, k)");
    if (string_or_absent(jwk, "kid", &key.kid, err) != 0 ||
        string_or_absent(jwk, "alg", &key.alg, err) != 0)
        return -1;
    if (gnutls_pubkey_init(&key.handle) != 0)
        return andiron_error_set(err, ANDIRON_E_INTERNAL, "", "no memory for a key");
    andiron_at_release(arena, release_pubkey, key.handle);
    int status;
    if (andiron_str_eq(kty, ANDIRON_STR("RSA")))
        status = read_rsa(jwk, &key, err);
    else if (andiron_str_eq(kty, ANDIRON_STR("EC")))
        status = read_curve(jwk, JOSE_EC, &key, err);
    else if (andiron_str_eq(kty, ANDIRON_STR("OKP")))
        status = read_curve(jwk, JOSE_OKP, &key, err);
    else
        status = andiron_error_set(err, ANDIRON_E_VALUE, "kty", "must be RSA, EC or OKP");
    if (status == 0)
        *ret = key;
    return status;
}

andiron_json jose_set_keys(andiron_json set)
{
    return andiron_json_type(set) == ANDIRON_JSON_ARRAY ? set : andiron_json_get(set, "keys");
}

int jose_set_check(andiron_json keys, size_t max_keys, struct andiron_error *err)
{
    struct andiron_json_iter it = { .of = keys };

    if (andiron_json_type(keys) != ANDIRON_JSON_ARRAY)
        return andiron_error_set(err, ANDIRON_E_VALUE, "keys", "must be an array (RFC 7517)");
    if (andiron_json_count(keys) > max_keys)
        return andiron_error_set(err, ANDIRON_E_VALUE, "keys", "holds %zu keys; at most %zu",
                                 andiron_json_count(keys), max_keys);
    while (andiron_json_next(&it))
        if (jose_jwk_is_secret(it.value))
            return andiron_error_set(err, ANDIRON_E_VALUE, "keys",
                                     "holds private or symmetric key material");
    return 0;
}

/* An absent kid names all keys. */
static bool is_named(andiron_json jwk, andiron_str kid)
{
    return kid.data == NULL || andiron_str_eq(andiron_json_str(andiron_json_get(jwk, "kid")), kid);
}

int jose_set_read(struct andiron_arena *arena, andiron_json keys, andiron_str kid,
                  struct jose_set *ret, struct andiron_error *err)
{
    struct andiron_json_iter it = { .of = keys };
    struct jose_set set = { .count = 0 };
    size_t named = 0;

    if (jose_set_check(keys, andiron_json_count(keys), err) != 0)
        return -1;
    while (andiron_json_next(&it))
        named += is_named(it.value, kid);
    *ret = set;
    if (named == 0)
        return 0; /* whoever asks for names that are not there costs no memory */
    struct jose_key *list = andiron_alloc(arena, named * sizeof(*list));
    it = (struct andiron_json_iter){ .of = keys };
    while (andiron_json_next(&it)) {
        if (!is_named(it.value, kid))
            continue;
        if (jose_jwk_read(arena, it.value, &list[set.count], NULL) == 0)
            set.count++;
        else
            set.skipped++;
    }
    set.keys = list;
    *ret = set;
    return 0;
}

bool jose_key_fits(const struct jose_key *key, const struct jose_alg *alg)
{
    return key->may_verify && key->kty == alg->kty &&
           (alg->kty == JOSE_RSA || key->curve == alg->curve) &&
           (key->alg.data == NULL || andiron_str_eq(key->alg, andiron_str_of(alg->name)));
}

size_t jose_set_find(const struct jose_set *set, andiron_str kid, const struct jose_alg *alg,
                     const struct jose_key **ret_key)
{
    size_t found = 0;
    for (size_t i = 0; i < set->count; i++) {
        const struct jose_key *key = &set->keys[i];
        if (key->kid.data == NULL || !andiron_str_eq(key->kid, kid) || !jose_key_fits(key, alg))
            continue;
        if (found++ == 0)
            *ret_key = key;
    }
    return found;
}

/* ---- export ------------------------------------------------------------------- */

/* The numbers of a public key as base64url texts, in a fixed frame: no allocation to free. */
struct numbers {
    const char *kty, *crv;                                     /* crv NULL: RSA */
    char a[MAX_NUMBER * 4 / 3 + 4], b[MAX_NUMBER * 4 / 3 + 4]; /* n and e, or x and y */
    size_t a_len, b_len;                                       /* b_len 0: no second one */
};

/* Coordinates may come without leading zeros: pad them to the full size. */
static size_t put_number(gnutls_datum_t number, size_t full, char *out)
{
    uint8_t padded[MAX_NUMBER] = { 0 };
    const uint8_t *from = number.data;
    size_t len = number.size;

    while (len > 0 && from[0] == 0) {
        from++;
        len--;
    }
    size_t total = len > full ? len : full;
    if (total > sizeof(padded))
        return 0;
    memcpy(padded + (total - len), from, len);
    return jose_base64url_encode(padded, total, out);
}

static int numbers_of(gnutls_pubkey_t key, struct numbers *ret, struct andiron_error *err)
{
    gnutls_datum_t a = { NULL, 0 }, b = { NULL, 0 };
    gnutls_ecc_curve_t curve_id = GNUTLS_ECC_CURVE_INVALID;
    const struct curve *curve = NULL;
    int status = -1;

    *ret = (struct numbers){ .kty = "RSA" };
    if (gnutls_pubkey_get_pk_algorithm(key, NULL) == GNUTLS_PK_RSA)
        status = gnutls_pubkey_export_rsa_raw2(key, &a, &b, GNUTLS_EXPORT_FLAG_NO_LZ);
    else
        status = gnutls_pubkey_export_ecc_raw2(key, &curve_id, &a, &b, GNUTLS_EXPORT_FLAG_NO_LZ);
    for (size_t i = 0; status == 0 && i < CURVES; i++)
        if (curves[i].curve == curve_id)
            curve = &curves[i];
    if (curve != NULL) {
        ret->kty = curve->kty == JOSE_EC ? "EC" : "OKP";
        ret->crv = curve->name;
    } else if (curve_id != GNUTLS_ECC_CURVE_INVALID) {
        status = -1;
    }
    if (status == 0 && a.size != 0) {
        /* Ed25519 is a string of bytes, not a number: its zeros stay, and full restores them. */
        ret->a_len = put_number(a, curve != NULL ? curve->bytes : 1, ret->a);
        if (curve == NULL || curve->kty == JOSE_EC)
            ret->b_len = put_number(b, curve != NULL ? curve->bytes : 1, ret->b);
    }
    gnutls_free(a.data);
    gnutls_free(b.data);
    if (status != 0 || ret->a_len == 0)
        return andiron_error_set(err, ANDIRON_E_VALUE, "", "key is neither RSA, EC nor Ed25519");
    return 0;
}

int jose_jwk_write(struct andiron_arena *arena, gnutls_pubkey_t key, andiron_str kid,
                   const struct jose_alg *alg, andiron_str *ret_json, struct andiron_error *err)
{
    struct numbers n;
    if (numbers_of(key, &n, err) != 0)
        return -1;
    struct andiron_json_writer *w = andiron_json_write(arena, 8 * 1024);
    andiron_json_put_object(w, NULL);
    andiron_json_put_str(w, "kty", andiron_str_of(n.kty));
    if (kid.data != NULL)
        andiron_json_put_str(w, "kid", kid);
    andiron_json_put_str(w, "use", ANDIRON_STR("sig"));
    if (alg != NULL)
        andiron_json_put_str(w, "alg", andiron_str_of(alg->name));
    if (n.crv != NULL)
        andiron_json_put_str(w, "crv", andiron_str_of(n.crv));
    andiron_json_put_str(w, n.crv != NULL ? "x" : "n", (andiron_str){ n.a, n.a_len });
    if (n.b_len != 0)
        andiron_json_put_str(w, n.crv != NULL ? "y" : "e", (andiron_str){ n.b, n.b_len });
    andiron_json_put_end(w);
    *ret_json = andiron_json_written(w);
    return 0;
}

static void hash_text(struct sha256_ctx *hash, const char *text, size_t len)
{
    sha256_update(hash, len, (const uint8_t *)text);
}

int jose_thumbprint(gnutls_pubkey_t key, char out[JOSE_THUMBPRINT], struct andiron_error *err)
{
    struct numbers n;
    struct sha256_ctx hash;
    uint8_t digest[SHA256_DIGEST_SIZE];

    if (numbers_of(key, &n, err) != 0)
        return -1;
    /* RFC 7638 section 3.2: the required members alone, in lexical order, without blanks. */
    sha256_init(&hash);
    if (n.crv == NULL) {
        hash_text(&hash, "{\"e\":\"", 6);
        hash_text(&hash, n.b, n.b_len);
        hash_text(&hash, "\",\"kty\":\"RSA\",\"n\":\"", 19);
        hash_text(&hash, n.a, n.a_len);
    } else {
        hash_text(&hash, "{\"crv\":\"", 8);
        hash_text(&hash, n.crv, strlen(n.crv));
        hash_text(&hash, "\",\"kty\":\"", 9);
        hash_text(&hash, n.kty, strlen(n.kty));
        hash_text(&hash, "\",\"x\":\"", 7);
        hash_text(&hash, n.a, n.a_len);
        if (n.b_len != 0) {
            hash_text(&hash, "\",\"y\":\"", 7);
            hash_text(&hash, n.b, n.b_len);
        }
    }
    hash_text(&hash, "\"}", 2);
    sha256_digest(&hash, sizeof(digest), digest);
    (void)jose_base64url_encode(digest, sizeof(digest), out);
    return 0;
}
