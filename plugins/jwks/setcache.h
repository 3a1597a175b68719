/*
 * Key sets of clients, by URL: what is known, until when, and who waits for a fetch.
 *
 * Shared by all loops under one lock. Decides only; fetching is done by fetch.c. Times are
 * milliseconds of the monotonic clock and are handed in, so that tests can choose them.
 */
#ifndef JWKS_SETCACHE_H
#define JWKS_SETCACHE_H

#include <andiron/base.h>

struct setcache_limits {
    int64_t lifetime_ms;    /* longest, and where the answer names none */
    int64_t min_refresh_ms; /* between two fetches because of unknown kids */
    int64_t retry_ms;       /* how long a failure is remembered */
    size_t max_sets;
};

/* A key set's text; held by setcache_hold() and ended by setcache_drop(). Any thread. */
struct keyset;
andiron_str keyset_text(const struct keyset *set);
struct keyset *keyset_new(andiron_str text);
void keyset_drop(struct keyset *set); /* NULL is allowed */

/* One that waits; lives with its request. set is held for it; NULL: the fetch failed. */
struct set_waiter {
    struct set_waiter *next;
    struct keyset *set;
};

enum setcache_answer {
    SETCACHE_HIT,    /* waiter->set is the set */
    SETCACHE_FAILED, /* it failed a moment ago */
    SETCACHE_JOINED, /* somebody fetches it; the waiter comes back from setcache_done() */
    SETCACHE_FETCH   /* the same, and the caller must fetch */
};

struct setcache;
struct setcache *setcache_new(const struct setcache_limits *limits);
void setcache_free(struct setcache *cache);

/* renew: the caller looked for a kid that the known set has not. */
enum setcache_answer setcache_ask(struct setcache *cache, andiron_str url, bool renew,
                                  int64_t now_ms, struct set_waiter *waiter);

/*
 * Ends a fetch. set NULL: it failed, which is remembered if `remember`. lifetime_ms as the
 * answer allows, -1: it does not say. Returns those who waited, each with the set held for it.
 */
struct set_waiter *setcache_done(struct setcache *cache, andiron_str url, struct keyset *set,
                                 int64_t lifetime_ms, bool remember, int64_t now_ms);

/*
 * Milliseconds that a Cache-Control field allows (RFC 9111 section 5.2), given what an earlier
 * one allowed: -1 if it does not say; 0 for no-store, no-cache, and for what cannot be read.
 */
int64_t setcache_lifetime(andiron_str cache_control, int64_t earlier_ms);

#endif
