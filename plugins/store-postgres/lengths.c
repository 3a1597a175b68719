/*
 * Lengths of lists of the index, as they were some seconds ago: for choosing among them; see run.h.
 */
#include <stdlib.h>
#include <time.h>

#include "source.h"

enum { LENGTHS = 512, FRESH_S = 10 };

struct lengths {
    struct {
        struct list_key key;
        int64_t entries;
        time_t until;
    } slots[LENGTHS];
};

static time_t now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return t.tv_sec;
}

static size_t slot_of(const struct list_key *key)
{
    uint64_t h =
        ((uint64_t)key->key ^ (uint64_t)key->p << 33 ^ (uint64_t)key->is_ref) * 0x9e3779b97f4a7c15u;
    return (size_t)(h >> 32) % LENGTHS;
}

bool lengths_find(const struct run *run, const struct list_key *key, int64_t *ret)
{
    const struct lengths *lengths = run->place.local->lengths;
    size_t i = slot_of(key);

    if (lengths == NULL || lengths->slots[i].until <= now_s() ||
        lengths->slots[i].key.is_ref != key->is_ref || lengths->slots[i].key.p != key->p ||
        lengths->slots[i].key.key != key->key)
        return false;
    *ret = lengths->slots[i].entries;
    return true;
}

void lengths_note(struct run *run, const struct list_key *key, int64_t entries)
{
    struct local *local = run->place.local;
    size_t i = slot_of(key);

    if (local->lengths == NULL)
        local->lengths = calloc(1, sizeof(struct lengths));
    if (local->lengths == NULL)
        return;
    local->lengths->slots[i].key = *key;
    local->lengths->slots[i].entries = entries;
    local->lengths->slots[i].until = now_s() + FRESH_S;
}
