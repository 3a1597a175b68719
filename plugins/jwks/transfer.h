/*
 * One HTTP exchange with a server that somebody else has named: libcurl's multi interface, driven by the loop.
 *
 * Guards against server-side request forgery: the URL is checked, its name is resolved once, every
 * address is checked, and curl gets exactly those addresses; no redirects, no proxy, no content
 * coding; time and size are limited. Runs on one loop.
 */
#ifndef JWKS_TRANSFER_H
#define JWKS_TRANSFER_H

#include "jwks.h"

/* The exchanges of one loop that share a limit and connections. */
struct transfers;
struct transfers *transfers_new(const struct jwks *jwks, struct andiron_loop *loop,
                                unsigned max_names, struct andiron_error *err);
/* Cuts off those under way: their ended() gets NULL. NULL is allowed. */
void transfers_free(struct transfers *transfers);

struct transfer_ask {
    andiron_str url;
    const char *const *headers; /* whole lines, NULL-terminated */
    struct andiron_trace trace; /* of the request it is for; sent along */
    andiron_str body;           /* with data it is a POST, else a GET */
    atomic_uint *under_way;     /* counts, of this kind; not above max */
    unsigned max;
};

struct transfer_end {
    const char
        *failure;     /* what was wrong, without the URL; NULL: status 200, and all of the body */
    bool is_refused;  /* by limits of ours: nothing that the URL is to blame for */
    andiron_str body; /* for the call */
    int64_t lifetime_ms; /* as setcache_lifetime(), Age taken off */
    int64_t took_ms;
    const struct url *url;
};

/* Copies what ask names. ended() comes once, from the loop, after the caller has returned. */
void transfer_start(struct transfers *transfers, const struct transfer_ask *ask,
                    void (*ended)(void *arg, const struct transfer_end *end), void *arg);

#endif
