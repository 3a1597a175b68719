/*
 * Signature algorithms of JWS (RFC 7518 section 3.1, RFC 8037), a row for each.
 *
 * `none` and the HMAC family are not here and never will be: with a public key as its secret
 * an HMAC proves nothing.
 */
#ifndef JOSE_ALGORITHM_H
#define JOSE_ALGORITHM_H

#include <gnutls/gnutls.h>

#include <andiron/base.h>

enum jose_kty { JOSE_RSA, JOSE_EC, JOSE_OKP };

struct jose_alg {
    char name[8];
    enum jose_kty kty;
    gnutls_sign_algorithm_t sign;
    gnutls_ecc_curve_t curve; /* EC and OKP: the only curve it may be used with */
    unsigned coordinate;      /* ECDSA: bytes of r and of s */
};

/* The row of that name, byte for byte, or NULL. */
const struct jose_alg *jose_alg_find(andiron_str name);

/* Rows from index 0; NULL at the end. */
const struct jose_alg *jose_alg_at(size_t index);

#endif
