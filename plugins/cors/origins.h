/*
 * The origins that may ask: those of the configuration, and those of active Clients.
 *
 * The set is replaced as a whole by a job on the first loop, and looked into by all loops.
 */
#ifndef CORS_ORIGINS_H
#define CORS_ORIGINS_H

#include <pthread.h>
#include <stdatomic.h>

#include <andiron/plugin.h>
#include <andiron/store.h>

/* Sorted and immutable. */
struct origin_set {
    struct andiron_arena *arena;
    andiron_str *list;
    size_t count, room, max;
    bool is_full; /* more than max were there */
};

struct origin_set *origin_set_new(size_t max);
void origin_set_free(struct origin_set *set); /* NULL is allowed */
/* Adds a copy; a final '/' is no part of an origin. */
void origin_set_add(struct origin_set *set, andiron_str origin);
void origin_set_sort(struct origin_set *set);
bool origin_set_has(const struct origin_set *set, andiron_str origin);

/* What an origin looks like: scheme://host or scheme://host:port. */
bool origin_is(andiron_str text);

struct origins {
    struct andiron_host *host;
    struct andiron_service_ref store; /* table NULL: the configuration's alone */
    struct origin_set *configured;
    size_t max;
    pthread_mutex_t lock;
    struct origin_set *now; /* under lock */
    atomic_size_t count;    /* of now */
    atomic_int loading;
};

/* Begins with the configured ones, a list as written. -1: one of them is no origin. */
ANDIRON_MUST_CHECK int origins_init(struct origins *origins, struct andiron_host *host,
                                    const char *configured, size_t max, struct andiron_error *err);
void origins_free(struct origins *origins);

/* Reads the Clients' again, in the background. Any thread. */
void origins_load(struct origins *origins);

bool origins_allow(struct origins *origins, andiron_str origin);

static inline bool origins_are_none(const struct origins *origins)
{
    return atomic_load_explicit(&origins->count, memory_order_relaxed) == 0;
}

#endif
