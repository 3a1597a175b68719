/*
 * Metrics of this process: what plugins see is in andiron/metrics.h.
 *
 * Counting is one relaxed add to a cell of the calling thread's shard; the scrape sums the
 * shards and takes a lock that only registering takes.
 */
#ifndef CORE_HOST_METRICS_H
#define CORE_HOST_METRICS_H

#include <andiron/metrics.h>

enum { METRICS_SERIES_MAX = 5000 }; /* further ones are dropped with one warning */

/* A counter that something else keeps already: read(self) gives its value. Never shrinks. */
void metrics_counter_of(const char *name, const char *labels, const char *help,
                        double (*read)(void *self), void *self);

/* andiron_build_info, andiron_log_dropped_total and process_*; once. */
void metrics_register_process(void);

/* Value of a counter, for tests and `status`. */
uint64_t metrics_count_of(const struct andiron_counter *counter);

#endif
