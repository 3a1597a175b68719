/*
 * The per-loop cache of Clients.
 */
#include "clients.h"

#include <stdlib.h>
#include <time.h>

#include "client.h"
#include "grant.h"
#include "keys.h"
#include "prove.h"

enum { BUCKETS = 1024 };

struct client_cache {
    struct auth *auth;
    size_t count;
    struct client *buckets[BUCKETS];
};

int64_t auth_clock(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now); /* cannot fail for this clock */
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- snapshots ---------------------------------------------------------------------------- */

void client_hold(struct client *client)
{
    client->references++;
}

void client_drop(struct client *client)
{
    if (--client->references != 0)
        return;
    client_keys_free(client->keys);
    client_grant_free(client->grant);
    andiron_arena_free(client->arena);
}

static void drop(void *client)
{
    client_drop(client);
}

void client_keep(struct client *client, struct andiron_request *req)
{
    client_hold(client);
    andiron_at_release(andiron_request_arena(req), drop, client);
}

static void read_grant(struct client *client)
{
    andiron_json grant = andiron_json_path(client->json, "auth.client_credentials");
    andiron_str type = andiron_json_str(andiron_json_get(client->json, "type"));

    client->needs_assertion =
        andiron_json_count(andiron_json_get(grant, "client_assertion_types")) != 0;
    client->wants_jwt = andiron_str_eq(andiron_json_str(andiron_json_get(grant, "token_format")),
                                       ANDIRON_STR("jwt"));
    client->ttl_s = andiron_json_int(andiron_json_get(grant, "access_token_expiration"), 0);
    client->audience = andiron_json_get(grant, "audience");
    client->shows_banner = andiron_str_eq(type, ANDIRON_STR("bulk-api-client")) ||
                           andiron_str_eq(type, ANDIRON_STR("smart-app"));
}

static unsigned read_grants(andiron_json client)
{
    struct andiron_json_iter it = { .of = andiron_json_get(client, "grant_types") };
    unsigned grants = 0;
    while (andiron_json_next(&it))
        grants |= client_grant(andiron_json_str(it.value));
    return grants;
}

/* A snapshot of a stored Client, or NULL if it cannot be read. */
static struct client *snapshot_of(andiron_str id, andiron_json stored, struct andiron_error *err)
{
    struct andiron_arena *arena = andiron_arena_new(2 * andiron_json_raw(stored).len + 2048);
    struct client *client = andiron_new(arena, struct client);
    andiron_str incarnation = andiron_json_str(andiron_json_get(stored, CLIENT_INCARNATION));
    andiron_str text =
        client_text(arena, stored, (andiron_str){ NULL, 0 }, (andiron_str){ NULL, 0 });

    client->arena = arena;
    if (andiron_json_parse(arena, text, &client->json, err) != 0) {
        andiron_arena_free(arena);
        return NULL;
    }
    client->references = 1;
    client->id = andiron_str_of(andiron_copy(arena, id));
    client->active = client_is_active(stored);
    if (incarnation.len != 0)
        client->incarnation = (andiron_str){ andiron_copy(arena, incarnation), incarnation.len };
    client->grants = read_grants(client->json);
    client->has_secret =
        secret_read(andiron_json_str(andiron_json_get(stored, "secret")), &client->secret) == 0;
    client->jwks_uri = andiron_json_str(andiron_json_get(client->json, "jwks_uri"));
    client->jwks = andiron_json_get(client->json, "jwks");
    client->scope = andiron_json_get(client->json, "scope");
    read_grant(client);
    client->principal = (struct andiron_principal){ .size = sizeof(client->principal),
                                                    .kind = ANDIRON_CLIENT,
                                                    .id = client->id.data,
                                                    .client = client->json };
    return client;
}

/* ---- the cache ---------------------------------------------------------------------------- */

struct client_cache *client_cache_new(struct auth *auth)
{
    struct client_cache *cache = calloc(1, sizeof(*cache));
    if (cache == NULL)
        abort(); /* as everywhere: out of memory ends the worker */
    cache->auth = auth;
    return cache;
}

static void unlink_at(struct client_cache *cache, struct client **at)
{
    struct client *client = *at;
    *at = client->next;
    cache->count--;
    atomic_fetch_sub_explicit(&cache->auth->kept_clients, 1, memory_order_relaxed);
    client_drop(client);
}

void client_cache_free(struct client_cache *cache)
{
    if (cache == NULL)
        return;
    for (size_t i = 0; i < BUCKETS; i++)
        while (cache->buckets[i] != NULL)
            unlink_at(cache, &cache->buckets[i]);
    free(cache);
}

static struct client **slot_of(struct client_cache *cache, andiron_str id, uint64_t hash)
{
    struct client **at = &cache->buckets[hash % BUCKETS];
    while (*at != NULL && !((*at)->hash == hash && andiron_str_eq((*at)->id, id)))
        at = &(*at)->next;
    return at;
}

/* Ends the least recently used of a few buckets: near enough, and bounded work. */
static void evict(struct client_cache *cache, uint64_t from)
{
    struct client **oldest = NULL;
    for (size_t i = 0, seen = 0; i < BUCKETS && seen < 16; i++)
        for (struct client **at = &cache->buckets[(from + i) % BUCKETS]; *at != NULL;
             at = &(*at)->next, seen++)
            if (oldest == NULL || (*at)->used_ms < (*oldest)->used_ms)
                oldest = at;
    if (oldest != NULL)
        unlink_at(cache, oldest);
}

static void insert(struct client_cache *cache, struct client *client)
{
    struct client **at = slot_of(cache, client->id, client->hash);
    if (*at != NULL)
        unlink_at(cache, at);
    else if (cache->count >= (size_t)cache->auth->config->max_clients)
        evict(cache, client->hash);
    at = &cache->buckets[client->hash % BUCKETS];
    client->next = *at;
    *at = client;
    cache->count++;
    atomic_fetch_add_explicit(&cache->auth->kept_clients, 1, memory_order_relaxed);
    client_hold(client);
}

struct client *client_cached(struct auth *auth, struct andiron_request *req, andiron_str id)
{
    struct client_cache *cache = auth_loop_of(auth, req)->clients;
    struct client **at = slot_of(cache, id, auth_hash(auth, id));

    if (*at == NULL)
        return NULL;
    if (!client_is_current(*at)) {
        unlink_at(cache, at);
        return NULL;
    }
    (*at)->used_ms = auth_clock();
    return *at;
}

/* ---- reading ------------------------------------------------------------------------------ */

struct finding {
    struct auth *auth;
    andiron_str id;
    unsigned epoch;
    struct andiron_ref ref;
    struct andiron_rows rows;
    struct client **ret_client;
    struct andiron_error *ret_error;
    andiron_step_fn then;
    void *state;
};

static void client_read(struct andiron_request *req, struct finding *f,
                        const struct andiron_row *row)
{
    andiron_json stored;

    if (andiron_json_parse(andiron_request_arena(req), row->body, &stored, f->ret_error) != 0)
        return;
    struct client *client = snapshot_of(f->id, stored, f->ret_error);
    if (client == NULL)
        return;
    client->hash = auth_hash(f->auth, f->id);
    client->epoch = f->epoch;
    client->epoch_now = auth_client_epoch(f->auth, f->id);
    if (client->has_secret)
        secret_rounds_seen(f->auth, client->secret.rounds);
    client->used_ms = auth_clock();
    insert(auth_loop_of(f->auth, req)->clients, client);
    andiron_at_release(andiron_request_arena(req), drop, client);
    *f->ret_client = client;
}

static enum andiron_step found(struct andiron_request *req, void *state)
{
    struct finding *f = state;

    if (f->rows.error.code != ANDIRON_OK)
        *f->ret_error = f->rows.error;
    else if (f->rows.count == 1 && f->rows.rows[0].ref.id.len != 0 && !f->rows.rows[0].deleted)
        client_read(req, f, &f->rows.rows[0]);
    return f->then(req, f->state);
}

enum andiron_step client_find(struct auth *auth, struct andiron_request *req, andiron_str id,
                              struct client **ret_client, struct andiron_error *ret_error,
                              andiron_step_fn then, void *state)
{
    const struct andiron_store *store = auth->store.table;
    struct client *cached = client_cached(auth, req, id);

    *ret_client = NULL;
    *ret_error = (struct andiron_error){ .code = ANDIRON_OK };
    if (cached != NULL) {
        client_keep(cached, req);
        *ret_client = cached;
    }
    /* What is no id cannot be stored either; it takes the same way as an unknown one. */
    if (cached != NULL || !client_is_id(id))
        return andiron_ready(req, then, state);
    struct finding *f = andiron_new(andiron_request_arena(req), struct finding);
    *f = (struct finding){ .auth = auth,
                           .id = id,
                           .epoch = atomic_load(auth_client_epoch(auth, id)),
                           .ref = { .type = ANDIRON_STR("Client"), .id = id },
                           .rows = { .total = -1 },
                           .ret_client = ret_client,
                           .ret_error = ret_error,
                           .then = then,
                           .state = state };
    return store->read(auth->store.self, req, &f->ref, 1, &f->rows, found, f);
}
