/*
 * Snapshots of the keys.
 */
#include "keyring.h"

#include <stdio.h>
#include <stdlib.h>

#include <nettle/sha2.h>

#include "common/jose/base64url.h"

enum { DOCUMENT_MAX = 256 * 1024 };

/* ---- private halves ------------------------------------------------------------------- */

struct signer *signer_new(struct jose_private *key, const char *file)
{
    struct signer *signer = calloc(1, sizeof(*signer));
    if (signer == NULL)
        abort(); /* as everywhere: out of memory ends the worker */
    atomic_init(&signer->references, 1);
    signer->key = key;
    (void)snprintf(signer->file, sizeof(signer->file), "%s", file);
    return signer;
}

void signer_drop(struct signer *signer)
{
    if (signer == NULL ||
        atomic_fetch_sub_explicit(&signer->references, 1, memory_order_acq_rel) != 1)
        return;
    jose_private_free(signer->key);
    free(signer);
}

/* ---- making --------------------------------------------------------------------------- */

struct ring *ring_new(void)
{
    struct andiron_arena *arena = andiron_arena_new(sizeof(struct ring) + 4 * 1024);
    struct ring *ring = andiron_new(arena, struct ring);
    ring->arena = arena;
    atomic_init(&ring->references, 1);
    return ring;
}

void ring_drop(struct ring *ring)
{
    if (ring == NULL || atomic_fetch_sub_explicit(&ring->references, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < ring->count; i++)
        signer_drop(ring->keys[i].signer);
    andiron_arena_free(ring->arena);
}

/* Imports the public half; jwk lives as long as the ring. */
static int take_public(struct ring *ring, struct ring_key *key, andiron_str jwk,
                       struct andiron_error *err)
{
    andiron_json parsed;

    key->jwk = jwk;
    if (andiron_json_parse(ring->arena, jwk, &parsed, err) != 0 ||
        jose_jwk_read(ring->arena, parsed, &key->key, err) != 0)
        return -1;
    if (key->alg == NULL || !jose_key_fits(&key->key, key->alg))
        return andiron_error_set(err, ANDIRON_E_INTERNAL, "", "key does not fit its algorithm");
    return 0;
}

static int full(struct andiron_error *err)
{
    return andiron_error_set(err, ANDIRON_E_INTERNAL, "", "more than %d keys", KEYRING_MAX);
}

int ring_add_test_key(struct ring *ring, const struct keyfile *file, struct andiron_error *err)
{
    andiron_str kid = andiron_str_of(andiron_copy(ring->arena, andiron_str_of(file->kid))), jwk;
    struct ring_key key = { .kid = kid, .alg = file->alg, .until = INT64_MAX };

    if (ring->count == KEYRING_MAX)
        return full(err);
    if (jose_jwk_write(ring->arena, jose_private_public(file->key), kid, file->alg, &jwk, err) !=
            0 ||
        take_public(ring, &key, jwk, err) != 0)
        return -1;
    ring->keys[ring->count++] = key;
    return 0;
}

/* Seconds in a row as microseconds. */
static andiron_usec seconds(andiron_json row, const char *name, int64_t fallback)
{
    int64_t s = andiron_json_int(andiron_json_get(row, name), fallback);
    return s < 0 || s > INT64_MAX / 2000000 ? 0 : s * 1000000;
}

int ring_add_row(struct ring *ring, andiron_str kid, uint64_t version, andiron_json row,
                 struct ring_key **ret_key, struct andiron_error *err)
{
    andiron_str jwk = andiron_json_raw(andiron_json_get(row, "jwk"));
    struct ring_key key = {
        .kid = andiron_str_of(andiron_copy(ring->arena, kid)),
        .alg = jose_alg_find(andiron_json_str(andiron_json_get(row, "alg"))),
        .for_tokens = true,
        .is_revoked = andiron_str_eq(andiron_json_str(andiron_json_get(row, "state")),
                                     ANDIRON_STR("revoked")),
        .created = seconds(row, "created", 0),
        .life = seconds(row, "life", 0),
        .version = version,
        .until = INT64_MAX,
    };

    key.signs_from = andiron_json_int(andiron_json_get(row, "signsFrom"), key.created);
    if (ring->count == KEYRING_MAX)
        return full(err);
    if (!key.is_revoked) {
        jwk = andiron_str_of(andiron_copy(ring->arena, jwk));
        if (take_public(ring, &key, jwk, err) != 0)
            return -1;
        key.sealed = andiron_json_str(andiron_json_get(row, "sealed"));
        if (key.sealed.data != NULL)
            key.sealed = andiron_str_of(andiron_copy(ring->arena, key.sealed));
        key.header = jose_jws_header(ring->arena, key.alg, key.kid);
    }
    ring->keys[ring->count] = key;
    *ret_key = &ring->keys[ring->count++];
    return 0;
}

/* The order in which keys sign, the test key first. */
static int by_turn(const void *a, const void *b)
{
    const struct ring_key *x = a, *y = b;
    if (x->for_tokens != y->for_tokens)
        return x->for_tokens ? 1 : -1;
    if (x->signs_from != y->signs_from)
        return x->signs_from < y->signs_from ? -1 : 1;
    size_t len = x->kid.len < y->kid.len ? x->kid.len : y->kid.len;
    return memcmp(x->kid.data, y->kid.data, len);
}

static bool counts(const struct ring_key *key)
{
    return key->for_tokens && !key->is_revoked;
}

static void end_keys(struct ring *ring, andiron_usec life)
{
    andiron_usec successor = INT64_MAX;

    for (size_t i = 0; i < ring->count; i++)
        if (ring->keys[i].life > life)
            life = ring->keys[i].life;
    /* Nodes agree within that time; until then one may still sign with the key before. */
    life += (andiron_usec)2 * KEYRING_AGREED_S * 1000000;
    for (size_t i = ring->count; i-- > 0;) {
        struct ring_key *key = &ring->keys[i];
        if (key->is_revoked)
            key->until = key->signs_from + life; /* kept for the list, trusted no more */
        if (!counts(key))
            continue;
        key->until = successor == INT64_MAX ? INT64_MAX : successor + life;
        successor = key->signs_from;
    }
}

int ring_finish(struct ring *ring, andiron_usec life, andiron_usec now, struct andiron_error *err)
{
    struct andiron_json_writer *w = andiron_json_write(ring->arena, DOCUMENT_MAX);
    uint8_t digest[SHA256_DIGEST_SIZE];
    struct sha256_ctx hash;

    qsort(ring->keys, ring->count, sizeof(ring->keys[0]), by_turn);
    end_keys(ring, life);
    andiron_json_put_object(w, NULL);
    andiron_json_put_array(w, "keys");
    for (size_t i = 0; i < ring->count; i++)
        if (!ring->keys[i].is_revoked && now < ring->keys[i].until)
            andiron_json_put_raw(w, NULL, ring->keys[i].jwk);
    andiron_json_put_end(w);
    andiron_json_put_end(w);
    ring->document = andiron_json_written(w);
    if (ring->document.data == NULL)
        return andiron_error_set(err, ANDIRON_E_INTERNAL, "", "the key set is too large");
    sha256_init(&hash);
    sha256_update(&hash, ring->document.len, (const uint8_t *)ring->document.data);
    sha256_digest(&hash, sizeof(digest), digest);
    ring->etag[0] = '"';
    size_t len = jose_base64url_encode(digest, sizeof(digest), ring->etag + 1);
    ring->etag[1 + len] = '"';
    ring->etag[2 + len] = '\0';
    return 0;
}

/* ---- asking ------------------------------------------------------------------------------ */

const struct ring_key *ring_active(const struct ring *ring, andiron_usec now)
{
    const struct ring_key *first = NULL, *active = NULL;

    for (size_t i = 0; i < ring->count; i++) {
        const struct ring_key *key = &ring->keys[i];
        if (!counts(key))
            continue;
        if (first == NULL)
            first = key;
        if (key->signs_from <= now)
            active = key;
    }
    /* A clock that is behind must not leave us without any. */
    return active != NULL ? active : first;
}

const struct ring_key *ring_newest(const struct ring *ring)
{
    for (size_t i = ring->count; i-- > 0;)
        if (counts(&ring->keys[i]))
            return &ring->keys[i];
    return NULL;
}

enum key_state ring_state(const struct ring *ring, const struct ring_key *key, andiron_usec now)
{
    if (key->is_revoked)
        return KEY_REVOKED;
    if (now >= key->until)
        return KEY_ENDED;
    if (key == ring_active(ring, now))
        return KEY_ACTIVE;
    return key->signs_from > now ? KEY_NEXT : KEY_RETIRED;
}

const struct ring_key *ring_key_of(const struct ring *ring, andiron_str kid)
{
    for (size_t i = 0; i < ring->count; i++)
        if (andiron_str_eq(ring->keys[i].kid, kid))
            return &ring->keys[i];
    return NULL;
}

const struct ring_key *ring_find(const struct ring *ring, andiron_str kid, andiron_usec now)
{
    const struct ring_key *key = ring_key_of(ring, kid);
    return key != NULL && counts(key) && now < key->until ? key : NULL;
}

bool ring_trusts_less(const struct ring *ring, const struct ring *old, andiron_usec now)
{
    for (size_t i = 0; i < old->count; i++)
        if (counts(&old->keys[i]) && ring_find(ring, old->keys[i].kid, now) == NULL)
            return true;
    return false;
}

/* ---- the one in force -------------------------------------------------------------------- */

struct ring *keyring_hold(struct keyring *keyring)
{
    (void)pthread_mutex_lock(&keyring->lock); /* cannot fail: a plain mutex, never locked twice */
    struct ring *ring = keyring->now;
    if (ring != NULL)
        atomic_fetch_add_explicit(&ring->references, 1, memory_order_relaxed);
    (void)pthread_mutex_unlock(&keyring->lock);
    return ring;
}

void keyring_replace(struct keyring *keyring, struct ring *ring, struct ring **ret_old)
{
    *ret_old = NULL;
    (void)pthread_mutex_lock(&keyring->lock);
    bool is_late = ring != NULL && keyring->now != NULL && keyring->now->ticket > ring->ticket;
    if (!is_late) {
        *ret_old = keyring->now;
        keyring->now = ring;
    }
    (void)pthread_mutex_unlock(&keyring->lock);
    if (is_late)
        ring_drop(ring);
}
