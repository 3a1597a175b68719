/*
 * Plugin auth: Clients, Sessions, Basic and Bearer authentication, and the OAuth endpoints.
 */
#include <stdlib.h>

#include <gnutls/crypto.h>

#include "auth.h"
#include "clients.h"
#include "common/jose/sign.h"
#include "gate.h"
#include "introspector.h"
#include "issuers.h"
#include "opaque.h"
#include "secret.h"
#include "sweep.h"
#include "throttle.h"
#include "tokens.h"

#define IN_CONFIG(member) offsetof(struct config, member)

static const struct andiron_directive directives[] = {
    { .name = "assertion-algs",
      .type = ANDIRON_LIST,
      .offset = IN_CONFIG(assertion_algs),
      .fallback = "RS384 ES384",
      .help =
          "signature algorithms of client assertions; any of RS, PS, ES 256/384/512 and EdDSA" },
    { .name = "max-assertion",
      .type = ANDIRON_BYTES,
      .offset = IN_CONFIG(max_assertion),
      .fallback = "16k",
      .min = 1024,
      .max = 65536,
      .help = "largest client assertion" },
    { .name = "max-assertion-life",
      .type = ANDIRON_DURATION,
      .offset = IN_CONFIG(max_assertion_life),
      .fallback = "300s",
      .min = 1000,
      .max = 3600000,
      .help = "how far ahead exp of an assertion may be" },
    { .name = "assertion-aud-issuer",
      .type = ANDIRON_BOOL,
      .offset = IN_CONFIG(assertion_aud_issuer),
      .fallback = "off",
      .help = "also take the issuer as aud of an assertion" },
    { .name = "audiences",
      .type = ANDIRON_LIST,
      .offset = IN_CONFIG(audiences),
      .fallback = "",
      .help = "of which a token of another issuer must name one in aud; empty: not looked at" },
    { .name = "clock-skew",
      .type = ANDIRON_DURATION,
      .offset = IN_CONFIG(clock_skew),
      .fallback = "5s",
      .min = 0,
      .max = 300000,
      .help = "how far clocks of others may be off" },
    { .name = "max-ttl",
      .type = ANDIRON_DURATION,
      .offset = IN_CONFIG(max_ttl),
      .fallback = "1h",
      .min = 1000,
      .max = 86400000,
      .help = "longest lifetime of an access token" },
    { .name = "keep-sessions",
      .type = ANDIRON_DURATION,
      .offset = IN_CONFIG(keep_sessions),
      .fallback = "1h",
      .min = 1000,
      .max = 315360000000,
      .help = "how long a Session is kept after its token has expired" },
    { .name = "null-refresh",
      .type = ANDIRON_BOOL,
      .offset = IN_CONFIG(null_refresh),
      .fallback = "on",
      .help = "answer refresh_token: null where none is issued" },
    { .name = "secret-rounds",
      .type = ANDIRON_INT,
      .offset = IN_CONFIG(secret_rounds),
      .fallback = "100000",
      .min = SECRET_MIN_ROUNDS,
      .max = SECRET_MAX_ROUNDS,
      .help = "PBKDF2 rounds for new secrets" },
    { .name = "password-length",
      .type = ANDIRON_INT,
      .offset = IN_CONFIG(password_length),
      .fallback = "8",
      .min = 1,
      .max = 1000,
      .help = "bytes of the shortest password of a User" },
    { .name = "secret-cache",
      .type = ANDIRON_DURATION,
      .offset = IN_CONFIG(secret_cache),
      .fallback = "60s",
      .min = 0,
      .max = 3600000,
      .help = "how long a proven secret is not hashed again" },
    { .name = "max-hashing",
      .type = ANDIRON_INT,
      .offset = IN_CONFIG(max_hashing),
      .fallback = "32",
      .min = 1,
      .max = 10000,
      .help = "most secrets being checked at a time; more get 503" },
    { .name = "max-clients",
      .type = ANDIRON_INT,
      .offset = IN_CONFIG(max_clients),
      .fallback = "4096",
      .min = 16,
      .max = 1048576,
      .help = "most Clients kept in memory, for each loop" },
    { .name = "max-tokens",
      .type = ANDIRON_INT,
      .offset = IN_CONFIG(max_tokens),
      .fallback = "8192",
      .min = 16,
      .max = 65536,
      .help = "most verified tokens kept in memory, for each loop" },
    { .name = "max-introspections",
      .type = ANDIRON_INT,
      .offset = IN_CONFIG(max_introspections),
      .fallback = "32",
      .min = 1,
      .max = 1024,
      .help = "most unknown tokens about which introspection endpoints are asked at a time, for "
              "each loop" },
    { .name = "refused-tokens",
      .type = ANDIRON_DURATION,
      .offset = IN_CONFIG(refused_tokens),
      .fallback = "5s",
      .min = 0,
      .max = 3600000,
      .help = "how long nobody is asked again about a token that was refused" },
    { .name = "max-failures",
      .type = ANDIRON_INT,
      .offset = IN_CONFIG(max_failures),
      .fallback = "10",
      .min = 0,
      .max = 1000,
      .help = "failed authentications of a client id from an address within failure-window, "
              "before this pair gets 429; 0: no limit" },
    { .name = "failure-window",
      .type = ANDIRON_DURATION,
      .offset = IN_CONFIG(failure_window),
      .fallback = "60s",
      .min = 1000,
      .max = 86400000,
      .help = "how long a failed authentication counts" },
    { .name = "failure-pairs",
      .type = ANDIRON_INT,
      .offset = IN_CONFIG(failure_pairs),
      .fallback = "16384",
      .min = 64,
      .max = 1048576,
      .help = "most pairs of client id and address whose failures are remembered" },
    { .name = NULL }
};

/* ---- metrics ------------------------------------------------------------------------------ */

const char auth_endpoints[AUTH_ENDPOINTS][16] = { "Token", "Introspect", "Revoke" };

const char auth_results[AUTH_RESULTS][32] = { "ok",
                                              "invalid_request",
                                              "invalid_client",
                                              "invalid_token",
                                              "invalid_scope",
                                              "invalid_target",
                                              "unauthorized_client",
                                              "unsupported_grant_type",
                                              "slow_down",
                                              "temporarily_unavailable",
                                              "server_error" };

static double tokens_kept(void *self)
{
    struct auth *auth = self;
    return (double)atomic_load_explicit(&auth->kept_tokens, memory_order_relaxed);
}

static double clients_kept(void *self)
{
    struct auth *auth = self;
    return (double)atomic_load_explicit(&auth->kept_clients, memory_order_relaxed);
}

static void count_in(struct auth *auth)
{
    static const char *const names[AUTH_ENDPOINTS][3] = {
        { "andiron_auth_tokens_total", "grant=\"client_credentials\",",
          "Answers of the token endpoint, by result" },
        { "andiron_auth_introspections_total", "", "Answers of introspection, by result" },
        { "andiron_auth_revocations_total", "", "Answers of revocation, by result" },
    };
    struct andiron_arena *arena = andiron_host_arena(auth->host);

    for (size_t e = 0; e < AUTH_ENDPOINTS; e++)
        for (size_t i = 0; i < AUTH_RESULTS; i++)
            auth->results[e][i] = andiron_counter(
                auth->host, names[e][0],
                andiron_printf(arena, "%sresult=\"%s\"", names[e][1], auth_results[i]),
                names[e][2]);
    auth->token_hits = andiron_counter(auth->host, "andiron_auth_bearer_total", "cache=\"hit\"",
                                       "Bearer tokens presented, by where they were found");
    auth->token_misses = andiron_counter(auth->host, "andiron_auth_bearer_total", "cache=\"miss\"",
                                         "Bearer tokens presented, by where they were found");
    auth->throttled = andiron_counter(auth->host, "andiron_auth_throttled_total", "",
                                      "Authentications refused after too many failures");
    auth->purged = andiron_counter(auth->host, "andiron_auth_sessions_forgotten_total", "",
                                   "Sessions of expired tokens that were removed from the store");
    andiron_gauge(auth->host, "andiron_auth_cached", "what=\"token\"",
                  "Verified tokens and Clients kept in memory, on all loops", tokens_kept, auth);
    andiron_gauge(auth->host, "andiron_auth_cached", "what=\"client\"",
                  "Verified tokens and Clients kept in memory, on all loops", clients_kept, auth);
}

/* ---- keys of nobody's --------------------------------------------------------------------- */

/*
 * The public key of RFC 7515 appendix A.2 and the base points of the curves; their values do not
 * matter. The first that fits an algorithm is its own.
 */
static const char *const dummies[AUTH_DUMMIES] = {
    "{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26"
    "mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soM"
    "Zo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4u"
    "DZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h"
    "4FRWyuXpoQ\"}",
    "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY"
    "\",\"y\":\"T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU\"}",
    "{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"qofKIr6LBTeOscce8yCtdG4dO2KLp5uYWfdB4IJUKjhVAvJdv1Up"
    "bDpUXjhydgq3\",\"y\":\"NhfeSpYmLG9dnpi_kpLcKfj0Hb0omhR86doxE7XwuMAKYLHOHX6BnXpDHXyQ6g5f\"}",
    "{\"kty\":\"EC\",\"crv\":\"P-521\",\"x\":\"AMaFjga3BATpzZ4-y2YjlbRCnGSBOQU_tSH4KK9ga009"
    "uqFLXnfv51ko_h3BJ6L_qN4zSLPBhWpCm_l-fjHC5b1m\",\"y\":\"ARg5KWp4mjvABFyKX7QsfRvZmPVESVe"
    "bRGgXr70XJz5mLJfucple9CZAxVC5AT-tB2E1PHCGonLCQIi-lHaf0WZQ\"}",
    "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"WGZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZ"
    "mY\"}",
};

static int make_dummies(struct auth *auth, struct andiron_arena *arena, struct andiron_error *err)
{
    for (size_t i = 0; i < AUTH_DUMMIES; i++) {
        andiron_json jwk;
        if (andiron_json_parse(arena, andiron_str_of(dummies[i]), &jwk, err) != 0 ||
            jose_jwk_read(arena, jwk, &auth->dummies[i], err) != 0)
            return -1;
    }
    return 0;
}

const struct jose_key *auth_dummy_key(const struct auth *auth, const struct jose_alg *alg)
{
    size_t i = 0;
    while (i + 1 < AUTH_DUMMIES && !jose_key_fits(&auth->dummies[i], alg))
        i++;
    return &auth->dummies[i];
}

/* ---- life --------------------------------------------------------------------------------- */

static int read_algs(struct auth *auth, struct andiron_error *err)
{
    size_t count = 0;
    for (const char *const *name = auth->config->assertion_algs; *name != NULL; name++) {
        const struct jose_alg *alg = jose_alg_find(andiron_str_of(*name));
        if (alg == NULL || count == MAX_ASSERTION_ALGS - 1)
            return andiron_error_set(
                err, ANDIRON_E_INVALID, "auth.assertion-algs",
                "'%s' must be one of RS256, RS384, RS512, PS256, PS384, PS512, "
                "ES256, ES384, ES512 and EdDSA",
                *name);
        auth->algs[count++] = alg;
    }
    if (count == 0)
        return andiron_error_set(err, ANDIRON_E_INVALID, "auth.assertion-algs",
                                 "must name at least one algorithm");
    return 0;
}

static andiron_str own_issuer(struct andiron_host *host)
{
    andiron_str base = andiron_str_of(andiron_host_setting(host, "http.base-url"));
    while (base.len != 0 && base.data[base.len - 1] == '/')
        base.len--;
    return base;
}

static int init(struct andiron_host *host, const void *config, void **ret_self,
                struct andiron_error *err)
{
    struct andiron_arena *arena = andiron_host_arena(host);
    struct auth *auth = andiron_new(arena, struct auth);
    uint8_t key[SHA256_DIGEST_SIZE];

    auth->host = host;
    auth->config = config;
    auth->issuer = own_issuer(host);
    auth->client_epochs = andiron_alloc(arena, CLIENT_EPOCHS * sizeof(atomic_uint));
    auth->long_lives = andiron_alloc(arena, LONG_LIVES / 32 * sizeof(atomic_uint));
    auth->session_epochs = andiron_alloc(arena, SESSION_EPOCHS * sizeof(atomic_uint));
    if (gnutls_rnd(GNUTLS_RND_KEY, key, sizeof(key)) != 0 ||
        gnutls_rnd(GNUTLS_RND_KEY, &auth->seed, sizeof(auth->seed)) != 0)
        return andiron_error_set(err, ANDIRON_E_INTERNAL, "", "no random numbers");
    hmac_sha256_set_key(&auth->mac, sizeof(key), key);
    auth->throttle =
        throttle_new(arena, (size_t)auth->config->failure_pairs, (size_t)auth->config->max_failures,
                     auth->config->failure_window, key);
    atomic_init(&auth->rounds, (unsigned)auth->config->secret_rounds);
    (void)pthread_mutex_init(&auth->hashing_lock, NULL); /* cannot fail without attributes */
    gnutls_memset(key, 0, sizeof(key));
    if (read_algs(auth, err) != 0 || make_dummies(auth, arena, err) != 0)
        return -1;
    count_in(auth);
    *ret_self = auth;
    return 0;
}

/* Changes that other processes made, and those of this one once more. */
static void raise(atomic_uint *epochs, size_t count, atomic_uint *one, andiron_str id)
{
    if (id.len != 0)
        atomic_fetch_add(one, 1);
    for (size_t i = 0; id.len == 0 && i < count; i++)
        atomic_fetch_add(&epochs[i], 1);
}

static void client_changed(void *arg, andiron_str type, andiron_str id)
{
    struct auth *auth = arg;
    (void)type;
    raise(auth->client_epochs, CLIENT_EPOCHS, auth_client_epoch(auth, id), id);
}

static void session_changed(void *arg, andiron_str type, andiron_str id)
{
    struct auth *auth = arg;
    (void)type;
    raise(auth->session_epochs, SESSION_EPOCHS, auth_session_epoch(auth, id), id);
}

/* Tokens that were verified with it are verified again. */
static void key_revoked(void *arg)
{
    session_changed(arg, ANDIRON_STR("Session"), (andiron_str){ NULL, 0 });
}

static void watch_keys(struct auth *auth)
{
    const struct andiron_keys *keys = auth->keys.table;
    if (keys->size < offsetof(struct andiron_keys, watch) + sizeof(keys->watch))
        return; /* an older provider */
    keys->token_life(auth->keys.self, auth->config->max_ttl);
    keys->watch(auth->keys.self, key_revoked, auth);
}

static void issuer_changed(void *arg, andiron_str type, andiron_str id)
{
    struct auth *auth = arg;
    (void)type;
    (void)id;
    atomic_fetch_add(&auth->issuer_epoch, 1);
}

static int start(struct andiron_host *host, void *self, struct andiron_error *err)
{
    struct auth *auth = self;
    struct andiron_loop *loop = andiron_host_loop(host, 0);

    /* Two needs, which are there, and others that may be missing. */
    (void)andiron_service_find(host, ANDIRON_STORE, NULL, &auth->store, NULL);
    (void)andiron_service_find(host, ANDIRON_KEYS, NULL, &auth->keys, NULL);
    (void)andiron_service_find(host, ANDIRON_SCOPES, NULL, &auth->scopes, NULL);
    (void)andiron_service_find(host, ANDIRON_OUTBOUND, NULL, &auth->outbound, NULL);
    struct andiron_service_ref cors;
    auth->has_cors = andiron_service_find(host, ANDIRON_DISCOVERY "cors", NULL, &cors, NULL);
    watch_keys(auth);
    auth->sweep = sweep_new(auth);
    const struct andiron_store *store = auth->store.table;
    if (store->watch(auth->store.self, loop, "TokenIntrospector", issuer_changed, auth, err) != 0 ||
        store->watch(auth->store.self, loop, "User", issuer_changed, auth, err) != 0 ||
        store->watch(auth->store.self, loop, "Role", issuer_changed, auth, err) != 0)
        return -1;
    if (store->watch(auth->store.self, loop, "Client", client_changed, auth, err) != 0)
        return -1;
    return store->watch(auth->store.self, loop, "Session", session_changed, auth, err);
}

static int loop_start(struct andiron_loop *loop, void *self, void **ret_local,
                      struct andiron_error *err)
{
    struct auth_loop *local = calloc(1, sizeof(*local));
    (void)err;
    if (local == NULL)
        abort(); /* as everywhere: out of memory ends the worker */
    *local = (struct auth_loop){ .auth = self,
                                 .clients = client_cache_new(self),
                                 .tokens = token_cache_new(self),
                                 .gate = gate_new(loop) };
    if (local->gate == NULL)
        abort();
    *ret_local = local;
    if (andiron_host_loop(local->auth->host, 0) == loop &&
        sweep_start(local->auth->sweep, loop) != 0)
        abort(); /* as everywhere: out of memory ends the worker */
    return 0;
}

static void loop_stop(struct andiron_loop *loop, void *self, void *state)
{
    struct auth_loop *local = state;
    (void)self;
    sweep_stop(local->auth->sweep, loop);
    token_cache_free(local->tokens);
    issuers_drop(local->issuers);
    opaque_free(local->opaque);
    client_cache_free(local->clients);
    gate_free(local->gate);
    free(local);
}

static void stop(void *self)
{
    struct auth *auth = self;
    throttle_free(auth->throttle);
    (void)pthread_mutex_destroy(&auth->hashing_lock);
}

static const struct andiron_service provides[] = {
    { ANDIRON_RESOURCE_TYPE "Client", &auth_client_type },
    { ANDIRON_RESOURCE_TYPE "Session", &auth_session_type },
    { ANDIRON_RESOURCE_TYPE "User", &auth_user_type },
    { ANDIRON_RESOURCE_TYPE "Role", &auth_role_type },
    { ANDIRON_RESOURCE_TYPE "TokenIntrospector", &auth_introspector_type },
    { ANDIRON_DISCOVERY "auth", &auth_discovery },
    { NULL, NULL }
};
static const char *const needs[] = { ANDIRON_STORE, ANDIRON_KEYS, NULL };
static const char *const uses[] = { ANDIRON_SCOPES, ANDIRON_OUTBOUND, ANDIRON_DISCOVERY "cors",
                                    NULL };
enum { OAUTH = ANDIRON_ROUTE_PUBLIC | ANDIRON_ROUTE_OAUTH };
static const struct andiron_route routes[] = {
    { "POST", "/auth/token", auth_token, "Token", OAUTH, NULL },
    { "POST", "/auth/introspect", auth_introspect, "Introspect", OAUTH, NULL },
    { "POST", "/auth/revoke", auth_revoke, "Revoke", OAUTH, NULL },
    /* A token may always end itself: it proves itself, and no policy is asked. */
    { "DELETE", "/Session", auth_end_session, "EndSession",
      ANDIRON_ROUTE_PUBLIC | ANDIRON_ROUTE_SHARED, NULL },
    { .method = NULL }
};
static const struct andiron_hook hooks[] = { { ANDIRON_PHASE_AUTHENTICATE, auth_authenticate },
                                             { 0, NULL } };

ANDIRON_PLUGIN(.name = "auth", .version = "1.0.0",
               .summary = "Clients, sessions, Basic and Bearer authentication, access tokens",
               .directives = directives, .config_size = sizeof(struct config), .provides = provides,
               .needs = needs, .uses = uses, .routes = routes, .hooks = hooks, .init = init,
               .start = start, .loop_start = loop_start, .loop_stop = loop_stop, .stop = stop);
