/*
 * Counters of one loop, and how long its requests of the last minute took.
 */
#include "http/stats.h"

/* Bucket 4n + q holds durations from (4 + q) * 2^(n - 2) us on. */
static unsigned bucket_of(int64_t duration_us)
{
    uint64_t us = duration_us > 4 ? (uint64_t)duration_us : 4;
    unsigned octave = 63 - (unsigned)__builtin_clzll(us);
    unsigned bucket = octave * 4 + (unsigned)((us >> (octave - 2)) & 3);

    return bucket < STATS_BUCKETS ? bucket : STATS_BUCKETS - 1;
}

/* The middle of a bucket. */
static int64_t bucket_us(unsigned bucket)
{
    unsigned octave = bucket / 4, quarter = bucket % 4;

    return (int64_t)(((uint64_t)(8 + 2 * quarter + 1) << octave) >> 3);
}

void stats_request(struct stats *stats, int64_t duration_us, int64_t now_us)
{
    int64_t number = now_us / 1000000 / STATS_SLOT_S;
    struct stats_slot *slot = &stats->slots[number % STATS_SLOTS];
    _Atomic uint32_t *bucket = &slot->buckets[bucket_of(duration_us)];

    if (atomic_load_explicit(&slot->number, memory_order_relaxed) != number) {
        for (unsigned i = 0; i < STATS_BUCKETS; i++)
            atomic_store_explicit(&slot->buckets[i], 0, memory_order_relaxed);
        atomic_store_explicit(&slot->number, number, memory_order_relaxed);
    }
    atomic_store_explicit(bucket, atomic_load_explicit(bucket, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    stats_add(&stats->requests, 1);
}

static int64_t percentile(const uint64_t buckets[STATS_BUCKETS], uint64_t total, double part)
{
    uint64_t wanted = (uint64_t)((double)total * part), seen = 0;

    for (unsigned i = 0; i < STATS_BUCKETS; i++) {
        seen += buckets[i];
        if (seen > wanted)
            return bucket_us(i);
    }
    return 0;
}

void stats_sum(const struct stats *const *all, size_t count, int64_t now_us, double uptime_s,
               struct http_stats *ret)
{
    int64_t number = now_us / 1000000 / STATS_SLOT_S;
    uint64_t buckets[STATS_BUCKETS] = { 0 }, total = 0;

    *ret = (struct http_stats){ 0 };
    for (size_t i = 0; i < count; i++) {
        ret->connections_total += stats_get(&all[i]->connections);
        ret->requests_total += stats_get(&all[i]->requests);
        ret->bytes_in += stats_get(&all[i]->bytes_in);
        ret->bytes_out += stats_get(&all[i]->bytes_out);
        for (unsigned r = 0; r < HTTP_REJECTED_REASONS; r++)
            ret->rejected[r] += stats_get(&all[i]->rejected[r]);
        for (unsigned s = 0; s < STATS_SLOTS; s++) {
            const struct stats_slot *slot = &all[i]->slots[s];

            if (atomic_load_explicit(&slot->number, memory_order_relaxed) <=
                number - 60 / STATS_SLOT_S)
                continue;
            for (unsigned b = 0; b < STATS_BUCKETS; b++)
                buckets[b] += atomic_load_explicit(&slot->buckets[b], memory_order_relaxed);
        }
    }
    for (unsigned b = 0; b < STATS_BUCKETS; b++)
        total += buckets[b];
    for (unsigned r = 0; r < HTTP_REJECTED_REASONS; r++)
        ret->rejected_total += ret->rejected[r];
    ret->requests_per_second = (double)total / (uptime_s < 60 ? uptime_s : 60);
    ret->p50_us = percentile(buckets, total, 0.50);
    ret->p99_us = percentile(buckets, total, 0.99);
}
