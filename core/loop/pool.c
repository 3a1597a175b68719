/*
 * Pool of threads: one queue, first in, first out.
 *
 * Whoever posts keeps or hands over the memory of the job; the pool itself
 * allocates only for andiron_pool_post(). Process-wide: a worker has one.
 */
#include "loop/pool.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "loop/priority.h"

static struct {
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct pool_job *first, **last; /* last: where the next job is linked in */
    size_t queued;
    bool stopping;
    pthread_t *threads;
    unsigned thread_count;
} pool = { .lock = PTHREAD_MUTEX_INITIALIZER,
           .more = PTHREAD_COND_INITIALIZER,
           .last = &pool.first };

struct owned_job {
    struct pool_job job;
    void (*work)(void *arg);
    void *arg;
};

static struct pool_job *take(void)
{
    struct pool_job *job;

    (void)pthread_mutex_lock(&pool.lock);
    while (pool.first == NULL && !pool.stopping)
        (void)pthread_cond_wait(&pool.more, &pool.lock);
    job = pool.first;
    if (job != NULL) {
        pool.first = job->next;
        if (pool.first == NULL)
            pool.last = &pool.first;
        pool.queued--;
    }
    (void)pthread_mutex_unlock(&pool.lock);
    return job;
}

static void *run(void *arg)
{
    struct pool_job *job;

    (void)arg;
    (void)pthread_setname_np(pthread_self(), "pool"); /* only a name for ps */
    priority_pool();
    while ((job = take()) != NULL)
        job->work(job->arg);
    arena_cache_drop();
    return NULL;
}

int pool_start(unsigned threads, struct andiron_error *err)
{
    sigset_t all, before;
    int failed = 0;

    pool.stopping = false;
    pool.thread_count = 0;
    pool.threads = calloc(threads, sizeof(*pool.threads));
    if (pool.threads == NULL)
        abort();
    /* Signals are for the thread that waits for them. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    while (failed == 0 && pool.thread_count < threads) {
        failed = pthread_create(&pool.threads[pool.thread_count], NULL, run, NULL);
        if (failed == 0)
            pool.thread_count++;
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed != 0) {
        pool_stop();
        return andiron_error_set(err, ANDIRON_E_INTERNAL, "http.worker-threads",
                                 "cannot start %u threads: %s", threads, strerror(failed));
    }
    return 0;
}

void pool_stop(void)
{
    (void)pthread_mutex_lock(&pool.lock);
    pool.stopping = true;
    (void)pthread_cond_broadcast(&pool.more);
    (void)pthread_mutex_unlock(&pool.lock);
    for (unsigned i = 0; i < pool.thread_count; i++)
        (void)pthread_join(pool.threads[i], NULL);
    free(pool.threads);
    pool.threads = NULL;
    pool.thread_count = 0;
}

bool pool_runs(void)
{
    return pool.thread_count != 0; /* changes only before loops run and after they ended */
}

size_t pool_queued(void)
{
    size_t queued;

    (void)pthread_mutex_lock(&pool.lock);
    queued = pool.queued;
    (void)pthread_mutex_unlock(&pool.lock);
    return queued;
}

void pool_post_own(struct pool_job *job)
{
    job->next = NULL;
    (void)pthread_mutex_lock(&pool.lock);
    *pool.last = job;
    pool.last = &job->next;
    pool.queued++;
    (void)pthread_cond_signal(&pool.more);
    (void)pthread_mutex_unlock(&pool.lock);
}

static void run_owned(void *arg)
{
    struct owned_job *owned = arg;
    void (*work)(void *) = owned->work;
    void *work_arg = owned->arg;

    free(owned);
    work(work_arg);
}

void andiron_pool_post(void (*work)(void *arg), void *arg)
{
    struct owned_job *owned = malloc(sizeof(*owned));

    if (owned == NULL)
        abort();
    *owned =
        (struct owned_job){ .job = { .work = run_owned, .arg = owned }, .work = work, .arg = arg };
    pool_post_own(&owned->job);
}
