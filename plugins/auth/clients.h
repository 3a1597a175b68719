/*
 * Clients as they are used: parsed snapshots, cached per loop.
 *
 * A snapshot belongs to one loop and is counted without atomics. It is dropped when its epoch
 * has passed (auth.h), which any thread can bring about.
 */
#ifndef AUTH_CLIENTS_H
#define AUTH_CLIENTS_H

#include "auth.h"
#include "secret.h"

struct client_keys; /* keys.h */

struct client {
    struct client *next; /* in its bucket */
    unsigned references;
    unsigned epoch;
    atomic_uint *epoch_now;
    struct andiron_arena *arena;
    uint64_t hash;
    int64_t used_ms; /* for eviction */

    andiron_str id;
    andiron_json json; /* the resource without its secret */
    bool active;
    andiron_str incarnation; /* CLIENT_INCARNATION; absent: of a Client stored without */
    unsigned grants;         /* enum client_grant */
    bool has_secret;
    struct secret secret;
    andiron_str jwks_uri; /* absent: none */
    andiron_json jwks;    /* array, or MISSING */

    /* auth.client_credentials */
    bool needs_assertion, wants_jwt;
    int64_t ttl_s; /* 0: not set */
    andiron_json audience, scope;
    bool shows_banner;

    struct andiron_principal principal; /* of the client itself, with Basic */

    /* What is remembered to be cheap, see secrets.c, keys.c and grant.c. */
    uint8_t proven[SHA256_DIGEST_SIZE];
    int64_t proven_until_ms;
    struct client_keys *keys;
    struct client_grant_memo *grant;
};

struct client_cache *client_cache_new(struct auth *auth);
void client_cache_free(struct client_cache *cache);

/* Milliseconds of the monotonic clock. */
int64_t auth_clock(void);

/*
 * The Client of that id: *ret_client is NULL if there is none; else held until the request
 * ends. *ret_error tells of a store that cannot be read.
 */
enum andiron_step client_find(struct auth *auth, struct andiron_request *req, andiron_str id,
                              struct client **ret_client, struct andiron_error *ret_error,
                              andiron_step_fn then, void *state);

/* The same if it needs no store, else NULL. Not held: for use before the next wait. */
struct client *client_cached(struct auth *auth, struct andiron_request *req, andiron_str id);

/* Whether a change has been told of since the snapshot was read. */
static inline bool client_is_current(const struct client *client)
{
    return client->epoch == atomic_load_explicit(client->epoch_now, memory_order_acquire);
}

void client_hold(struct client *client);
void client_drop(struct client *client);
/* Holds it for as long as the request lives. */
void client_keep(struct client *client, struct andiron_request *req);

#endif
