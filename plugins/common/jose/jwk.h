/*
 * Public keys as JSON (RFC 7517, RFC 7518 section 6): one key, and a set of them.
 *
 * What is imported here is safe to verify with: RSA of 2048 to 8192 bits with a sane exponent,
 * EC points that are on their curve. Private or symmetric key material is never taken.
 */
#ifndef JOSE_JWK_H
#define JOSE_JWK_H

#include <gnutls/abstract.h>

#include <andiron/json.h>

#include "common/jose/algorithm.h"

enum { JOSE_RSA_MIN_BITS = 2048, JOSE_RSA_MAX_BITS = 8192, JOSE_THUMBPRINT = 43 };

struct jose_key {
    gnutls_pubkey_t handle; /* released with the arena */
    enum jose_kty kty;
    gnutls_ecc_curve_t curve; /* EC and OKP */
    unsigned bits;            /* RSA modulus */
    andiron_str kid;          /* absent if it has none */
    andiron_str alg;          /* "alg" of the JWK; absent: any that fits */
    bool may_verify;          /* neither use nor key_ops forbids it */
};

struct jose_set {
    const struct jose_key *keys;
    size_t count;
    size_t skipped; /* keys of unknown or unusable kind */
};

/* A symmetric key, or one with a private member: it must not be published or taken. */
bool jose_jwk_is_secret(andiron_json jwk);

/*
 * Imports one public key. Strings of *ret are views into the JWK's document. err.where is the
 * member at fault ("n", "crv") or "".
 */
ANDIRON_MUST_CHECK int jose_jwk_read(struct andiron_arena *arena, andiron_json jwk,
                                     struct jose_key *ret, struct andiron_error *err);

/* The array of keys in a set, which is {"keys":[...]} or the array alone; MISSING for anything else. */
andiron_json jose_set_keys(andiron_json set);

/*
 * Looks at a set without importing its keys: an array of at most max_keys, none of them secret.
 * For sets that come from elsewhere, before they are kept.
 */
ANDIRON_MUST_CHECK int jose_set_check(andiron_json keys, size_t max_keys,
                                      struct andiron_error *err);

/*
 * Imports the keys of that kid; absent: all. Keys that cannot be used are left out, as RFC 7517
 * section 5 has it; one with secret material refuses the whole set.
 */
ANDIRON_MUST_CHECK int jose_set_read(struct andiron_arena *arena, andiron_json keys,
                                     andiron_str kid, struct jose_set *ret,
                                     struct andiron_error *err);

/* Whether a key may check signatures of that algorithm: kind, curve, its own alg, use, key_ops. */
bool jose_key_fits(const struct jose_key *key, const struct jose_alg *alg);

/* Keys with that kid which fit the algorithm; *ret_key is the first. More than one is ambiguous. */
size_t jose_set_find(const struct jose_set *set, andiron_str kid, const struct jose_alg *alg,
                     const struct jose_key **ret_key);

/* The public JWK of a key: kty, kid, use, alg and its numbers; alg NULL leaves alg out. */
ANDIRON_MUST_CHECK int jose_jwk_write(struct andiron_arena *arena, gnutls_pubkey_t key,
                                      andiron_str kid, const struct jose_alg *alg,
                                      andiron_str *ret_json, struct andiron_error *err);

/* RFC 7638 with SHA-256, as base64url; no NUL. */
ANDIRON_MUST_CHECK int jose_thumbprint(gnutls_pubkey_t key, char out[JOSE_THUMBPRINT],
                                       struct andiron_error *err);

#endif
