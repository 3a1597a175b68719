/*
 * What the parts of plugin jwks share: its settings and its state.
 */
#ifndef JWKS_JWKS_H
#define JWKS_JWKS_H

#include <andiron/auth.h>
#include <andiron/plugin.h>
#include <andiron/store.h>

#include "keyring.h"
#include "setcache.h"
#include "url.h"

struct config {
    int token_alg;
    int64_t key_bits;
    const char *const *allow;
    int64_t timeout, connect_timeout, cache, min_refresh, retry, max_age; /* ms */
    int64_t max_size, max_keys, max_fetches, max_sets;
    const char *ca_file;
};

struct jwks {
    const struct config *config;
    struct andiron_host *host;
    struct andiron_service_ref store;
    andiron_str own_url; /* absent while base-url is not set */

    struct keyfiles files;
    const struct keyfile *active;
    andiron_str header; /* first part of every token */
    bool signs_slowly;  /* RSA: on the pool */
    struct keyring ring;
    atomic_bool published; /* our keys are in the store, and the ring holds all of the store's */
    atomic_int publishing; /* enum publish_state in publish.c */
    _Atomic int64_t publish_began_ms;

    struct url *allow;
    size_t allow_count;
    struct setcache *sets;
    atomic_uint fetching;

    struct andiron_counter *fetched, *failed, *cached;
    struct andiron_histogram *fetch_time;
};

/* Milliseconds of the monotonic clock. */
int64_t jwks_clock(void);

/* keys/1 and the key set's route: service.c. */
extern const struct andiron_keys jwks_keys;
enum andiron_step jwks_get(struct andiron_request *req, void *self);

/* Keys through the store: publish.c. Starts (again) what puts ours there and reads all. */
void jwks_publish(struct jwks *jwks);

/* Key sets of clients: fetch.c. One fetcher per loop. */
struct fetcher;
struct fetcher *fetcher_new(struct jwks *jwks, struct andiron_loop *loop,
                            struct andiron_error *err);
void fetcher_free(struct fetcher *fetcher);
/* Begins to fetch; waiters in jwks->sets are woken when it ends. On the fetcher's loop. */
void fetcher_start(struct fetcher *fetcher, andiron_str url);

/* A waiter of jwks->sets that is a request. */
struct fetch_wait {
    struct set_waiter waiter; /* first member: they are converted into each other */
    struct andiron_request *req;
    andiron_str *ret_set;
    struct andiron_error *ret_error;
    andiron_step_fn then;
    void *state;
};

/* 0 if this server may fetch from there. */
ANDIRON_MUST_CHECK int jwks_allowed(const struct jwks *jwks, const struct url *url,
                                    struct andiron_error *err);
/* Whether inner addresses and http are allowed for that origin. */
bool jwks_is_listed(const struct jwks *jwks, const struct url *url);

#endif
