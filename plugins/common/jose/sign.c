/*
 * Private keys and signing, over GnuTLS.
 */
#include "common/jose/sign.h"

#include <stdlib.h>

#include <gnutls/crypto.h>
#include <gnutls/x509.h>

#include "common/jose/base64url.h"

enum { MAX_SIGNATURE = JOSE_RSA_MAX_BITS / 8 };

struct jose_private {
    gnutls_privkey_t handle;
    gnutls_pubkey_t public;
    enum jose_kty kty;
    gnutls_ecc_curve_t curve;
};

void jose_private_free(struct jose_private *key)
{
    if (key == NULL)
        return;
    if (key->handle != NULL)
        gnutls_privkey_deinit(key->handle);
    if (key->public != NULL)
        gnutls_pubkey_deinit(key->public);
    free(key);
}

static struct jose_private *private_new(void)
{
    struct jose_private *key = calloc(1, sizeof(*key));
    if (key == NULL || gnutls_privkey_init(&key->handle) != 0 ||
        gnutls_pubkey_init(&key->public) != 0) {
        jose_private_free(key);
        return NULL;
    }
    return key;
}

/* Fills in what kind of key it is, and refuses kinds and sizes that we do not sign with. */
static int examine(struct jose_private *key, struct andiron_error *err)
{
    unsigned bits = 0;
    int pk = gnutls_privkey_get_pk_algorithm(key->handle, &bits);

    if (pk == GNUTLS_PK_RSA) {
        key->kty = JOSE_RSA;
        if (bits < JOSE_RSA_MIN_BITS || bits > JOSE_RSA_MAX_BITS)
            return andiron_error_set(err, ANDIRON_E_VALUE, "",
                                     "RSA key has %u bits; from %d to %d are taken", bits,
                                     JOSE_RSA_MIN_BITS, JOSE_RSA_MAX_BITS);
    } else if (pk == GNUTLS_PK_ECDSA || pk == GNUTLS_PK_EDDSA_ED25519) {
        key->kty = pk == GNUTLS_PK_ECDSA ? JOSE_EC : JOSE_OKP;
        if (gnutls_privkey_export_ecc_raw2(key->handle, &key->curve, NULL, NULL, NULL, 0) != 0)
            return andiron_error_set(err, ANDIRON_E_VALUE, "", "EC key without a curve");
    } else {
        return andiron_error_set(err, ANDIRON_E_VALUE, "", "key must be RSA, EC or Ed25519");
    }
    if (jose_private_alg(key) == NULL)
        return andiron_error_set(err, ANDIRON_E_VALUE, "", "curve must be P-256, P-384 or P-521");
    if (gnutls_privkey_verify_params(key->handle) != 0)
        return andiron_error_set(err, ANDIRON_E_VALUE, "",
                                 "private and public numbers of the key do not belong together");
    if (gnutls_pubkey_import_privkey(key->public, key->handle, 0, 0) != 0)
        return andiron_error_set(err, ANDIRON_E_VALUE, "", "key has no public half");
    return 0;
}

static int finish(struct jose_private *key, struct jose_private **ret, struct andiron_error *err)
{
    if (examine(key, err) != 0) {
        jose_private_free(key);
        return -1;
    }
    *ret = key;
    return 0;
}

int jose_private_read(andiron_str pem, struct jose_private **ret, struct andiron_error *err)
{
    struct jose_private *key = private_new();
    gnutls_datum_t text = { (unsigned char *)(uintptr_t)pem.data, (unsigned)pem.len };

    if (key == NULL)
        return andiron_error_set(err, ANDIRON_E_INTERNAL, "", "no memory for a key");
    int status = gnutls_privkey_import_x509_raw(key->handle, &text, GNUTLS_X509_FMT_PEM, NULL, 0);
    if (status != 0) {
        jose_private_free(key);
        return andiron_error_set(err, ANDIRON_E_STRUCTURE, "",
                                 "not a private key in PEM form without a password: %s",
                                 gnutls_strerror(status));
    }
    return finish(key, ret, err);
}

int jose_private_generate(const struct jose_alg *alg, unsigned bits, struct jose_private **ret,
                          struct andiron_error *err)
{
    struct jose_private *key = private_new();
    gnutls_pk_algorithm_t pk = alg->kty == JOSE_RSA  ? GNUTLS_PK_RSA
                               : alg->kty == JOSE_EC ? GNUTLS_PK_ECDSA
                                                     : GNUTLS_PK_EDDSA_ED25519;
    unsigned size = alg->kty == JOSE_RSA ? bits : GNUTLS_CURVE_TO_BITS(alg->curve);

    if (key == NULL)
        return andiron_error_set(err, ANDIRON_E_INTERNAL, "", "no memory for a key");
    int status = gnutls_privkey_generate2(key->handle, pk, size, 0, NULL, 0);
    if (status != 0) {
        jose_private_free(key);
        return andiron_error_set(err, ANDIRON_E_INTERNAL, "", "cannot generate a key: %s",
                                 gnutls_strerror(status));
    }
    return finish(key, ret, err);
}

int jose_private_pem(const struct jose_private *key, andiron_str *ret_pem,
                     struct andiron_error *err)
{
    gnutls_x509_privkey_t plain = NULL;
    gnutls_datum_t pem = { NULL, 0 };

    int status = gnutls_privkey_export_x509(key->handle, &plain);
    if (status == 0)
        status = gnutls_x509_privkey_export2_pkcs8(plain, GNUTLS_X509_FMT_PEM, NULL,
                                                   GNUTLS_PKCS_PLAIN, &pem);
    if (plain != NULL)
        gnutls_x509_privkey_deinit(plain);
    if (status != 0)
        return andiron_error_set(err, ANDIRON_E_INTERNAL, "", "cannot write the key: %s",
                                 gnutls_strerror(status));
    *ret_pem = (andiron_str){ (const char *)pem.data, pem.size };
    return 0;
}

void jose_pem_free(andiron_str pem)
{
    void *bytes = (void *)(uintptr_t)pem.data;
    if (bytes != NULL)
        gnutls_memset(bytes, 0, pem.len);
    gnutls_free(bytes);
}

bool jose_private_fits(const struct jose_private *key, const struct jose_alg *alg)
{
    return key->kty == alg->kty && (alg->kty == JOSE_RSA || key->curve == alg->curve);
}

const struct jose_alg *jose_private_alg(const struct jose_private *key)
{
    if (key->kty == JOSE_RSA)
        return jose_alg_find(ANDIRON_STR("RS384"));
    const struct jose_alg *alg;
    for (size_t i = 0; (alg = jose_alg_at(i)) != NULL; i++)
        if (jose_private_fits(key, alg))
            return alg;
    return NULL;
}

gnutls_pubkey_t jose_private_public(const struct jose_private *key)
{
    return key->public;
}

/* Right-aligned in a field of full width; the rest is zero already. */
static bool put_coordinate(gnutls_datum_t number, size_t width, uint8_t *out)
{
    const uint8_t *from = number.data;
    size_t len = number.size;
    while (len > 0 && from[0] == 0) {
        from++;
        len--;
    }
    if (len > width)
        return false;
    memcpy(out + (width - len), from, len);
    return true;
}

/* DER to r and s of full length (RFC 7518 section 3.4). */
static bool ecdsa_raw(const gnutls_datum_t *der, size_t width, uint8_t *out)
{
    gnutls_datum_t r = { NULL, 0 }, s = { NULL, 0 };
    bool fits = gnutls_decode_rs_value(der, &r, &s) == 0 && put_coordinate(r, width, out) &&
                put_coordinate(s, width, out + width);
    gnutls_free(r.data);
    gnutls_free(s.data);
    return fits;
}

static int sign(const struct jose_private *key, const struct jose_alg *alg,
                const gnutls_datum_t *data, uint8_t out[MAX_SIGNATURE], size_t *ret_len,
                struct andiron_error *err)
{
    gnutls_datum_t signature = { NULL, 0 };
    int status = gnutls_privkey_sign_data2(key->handle, alg->sign, 0, data, &signature);
    if (status != 0)
        return andiron_error_set(err, ANDIRON_E_INTERNAL, "", "cannot sign: %s",
                                 gnutls_strerror(status));
    bool fits = true;
    if (alg->kty == JOSE_EC) {
        *ret_len = (size_t)2 * alg->coordinate;
        memset(out, 0, *ret_len);
        fits = ecdsa_raw(&signature, alg->coordinate, out);
    } else if (signature.size <= MAX_SIGNATURE) {
        *ret_len = signature.size;
        memcpy(out, signature.data, signature.size);
    } else {
        fits = false;
    }
    gnutls_free(signature.data);
    return fits ? 0 : andiron_error_set(err, ANDIRON_E_INTERNAL, "", "signature of unknown form");
}

andiron_str jose_jws_header(struct andiron_arena *arena, const struct jose_alg *alg,
                            andiron_str kid)
{
    struct andiron_json_writer *w = andiron_json_write(arena, 4 * 1024);
    andiron_json_put_object(w, NULL);
    andiron_json_put_str(w, "alg", andiron_str_of(alg->name));
    andiron_json_put_str(w, "typ", ANDIRON_STR("JWT"));
    if (kid.data != NULL)
        andiron_json_put_str(w, "kid", kid);
    andiron_json_put_end(w);
    andiron_str json = andiron_json_written(w);
    return jose_base64url_text(arena, json.data, json.len);
}

int jose_sign_with(struct andiron_arena *arena, const struct jose_private *key,
                   const struct jose_alg *alg, andiron_str header, andiron_str claims,
                   andiron_str *ret_jws, struct andiron_error *err)
{
    uint8_t signature[MAX_SIGNATURE];
    size_t signature_len = 0;

    if (!jose_private_fits(key, alg))
        return andiron_error_set(err, ANDIRON_E_VALUE, "", "the key cannot sign by %s", alg->name);
    size_t room = header.len + 1 + jose_base64url_length(claims.len) + 1 +
                  jose_base64url_length(MAX_SIGNATURE);
    char *text = andiron_alloc(arena, room), *at = text;
    memcpy(at, header.data, header.len);
    at += header.len;
    *at++ = '.';
    at += jose_base64url_encode(claims.data, claims.len, at);
    gnutls_datum_t data = { (unsigned char *)text, (unsigned)(at - text) };
    if (sign(key, alg, &data, signature, &signature_len, err) != 0)
        return -1;
    *at++ = '.';
    at += jose_base64url_encode(signature, signature_len, at);
    *ret_jws = (andiron_str){ text, (size_t)(at - text) };
    return 0;
}

int jose_sign_compact(struct andiron_arena *arena, const struct jose_private *key,
                      const struct jose_alg *alg, andiron_str kid, andiron_str claims,
                      andiron_str *ret_jws, struct andiron_error *err)
{
    return jose_sign_with(arena, key, alg, jose_jws_header(arena, alg, kid), claims, ret_jws, err);
}
