/*
 * SipHash-2-4 (Aumasson and Bernstein 2012), 64 and 128 bits wide: keyed hashes of index
 * terms and the seal of cursors. Collisions cannot be made without the key; nothing here keeps
 * data secret. No state, any thread.
 */
#ifndef COMMON_STORE_HASH_H
#define COMMON_STORE_HASH_H

#include <andiron/base.h>

enum { HASH_KEY_BYTES = 16 };

struct hash_key {
    uint64_t k0, k1;
};

struct hash128 {
    uint8_t bytes[16];
};

/* A hash in the making: begin, add any number of times, end once. */
struct hash {
    uint64_t v0, v1, v2, v3;
    uint64_t tail; /* bytes not yet mixed in, lowest first */
    size_t len;
};

struct hash_key hash_key_of(const uint8_t bytes[HASH_KEY_BYTES]);

void hash_begin64(struct hash *h, const struct hash_key *key);
void hash_begin128(struct hash *h, const struct hash_key *key);
void hash_add(struct hash *h, const void *bytes, size_t len);
uint64_t hash_end64(struct hash *h);
struct hash128 hash_end128(struct hash *h);

/* Whole hashes of one string. */
uint64_t hash_of64(const struct hash_key *key, andiron_str s);
struct hash128 hash_of128(const struct hash_key *key, andiron_str s);

#endif
