/*
 * The per-loop cache of verified tokens: a hash table in order of use.
 */
#include "tokens.h"

#include <stdlib.h>

enum { FIRST_BUCKETS = 64 };

struct token_cache {
    struct auth *auth;
    struct token **buckets;
    size_t bucket_count, count, max; /* bucket_count: a power of two */
    struct token *oldest, *newest;
};

struct token_cache *token_cache_new(struct auth *auth)
{
    struct token_cache *cache = calloc(1, sizeof(*cache));
    if (cache == NULL || (cache->buckets = calloc(FIRST_BUCKETS, sizeof(struct token *))) == NULL)
        abort(); /* as everywhere: out of memory ends the worker */
    cache->auth = auth;
    cache->bucket_count = FIRST_BUCKETS;
    cache->max = (size_t)auth->config->max_tokens;
    return cache;
}

void token_drop(struct token *token)
{
    if (--token->references != 0)
        return;
    if (token->client != NULL)
        client_drop(token->client);
    andiron_arena_free(token->arena);
}

/* ---- order of use ------------------------------------------------------------------------- */

static void list_remove(struct token_cache *cache, struct token *token)
{
    *(token->older != NULL ? &token->older->newer : &cache->oldest) = token->newer;
    *(token->newer != NULL ? &token->newer->older : &cache->newest) = token->older;
    token->older = token->newer = NULL;
}

static void list_append(struct token_cache *cache, struct token *token)
{
    token->older = cache->newest;
    token->newer = NULL;
    *(cache->newest != NULL ? &cache->newest->newer : &cache->oldest) = token;
    cache->newest = token;
}

static void remove_token(struct token_cache *cache, struct token *token)
{
    struct token **at = &cache->buckets[token->hash & (cache->bucket_count - 1)];
    while (*at != token)
        at = &(*at)->next;
    *at = token->next;
    list_remove(cache, token);
    cache->count--;
    atomic_fetch_sub_explicit(&cache->auth->kept_tokens, 1, memory_order_relaxed);
    token_drop(token);
}

void token_cache_free(struct token_cache *cache)
{
    if (cache == NULL)
        return;
    while (cache->oldest != NULL)
        remove_token(cache, cache->oldest);
    free(cache->buckets);
    free(cache);
}

/* ---- look-up ------------------------------------------------------------------------------ */

/*
 * From the last 32 characters: part of the signature, or of 32 random bytes, so as good as
 * random among tokens of ours; and only those are in the table.
 */
static uint64_t hash_of(const struct token_cache *cache, andiron_str text)
{
    uint64_t hash = cache->auth->seed ^ text.len, word;
    size_t len = text.len < 32 ? text.len : 32;
    const char *tail = text.data + (text.len - len);
    for (size_t i = 0; i + sizeof(word) <= len; i += sizeof(word)) {
        memcpy(&word, tail + i, sizeof(word));
        hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 29;
    }
    return hash;
}

/* Whether a and b are the same, without telling by its time where they differ. */
static bool is_same(andiron_str a, andiron_str b)
{
    uint64_t differs = 0, x, y;
    size_t i = 0;
    if (a.len != b.len)
        return false;
    for (; i + sizeof(x) <= a.len; i += sizeof(x)) {
        memcpy(&x, a.data + i, sizeof(x));
        memcpy(&y, b.data + i, sizeof(y));
        differs |= x ^ y;
    }
    for (; i < a.len; i++)
        differs |= (uint64_t)(uint8_t)(a.data[i] ^ b.data[i]);
    return differs == 0;
}

static bool still_holds(const struct token *token)
{
    return andiron_now() < token->dead &&
           (token->client == NULL || client_is_current(token->client)) &&
           token->session_epoch ==
               atomic_load_explicit(token->session_epoch_now, memory_order_acquire);
}

struct token *token_find(struct token_cache *cache, andiron_str text)
{
    uint64_t hash = hash_of(cache, text);
    struct token *token = cache->buckets[hash & (cache->bucket_count - 1)];

    while (token != NULL && !(token->hash == hash && is_same(token->text, text)))
        token = token->next;
    if (token == NULL)
        return NULL;
    if (!still_holds(token)) {
        remove_token(cache, token);
        return NULL;
    }
    if (token != cache->newest) {
        list_remove(cache, token);
        list_append(cache, token);
    }
    return token;
}

/* ---- filling ------------------------------------------------------------------------------ */

struct token *token_new(andiron_str text, size_t expected_bytes)
{
    struct andiron_arena *arena =
        andiron_arena_new(sizeof(struct token) + text.len + expected_bytes);
    struct token *token = andiron_new(arena, struct token);
    token->arena = arena;
    token->references = 1;
    token->text = (andiron_str){ andiron_copy(arena, text), text.len };
    return token;
}

static void grow(struct token_cache *cache)
{
    size_t count = cache->bucket_count * 2;
    struct token **buckets = calloc(count, sizeof(*buckets));
    if (buckets == NULL)
        return; /* longer chains, nothing worse */
    free(cache->buckets);
    cache->buckets = buckets;
    cache->bucket_count = count;
    for (struct token *t = cache->oldest; t != NULL; t = t->newer) {
        t->next = buckets[t->hash & (count - 1)];
        buckets[t->hash & (count - 1)] = t;
    }
}

void token_insert(struct token_cache *cache, struct token *token)
{
    /* Two requests may have verified the same token at a time; the later one takes its place. */
    struct token *other = token_find(cache, token->text);
    if (other != NULL)
        remove_token(cache, other);
    while (cache->count >= cache->max)
        remove_token(cache, cache->oldest);
    if (cache->count >= cache->bucket_count)
        grow(cache);
    token->hash = hash_of(cache, token->text);
    struct token **at = &cache->buckets[token->hash & (cache->bucket_count - 1)];
    token->next = *at;
    *at = token;
    list_append(cache, token);
    cache->count++;
    atomic_fetch_add_explicit(&cache->auth->kept_tokens, 1, memory_order_relaxed);
    token->references++;
}

static void drop(void *token)
{
    token_drop(token);
}

void token_use(struct token *token, struct andiron_request *req)
{
    token->references++;
    andiron_at_release(andiron_request_arena(req), drop, token);
    andiron_request_set_principal(req, &token->principal);
}
