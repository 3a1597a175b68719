/*
 * Sealed private keys: salt, nonce, ciphertext and tag, one behind the other.
 */
#include "seal.h"

#include <gnutls/crypto.h>
#include <nettle/gcm.h>
#include <nettle/hkdf.h>
#include <nettle/hmac.h>
#include <nettle/memops.h>

#include "common/jose/base64url.h"

enum { SALT = 16, NONCE = GCM_IV_SIZE, TAG = GCM_DIGEST_SIZE, AROUND = SALT + NONCE + TAG };

/* A key for each salt (RFC 5869), so that nonces of different keys never meet. */
static void make_key(andiron_str secret, const uint8_t salt[SALT], uint8_t key[AES256_KEY_SIZE])
{
    static const char info[] = "andiron signing key 1";
    struct hmac_sha256_ctx mac;
    uint8_t extracted[SHA256_DIGEST_SIZE];

    hmac_sha256_set_key(&mac, SALT, salt);
    hkdf_extract(&mac, (nettle_hash_update_func *)hmac_sha256_update,
                 (nettle_hash_digest_func *)hmac_sha256_digest, SHA256_DIGEST_SIZE, secret.len,
                 (const uint8_t *)secret.data, extracted);
    hmac_sha256_set_key(&mac, sizeof(extracted), extracted);
    hkdf_expand(&mac, (nettle_hash_update_func *)hmac_sha256_update,
                (nettle_hash_digest_func *)hmac_sha256_digest, SHA256_DIGEST_SIZE, sizeof(info) - 1,
                (const uint8_t *)info, AES256_KEY_SIZE, key);
    gnutls_memset(extracted, 0, sizeof(extracted));
    gnutls_memset(&mac, 0, sizeof(mac));
}

static void begin(struct gcm_aes256_ctx *gcm, andiron_str secret, const uint8_t *head,
                  andiron_str kid)
{
    uint8_t key[AES256_KEY_SIZE];

    make_key(secret, head, key);
    gcm_aes256_set_key(gcm, key);
    gcm_aes256_set_iv(gcm, NONCE, head + SALT);
    gcm_aes256_update(gcm, kid.len, (const uint8_t *)kid.data);
    gnutls_memset(key, 0, sizeof(key));
}

int seal_close(struct andiron_arena *arena, andiron_str secret, andiron_str kid,
               const struct jose_private *key, andiron_str *ret, struct andiron_error *err)
{
    struct gcm_aes256_ctx gcm;
    andiron_str pem;

    if (jose_private_pem(key, &pem, err) != 0)
        return -1;
    uint8_t *out = andiron_alloc(arena, AROUND + pem.len);
    if (gnutls_rnd(GNUTLS_RND_NONCE, out, SALT + NONCE) != 0) {
        jose_pem_free(pem);
        return andiron_error_set(err, ANDIRON_E_INTERNAL, "", "no random numbers");
    }
    begin(&gcm, secret, out, kid);
    gcm_aes256_encrypt(&gcm, pem.len, out + SALT + NONCE, (const uint8_t *)pem.data);
    gcm_aes256_digest(&gcm, TAG, out + SALT + NONCE + pem.len);
    *ret = jose_base64url_text(arena, out, AROUND + pem.len);
    gnutls_memset(&gcm, 0, sizeof(gcm));
    jose_pem_free(pem);
    return 0;
}

int seal_open(struct andiron_arena *arena, andiron_str secret, andiron_str kid, andiron_str sealed,
              struct jose_private **ret, struct andiron_error *err)
{
    struct gcm_aes256_ctx gcm;
    uint8_t tag[TAG];
    andiron_str bytes;

    if (jose_base64url_read(arena, sealed, &bytes) != 0 || bytes.len <= AROUND)
        return andiron_error_set(err, ANDIRON_E_INTERNAL, "", "the sealed key is no sealed key");
    const uint8_t *in = (const uint8_t *)bytes.data;
    size_t len = bytes.len - AROUND;
    uint8_t *pem = andiron_alloc(arena, len);
    begin(&gcm, secret, in, kid);
    gcm_aes256_decrypt(&gcm, len, pem, in + SALT + NONCE);
    gcm_aes256_digest(&gcm, TAG, tag);
    gnutls_memset(&gcm, 0, sizeof(gcm));
    int status = memeql_sec(tag, in + SALT + NONCE + len, TAG)
                     ? jose_private_read((andiron_str){ (const char *)pem, len }, ret, err)
                     : andiron_error_set(err, ANDIRON_E_INTERNAL, "",
                                         "it was sealed with another `seal-key`, or was changed");
    gnutls_memset(pem, 0, len);
    return status;
}
