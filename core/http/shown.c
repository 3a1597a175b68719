/*
 * Kept views of resources; see shown.h. A table with one place for each hash: the newer one stays.
 */
#include "http/shown.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum {
    PLACES = 64,
    LARGEST = 16 * 1024, /* bytes of a resource, and of what is shown of it */
    HASHED = 96          /* bytes of its text that choose the place: the id is among the first */
};

struct shown {
    atomic_uint holders;
    struct andiron_arena *arena; /* of all that follows */
    andiron_str key;             /* the resource's text */
    andiron_json value;
};

struct shown_cache {
    pthread_mutex_t lock;
    struct shown *places[PLACES];
};

struct shown_cache *shown_cache_new(void)
{
    struct shown_cache *cache = calloc(1, sizeof(*cache));

    if (cache == NULL)
        abort();                                  /* out of memory: as in base/arena.c */
    (void)pthread_mutex_init(&cache->lock, NULL); /* cannot fail for a default mutex */
    return cache;
}

static void let_go(void *arg)
{
    struct shown *shown = arg;

    if (atomic_fetch_sub(&shown->holders, 1) == 1)
        andiron_arena_free(shown->arena); /* which it lies in itself */
}

void shown_cache_free(struct shown_cache *cache)
{
    if (cache == NULL)
        return;
    for (size_t i = 0; i < PLACES; i++) {
        if (cache->places[i] != NULL)
            let_go(cache->places[i]);
    }
    (void)pthread_mutex_destroy(&cache->lock);
    free(cache);
}

static size_t place_of(andiron_str key)
{
    uint32_t h = 2166136261u ^ (uint32_t)key.len;

    for (size_t i = 0; i < key.len && i < HASHED; i++)
        h = (h ^ (unsigned char)key.data[i]) * 16777619u;
    return (h ^ h >> 16) % PLACES;
}

static andiron_json held(struct shown *shown, struct andiron_arena *holder)
{
    andiron_at_release(holder, let_go, shown);
    return shown->value;
}

bool shown_find(struct shown_cache *cache, struct andiron_arena *holder, andiron_json of,
                andiron_json *ret)
{
    andiron_str key = andiron_json_raw(of);

    if (key.len > LARGEST)
        return false;
    struct shown **place = &cache->places[place_of(key)];
    (void)pthread_mutex_lock(&cache->lock);
    struct shown *found = *place;
    if (found != NULL && andiron_str_eq(found->key, key))
        atomic_fetch_add_explicit(&found->holders, 1, memory_order_relaxed);
    else
        found = NULL;
    (void)pthread_mutex_unlock(&cache->lock);
    if (found == NULL)
        return false;
    *ret = held(found, holder);
    return true;
}

static andiron_json parsed(struct andiron_arena *arena, andiron_str text)
{
    struct andiron_error err;
    andiron_json value = { NULL, 0 };

    if (text.len == 0 || andiron_json_parse(arena, text, &value, &err) != 0)
        return (andiron_json){ NULL, 0 };
    return value;
}

andiron_json shown_keep(struct shown_cache *cache, struct andiron_arena *holder, andiron_json of,
                        andiron_str text)
{
    andiron_str key = andiron_json_raw(of);

    if (key.len > LARGEST || text.len > LARGEST)
        return parsed(holder, text);
    struct andiron_arena *arena = andiron_arena_new(0);
    struct shown *shown = andiron_new(arena, struct shown), **place, *before;
    andiron_arena_wipe(arena); /* the resource has its secret still */
    shown->arena = arena;
    shown->key = (andiron_str){ andiron_copy(arena, key), key.len };
    shown->value = parsed(arena, (andiron_str){ andiron_copy(arena, text), text.len });
    atomic_store(&shown->holders, 2); /* the table, and this one */
    place = &cache->places[place_of(key)];
    (void)pthread_mutex_lock(&cache->lock);
    before = *place;
    *place = shown;
    (void)pthread_mutex_unlock(&cache->lock);
    if (before != NULL)
        let_go(before);
    return held(shown, holder);
}
