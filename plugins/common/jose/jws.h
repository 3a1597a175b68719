/*
 * Compact JWS (RFC 7515): taken apart, verified, and made.
 *
 * Splitting trusts nothing and verifies nothing. Which algorithms and keys are acceptable is
 * the caller's to say before it asks jose_verify().
 */
#ifndef JOSE_JWS_H
#define JOSE_JWS_H

#include "common/jose/jwk.h"

struct jose_jws {
    andiron_str signed_part; /* header.payload, as received */
    andiron_json header, claims;
    andiron_str signature; /* bytes */
};

/*
 * Three non-empty parts of canonical base64url, at most max_bytes; header and payload JSON
 * objects without duplicate names. Results live as long as arena and text.
 */
ANDIRON_MUST_CHECK int jose_jws_split(struct andiron_arena *arena, andiron_str text,
                                      size_t max_bytes, struct jose_jws *ret,
                                      struct andiron_error *err);

/*
 * Whether signature is one of key over data. False too where the algorithm does not fit the
 * key. ECDSA signatures are r and s of full length, never DER (RFC 7518 section 3.4).
 */
bool jose_verify(const struct jose_key *key, const struct jose_alg *alg, andiron_str data,
                 andiron_str signature);

/* Whether that takes about a millisecond or more: then it belongs on the pool. */
bool jose_verify_is_slow(const struct jose_key *key, const struct jose_alg *alg);

#endif
