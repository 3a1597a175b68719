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
/*
 * A job whose memory is the caller's until work(arg) begins: what andiron_pool_post() does
 * without an allocation. Any thread.
 */
struct pool_job {
    struct pool_job *next; /* private to pool.c */
    void (*work)(void *arg);
    void *arg;
};
void pool_post_own(struct pool_job *job);

/* Whether there are threads: what is only better done there is done at once without them. */
bool pool_runs(void);

/* Jobs waiting; a metric. */
size_t pool_queued(void);

#endif
