/*
 * PBKDF2 through GnuTLS.
 */
#include "secret.h"

#include <stdio.h>

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#include "common/jose/base64url.h"

static const char scheme[] = "pbkdf2-sha256$";

static int derive(andiron_str plain, const uint8_t salt[SECRET_SALT], unsigned rounds,
                  uint8_t out[SECRET_HASH])
{
    gnutls_datum_t key = { (unsigned char *)(uintptr_t)plain.data, (unsigned)plain.len };
    gnutls_datum_t salted = { (unsigned char *)(uintptr_t)salt, SECRET_SALT };
    return gnutls_pbkdf2(GNUTLS_MAC_SHA256, &key, &salted, rounds, out, SECRET_HASH);
}

/* The part before the next '$', which *text loses. */
static andiron_str next_part(andiron_str *text)
{
    const char *end = text->len != 0 ? memchr(text->data, '$', text->len) : NULL;
    andiron_str part = { text->data, end != NULL ? (size_t)(end - text->data) : text->len };
    size_t used = part.len + (end != NULL);
    text->data += used;
    text->len -= used;
    return part;
}

static bool read_exactly(andiron_str text, uint8_t *out, size_t len)
{
    size_t got;
    return text.len == jose_base64url_length(len) && jose_base64url_decode(text, out, &got) == 0 &&
           got == len;
}

int secret_read(andiron_str text, struct secret *ret)
{
    struct secret secret = { .rounds = 0 };

    if (text.len < sizeof(scheme) - 1 || memcmp(text.data, scheme, sizeof(scheme) - 1) != 0)
        return -1;
    text.data += sizeof(scheme) - 1;
    text.len -= sizeof(scheme) - 1;
    andiron_str rounds = next_part(&text);
    for (size_t i = 0; i < rounds.len; i++) {
        if (rounds.data[i] < '0' || rounds.data[i] > '9' || secret.rounds > SECRET_MAX_ROUNDS)
            return -1;
        secret.rounds = secret.rounds * 10 + (unsigned)(rounds.data[i] - '0');
    }
    if (secret.rounds == 0 || secret.rounds > SECRET_MAX_ROUNDS)
        return -1;
    if (!read_exactly(next_part(&text), secret.salt, SECRET_SALT) ||
        !read_exactly(text, secret.hash, SECRET_HASH))
        return -1;
    *ret = secret;
    return 0;
}

int secret_make(struct andiron_arena *arena, andiron_str plain, unsigned rounds,
                andiron_str *ret_text, struct andiron_error *err)
{
    uint8_t salt[SECRET_SALT], hash[SECRET_HASH];

    if (gnutls_rnd(GNUTLS_RND_NONCE, salt, sizeof(salt)) != 0 ||
        derive(plain, salt, rounds, hash) != 0)
        return andiron_error_set(err, ANDIRON_E_INTERNAL, "", "the secret cannot be hashed");
    andiron_str s = jose_base64url_text(arena, salt, sizeof(salt));
    andiron_str h = jose_base64url_text(arena, hash, sizeof(hash));
    *ret_text = andiron_str_of(andiron_printf(arena, "%s%u$%.*s$%.*s", scheme, rounds, (int)s.len,
                                              s.data, (int)h.len, h.data));
    return 0;
}

bool secret_same(const void *a, const void *b, size_t len)
{
    return gnutls_memcmp(a, b, len) == 0;
}

bool secret_is(const struct secret *secret, andiron_str plain)
{
    uint8_t hash[SECRET_HASH];
    bool same = derive(plain, secret->salt, secret->rounds, hash) == 0 &&
                secret_same(hash, secret->hash, sizeof(hash));
    gnutls_memset(hash, 0, sizeof(hash));
    return same;
}

void secret_spend(andiron_str plain, unsigned done, unsigned most)
{
    static const uint8_t salt[SECRET_SALT];
    uint8_t hash[SECRET_HASH];

    if (done < most)
        (void)derive(plain, salt, most - done, hash); /* its result is of no use */
    gnutls_memset(hash, 0, sizeof(hash));
}
