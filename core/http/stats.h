/*
 * Counters of one loop, and how long its requests of the last minute took.
 *
 * Written by the loop's thread only, so an increment is a plain load and store;
 * read by any thread. Durations fall into logarithmic buckets (four to an
 * octave: a percentile is exact to about 10 %), kept for five seconds each.
 */
#ifndef CORE_HTTP_STATS_H
#define CORE_HTTP_STATS_H

#include <stdatomic.h>

#include "http/server.h"

enum { STATS_BUCKETS = 112, STATS_SLOTS = 13, STATS_SLOT_S = 5 };

struct stats_slot {
    _Atomic int64_t number; /* seconds / STATS_SLOT_S it holds */
    _Atomic uint32_t buckets[STATS_BUCKETS];
};

struct stats {
    _Atomic uint64_t requests, connections, bytes_in, bytes_out;
    _Atomic uint64_t rejected[HTTP_REJECTED_REASONS];
    _Atomic uint64_t waits_lost;
    struct stats_slot slots[STATS_SLOTS];
};

/* By the one thread that writes. */
static inline void stats_add(_Atomic uint64_t *counter, uint64_t by)
{
    uint64_t now = atomic_load_explicit(counter, memory_order_relaxed);

    atomic_store_explicit(counter, now + by, memory_order_relaxed);
}

static inline uint64_t stats_get(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* A request that took that long ended at the monotonic time now_us. */
void stats_request(struct stats *stats, int64_t duration_us, int64_t now_us);

/* Adds the counters and the last minute of `count` loops up; uptime_s is at least 1. */
void stats_sum(const struct stats *const *all, size_t count, int64_t now_us, double uptime_s,
               struct http_stats *ret);

#endif
