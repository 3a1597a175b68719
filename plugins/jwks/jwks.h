/*
 * What the parts of plugin jwks share: its settings and its state.
 */
#ifndef JWKS_JWKS_H
#define JWKS_JWKS_H

#include <andiron/auth.h>
#include <andiron/outbound.h>
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
    int64_t max_size, max_keys, max_fetches, max_posts, max_sets;
    const char *ca_file;
    const char *seal_key; /* "": private parts are files */
};

enum { REVOCATION_WATCHERS = 8 };

struct jwks {
    const struct config *config;
    struct andiron_host *host;
    struct andiron_service_ref store;
    andiron_str own_url; /* absent while base-url is not set */

    const char *folder; /* of key files */
    const struct jose_alg *token_alg;
    struct keyfiles files; /* as found at the start */
    struct keyring ring;
    atomic_uint_fast64_t tickets; /* see struct ring */
    _Atomic andiron_usec life;    /* longest token that is made with our keys */
    atomic_bool loaded;           /* the ring has a key that signs */
    atomic_bool settled;          /* the files found at the start have been looked at; tend.c */
    atomic_int tending;           /* enum tend_state in tend.c */
    _Atomic int64_t tend_began_ms;
    atomic_bool has_revoked; /* to be told once more, see jwks_tell_revoked() */
    pthread_mutex_t wait_lock;
    struct load_wait *waiting; /* under wait_lock: until the ring is loaded */
    struct {
        void (*revoked)(void *arg);
        void *arg;
    } watchers[REVOCATION_WATCHERS]; /* filled in before the loops run */
    size_t watcher_count;

    struct url *allow;
    size_t allow_count;
    struct setcache *sets;
    atomic_uint fetching, posting;

    struct andiron_counter *fetched, *failed, *cached, *posted, *unposted;
    struct andiron_histogram *fetch_time;
    _Atomic int64_t ok_ms,
        failed_ms; /* when a fetch last succeeded and failed, on jwks_clock(); 0: never */
};

/* Milliseconds of the monotonic clock. */
int64_t jwks_clock(void);

/* keys/1 and the key set's route: service.c. */
extern const struct andiron_keys jwks_keys;
enum andiron_step jwks_get(struct andiron_request *req, void *self);

/* Goes on at once, or when the keys have been read from the store or could not be. */
enum andiron_step jwks_when_loaded(struct jwks *jwks, struct andiron_request *req,
                                   andiron_step_fn then, void *state);
void jwks_wake(struct jwks *jwks);

/* Tells who keeps verified tokens that a key is no longer trusted. */
void jwks_tell_revoked(struct jwks *jwks);

/*
 * Reads all keys of the store into a new ring and puts that in force: reload.c. Private parts come
 * from the ring before, are unsealed, or read from files.
 */
enum andiron_step jwks_reload(struct jwks *jwks, struct andiron_request *req,
                              struct andiron_error *ret_error, andiron_step_fn then, void *state);

/*
 * Starts (again) the job that keeps ring and store in step: tend.c. Makes the first key, takes
 * over key files, removes keys that have ended.
 */
void jwks_tend(struct jwks *jwks);

/* Routes that list and change keys: manage.c. */
enum andiron_step jwks_list_keys(struct andiron_request *req, void *self);
enum andiron_step jwks_rotate_keys(struct andiron_request *req, void *self);
enum andiron_step jwks_rotate_by_control(struct andiron_request *req, void *self);
enum andiron_step jwks_retire_key(struct andiron_request *req, void *self);

/* Key sets of clients: fetch.c. One fetcher per loop. */
struct fetcher;
struct fetcher *fetcher_new(struct jwks *jwks, struct andiron_loop *loop,
                            struct andiron_error *err);
void fetcher_free(struct fetcher *fetcher);
/*
 * Begins to fetch for req, and whoever comes to want the same; waiters in jwks->sets are woken
 * when it ends. On the fetcher's loop.
 */
void fetcher_start(struct fetcher *fetcher, const struct andiron_request *req, andiron_str url);

struct fetcher *jwks_fetcher(struct jwks *jwks, struct andiron_request *req);
/* For POSTs of outbound/1: outbound.c. */
struct transfers;
struct transfers *fetcher_posts(struct fetcher *fetcher);
extern const struct andiron_outbound jwks_outbound;

/* A waiter of jwks->sets that is a request. */
struct fetch_wait {
    struct set_waiter waiter; /* first member: they are converted into each other */
    struct jwks *jwks;
    struct andiron_request *req;
    andiron_str *ret_set;
    struct andiron_error *ret_error;
    andiron_step_fn then;
    void *state;

    /* of one that began a fetch: its place in the list of its loop, until the request ends */
    struct fetch_wait *next, **home;
    andiron_str url;
};

/* Those of that loop which have begun fetches; see service.c. */
struct fetch_wait **fetcher_fetched(struct fetcher *fetcher);

/* 0 if this server may fetch from there. */
ANDIRON_MUST_CHECK int jwks_allowed(const struct jwks *jwks, const struct url *url,
                                    struct andiron_error *err);
/* Whether inner addresses and http are allowed for that origin. */
bool jwks_is_listed(const struct jwks *jwks, const struct url *url);

#endif
