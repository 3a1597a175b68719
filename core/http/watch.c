/*
 * Watchdog. The phase engine stores which plugin's step runs and counts steps;
 * this thread finds the same step running at three looks in a row. No clock is
 * read per step. While nothing runs it looks less often.
 */
#include "http/watch.h"

#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include <andiron/metrics.h>

#include "base/log.h"

enum { LOOK_MS = 10, REST_MS = 80, SLOW_LOOKS = 2 };

struct seen {
    const struct http_owner *owner;
    unsigned steps, looks;
    bool told;
};

struct watch {
    struct http_server *server;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t stop_said;
    bool stop;
    struct seen *seen; /* per loop */
};

static void tell(const struct http_loop *home, const struct http_owner *owner)
{
    struct log_fields fields = LOG_FIELDS_NONE;

    fields.plugin = owner->name;
    log_event(ANDIRON_LOG_WARN, "plugin.slow-step", &fields,
              "a step has held loop %u for more than %d ms", loop_index(home->loop),
              SLOW_LOOKS * LOOK_MS);
    if (owner->steps_slow != NULL)
        andiron_count(owner->steps_slow, 1);
}

/* true: something runs on the loop, or has run since the last look. */
static bool look(struct http_loop *home, struct seen *seen)
{
    const struct http_owner *owner =
        atomic_load_explicit(&home->running.owner, memory_order_relaxed);
    unsigned steps = atomic_load_explicit(&home->running.steps, memory_order_relaxed);
    bool active = owner != NULL || steps != seen->steps;

    if (owner == NULL || owner != seen->owner || steps != seen->steps) {
        *seen = (struct seen){ .owner = owner, .steps = steps };
        return active;
    }
    if (++seen->looks >= SLOW_LOOKS && !seen->told) {
        seen->told = true;
        tell(home, owner);
    }
    return active;
}

static bool look_at_all(struct http_server *server, struct seen *seen)
{
    bool active = false;

    for (size_t i = 0; i < server->loop_count; i++)
        active |= look(&server->loops[i], &seen[i]);
    return active;
}

static void *run(void *arg)
{
    struct watch *watch = arg;
    long rest = LOOK_MS;

    (void)pthread_setname_np(pthread_self(), "watch"); /* only a name for ps */
    (void)pthread_mutex_lock(&watch->lock);
    while (!watch->stop) {
        struct timespec until;

        (void)clock_gettime(CLOCK_MONOTONIC, &until); /* cannot fail for this clock */
        until.tv_nsec += rest * 1000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        (void)pthread_cond_timedwait(&watch->stop_said, &watch->lock, &until);
        if (look_at_all(watch->server, watch->seen))
            rest = LOOK_MS;
        else
            rest = rest * 2 < REST_MS ? rest * 2 : REST_MS;
    }
    (void)pthread_mutex_unlock(&watch->lock);
    return NULL;
}

void watch_start(struct http_server *server)
{
    struct watch *watch;
    pthread_condattr_t monotonic;
    sigset_t all, before;

    if (server->watch != NULL)
        return;
    watch = calloc(1, sizeof(*watch));
    if (watch == NULL)
        abort();
    watch->seen = calloc(server->loop_count, sizeof(*watch->seen));
    if (watch->seen == NULL)
        abort();
    (void)pthread_mutex_init(&watch->lock, NULL); /* default kind: cannot fail */
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&watch->stop_said, &monotonic);
    watch->server = server;
    server->watch = watch;
    /* Signals are for the thread that waits for them. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&watch->thread, NULL, run, watch) != 0) {
        log_event(ANDIRON_LOG_WARN, "start", NULL, "no thread for the watch on slow steps");
        free(watch->seen);
        free(watch);
        server->watch = NULL;
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void watch_stop(struct http_server *server)
{
    struct watch *watch = server->watch;

    if (watch == NULL)
        return;
    server->watch = NULL;
    (void)pthread_mutex_lock(&watch->lock);
    watch->stop = true;
    (void)pthread_cond_signal(&watch->stop_said);
    (void)pthread_mutex_unlock(&watch->lock);
    (void)pthread_join(watch->thread, NULL);
    (void)pthread_cond_destroy(&watch->stop_said);
    (void)pthread_mutex_destroy(&watch->lock);
    free(watch->seen);
    free(watch);
}
