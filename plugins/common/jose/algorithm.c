/*
 * The table of signature algorithms.
 */
#include "common/jose/algorithm.h"

static const struct jose_alg algorithms[] = {
    { "RS256", JOSE_RSA, GNUTLS_SIGN_RSA_SHA256, .coordinate = 0 },
    { "RS384", JOSE_RSA, GNUTLS_SIGN_RSA_SHA384, .coordinate = 0 },
    { "RS512", JOSE_RSA, GNUTLS_SIGN_RSA_SHA512, .coordinate = 0 },
    { "PS256", JOSE_RSA, GNUTLS_SIGN_RSA_PSS_RSAE_SHA256, .coordinate = 0 },
    { "PS384", JOSE_RSA, GNUTLS_SIGN_RSA_PSS_RSAE_SHA384, .coordinate = 0 },
    { "PS512", JOSE_RSA, GNUTLS_SIGN_RSA_PSS_RSAE_SHA512, .coordinate = 0 },
    { "ES256", JOSE_EC, GNUTLS_SIGN_ECDSA_SHA256, GNUTLS_ECC_CURVE_SECP256R1, 32 },
    { "ES384", JOSE_EC, GNUTLS_SIGN_ECDSA_SHA384, GNUTLS_ECC_CURVE_SECP384R1, 48 },
    { "ES512", JOSE_EC, GNUTLS_SIGN_ECDSA_SHA512, GNUTLS_ECC_CURVE_SECP521R1, 66 },
    { "EdDSA", JOSE_OKP, GNUTLS_SIGN_EDDSA_ED25519, GNUTLS_ECC_CURVE_ED25519, 0 },
};

const struct jose_alg *jose_alg_find(andiron_str name)
{
    for (size_t i = 0; i < sizeof(algorithms) / sizeof(algorithms[0]); i++)
        if (andiron_str_eq(name, andiron_str_of(algorithms[i].name)))
            return &algorithms[i];
    return NULL;
}

const struct jose_alg *jose_alg_at(size_t index)
{
    return index < sizeof(algorithms) / sizeof(algorithms[0]) ? &algorithms[index] : NULL;
}
