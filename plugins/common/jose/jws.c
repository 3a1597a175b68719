/*
 * Compact JWS: splitting and verifying. Pure computation over GnuTLS, any thread.
 */
#include "common/jose/jws.h"

#include <gnutls/crypto.h>

#include "common/jose/base64url.h"

enum { FAST_RSA_BITS = 3072, FAST_COORDINATE = 32 /* bytes: P-256 */ };

static int read_object(struct andiron_arena *arena, andiron_str part, const char *name,
                       andiron_json *ret, struct andiron_error *err)
{
    andiron_str text;
    struct andiron_error inner;

    if (jose_base64url_read(arena, part, &text) != 0)
        return andiron_error_set(err, ANDIRON_E_STRUCTURE, name,
                                 "%s must be base64url without padding", name);
    if (andiron_json_parse(arena, text, ret, &inner) != 0)
        return andiron_error_set(err, ANDIRON_E_STRUCTURE, name, "%s is not JSON: %s", name,
                                 inner.message);
    if (andiron_json_type(*ret) != ANDIRON_JSON_OBJECT)
        return andiron_error_set(err, ANDIRON_E_STRUCTURE, name, "%s must be a JSON object", name);
    return 0;
}

int jose_jws_split(struct andiron_arena *arena, andiron_str text, size_t max_bytes,
                   struct jose_jws *ret, struct andiron_error *err)
{
    if (text.len > max_bytes)
        return andiron_error_set(err, ANDIRON_E_STRUCTURE, "", "is longer than %zu bytes",
                                 max_bytes);
    const char *first = text.len != 0 ? memchr(text.data, '.', text.len) : NULL;
    const char *last = text.len != 0 ? memrchr(text.data, '.', text.len) : NULL;
    const char *end = text.data + text.len;
    if (first == NULL || last == first || first == text.data || last == first + 1 ||
        last + 1 == end || memchr(first + 1, '.', (size_t)(last - first - 1)) != NULL)
        return andiron_error_set(err, ANDIRON_E_STRUCTURE, "",
                                 "must be three non-empty parts, joined by dots");
    andiron_str header = { text.data, (size_t)(first - text.data) };
    andiron_str payload = { first + 1, (size_t)(last - first - 1) };
    andiron_str signature = { last + 1, (size_t)(end - last - 1) };
    struct jose_jws jws = { .signed_part = { text.data, (size_t)(last - text.data) } };

    if (read_object(arena, header, "header", &jws.header, err) != 0 ||
        read_object(arena, payload, "payload", &jws.claims, err) != 0)
        return -1;
    if (jose_base64url_read(arena, signature, &jws.signature) != 0)
        return andiron_error_set(err, ANDIRON_E_STRUCTURE, "signature",
                                 "signature must be base64url without padding");
    *ret = jws;
    return 0;
}

/* A coordinate without its leading zeros; empty for zero, which is never valid. */
static gnutls_datum_t coordinate(andiron_str bytes)
{
    while (bytes.len != 0 && bytes.data[0] == 0) {
        bytes.data++;
        bytes.len--;
    }
    /* GnuTLS takes a non-const pointer and does not write through it. */
    return (gnutls_datum_t){ (unsigned char *)(uintptr_t)bytes.data, (unsigned)bytes.len };
}

static bool verify_ecdsa(const struct jose_key *key, const struct jose_alg *alg,
                         const gnutls_datum_t *data, andiron_str signature)
{
    gnutls_datum_t r = coordinate((andiron_str){ signature.data, alg->coordinate });
    gnutls_datum_t s =
        coordinate((andiron_str){ signature.data + alg->coordinate, alg->coordinate });
    gnutls_datum_t der = { NULL, 0 };

    if (r.size == 0 || s.size == 0 || gnutls_encode_rs_value(&der, &r, &s) != 0)
        return false;
    bool valid = gnutls_pubkey_verify_data2(key->handle, alg->sign, 0, data, &der) >= 0;
    gnutls_free(der.data);
    return valid;
}

bool jose_verify(const struct jose_key *key, const struct jose_alg *alg, andiron_str data,
                 andiron_str signature)
{
    gnutls_datum_t message = { (unsigned char *)(uintptr_t)data.data, (unsigned)data.len };
    gnutls_datum_t given = { (unsigned char *)(uintptr_t)signature.data, (unsigned)signature.len };

    if (!jose_key_fits(key, alg))
        return false;
    if (alg->kty == JOSE_EC)
        return signature.len == (size_t)2 * alg->coordinate &&
               verify_ecdsa(key, alg, &message, signature);
    if (alg->kty == JOSE_RSA && signature.len != (key->bits + 7) / 8)
        return false;
    if (alg->kty == JOSE_OKP && signature.len != 64)
        return false;
    return gnutls_pubkey_verify_data2(key->handle, alg->sign, 0, &message, &given) >= 0;
}

bool jose_verify_is_slow(const struct jose_key *key, const struct jose_alg *alg)
{
    return alg->kty == JOSE_RSA ? key->bits > FAST_RSA_BITS : alg->coordinate > FAST_COORDINATE;
}
