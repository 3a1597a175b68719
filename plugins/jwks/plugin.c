/*
 * Plugin jwks: the server's signing keys, its public key set, and the key sets of clients.
 */
#include <stdio.h>
#include <stdlib.h>

#include <curl/curl.h>

#include "jwks.h"

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
    { .name = NULL }
};

static void count_in(struct jwks *jwks)
{
    static const char name[] = "andiron_jwks_fetches_total";
    static const char help[] = "Key sets of clients, by result";
    jwks->fetched = andiron_counter(jwks->host, name, "result=\"ok\"", help);
    jwks->failed = andiron_counter(jwks->host, name, "result=\"error\"", help);
    jwks->cached = andiron_counter(jwks->host, name, "result=\"cached\"", help);
    jwks->fetch_time = andiron_histogram(jwks->host, "andiron_jwks_fetch_seconds", NULL,
                                         "Time to fetch a client's key set");
}

static double key_age(void *self)
{
    const struct jwks *jwks = self;
    return (double)(andiron_now() - jwks->active->created) / 1e6;
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

/* A first ring of our own keys; the store's are added once loops run. */
static int make_ring(struct jwks *jwks, struct andiron_error *err)
{
    struct ring *ring = ring_new();
    for (size_t i = 0; i < jwks->files.count; i++)
        if (ring_add_file(ring, &jwks->files.files[i], err) != 0) {
            ring_drop(ring);
            return -1;
        }
    if (ring_finish(ring, err) != 0) {
        ring_drop(ring);
        return -1;
    }
    jwks->ring.now = ring;
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
    const struct jose_alg *alg = jose_alg_find(andiron_str_of(token_algs[jwks->config->token_alg]));

    if (state_dir == NULL || state_dir[0] == '\0')
        return andiron_error_set(err, ANDIRON_E_INVALID, "core.state-dir",
                                 "must be set: the signing keys are kept below it");
    if (keyfiles_load(
            andiron_printf(arena, "%s/keys", state_dir), alg, (unsigned)jwks->config->key_bits,
            is_on(andiron_host_setting(jwks->host, "dev.assertion-key")), &jwks->files, err) != 0)
        return -1;
    jwks->active = keyfiles_active(&jwks->files, alg);
    jwks->header = jose_jws_header(arena, alg, andiron_str_of(jwks->active->kid));
    jwks->signs_slowly = alg->kty == JOSE_RSA;
    if (jwks->files.made != 0)
        andiron_log(jwks->host, ANDIRON_LOG_INFO, "keys.made", "made a new key for %s in %s/keys",
                    alg->name, state_dir);
    return make_ring(jwks, err);
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
    (void)pthread_mutex_init(&jwks->ring.lock, NULL); /* cannot fail with default attributes */
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
    jwks_publish(arg);
}

static int start(struct andiron_host *host, void *self, struct andiron_error *err)
{
    struct jwks *jwks = self;
    (void)andiron_service_find(host, ANDIRON_STORE, NULL, &jwks->store,
                               NULL); /* a need: it is there */
    const struct andiron_store *store = jwks->store.table;
    if (store->watch(jwks->store.self, andiron_host_loop(host, 0), "_Key", changed, jwks, err) != 0)
        return -1;
    jwks_publish(jwks);
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
    setcache_free(jwks->sets);
    keyring_replace(&jwks->ring, NULL);
    keyfiles_free(&jwks->files);
    curl_global_cleanup();
}

/* ---- services ------------------------------------------------------------------------- */

static int check(void *self, struct andiron_error *err)
{
    struct jwks *jwks = self;
    if (atomic_load(&jwks->published))
        return 0;
    jwks_publish(jwks); /* the store may be back */
    return andiron_error_set(err, ANDIRON_E_UNAVAILABLE, "",
                             "the signing key is not yet known to the store");
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

static const struct andiron_health health = { .size = sizeof(health), .check = check };
static const struct andiron_discovery discovery = { .size = sizeof(discovery),
                                                    .smart_configuration = smart_configuration };

static const struct andiron_service provides[] = { { ANDIRON_KEYS, &jwks_keys },
                                                   { ANDIRON_HEALTH "jwks", &health },
                                                   { ANDIRON_DISCOVERY "jwks", &discovery },
                                                   { NULL, NULL } };
static const char *const needs[] = { ANDIRON_STORE, NULL };
static const struct andiron_route routes[] = { { .method = "GET",
                                                 .pattern = "/.well-known/jwks.json",
                                                 .handle = jwks_get,
                                                 .operation = "Jwks",
                                                 .flags = ANDIRON_ROUTE_PUBLIC },
                                               { .method = NULL } };

ANDIRON_PLUGIN(.name = "jwks", .version = "1.0.0",
               .summary = "Signing keys, the public key set, and key sets of clients",
               .directives = directives, .config_size = sizeof(struct config), .provides = provides,
               .needs = needs, .routes = routes, .init = init, .start = start,
               .loop_start = loop_start, .loop_stop = loop_stop, .stop = stop);
