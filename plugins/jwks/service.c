/*
 * Service keys/1 and the route of the public key set.
 *
 * What takes microseconds is done on the loop, what takes longer on the pool; the caller sees
 * no difference.
 */
#include <stdlib.h>

#include "common/jose/jws.h"
#include "jwks.h"

enum { TOKEN_MAX = 16 * 1024 };

static void drop_ring(void *ring)
{
    ring_drop(ring);
}

/* The ring in force for as long as the request lives; NULL: the keys are not known. */
static const struct ring *ring_of(struct jwks *jwks, struct andiron_request *req)
{
    struct ring *ring = keyring_hold(&jwks->ring);
    andiron_at_release(andiron_request_arena(req), drop_ring, ring);
    return ring;
}

/* ---- waiting for the first ring ------------------------------------------------------------ */

/* A request that came before the keys had been read; in its arena. */
struct load_wait {
    struct load_wait *next;
    struct andiron_request *req;
};

enum andiron_step jwks_when_loaded(struct jwks *jwks, struct andiron_request *req,
                                   andiron_step_fn then, void *state)
{
    if (atomic_load(&jwks->loaded))
        return then(req, state);
    struct load_wait *w = andiron_new(andiron_request_arena(req), struct load_wait);
    (void)pthread_mutex_lock(&jwks->wait_lock);
    enum andiron_step step = andiron_wait(req, then, state);
    w->req = req;
    w->next = jwks->waiting;
    jwks->waiting = w;
    (void)pthread_mutex_unlock(&jwks->wait_lock);
    if (atomic_load(&jwks->loaded))
        jwks_wake(jwks); /* it was loaded while we joined */
    return step;
}

void jwks_wake(struct jwks *jwks)
{
    (void)pthread_mutex_lock(&jwks->wait_lock);
    struct load_wait *w = jwks->waiting;
    jwks->waiting = NULL;
    (void)pthread_mutex_unlock(&jwks->wait_lock);
    while (w != NULL) {
        struct load_wait *next = w->next; /* resumed, it may be gone at once */
        andiron_resume(w->req);
        w = next;
    }
}

static int not_loaded(struct andiron_error *err)
{
    return andiron_error_set(err, ANDIRON_E_UNAVAILABLE, "", "the keys are not available");
}

/* ---- signing ------------------------------------------------------------------------ */

struct signing {
    struct jwks *jwks;
    struct andiron_arena *arena;
    const struct ring_key *key;
    andiron_str claims;
    andiron_str *ret_jws;
    struct andiron_error *ret_error;
    andiron_step_fn then;
    void *state;
};

/* On the pool for RSA: 1.4 ms. */
static void sign_now(void *state)
{
    struct signing *s = state;
    struct andiron_error err;
    if (jose_sign_with(s->arena, s->key->signer->key, s->key->alg, s->key->header, s->claims,
                       s->ret_jws, &err) != 0)
        *s->ret_error = err;
}

static enum andiron_step signed_then(struct andiron_request *req, void *state)
{
    struct signing *s = state;
    return s->then(req, s->state);
}

static enum andiron_step sign_loaded(struct andiron_request *req, void *state)
{
    struct signing *s = state;
    const struct ring *ring = ring_of(s->jwks, req);

    s->key = ring != NULL ? ring_active(ring, andiron_now()) : NULL;
    if (s->key == NULL || s->key->signer == NULL) {
        (void)not_loaded(s->ret_error);
        return andiron_ready(req, s->then, s->state);
    }
    if (s->key->alg->kty == JOSE_RSA)
        return andiron_offload(req, sign_now, signed_then, s);
    sign_now(s);
    return andiron_ready(req, s->then, s->state);
}

static enum andiron_step sign(void *self, struct andiron_request *req, andiron_str claims_json,
                              andiron_str *ret_jws, struct andiron_error *ret_error,
                              andiron_step_fn then, void *state)
{
    struct andiron_arena *arena = andiron_request_arena(req);
    struct signing *s = andiron_new(arena, struct signing);

    *s = (struct signing){ .jwks = self,
                           .arena = arena,
                           .claims = claims_json,
                           .ret_jws = ret_jws,
                           .ret_error = ret_error,
                           .then = then,
                           .state = state };
    *ret_error = (struct andiron_error){ .code = ANDIRON_OK };
    return jwks_when_loaded(self, req, sign_loaded, s);
}

/* ---- verifying ------------------------------------------------------------------------ */

struct verifying {
    struct jwks *jwks;
    struct jose_jws jws;
    const struct ring_key *key;
    andiron_json *ret_claims;
    struct andiron_error *ret_error;
    andiron_step_fn then;
    void *state;
};

static void verify_now(void *state)
{
    struct verifying *v = state;
    if (jose_verify(&v->key->key, v->key->alg, v->jws.signed_part, v->jws.signature))
        *v->ret_claims = v->jws.claims;
    else
        (void)andiron_error_set(v->ret_error, ANDIRON_E_CREDENTIALS, "",
                                "the signature does not verify");
}

static enum andiron_step verified_then(struct andiron_request *req, void *state)
{
    struct verifying *v = state;
    return v->then(req, v->state);
}

/* The key that a token names, if the token may be checked at all. */
static int find_key(struct verifying *v, const struct ring *ring, struct andiron_error *err)
{
    andiron_str kid = andiron_json_str(andiron_json_get(v->jws.header, "kid"));
    andiron_str alg = andiron_json_str(andiron_json_get(v->jws.header, "alg"));

    if (andiron_json_type(andiron_json_get(v->jws.header, "crit")) != ANDIRON_JSON_MISSING)
        return andiron_error_set(err, ANDIRON_E_CREDENTIALS, "", "no crit extension is understood");
    v->key = kid.data != NULL ? ring_find(ring, kid, andiron_now()) : NULL;
    /* The algorithm is the key's, never the token's choice. */
    if (v->key == NULL || !andiron_str_eq(alg, andiron_str_of(v->key->alg->name)))
        return andiron_error_set(err, ANDIRON_E_CREDENTIALS, "", "no key of ours signed this");
    return 0;
}

static enum andiron_step verify_loaded(struct andiron_request *req, void *state)
{
    struct verifying *v = state;
    const struct ring *ring = ring_of(v->jwks, req);

    if (ring == NULL || !atomic_load(&v->jwks->loaded))
        (void)not_loaded(v->ret_error);
    if (v->ret_error->code != ANDIRON_OK || find_key(v, ring, v->ret_error) != 0)
        return andiron_ready(req, v->then, v->state);
    if (jose_verify_is_slow(&v->key->key, v->key->alg))
        return andiron_offload(req, verify_now, verified_then, v);
    verify_now(v);
    return andiron_ready(req, v->then, v->state);
}

static enum andiron_step verify(void *self, struct andiron_request *req, andiron_str jws,
                                andiron_json *ret_claims, struct andiron_error *ret_error,
                                andiron_step_fn then, void *state)
{
    struct andiron_arena *arena = andiron_request_arena(req);
    struct verifying *v = andiron_new(arena, struct verifying);

    *v = (struct verifying){
        .jwks = self, .ret_claims = ret_claims, .ret_error = ret_error, .then = then, .state = state
    };
    *ret_error = (struct andiron_error){ .code = ANDIRON_OK };
    if (jose_jws_split(arena, jws, TOKEN_MAX, &v->jws, ret_error) != 0) {
        ret_error->code = ANDIRON_E_CREDENTIALS;
        return andiron_ready(req, then, state);
    }
    return jwks_when_loaded(self, req, verify_loaded, v);
}

static void token_life(void *self, int64_t longest_ms)
{
    struct jwks *jwks = self;
    atomic_store(&jwks->life, longest_ms * 1000);
}

static void watch(void *self, void (*revoked)(void *arg), void *arg)
{
    struct jwks *jwks = self;
    if (jwks->watcher_count == REVOCATION_WATCHERS)
        abort(); /* a plugin that watches twice */
    jwks->watchers[jwks->watcher_count].revoked = revoked;
    jwks->watchers[jwks->watcher_count++].arg = arg;
}

void jwks_tell_revoked(struct jwks *jwks)
{
    for (size_t i = 0; i < jwks->watcher_count; i++)
        jwks->watchers[i].revoked(jwks->watchers[i].arg);
    /* Once more later: a token that was being checked right now may be kept behind this. */
    atomic_store(&jwks->has_revoked, true);
}

/* ---- the public set ---------------------------------------------------------------------- */

static andiron_str public_set(void *self, struct andiron_request *req)
{
    const struct ring *ring = ring_of(self, req);
    return ring != NULL ? ring->document : ANDIRON_STR("{\"keys\":[]}");
}

static enum andiron_step get_loaded(struct andiron_request *req, void *state)
{
    struct jwks *jwks = state;
    const struct ring *ring = ring_of(jwks, req);
    struct andiron_error err;

    if (ring == NULL || !atomic_load(&jwks->loaded)) {
        (void)not_loaded(&err);
        return andiron_fail_with(req, &err);
    }
    andiron_str etag = andiron_str_of(ring->etag);
    andiron_str known = andiron_request_header(req, "if-none-match");

    andiron_reply_header(req, "Access-Control-Allow-Origin", ANDIRON_STR("*"));
    andiron_reply_header(
        req, "Cache-Control",
        andiron_str_of(andiron_printf(andiron_request_arena(req), "public, max-age=%lld",
                                      (long long)(jwks->config->max_age / 1000))));
    andiron_reply_header(req, "ETag", etag);
    if (andiron_str_eq(known, ANDIRON_STR("*")) ||
        (known.len != 0 && memmem(known.data, known.len, etag.data, etag.len) != NULL))
        return andiron_reply(req, 304, NULL, (andiron_str){ NULL, 0 });
    return andiron_reply(req, 200, "application/json", ring->document);
}

enum andiron_step jwks_get(struct andiron_request *req, void *self)
{
    return jwks_when_loaded(self, req, get_loaded, self);
}

/* ---- key sets of clients ------------------------------------------------------------------ */

bool jwks_is_listed(const struct jwks *jwks, const struct url *url)
{
    for (size_t i = 0; i < jwks->allow_count; i++)
        if (url_same_origin(&jwks->allow[i], url))
            return true;
    return false;
}

static bool is_local_name(const char *host)
{
    size_t len = strlen(host);
    return strcmp(host, "localhost") == 0 ||
           (len > 10 && strcmp(host + len - 10, ".localhost") == 0);
}

int jwks_allowed(const struct jwks *jwks, const struct url *url, struct andiron_error *err)
{
    if (jwks_is_listed(jwks, url))
        return 0;
    if (!url->https)
        return andiron_error_set(err, ANDIRON_E_VALUE, "",
                                 "must be https, unless `allow` of plugin jwks lists its origin");
    if (is_local_name(url->host) ||
        (url->address.ss_family != AF_UNSPEC &&
         !url_address_is_public((const struct sockaddr *)(const void *)&url->address)))
        return andiron_error_set(err, ANDIRON_E_VALUE, "",
                                 "must not name an address of an inner network, unless `allow` of "
                                 "plugin jwks lists its origin");
    return 0;
}

static int allowed(void *self, andiron_str url, struct andiron_error *err)
{
    struct jwks *jwks = self;
    struct url parsed;

    if (jwks->own_url.data != NULL && andiron_str_eq(url, jwks->own_url))
        return 0;
    return url_parse(url, &parsed, err) != 0 ? -1 : jwks_allowed(jwks, &parsed, err);
}

static void drop_set(void *set)
{
    keyset_drop(set);
}

static enum andiron_step fetched(struct andiron_request *req, void *state)
{
    struct fetch_wait *w = state;

    *w->ret_error = (struct andiron_error){ .code = ANDIRON_OK };
    if (w->waiter.set != NULL)
        *w->ret_set = keyset_text(w->waiter.set);
    else
        (void)andiron_error_set(w->ret_error, ANDIRON_E_UNAVAILABLE, "",
                                "client key set unavailable");
    return w->then(req, w->state);
}

/* The own set counts whether base-url is configured or, in development, taken from Host. */
static bool is_own(const struct jwks *jwks, struct andiron_request *req, andiron_str url)
{
    static const andiron_str path = { "/.well-known/jwks.json", 22 };
    andiron_str base = andiron_request_base(req);

    if (jwks->own_url.data != NULL)
        return andiron_str_eq(url, jwks->own_url);
    return url.len == base.len + path.len && memcmp(url.data, base.data, base.len) == 0 &&
           memcmp(url.data + base.len, path.data, path.len) == 0;
}

/* What a waiter got must be let go even if its request ends before it goes on. */
static void release_waiter(void *arg)
{
    struct fetch_wait *w = arg, **at = w->home;
    while (at != NULL && *at != w)
        at = &(*at)->next;
    if (at != NULL)
        *at = w->next;
    drop_set(w->waiter.set);
}

static enum andiron_step own_loaded(struct andiron_request *req, void *state)
{
    struct fetch_wait *w = state;
    *w->ret_set = public_set(w->jwks, req);
    return w->then(req, w->state);
}

/* A set that was fetched for this very request can hold nothing newer: it is not fetched again. */
static bool has_fetched(const struct fetch_wait *list, const struct andiron_request *req,
                        andiron_str url, andiron_str *ret_set)
{
    for (; list != NULL; list = list->next)
        if (list->req == req && list->waiter.set != NULL && andiron_str_eq(list->url, url)) {
            *ret_set = keyset_text(list->waiter.set);
            return true;
        }
    return false;
}

struct fetcher *jwks_fetcher(struct jwks *jwks, struct andiron_request *req)
{
    return andiron_loop_state(andiron_request_loop(req), jwks);
}

static enum andiron_step fetch(void *self, struct andiron_request *req, andiron_str url, bool renew,
                               andiron_str *ret_set, struct andiron_error *ret_error,
                               andiron_step_fn then, void *state)
{
    struct jwks *jwks = self;
    struct fetch_wait *w = andiron_new(andiron_request_arena(req), struct fetch_wait);

    *w = (struct fetch_wait){ .jwks = jwks,
                              .req = req,
                              .ret_set = ret_set,
                              .ret_error = ret_error,
                              .then = then,
                              .state = state };
    *ret_error = (struct andiron_error){ .code = ANDIRON_OK };
    if (is_own(jwks, req, url))
        return jwks_when_loaded(jwks, req, own_loaded, w);
    struct fetch_wait **fetched_here = fetcher_fetched(jwks_fetcher(jwks, req));
    if (renew && has_fetched(*fetched_here, req, url, ret_set))
        return andiron_ready(req, then, state);
    andiron_at_release(andiron_request_arena(req), release_waiter, w);
    /* Parked first: another loop may end the fetch at any moment after the question. */
    enum andiron_step step = andiron_wait(req, fetched, w);
    switch (setcache_ask(jwks->sets, url, renew, jwks_clock(), &w->waiter)) {
    case SETCACHE_HIT:
        andiron_count(jwks->cached, 1);
        andiron_resume(req);
        break;
    case SETCACHE_FAILED:
        andiron_resume(req);
        break;
    case SETCACHE_FETCH:
        w->url = url;
        w->home = fetched_here;
        w->next = *fetched_here;
        *fetched_here = w;
        fetcher_start(jwks_fetcher(jwks, req), req, url);
        break;
    default: /* SETCACHE_JOINED */
        break;
    }
    return step;
}

const struct andiron_keys jwks_keys = {
    .size = sizeof(struct andiron_keys),
    .sign = sign,
    .verify = verify,
    .public_set = public_set,
    .allowed = allowed,
    .fetch = fetch,
    .token_life = token_life,
    .watch = watch,
};
