/*
 * Private keys as files below state-dir/keys: read, written and removed.
 *
 * Blocking file work; for start() and the pool, never on a loop. The folder is locked while it
 * is read or written, so that two workers never see half of what the other does.
 */
#ifndef JWKS_KEYFILE_H
#define JWKS_KEYFILE_H

#include "common/jose/sign.h"

enum { KEYFILE_MAX = 64, KEYFILE_NAME = 256 };

struct keyfile {
    struct jose_private *key;
    const struct jose_alg *alg;
    char kid[JOSE_THUMBPRINT + 1];
    char name[KEYFILE_NAME]; /* below the folder */
    andiron_usec created;    /* time of the file */
    bool for_assertions;     /* the test key of [dev] assertion-key: never signs tokens */
};

struct keyfiles {
    struct keyfile files[KEYFILE_MAX]; /* oldest first */
    size_t count;
};

/*
 * Reads every *.pem of folder, which is made if it is missing; keys that can sign by alg are for
 * it unless their name says otherwise. With test_key makes one for assertions if there is none.
 * -1 and err if the folder or a file is open to others, unreadable or no key: nothing is skipped
 * in silence. Ended by keyfiles_free().
 */
ANDIRON_MUST_CHECK int keyfiles_load(const char *folder, const struct jose_alg *alg, bool test_key,
                                     struct keyfiles *ret, struct andiron_error *err);
void keyfiles_free(struct keyfiles *keys);

/* Writes ALG-KID.pem with mode 0600, atomically and to the disk. */
ANDIRON_MUST_CHECK int keyfile_write(const char *folder, const struct jose_private *key,
                                     const struct jose_alg *alg, char ret_name[KEYFILE_NAME],
                                     struct andiron_error *err);

/*
 * Looks for the key of that kid, which another process may have put there. *ret_key is NULL if
 * there is none.
 */
ANDIRON_MUST_CHECK int keyfile_find(const char *folder, const struct jose_alg *alg, andiron_str kid,
                                    struct jose_private **ret_key, char ret_name[KEYFILE_NAME],
                                    struct andiron_error *err);

/* Removes one; it may be gone already. */
ANDIRON_MUST_CHECK int keyfile_remove(const char *folder, const char *name,
                                      struct andiron_error *err);

#endif
