/*
 * The keys in force: what is published at /.well-known/jwks.json and verifies access tokens.
 *
 * A ring is an immutable snapshot with a reference count; it is replaced whole when the store
 * tells of another key. The private halves are in the key files, not here.
 */
#ifndef JWKS_KEYRING_H
#define JWKS_KEYRING_H

#include <pthread.h>
#include <stdatomic.h>

#include "keyfile.h"

enum { KEYRING_MAX = 64, KEYRING_ETAG = 46 };

struct ring_key {
    andiron_str kid;
    const struct jose_alg *alg;
    struct jose_key key;
    andiron_str jwk; /* as published */
    bool for_tokens; /* verifies access tokens; the test key for assertions does not */
};

struct ring {
    atomic_uint references;
    struct andiron_arena *arena;
    struct ring_key keys[KEYRING_MAX];
    size_t count;
    andiron_str document;    /* {"keys":[...]} */
    char etag[KEYRING_ETAG]; /* with quotes */
};

/* Where the ring in force hangs. */
struct keyring {
    pthread_mutex_t lock; /* held for a pointer and a count */
    struct ring *now;
};

/* An empty ring to add to; published by keyring_replace(), or ended by ring_drop(). */
struct ring *ring_new(void);
void ring_drop(struct ring *ring);

/* Adds the key of a file; one that is there already stays. */
ANDIRON_MUST_CHECK int ring_add_file(struct ring *ring, const struct keyfile *file,
                                     struct andiron_error *err);
/* Adds a key as the store has it: kid, the algorithm's name and its public JWK. */
ANDIRON_MUST_CHECK int ring_add_jwk(struct ring *ring, andiron_str kid, andiron_str alg,
                                    andiron_str jwk, struct andiron_error *err);
/* Makes the document; nothing is added after it. */
ANDIRON_MUST_CHECK int ring_finish(struct ring *ring, struct andiron_error *err);

/* The key that checks access tokens of that kid, or NULL. */
const struct ring_key *ring_find(const struct ring *ring, andiron_str kid);

/* The ring in force, held until ring_drop(). Any thread. */
struct ring *keyring_hold(struct keyring *keyring);
/* Puts another one in force; takes over the caller's reference. Any thread. */
void keyring_replace(struct keyring *keyring, struct ring *ring);

#endif
