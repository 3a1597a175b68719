/*
 * Private keys: read from PEM or generated, and compact JWS made with them.
 *
 * A key is made on one thread and may then sign on several at a time.
 */
#ifndef JOSE_SIGN_H
#define JOSE_SIGN_H

#include "common/jose/jwk.h"

struct jose_private;

/*
 * A key from PEM text (PKCS#8, PKCS#1 or SEC 1; not encrypted). RSA below 2048 bits, other
 * curves, and numbers that do not belong together are refused. Freed by jose_private_free().
 */
ANDIRON_MUST_CHECK int jose_private_read(andiron_str pem, struct jose_private **ret,
                                         struct andiron_error *err);

/* A new key for an algorithm; bits counts for RSA only. Takes 60 ms and more for RSA. */
ANDIRON_MUST_CHECK int jose_private_generate(const struct jose_alg *alg, unsigned bits,
                                             struct jose_private **ret, struct andiron_error *err);
void jose_private_free(struct jose_private *key); /* NULL is allowed */

/* PKCS#8 PEM in malloc()ed memory; the caller wipes and frees it with jose_pem_free(). */
ANDIRON_MUST_CHECK int jose_private_pem(const struct jose_private *key, andiron_str *ret_pem,
                                        struct andiron_error *err);
void jose_pem_free(andiron_str pem);

/* Whether the key can sign by this algorithm. */
bool jose_private_fits(const struct jose_private *key, const struct jose_alg *alg);

/* What SMART clients sign with: RS384 for RSA, else the curve's own. */
const struct jose_alg *jose_private_alg(const struct jose_private *key);

/* Its public half, for jose_jwk_write() and jose_thumbprint(); lives as long as the key. */
gnutls_pubkey_t jose_private_public(const struct jose_private *key);

/* The first part of a compact JWS, {"alg":..,"typ":"JWT","kid":..}, as base64url; kid may be absent. */
andiron_str jose_jws_header(struct andiron_arena *arena, const struct jose_alg *alg,
                            andiron_str kid);

/* header.payload.signature over claims, a JSON text, with the header made before. */
ANDIRON_MUST_CHECK int jose_sign_with(struct andiron_arena *arena, const struct jose_private *key,
                                      const struct jose_alg *alg, andiron_str header,
                                      andiron_str claims, andiron_str *ret_jws,
                                      struct andiron_error *err);

/* The same in one call. */
ANDIRON_MUST_CHECK int jose_sign_compact(struct andiron_arena *arena,
                                         const struct jose_private *key, const struct jose_alg *alg,
                                         andiron_str kid, andiron_str claims, andiron_str *ret_jws,
                                         struct andiron_error *err);

#endif
