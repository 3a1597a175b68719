/*
 * Snapshots of the published keys.
 */
#include "keyring.h"

#include <stdio.h>

#include <nettle/sha2.h>

#include "common/jose/base64url.h"

enum { DOCUMENT_MAX = 256 * 1024 };

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
    if (ring != NULL && atomic_fetch_sub_explicit(&ring->references, 1, memory_order_acq_rel) == 1)
        andiron_arena_free(ring->arena);
}

static struct ring_key *find(struct ring *ring, andiron_str kid)
{
    for (size_t i = 0; i < ring->count; i++)
        if (andiron_str_eq(ring->keys[i].kid, kid))
            return &ring->keys[i];
    return NULL;
}

const struct ring_key *ring_find(const struct ring *ring, andiron_str kid)
{
    for (size_t i = 0; i < ring->count; i++)
        if (ring->keys[i].for_tokens && andiron_str_eq(ring->keys[i].kid, kid))
            return &ring->keys[i];
    return NULL;
}

/* jwk and kid live as long as the ring. */
static int add(struct ring *ring, andiron_str kid, const struct jose_alg *alg, andiron_str jwk,
               bool for_tokens, struct andiron_error *err)
{
    andiron_json parsed;
    struct jose_key key;

    if (find(ring, kid) != NULL)
        return 0;
    if (ring->count == KEYRING_MAX)
        return andiron_error_set(err, ANDIRON_E_INTERNAL, "", "more than %d keys", KEYRING_MAX);
    if (andiron_json_parse(ring->arena, jwk, &parsed, err) != 0 ||
        jose_jwk_read(ring->arena, parsed, &key, err) != 0)
        return -1;
    if (alg == NULL || !jose_key_fits(&key, alg))
        return andiron_error_set(err, ANDIRON_E_INTERNAL, "", "key does not fit its algorithm");
    ring->keys[ring->count++] = (struct ring_key){
        .kid = kid, .alg = alg, .key = key, .jwk = jwk, .for_tokens = for_tokens
    };
    return 0;
}

int ring_add_file(struct ring *ring, const struct keyfile *file, struct andiron_error *err)
{
    andiron_str kid = andiron_str_of(andiron_copy(ring->arena, andiron_str_of(file->kid))), jwk;

    if (jose_jwk_write(ring->arena, jose_private_public(file->key), kid, file->alg, &jwk, err) != 0)
        return -1;
    return add(ring, kid, file->alg, jwk, !file->for_assertions, err);
}

int ring_add_jwk(struct ring *ring, andiron_str kid, andiron_str alg, andiron_str jwk,
                 struct andiron_error *err)
{
    return add(ring, andiron_str_of(andiron_copy(ring->arena, kid)), jose_alg_find(alg),
               andiron_str_of(andiron_copy(ring->arena, jwk)), true, err);
}

int ring_finish(struct ring *ring, struct andiron_error *err)
{
    struct andiron_json_writer *w = andiron_json_write(ring->arena, DOCUMENT_MAX);
    uint8_t digest[SHA256_DIGEST_SIZE];
    struct sha256_ctx hash;

    andiron_json_put_object(w, NULL);
    andiron_json_put_array(w, "keys");
    for (size_t i = 0; i < ring->count; i++)
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

struct ring *keyring_hold(struct keyring *keyring)
{
    (void)pthread_mutex_lock(&keyring->lock); /* cannot fail: a plain mutex, never locked twice */
    struct ring *ring = keyring->now;
    if (ring != NULL)
        atomic_fetch_add_explicit(&ring->references, 1, memory_order_relaxed);
    (void)pthread_mutex_unlock(&keyring->lock);
    return ring;
}

void keyring_replace(struct keyring *keyring, struct ring *ring)
{
    (void)pthread_mutex_lock(&keyring->lock);
    struct ring *old = keyring->now;
    keyring->now = ring;
    (void)pthread_mutex_unlock(&keyring->lock);
    ring_drop(old);
}
