/*
 * Bare GnuTLS: verifications and signatures a second of one thread, by algorithm. What the token
 * endpoint is measured against.
 *
 *     bench-crypto VERIFY SIGN SECONDS     (algorithms: RS256 RS384 ES256 ES384; SIGN also none)
 *
 * Prints pairs of one verification and one signature a second of CPU time; with none, verifications alone.
 */
#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct algorithm {
    const char *name;
    gnutls_sign_algorithm_t sign;
    gnutls_digest_algorithm_t digest;
    gnutls_pk_algorithm_t pk;
    unsigned bits;
} algorithms[] = {
    { "RS256", GNUTLS_SIGN_RSA_SHA256, GNUTLS_DIG_SHA256, GNUTLS_PK_RSA, 2048 },
    { "RS384", GNUTLS_SIGN_RSA_SHA384, GNUTLS_DIG_SHA384, GNUTLS_PK_RSA, 2048 },
    { "ES256", GNUTLS_SIGN_ECDSA_SHA256, GNUTLS_DIG_SHA256, GNUTLS_PK_ECDSA,
      GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1) },
    { "ES384", GNUTLS_SIGN_ECDSA_SHA384, GNUTLS_DIG_SHA384, GNUTLS_PK_ECDSA,
      GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP384R1) },
};

struct pair {
    gnutls_privkey_t private;
    gnutls_pubkey_t public;
};

static const struct algorithm *algorithm_of(const char *name)
{
    for (size_t i = 0; i < sizeof(algorithms) / sizeof(algorithms[0]); i++)
        if (strcmp(algorithms[i].name, name) == 0)
            return &algorithms[i];
    fprintf(stderr, "bench-crypto: no algorithm %s\n", name);
    exit(64);
}

static void check(int rc)
{
    if (rc >= 0)
        return;
    fprintf(stderr, "bench-crypto: %s\n", gnutls_strerror(rc));
    exit(1);
}

static struct pair make(const struct algorithm *a)
{
    struct pair pair;
    check(gnutls_privkey_init(&pair.private));
    check(gnutls_privkey_generate(pair.private, a->pk, a->bits, 0));
    check(gnutls_pubkey_init(&pair.public));
    check(gnutls_pubkey_import_privkey(pair.public, pair.private, 0, 0));
    return pair;
}

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fputs("usage: bench-crypto VERIFY SIGN SECONDS\n", stderr);
        return 64;
    }
    const bool signs = strcmp(argv[2], "none") != 0;
    const struct algorithm *in = algorithm_of(argv[1]), *out = algorithm_of(argv[signs ? 2 : 1]);
    struct pair client = make(in), server = make(out);
    unsigned char text[400];
    gnutls_datum_t data = { text, sizeof(text) }, assertion, token;
    check(gnutls_rnd(GNUTLS_RND_NONCE, text, sizeof(text)));
    check(gnutls_privkey_sign_data2(client.private, in->sign, 0, &data, &assertion));
    double begun = now(), limit = atof(argv[3]);
    long count = 0;
    while (now() - begun < limit) {
        check(gnutls_pubkey_verify_data2(client.public, in->sign, 0, &data, &assertion));
        if (signs) {
            check(gnutls_privkey_sign_data2(server.private, out->sign, 0, &data, &token));
            gnutls_free(token.data);
        }
        count++;
    }
    printf("%.0f\n", (double)count / (now() - begun));
    gnutls_free(assertion.data);
    gnutls_privkey_deinit(client.private);
    gnutls_privkey_deinit(server.private);
    gnutls_pubkey_deinit(client.public);
    gnutls_pubkey_deinit(server.public);
    return 0;
}
