/*
 * What the parts of plugin auth share: its settings, its state, and its state per loop.
 */
#ifndef AUTH_AUTH_H
#define AUTH_AUTH_H

#include <pthread.h>
#include <stdatomic.h>

#include <nettle/hmac.h>

#include <andiron/auth.h>
#include <andiron/outbound.h>
#include <andiron/plugin.h>
#include <andiron/resource.h>
#include <andiron/store.h>

#include "common/jose/jwk.h"

struct config {
    const char *const *assertion_algs, *const *audiences;
    int64_t max_assertion;                           /* bytes */
    int64_t max_assertion_life, clock_skew, max_ttl; /* ms */
    int64_t secret_cache;                            /* ms */
    int64_t secret_rounds, max_hashing, max_clients, max_tokens, max_introspections;
    int64_t password_length;
    int64_t max_failures, failure_pairs;
    int64_t failure_window, keep_sessions, refused_tokens; /* ms */
    bool assertion_aud_issuer, null_refresh;
};

/*
 * Epochs: one counter for each hash slot of ids. Whoever caches a Client or a Session notes
 * its slot's epoch before reading; a change raises it, so that every loop sees it at its next
 * look, without a lock. Two ids of one slot cost each other a reading, nothing else.
 */
enum {
    CLIENT_EPOCHS = 4096,
    SESSION_EPOCHS = 16384,
    LONG_LIVES = 65536,
    MAX_ASSERTION_ALGS = 16,
    AUTH_ENDPOINTS = 3,
    AUTH_RESULTS = 11,
    AUTH_DUMMIES = 5,
    AUTH_ADDRESS = 64
};

struct auth {
    const struct config *config;
    struct andiron_host *host;
    struct andiron_service_ref store, keys, scopes; /* scopes: table NULL without smart */
    struct andiron_service_ref outbound;            /* table NULL: nobody can be asked */

    const struct jose_alg *algs[MAX_ASSERTION_ALGS]; /* for assertions; NULL-terminated */
    struct hmac_sha256_ctx mac;                      /* keyed for this process; copied for use */
    uint64_t seed;
    atomic_uint *client_epochs, *session_epochs;
    atomic_uint *long_lives;  /* a bit for each slot of ids; see token.c */
    atomic_uint issuer_epoch; /* of all TokenIntrospectors and Users together */
    andiron_str issuer;       /* ours; absent while base-url is not set */
    bool has_cors;            /* plugin cors is loaded */
    pthread_mutex_t hashing_lock;
    struct proving *hashing; /* prove.c: secrets on the pool, at most max_hashing */

    struct throttle *throttle; /* AU-9 */
    struct sweep *sweep;       /* NULL: the store cannot forget */
    atomic_uint rounds;        /* of the slowest secret seen, see prove.c */

    atomic_size_t kept_tokens, kept_clients; /* of all loops */

    struct andiron_counter *token_hits, *token_misses, *throttled, *purged;
    struct andiron_counter *results[AUTH_ENDPOINTS][AUTH_RESULTS];
    struct jose_key dummies[AUTH_DUMMIES]; /* see auth_dummy_key() */
};

struct client_cache;
struct token_cache;
struct issuers;
struct opaque;
struct gate;

struct auth_loop {
    struct auth *auth;
    struct client_cache *clients;
    struct token_cache *tokens;
    struct issuers *issuers; /* NULL: not read yet */
    struct opaque *opaque;   /* NULL: nobody has been asked yet; opaque.c */
    struct gate *gate;
};

static inline struct auth_loop *auth_loop_of(struct auth *auth, struct andiron_request *req)
{
    return andiron_loop_state(andiron_request_loop(req), auth);
}

/* FNV-1a, with the process's seed so that slots cannot be aimed at. */
static inline uint64_t auth_hash(const struct auth *auth, andiron_str text)
{
    uint64_t hash = auth->seed;
    for (size_t i = 0; i < text.len; i++)
        hash = (hash ^ (uint8_t)text.data[i]) * 1099511628211u;
    return hash ^ hash >> 32;
}

static inline atomic_uint *auth_client_epoch(struct auth *auth, andiron_str id)
{
    return &auth->client_epochs[auth_hash(auth, id) % CLIENT_EPOCHS];
}

static inline atomic_uint *auth_session_epoch(struct auth *auth, andiron_str id)
{
    return &auth->session_epochs[auth_hash(auth, id) % SESSION_EPOCHS];
}

/* The peer's address as text with its end, to compare it with others. */
static inline void auth_address(const struct andiron_request *req, char out[AUTH_ADDRESS])
{
    andiron_str address = andiron_request_remote(req);
    size_t len = address.len < AUTH_ADDRESS ? address.len : AUTH_ADDRESS - 1;
    if (len != 0)
        memcpy(out, address.data, len);
    out[len] = '\0';
}

/* ---- parts -------------------------------------------------------------------------- */

/* The way of an Authorization header; *ret_rest is what stands behind a scheme that we know. */
enum auth_scheme { AUTH_NONE, AUTH_BEARER, AUTH_BASIC, AUTH_UNKNOWN, AUTH_SEVERAL };
enum auth_scheme auth_scheme(andiron_str header, andiron_str *ret_rest);

/* AUTHENTICATE: authenticate.c hands on to basic.c and bearer.c. */
enum andiron_step auth_authenticate(struct andiron_request *req, void *self);
enum andiron_step auth_basic(struct andiron_request *req, struct auth *auth,
                             andiron_str credentials);

/* Handlers: POST /auth/token, /auth/introspect and /auth/revoke, DELETE /Session. */
enum andiron_step auth_token(struct andiron_request *req, void *self);
enum andiron_step auth_introspect(struct andiron_request *req, void *self);
enum andiron_step auth_revoke(struct andiron_request *req, void *self);
enum andiron_step auth_end_session(struct andiron_request *req, void *self);

/* A key of nobody's for alg: verifying with it takes as long as with a known client's. */
const struct jose_key *auth_dummy_key(const struct auth *auth, const struct jose_alg *alg);

/* Operations of the OAuth endpoints, and the results that are counted for each. */
extern const char auth_endpoints[AUTH_ENDPOINTS][16], auth_results[AUTH_RESULTS][32];

/* Resource types: types.c. */
extern const struct andiron_resource_type auth_client_type, auth_session_type;
extern const struct andiron_resource_type auth_user_type, auth_role_type; /* user.c */

/* What the server says of itself: discovery.c. */
extern const struct andiron_discovery auth_discovery;

#endif
