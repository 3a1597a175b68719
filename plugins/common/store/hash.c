/*
 * SipHash-2-4; see hash.h. Reads words byte by byte, so the result does not depend on the
 * machine's byte order and a database can be moved.
 */
#include "hash.h"

static inline uint64_t rotate(uint64_t x, unsigned bits)
{
    return (x << bits) | (x >> (64 - bits));
}

static inline uint64_t word_of(const uint8_t *p)
{
    return (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24 |
           (uint64_t)p[4] << 32 | (uint64_t)p[5] << 40 | (uint64_t)p[6] << 48 |
           (uint64_t)p[7] << 56;
}

static inline void round_once(struct hash *h)
{
    h->v0 += h->v1;
    h->v1 = rotate(h->v1, 13) ^ h->v0;
    h->v0 = rotate(h->v0, 32);
    h->v2 += h->v3;
    h->v3 = rotate(h->v3, 16) ^ h->v2;
    h->v0 += h->v3;
    h->v3 = rotate(h->v3, 21) ^ h->v0;
    h->v2 += h->v1;
    h->v1 = rotate(h->v1, 17) ^ h->v2;
    h->v2 = rotate(h->v2, 32);
}

static inline void mix(struct hash *h, uint64_t word)
{
    h->v3 ^= word;
    round_once(h);
    round_once(h);
    h->v0 ^= word;
}

struct hash_key hash_key_of(const uint8_t bytes[HASH_KEY_BYTES])
{
    return (struct hash_key){ word_of(bytes), word_of(bytes + 8) };
}

void hash_begin64(struct hash *h, const struct hash_key *key)
{
    *h = (struct hash){ .v0 = key->k0 ^ 0x736f6d6570736575u,
                        .v1 = key->k1 ^ 0x646f72616e646f6du,
                        .v2 = key->k0 ^ 0x6c7967656e657261u,
                        .v3 = key->k1 ^ 0x7465646279746573u };
}

void hash_begin128(struct hash *h, const struct hash_key *key)
{
    hash_begin64(h, key);
    h->v1 ^= 0xee;
}

void hash_add(struct hash *h, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;
    size_t have = h->len & 7;

    h->len += len;
    while (have != 0 && len != 0) {
        h->tail |= (uint64_t)*p++ << (8 * have);
        len--;
        if (++have == 8) {
            mix(h, h->tail);
            h->tail = 0;
            have = 0;
        }
    }
    for (; len >= 8; len -= 8, p += 8)
        mix(h, word_of(p));
    for (; len != 0; len--)
        h->tail |= (uint64_t)*p++ << (8 * have++);
}

static void finish(struct hash *h)
{
    mix(h, h->tail | (uint64_t)(h->len & 0xff) << 56);
}

uint64_t hash_end64(struct hash *h)
{
    finish(h);
    h->v2 ^= 0xff;
    for (int i = 0; i < 4; i++)
        round_once(h);
    return h->v0 ^ h->v1 ^ h->v2 ^ h->v3;
}

struct hash128 hash_end128(struct hash *h)
{
    struct hash128 ret;
    uint64_t half[2];

    finish(h);
    h->v2 ^= 0xee;
    for (int i = 0; i < 4; i++)
        round_once(h);
    half[0] = h->v0 ^ h->v1 ^ h->v2 ^ h->v3;
    h->v1 ^= 0xdd;
    for (int i = 0; i < 4; i++)
        round_once(h);
    half[1] = h->v0 ^ h->v1 ^ h->v2 ^ h->v3;
    for (size_t i = 0; i < sizeof(ret.bytes); i++)
        ret.bytes[i] = (uint8_t)(half[i / 8] >> (8 * (i % 8)));
    return ret;
}

uint64_t hash_of64(const struct hash_key *key, andiron_str s)
{
    struct hash h;

    hash_begin64(&h, key);
    hash_add(&h, s.data, s.len);
    return hash_end64(&h);
}

struct hash128 hash_of128(const struct hash_key *key, andiron_str s)
{
    struct hash h;

    hash_begin128(&h, key);
    hash_add(&h, s.data, s.len);
    return hash_end128(&h);
}
