/*
 * The tables of store/1 and health/1:store; see service.h.
 */
#include "service.h"

#include "watch.h"

enum { SILENCE_MS = 2000 };

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
};

const struct andiron_health service_health = {
    .size = sizeof(struct andiron_health),
    .check = health_check,
};
