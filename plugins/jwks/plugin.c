/*
 * Plugin jwks: the server's signing keys, its public key set, and the key sets of clients.
 */
#include <stdio.h>
#include <stdlib.h>

#include <curl/curl.h>

#include "jwks.h"
#include "seal.h"

enum { OLD_KEY_DAYS = 365, FETCH_WARN_MS = 300000 };

/* Until auth says how long tokens live: the most that it can be set to. */
#define LONGEST_TOKEN_US ((andiron_usec)24 * 3600 * 1000000)

static const char *const token_algs[] = { "RS256", "RS384", "RS512", "PS256", "PS384",
                                          "ES256", "ES384", "EdDSA", NULL };

static const struct andiron_directive directives[] = {
    { .name = "token-alg",
      .type = ANDIRON_CHOICE,
      .offset = offsetof(struct config, token_alg),
      .fallback = "RS256",
      .choices = token_algs,
      .help = "algorithm of access tokens; ES256 signs 29 times faster" },
    { .name = "key-bits",
      .type = ANDIRON_INT,
      .offset = offsetof(struct config, key_bits),
      .fallback = "2048",
      .min = JOSE_RSA_MIN_BITS,
      .max = JOSE_RSA_MAX_BITS,
      .help = "size of an RSA key that is made" },
    { .name = "max-age",
      .type = ANDIRON_DURATION,
      .offset = offsetof(struct config, max_age),
      .fallback = "300s",
      .min = 1000,
      .max = 86400000,
      .help = "how long others may keep our key set" },
    { .name = "allow",
      .type = ANDIRON_LIST,
      .offset = offsetof(struct config, allow),
      .fallback = "",
      .help = "origins of key sets that may use http or an inner address" },
    { .name = "timeout",
      .type = ANDIRON_DURATION,
      .offset = offsetof(struct config, timeout),
      .fallback = "3s",
      .min = 100,
      .max = 30000,
      .help = "longest time for fetching a client's key set" },
    { .name = "connect-timeout",
      .type = ANDIRON_DURATION,
      .offset = offsetof(struct config, connect_timeout),
      .fallback = "2s",
      .min = 100,
      .max = 30000,
      .help = "of it, longest time for connecting" },
    { .name = "max-size",
      .type = ANDIRON_BYTES,
      .offset = offsetof(struct config, max_size),
      .fallback = "64k",
      .min = 1024,
      .max = 1048576,
      .help = "largest key set of a client" },
    { .name = "max-keys",
      .type = ANDIRON_INT,
      .offset = offsetof(struct config, max_keys),
      .fallback = "64",
      .min = 1,
      .max = 1024,
      .help = "most keys in a client's set" },
    { .name = "max-fetches",
      .type = ANDIRON_INT,
      .offset = offsetof(struct config, max_fetches),
      .fallback = "16",
      .min = 1,
      .max = 1024,
      .help = "most fetches at a time" },
    { .name = "max-posts",
      .type = ANDIRON_INT,
      .offset = offsetof(struct config, max_posts),
      .fallback = "64",
      .min = 1,
      .max = 1024,
      .help = "most questions to introspection endpoints of others at a time" },
    { .name = "max-sets",
      .type = ANDIRON_INT,
      .offset = offsetof(struct config, max_sets),
      .fallback = "1024",
      .min = 16,
      .max = 1048576,
      .help = "most key sets that are kept" },
    { .name = "cache",
      .type = ANDIRON_DURATION,
      .offset = offsetof(struct config, cache),
      .fallback = "300s",
      .min = 0,
      .max = 86400000,
      .help = "longest time that a client's key set is kept" },
    { .name = "min-refresh",
      .type = ANDIRON_DURATION,
      .offset = offsetof(struct config, min_refresh),
      .fallback = "10s",
      .min = 1000,
      .max = 86400000,
      .help = "shortest time between two early fetches for an unknown kid" },
    { .name = "retry",
      .type = ANDIRON_DURATION,
      .offset = offsetof(struct config, retry),
      .fallback = "5s",
      .min = 0,
      .max = 3600000,
      .help = "how long a failed fetch is not tried again" },
    { .name = "ca-file",
      .type = ANDIRON_STRING,
      .offset = offsetof(struct config, ca_file),
      .fallback = "",
      .help = "PEM file of authorities for https; empty: the system's" },
    { .name = "seal-key",
      .type = ANDIRON_SECRET,
      .offset = offsetof(struct config, seal_key),
      .fallback = "",
      .help = "secret that seals private keys in the store, for several nodes; empty: key files" },
    { .name = NULL }
};

static void count_in(struct jwks *jwks)
{
    static const char name[] = "andiron_jwks_fetches_total";
    static const char help[] = "Key sets of clients, by result";
    jwks->fetched = andiron_counter(jwks->host, name, "result=\"ok\"", help);
    jwks->failed = andiron_counter(jwks->host, name, "result=\"error\"", help);
    jwks->cached = andiron_counter(jwks->host, name, "result=\"cached\"", help);
    jwks->posted = andiron_counter(jwks->host, "andiron_jwks_posts_total", "result=\"ok\"",
                                   "Questions to introspection endpoints of others, by result");
    jwks->unposted = andiron_counter(jwks->host, "andiron_jwks_posts_total", "result=\"error\"",
                                     "Questions to introspection endpoints of others, by result");
    jwks->fetch_time = andiron_histogram(jwks->host, "andiron_jwks_fetch_seconds", NULL,
                                         "Time to fetch a client's key set");
}

static double key_age(void *self)
{
    struct jwks *jwks = self;
    struct ring *ring = keyring_hold(&jwks->ring);
    andiron_usec now = andiron_now();
    const struct ring_key *active = ring != NULL ? ring_active(ring, now) : NULL;
    double age = active != NULL ? (double)(now - active->created) / 1e6 : 0;
    ring_drop(ring);
    return age;
}

static int read_allow(struct jwks *jwks, struct andiron_arena *arena, struct andiron_error *err)
{
    size_t count = 0;
    while (jwks->config->allow[count] != NULL)
        count++;
    jwks->allow = andiron_alloc(arena, count * sizeof(*jwks->allow));
    for (size_t i = 0; i < count; i++) {
        struct andiron_error inner;
        struct url *url = &jwks->allow[i];
        if (url_parse(andiron_str_of(jwks->config->allow[i]), url, &inner) != 0)
            return andiron_error_set(err, ANDIRON_E_INVALID, "jwks.allow", "'%s' %s",
                                     jwks->config->allow[i], inner.message);
        if (url->path.len > 1 || (url->path.len == 1 && url->path.data[0] != '/'))
            return andiron_error_set(err, ANDIRON_E_INVALID, "jwks.allow",
                                     "'%s' must be an origin, as https://keys.example:8443, "
                                     "without a path",
                                     jwks->config->allow[i]);
    }
    jwks->allow_count = count;
    return 0;
}

static bool is_on(const char *setting)
{
    return setting != NULL && (strcmp(setting, "on") == 0 || strcmp(setting, "yes") == 0);
}

static int load_keys(struct jwks *jwks, struct andiron_error *err)
{
    struct andiron_arena *arena = andiron_host_arena(jwks->host);
    const char *state_dir = andiron_host_setting(jwks->host, "core.state-dir");
    size_t sealing = strlen(jwks->config->seal_key);

    if (state_dir == NULL || state_dir[0] == '\0')
        return andiron_error_set(err, ANDIRON_E_INVALID, "core.state-dir",
                                 "must be set: the signing keys are kept below it");
    if (sealing != 0 && sealing < SEAL_MIN_SECRET)
        return andiron_error_set(err, ANDIRON_E_INVALID, "jwks.seal-key",
                                 "must have %d characters at least; make one by: openssl rand "
                                 "-base64 32",
                                 SEAL_MIN_SECRET);
    jwks->token_alg = jose_alg_find(andiron_str_of(token_algs[jwks->config->token_alg]));
    jwks->folder = andiron_printf(arena, "%s/keys", state_dir);
    return keyfiles_load(jwks->folder, jwks->token_alg,
                         is_on(andiron_host_setting(jwks->host, "dev.assertion-key")), &jwks->files,
                         err);
}

static andiron_str own_url(struct jwks *jwks)
{
    const char *base = andiron_host_setting(jwks->host, "http.base-url");
    size_t len = base != NULL ? strlen(base) : 0;
    while (len > 0 && base[len - 1] == '/')
        len--;
    if (len == 0)
        return (andiron_str){ NULL, 0 };
    return andiron_str_of(andiron_printf(andiron_host_arena(jwks->host),
                                         "%.*s/.well-known/jwks.json", (int)len, base));
}

static int init(struct andiron_host *host, const void *config, void **ret_self,
                struct andiron_error *err)
{
    struct andiron_arena *arena = andiron_host_arena(host);
    struct jwks *jwks = andiron_new(arena, struct jwks);

    jwks->host = host;
    jwks->config = config;
    atomic_init(&jwks->life, LONGEST_TOKEN_US);
    (void)pthread_mutex_init(&jwks->ring.lock, NULL); /* cannot fail with default attributes */
    (void)pthread_mutex_init(&jwks->wait_lock, NULL);
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return andiron_error_set(err, ANDIRON_E_INTERNAL, "", "libcurl cannot be set up");
    if (read_allow(jwks, arena, err) != 0 || load_keys(jwks, err) != 0)
        return -1;
    struct setcache_limits limits = { .lifetime_ms = jwks->config->cache,
                                      .min_refresh_ms = jwks->config->min_refresh,
                                      .retry_ms = jwks->config->retry,
                                      .max_sets = (size_t)jwks->config->max_sets };
    jwks->sets = setcache_new(&limits);
    jwks->own_url = own_url(jwks);
    count_in(jwks);
    andiron_gauge(host, "andiron_key_age_seconds", NULL, "Age of the key that signs tokens",
                  key_age, jwks);
    *ret_self = jwks;
    return 0;
}

static void changed(void *arg, andiron_str type, andiron_str id)
{
    (void)type;
    (void)id;
    jwks_tend(arg);
}

static int start(struct andiron_host *host, void *self, struct andiron_error *err)
{
    struct jwks *jwks = self;
    (void)andiron_service_find(host, ANDIRON_STORE, NULL, &jwks->store,
                               NULL); /* a need: it is there */
    const struct andiron_store *store = jwks->store.table;
    if (store->watch(jwks->store.self, andiron_host_loop(host, 0), "_Key", changed, jwks, err) != 0)
        return -1;
    jwks_tend(jwks);
    return 0;
}

static int loop_start(struct andiron_loop *loop, void *self, void **ret_local,
                      struct andiron_error *err)
{
    struct fetcher *fetcher = fetcher_new(self, loop, err);
    *ret_local = fetcher;
    return fetcher != NULL ? 0 : -1;
}

static void loop_stop(struct andiron_loop *loop, void *self, void *local)
{
    (void)loop;
    (void)self;
    fetcher_free(local);
}

static void stop(void *self)
{
    struct jwks *jwks = self;
    struct ring *ring;
    setcache_free(jwks->sets);
    keyring_replace(&jwks->ring, NULL, &ring);
    ring_drop(ring);
    keyfiles_free(&jwks->files);
    curl_global_cleanup();
}

/* ---- services ------------------------------------------------------------------------- */

/* Whether a key has passed its end, and is to be removed. */
static bool has_ended(const struct ring *ring, andiron_usec now)
{
    for (size_t i = 0; i < ring->count; i++)
        if (now >= ring->keys[i].until)
            return true;
    return false;
}

static int check_ring(struct jwks *jwks, const struct ring *ring, struct andiron_error *err)
{
    andiron_usec now = andiron_now();
    const struct ring_key *active = ring_active(ring, now);

    if (has_ended(ring, now))
        jwks_tend(jwks);
    if (active == NULL || active->signer != NULL)
        return 0;
    /* An operator may put the file there at any time, and nothing tells of that. */
    if (jwks_clock() - atomic_load(&jwks->tend_began_ms) >= KEYRING_AGREED_S * 1000)
        jwks_tend(jwks);
    return andiron_error_set(err, ANDIRON_E_UNAVAILABLE, "",
                             "this node has no private part of the active key %.*s: give it the "
                             "key file or the `seal-key` of the others, or run `andiron keys "
                             "rotate --now`",
                             (int)active->kid.len, active->kid.data);
}

/* About once a second. */
static int check(void *self, struct andiron_error *err)
{
    struct jwks *jwks = self;
    struct ring *ring = keyring_hold(&jwks->ring);
    int status = 0;

    if (atomic_exchange(&jwks->has_revoked, false))
        for (size_t i = 0; i < jwks->watcher_count; i++)
            jwks->watchers[i].revoked(jwks->watchers[i].arg);
    if (!atomic_load(&jwks->loaded) || !atomic_load(&jwks->settled))
        jwks_tend(jwks); /* the store may be back */
    if (ring == NULL || !atomic_load(&jwks->loaded))
        status = andiron_error_set(err, ANDIRON_E_UNAVAILABLE, "",
                                   "the keys have not been read from the store");
    else
        status = check_ring(jwks, ring, err);
    ring_drop(ring);
    return status;
}

static size_t measure(void *self, struct andiron_measure *ret, size_t max)
{
    struct jwks *jwks = self;
    int64_t ok = atomic_load(&jwks->ok_ms), failed = atomic_load(&jwks->failed_ms);
    int64_t days = (int64_t)(key_age(jwks) / 86400);

    if (max < 2)
        return 0;
    ret[0] = (struct andiron_measure){ .name = "keys:age", .unit = "days", .value = days };
    if (days > OLD_KEY_DAYS)
        (void)snprintf(ret[0].warning, sizeof(ret[0].warning),
                       "the key that signs is older than a year: run `andiron keys rotate`");
    ret[1] = (struct andiron_measure){ .name = "jwks:fetch",
                                       .unit = "fetches under way",
                                       .value = atomic_load(&jwks->fetching) };
    if (failed > ok && jwks_clock() - failed < FETCH_WARN_MS)
        (void)snprintf(ret[1].warning, sizeof(ret[1].warning),
                       "no key set could be fetched since the last attempt failed: see "
                       "jwks.fetch.failed in the log");
    return 2;
}

static andiron_str smart_configuration(void *self, struct andiron_arena *arena, andiron_str base)
{
    (void)self;
    struct andiron_json_writer *w = andiron_json_write(arena, 4096);
    andiron_json_put_object(w, NULL);
    andiron_json_put_str(w, "jwks_uri",
                         andiron_str_of(andiron_printf(arena, "%.*s/.well-known/jwks.json",
                                                       (int)base.len, base.data)));
    andiron_json_put_end(w);
    return andiron_json_written(w);
}

static const struct andiron_health health = { .size = sizeof(health),
                                              .check = check,
                                              .measure = measure };
static const struct andiron_discovery discovery = { .size = sizeof(discovery),
                                                    .smart_configuration = smart_configuration };

static const struct andiron_service provides[] = { { ANDIRON_KEYS, &jwks_keys },
                                                   { ANDIRON_OUTBOUND, &jwks_outbound },
                                                   { ANDIRON_HEALTH "jwks", &health },
                                                   { ANDIRON_DISCOVERY "jwks", &discovery },
                                                   { NULL, NULL } };
static const char *const needs[] = { ANDIRON_STORE, NULL };
static const struct andiron_route routes[] = { { .method = "GET",
                                                 .pattern = "/.well-known/jwks.json",
                                                 .handle = jwks_get,
                                                 .operation = "Jwks",
                                                 .flags = ANDIRON_ROUTE_PUBLIC },
                                               { .method = "POST",
                                                 .pattern = "/auth/keys/$rotate",
                                                 .handle = jwks_rotate_keys,
                                                 .operation = "RotateKeys" },
                                               { .method = "GET",
                                                 .pattern = "/control/keys",
                                                 .handle = jwks_list_keys,
                                                 .flags = ANDIRON_ROUTE_CONTROL },
                                               { .method = "POST",
                                                 .pattern = "/control/keys/rotate",
                                                 .handle = jwks_rotate_by_control,
                                                 .flags = ANDIRON_ROUTE_CONTROL },
                                               { .method = "POST",
                                                 .pattern = "/control/keys/retire",
                                                 .handle = jwks_retire_key,
                                                 .flags = ANDIRON_ROUTE_CONTROL },
                                               { .method = NULL } };

ANDIRON_PLUGIN(.name = "jwks", .version = "1.0.0",
               .summary = "Signing keys, the public key set, and key sets of clients",
               .directives = directives, .config_size = sizeof(struct config), .provides = provides,
               .needs = needs, .routes = routes, .init = init, .start = start,
               .loop_start = loop_start, .loop_stop = loop_stop, .stop = stop);
