/*
 * Keys as rows of the store: resources of the internal type _Key.
 *
 *     {"resourceType":"_Key","id":KID,"state":"usable","alg":"RS256","created":1764000000,
 *      "signsFrom":1764000300000000,"life":3600,"jwk":{...},"sealed":"..."}
 *
 * created and life are seconds, signsFrom is microseconds; a revoked key has neither jwk nor sealed.
 */
#ifndef JWKS_ROWS_H
#define JWKS_ROWS_H

#include <andiron/store.h>

#include "jwks.h"

/* A key that is about to be put there. Ended by new_key_drop(). */
struct new_key {
    struct jose_private *key; /* NULL: somebody else has it */
    const struct jose_alg *alg;
    andiron_str kid, jwk, sealed; /* sealed absent: in a file */
    char file[KEYFILE_NAME];      /* that was made for it; "": none, or one that is to stay */
    andiron_usec created, signs_from;
};

/*
 * Makes a key for token-alg, or reads pem, and puts its private part where it belongs: sealed, or
 * into a file. One that ring has already is refused. Strings in arena. For the pool.
 */
ANDIRON_MUST_CHECK int new_key_make(struct jwks *jwks, struct andiron_arena *arena,
                                    const struct ring *ring, andiron_str pem, struct new_key *ret,
                                    struct andiron_error *err);

/* The same of a file that is there already and keeps its key. */
ANDIRON_MUST_CHECK int new_key_of_file(struct jwks *jwks, struct andiron_arena *arena,
                                       const struct keyfile *file, struct new_key *ret,
                                       struct andiron_error *err);

/* Frees it; unless it was stored, the file that was written for it is removed. For the pool. */
void new_key_drop(struct jwks *jwks, struct new_key *key, bool is_stored);

/* Writes that put a new key there, change one (if its row is still the same), or remove it. */
struct andiron_write row_of_new(struct jwks *jwks, struct andiron_arena *arena,
                                const struct new_key *key);
struct andiron_write row_changed(struct andiron_arena *arena, const struct ring_key *key,
                                 andiron_usec signs_from, bool is_revoked);
struct andiron_write row_removed(const struct ring_key *key);

#endif
