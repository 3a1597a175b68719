/*
 * Pool of threads for work that blocks or computes for longer than a millisecond.
 * The public side is andiron_pool_post() in andiron/async.h.
 */
#ifndef CORE_LOOP_POOL_H
#define CORE_LOOP_POOL_H

#include <andiron/async.h>

ANDIRON_MUST_CHECK int pool_start(unsigned threads, struct andiron_error *err);
/* Runs what is queued, then ends the threads. */
void pool_stop(void);
/* Jobs waiting; a metric. */
size_t pool_queued(void);

#endif
