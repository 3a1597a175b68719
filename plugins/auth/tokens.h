/*
 * Access tokens that were verified: what they stand for, cached per loop.
 *
 * Only verified tokens get in, so nobody can fill it or make collisions without tokens of
 * ours. An entry ends with its token, its Client's snapshot or its Session.
 */
#ifndef AUTH_TOKENS_H
#define AUTH_TOKENS_H

#include "clients.h"

struct token {
    struct token *next;          /* in its bucket */
    struct token *older, *newer; /* by use */
    unsigned references;
    struct andiron_arena *arena;
    uint64_t hash;
    andiron_str text;
    struct client *client; /* held; NULL: of another issuer, see foreign.h */
    unsigned session_epoch;
    atomic_uint *session_epoch_now;
    andiron_usec dead; /* end of the token, with skew */
    struct andiron_principal principal;
};

struct token_cache *token_cache_new(struct auth *auth);
void token_cache_free(struct token_cache *cache);

/* The entry of a token that still holds, or NULL. */
struct token *token_find(struct token_cache *cache, andiron_str text);

/* An entry to be filled; text is copied. In the cache only after token_insert(). */
struct token *token_new(andiron_str text, size_t expected_bytes);
void token_insert(struct token_cache *cache, struct token *token);

/* Makes its principal the request's, and holds it for as long. */
void token_use(struct token *token, struct andiron_request *req);
void token_drop(struct token *token);

#endif
