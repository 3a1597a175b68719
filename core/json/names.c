/*
 * Repeated member names, and the name table of large objects. The hash is SipHash-1-3.
 */
#include "json/names.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/arena.h"

static uint64_t process_key[2];
static pthread_once_t key_made = PTHREAD_ONCE_INIT;

static void make_key(void)
{
    if (getentropy(process_key, sizeof(process_key)) == 0)
        return;
    /* Never with the kernels we support; an unkeyed hash would let clients stall a loop. */
    fputs("andiron: the system gives no random bytes\n", stderr);
    abort();
}

const uint64_t *names_key(void)
{
    (void)pthread_once(&key_made, make_key); /* fails only for an invalid argument */
    return process_key;
}

static inline uint64_t rotate(uint64_t x, int bits)
{
    return (x << bits) | (x >> (64 - bits));
}

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

uint64_t names_hash(const uint64_t key[2], andiron_str name)
{
    uint64_t v[4] = { key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d,
                      key[0] ^ 0x6c7967656e657261, key[1] ^ 0x7465646279746573 };
    uint64_t word;
    const char *p = name.data;
    size_t left = name.len;

    for (; left >= 8; p += 8, left -= 8) {
        memcpy(&word, p, 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    word = 0;
    if (left != 0)
        memcpy(&word, p, left);
    word ^= (uint64_t)name.len << 56;
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

const struct json_node *names_repeated(const char *text, const struct json_node *object,
                                       const struct json_node *end)
{
    const struct json_node *names[NAMES_LINEAR];
    size_t count = 0;

    for (const struct json_node *n = object + 1; n < end; n = node_after(n + 1)) {
        andiron_str name = node_str(text, n);
        for (size_t i = 0; i < count; i++)
            if (node_is_named(text, names[i], name))
                return n;
        names[count++] = n;
    }
    return NULL;
}

const struct json_names *names_index(struct andiron_arena *arena, const char *text,
                                     const struct json_node *object, const struct json_node *end,
                                     size_t count, const struct json_node **ret_repeated)
{
    size_t slots = (size_t)4 * NAMES_LINEAR;
    while (slots < count * 2)
        slots *= 2;
    struct json_names *table =
        andiron_alloc(arena, sizeof(*table) + slots * sizeof(table->slots[0]));
    table->mask = (uint32_t)(slots - 1);

    const uint64_t *key = names_key();
    for (const struct json_node *n = object + 1; n < end; n = node_after(n + 1)) {
        andiron_str name = node_str(text, n);
        uint32_t i = (uint32_t)names_hash(key, name) & table->mask;
        for (; table->slots[i] != 0; i = (i + 1) & table->mask) {
            if (node_is_named(text, object + table->slots[i], name)) {
                *ret_repeated = n;
                return NULL;
            }
        }
        table->slots[i] = (uint32_t)(n - object);
    }
    return table;
}

const struct json_node *names_find(const char *text, const struct json_node *object,
                                   andiron_str name)
{
    const struct json_names *table = object[object->size - 1].names;
    uint32_t i = (uint32_t)names_hash(process_key, name) & table->mask;
    for (; table->slots[i] != 0; i = (i + 1) & table->mask)
        if (node_is_named(text, object + table->slots[i], name))
            return object + table->slots[i];
    return NULL;
}
