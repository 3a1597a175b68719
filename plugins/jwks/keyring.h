/*
 * The keys in force: what is published at /.well-known/jwks.json, signs and verifies.
 *
 * A ring is an immutable snapshot with a reference count; it is replaced whole when the store
 * tells of a change. States follow from times alone, so all nodes over a store agree without
 * talking to each other (seed-semantics KS-3): of the keys whose `signs_from` has come the latest
 * signs, later ones are next, earlier ones are retired and end when the last token that they may
 * have signed has ended. A revoked key counts for nothing.
 */
#ifndef JWKS_KEYRING_H
#define JWKS_KEYRING_H

#include <pthread.h>
#include <stdatomic.h>

#include "keyfile.h"

enum { KEYRING_MAX = 64, KEYRING_ETAG = 46, KEYRING_AGREED_S = 5 };

/* A private key that several rings hold. */
struct signer {
    atomic_uint references;
    struct jose_private *key;
    char file[KEYFILE_NAME]; /* below the folder of keys; "": sealed in the store */
};

struct signer *signer_new(struct jose_private *key, const char *file);
void signer_drop(struct signer *signer); /* NULL is allowed */

enum key_state { KEY_NEXT, KEY_ACTIVE, KEY_RETIRED, KEY_ENDED, KEY_REVOKED };

struct ring_key {
    andiron_str kid;
    const struct jose_alg *alg;
    struct jose_key key;
    andiron_str jwk;    /* as published */
    andiron_str sealed; /* the private part in the store, see seal.h; or absent */
    bool for_tokens;    /* not the test key for assertions */
    bool is_revoked;    /* then key and jwk are not filled in */
    andiron_usec created;
    andiron_usec signs_from; /* when it was revoked, of a revoked one */
    andiron_usec until;      /* end of a key that has a successor; INT64_MAX: none yet */
    andiron_usec life;       /* longest token that who made it knew of */
    uint64_t version;        /* of its row */
    struct signer *signer;   /* held; NULL: this node has no private part */
    andiron_str header;      /* first part of every token it signs */
};

struct ring {
    atomic_uint references;
    struct andiron_arena *arena;
    uint64_t ticket; /* of two rings the one that was asked for later is right */
    struct ring_key keys[KEYRING_MAX];
    size_t count;
    andiron_str document;    /* {"keys":[...]} */
    char etag[KEYRING_ETAG]; /* with quotes */
};

/* Where the ring in force hangs. */
struct keyring {
    pthread_mutex_t lock; /* held for a pointer and a count */
    struct ring *now;     /* NULL: the store has not been read yet */
};

/* An empty ring to add to; published by keyring_replace(), or ended by ring_drop(). */
struct ring *ring_new(void);
void ring_drop(struct ring *ring); /* NULL is allowed */

/* Adds the test key of a file, which is never for tokens. */
ANDIRON_MUST_CHECK int ring_add_test_key(struct ring *ring, const struct keyfile *file,
                                         struct andiron_error *err);

/* Adds a key as the store has it (see rows.h); *ret_key is to get its signer. */
ANDIRON_MUST_CHECK int ring_add_row(struct ring *ring, andiron_str kid, uint64_t version,
                                    andiron_json row, struct ring_key **ret_key,
                                    struct andiron_error *err);

/* Ends keys by their successors, with tokens of `life` at most, and makes the document. */
ANDIRON_MUST_CHECK int ring_finish(struct ring *ring, andiron_usec life, andiron_usec now,
                                   struct andiron_error *err);

enum key_state ring_state(const struct ring *ring, const struct ring_key *key, andiron_usec now);

/* The key that signs now; NULL: there is none. */
const struct ring_key *ring_active(const struct ring *ring, andiron_usec now);

/* The key that was put there last and is not revoked: active or next; NULL: there is none. */
const struct ring_key *ring_newest(const struct ring *ring);

/* The key that checks access tokens of that kid, or NULL. */
const struct ring_key *ring_find(const struct ring *ring, andiron_str kid, andiron_usec now);

/* Any key of that kid, for tokens or not, revoked or not; or NULL. */
const struct ring_key *ring_key_of(const struct ring *ring, andiron_str kid);

/* Whether a key that old trusts for tokens is no longer one of ring's. */
bool ring_trusts_less(const struct ring *ring, const struct ring *old, andiron_usec now);

/* The ring in force, held until ring_drop(); NULL before the first. Any thread. */
struct ring *keyring_hold(struct keyring *keyring);

/*
 * Puts another one in force, unless that is older than the one there; takes over the caller's
 * reference. *ret_old is what was there, held; NULL: nothing, or nothing has changed. Any thread.
 */
void keyring_replace(struct keyring *keyring, struct ring *ring, struct ring **ret_old);

#endif
