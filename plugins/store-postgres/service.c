/*
 * The tables of store/1 and health/1:store; see service.h.
 */
#include <stdio.h>

#include "service.h"
#include "watch.h"

enum { SILENCE_MS = 2000, SLOW_MS = 100 };

int service_watch(void *self, struct andiron_loop *loop, const char *type,
                  void (*changed)(void *arg, andiron_str type, andiron_str id), void *arg,
                  struct andiron_error *err)
{
    struct store *store = self;
    return watch_add(store->watches, loop, type, changed, arg, err);
}

/* Up only if something can be read and written, and the database answers. */
static int health_check(void *self, struct andiron_error *err)
{
    struct store *store = self;
    struct wire_figures f = wire_figures(store->wire);
    int64_t silence = watches_silence_ms(store->watches);

    if (f.ready[WIRE_READ] == 0 || f.ready[WIRE_WRITE] == 0)
        return andiron_error_set(err, ANDIRON_E_UNAVAILABLE, "", "no connection to the database");
    if (silence > SILENCE_MS + store->config->poll_interval)
        return andiron_error_set(err, ANDIRON_E_UNAVAILABLE, "",
                                 "the database has not answered for %lld ms", (long long)silence);
    return 0;
}

static size_t health_measure(void *self, struct andiron_measure *ret, size_t max)
{
    struct store *store = self;
    struct wire_figures f = wire_figures(store->wire);
    int64_t took_us = watches_latency(store->watches);

    if (max < 2)
        return 0;
    ret[0] = (struct andiron_measure){ .name = "store:latency", .unit = "us", .value = took_us };
    if (took_us > SLOW_MS * 1000)
        (void)snprintf(ret[0].warning, sizeof(ret[0].warning),
                       "the database took %lld ms to answer", (long long)(took_us / 1000));
    ret[1] = (struct andiron_measure){ .name = "store:pool",
                                       .unit = "connections",
                                       .value = f.ready[WIRE_READ] + f.ready[WIRE_WRITE] };
    if (f.waiting * 2 > store->config->queue_max)
        (void)snprintf(ret[1].warning, sizeof(ret[1].warning),
                       "%lld requests wait for a connection; from %lld (queue-max) on they are "
                       "refused",
                       (long long)f.waiting, (long long)store->config->queue_max);
    return 2;
}

const struct andiron_store service_store = {
    .size = sizeof(struct andiron_store),
    .read = service_read,
    .search = service_search,
    .walk = service_walk,
    .commit = service_commit,
    .claim = service_claim,
    .watch = service_watch,
    .index = service_index,
    .forget = service_forget,
    .commit_making = service_commit_making,
    .purge = service_purge,
    .visit = service_visit,
    .in_use = service_in_use,
    .makes_settled = true,
};

const struct andiron_health service_health = {
    .size = sizeof(struct andiron_health),
    .check = health_check,
    .measure = health_measure,
};
