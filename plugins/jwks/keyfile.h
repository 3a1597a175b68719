/*
 * Private keys as files below state-dir/keys: loaded at start, and made on the first one.
 *
 * Blocking file work; for start(), never on a loop. The folder is locked while it is read, so
 * that two workers that start together agree on one key.
 */
#ifndef JWKS_KEYFILE_H
#define JWKS_KEYFILE_H

#include "common/jose/sign.h"

enum { KEYFILE_MAX = 16 };

struct keyfile {
    struct jose_private *key; /* lives as long as the process */
    const struct jose_alg *alg;
    char kid[JOSE_THUMBPRINT + 1];
    andiron_usec created; /* time of the file */
    bool for_assertions;  /* the test key of [dev] assertion-key: never signs tokens */
};

struct keyfiles {
    struct keyfile files[KEYFILE_MAX]; /* newest first */
    size_t count;
    size_t made; /* of them, new ones */
};

/*
 * Reads every *.pem of folder, which is made if it is missing. Makes a key for alg (RSA with
 * that many bits) if there is none, and with test_key one for assertions. -1 and err if the
 * folder or a file is open to others, unreadable or no key: nothing is skipped in silence.
 */
ANDIRON_MUST_CHECK int keyfiles_load(const char *folder, const struct jose_alg *alg, unsigned bits,
                                     bool test_key, struct keyfiles *ret,
                                     struct andiron_error *err);
void keyfiles_free(struct keyfiles *keys);

/* The key that signs tokens: the newest for alg; NULL if there is none. */
const struct keyfile *keyfiles_active(const struct keyfiles *keys, const struct jose_alg *alg);

#endif
