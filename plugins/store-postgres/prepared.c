/*
 * A small hash table of keys; see prepared.h.
 */
#include "prepared.h"

#include <assert.h>

/* Composed statements have the lowest bit set; addresses do not. */
uint64_t prepared_key(const struct wire_sql *sql)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */

    if (sql->name != NULL)
        return (uint64_t)(uintptr_t)sql;
    for (const char *at = sql->text; *at != '\0'; at++)
        h = (h ^ (uint8_t)*at) * 0x100000001b3u;
    return h | 1;
}

static const char *composed_name(uint64_t key, char name[PREPARED_NAME])
{
    static const char digits[] = "0123456789abcdef";

    name[0] = 'c';
    for (int i = 0; i < 16; i++)
        name[1 + i] = digits[key >> (60 - 4 * i) & 15];
    name[17] = '\0';
    return name;
}

const char *prepared_name(const struct wire_sql *sql, uint64_t key, char name[PREPARED_NAME])
{
    return sql->name != NULL ? sql->name : composed_name(key, name);
}

static size_t find(const struct prepared *p, uint64_t key)
{
    size_t i = (key * 0x9e3779b97f4a7c15u) >> 54;

    while (p->keys[i] != 0 && p->keys[i] != key)
        i = (i + 1) % PREPARED_SLOTS;
    return i;
}

bool prepared_has(struct prepared *p, uint64_t key)
{
    size_t i = find(p, key);

    p->used[i] = ++p->uses;
    return p->keys[i] == key;
}

void prepared_add(struct prepared *p, const struct wire_sql *sql, uint64_t key)
{
    size_t i = find(p, key);

    /* A plugin has fewer statements with names than this. */
    assert(p->count < PREPARED_SLOTS / 2);
    p->keys[i] = key;
    p->used[i] = ++p->uses;
    p->count++;
    p->composed += sql->name == NULL;
}

void prepared_drop(struct prepared *p, uint64_t key)
{
    size_t hole = find(p, key), i = hole;

    if (p->keys[hole] != key)
        return;
    p->count--;
    p->composed -= key & 1;
    p->keys[hole] = 0;
    /* Moves back those that were put behind it. */
    for (;;) {
        i = (i + 1) % PREPARED_SLOTS;
        if (p->keys[i] == 0)
            return;
        uint64_t moved = p->keys[i];
        p->keys[i] = 0;
        size_t to = find(p, moved);
        p->keys[to] = moved;
        p->used[to] = p->used[i];
    }
}

bool prepared_too_many(struct prepared *p, char name[PREPARED_NAME], uint64_t *ret_key)
{
    size_t oldest = PREPARED_SLOTS;

    if (p->composed <= PREPARED_COMPOSED)
        return false;
    for (size_t i = 0; i < PREPARED_SLOTS; i++) {
        if ((p->keys[i] & 1) != 0 && (oldest == PREPARED_SLOTS || p->used[i] < p->used[oldest]))
            oldest = i;
    }
    *ret_key = p->keys[oldest];
    (void)composed_name(*ret_key, name);
    return true;
}
