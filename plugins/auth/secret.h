/*
 * Client secrets: salted, slow hashes (PBKDF2-HMAC-SHA-256), and comparing in constant time.
 *
 * A stored secret is one line: "pbkdf2-sha256$ROUNDS$SALT$HASH", the last two in base64url.
 * Pure computation; hashing takes 10 ms and more, so it belongs on the pool.
 */
#ifndef AUTH_SECRET_H
#define AUTH_SECRET_H

#include <andiron/error.h>

enum {
    SECRET_SALT = 16,
    SECRET_HASH = 32,
    SECRET_MIN_ROUNDS = 100000,
    SECRET_MAX_ROUNDS = 10000000
};

struct secret {
    unsigned rounds;
    uint8_t salt[SECRET_SALT], hash[SECRET_HASH];
};

/* -1 if text is not of that form. */
ANDIRON_MUST_CHECK int secret_read(andiron_str text, struct secret *ret);

/* A new salt and the hash of plain, as it is stored. */
ANDIRON_MUST_CHECK int secret_make(struct andiron_arena *arena, andiron_str plain, unsigned rounds,
                                   andiron_str *ret_text, struct andiron_error *err);

/* Whether plain is the secret. Takes as long for a wrong one. */
bool secret_is(const struct secret *secret, andiron_str plain);

/* Takes as long as the rounds that are missing from done to most. */
void secret_spend(andiron_str plain, unsigned done, unsigned most);

/* Whether a and b are the same bytes, without telling by its time where they differ. */
bool secret_same(const void *a, const void *b, size_t len);

#endif
