/*
 * Signing client assertions with the key of a file.
 */
#include "cli/assertion.h"

#include <stdio.h>
#include <string.h>

#include <gnutls/crypto.h>

#include "cli/cli.h"
#include "cli/remote.h"
#include "common/jose/sign.h"

enum { KEY_MAX = 64 * 1024 };

static andiron_str claims_of(struct andiron_arena *arena, const struct assertion_of *of)
{
    unsigned char id[16];
    char hex[33];
    if (gnutls_rnd(GNUTLS_RND_RANDOM, id, sizeof(id)) != 0)
        return (andiron_str){ NULL, 0 };
    for (size_t i = 0; i < sizeof(id); i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", id[i]);
    struct andiron_json_writer *out = andiron_json_write(arena, 64 * 1024);
    andiron_json_put_object(out, NULL);
    andiron_json_put_str(out, "iss", andiron_str_of(of->client));
    andiron_json_put_str(out, "sub", andiron_str_of(of->client));
    andiron_json_put_str(out, "aud", andiron_str_of(of->audience));
    andiron_json_put_int(out, "exp", andiron_now() / 1000000 + of->ttl_s);
    andiron_json_put_str(out, "jti", andiron_str_of(hex));
    andiron_json_put_end(out);
    return andiron_json_written(out);
}

int assertion_sign(struct andiron_arena *arena, const struct assertion_of *of, andiron_str *ret)
{
    struct andiron_error err;
    struct jose_private *key = NULL;
    struct buffer pem;
    char thumbprint[JOSE_THUMBPRINT];
    int status = remote_read_file(of->key_path, KEY_MAX, &pem);
    if (status == 0 && jose_private_read(buffer_str(&pem), &key, &err) != 0)
        status =
            cli_fail(EXIT_BAD_DATA,
                     "a PEM file with an RSA key of 2048 bits or more, or a P-256 or P-384 key",
                     "%s: %s", of->key_path, err.message);
    if (pem.data != NULL)
        explicit_bzero(pem.data, pem.cap);
    buffer_free(&pem);
    if (status != 0)
        return status;
    andiron_str kid = andiron_str_of(of->kid);
    if (of->kid == NULL && jose_thumbprint(jose_private_public(key), thumbprint, &err) == 0)
        kid = (andiron_str){ thumbprint, sizeof(thumbprint) };
    if (jose_sign_compact(arena, key, jose_private_alg(key), kid, claims_of(arena, of), ret,
                          &err) != 0)
        status = cli_fail(EXIT_INTERNAL, NULL, "the assertion cannot be signed: %s", err.message);
    jose_private_free(key);
    return status;
}
