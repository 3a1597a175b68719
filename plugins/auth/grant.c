/*
 * Scopes granted to a Client; the last answer is kept, since clients ask for the same again.
 */
#include "grant.h"

enum { TEXT_MAX = 256 * 1024 };

void client_grant_free(struct client_grant_memo *memo)
{
    if (memo != NULL && --memo->references == 0)
        andiron_arena_free(memo->arena);
}

static andiron_str quoted(struct andiron_arena *arena, andiron_str text)
{
    struct andiron_json_writer *w = andiron_json_write(arena, TEXT_MAX);
    andiron_json_put_str(w, NULL, text);
    return andiron_json_written(w);
}

/* Space-separated scopes as an array. */
static andiron_str listed(struct andiron_arena *arena, andiron_str scopes)
{
    struct andiron_json_writer *w = andiron_json_write(arena, TEXT_MAX);
    andiron_json_put_array(w, NULL);
    while (scopes.len != 0) {
        const char *space = memchr(scopes.data, ' ', scopes.len);
        size_t len = space != NULL ? (size_t)(space - scopes.data) : scopes.len;
        if (len != 0)
            andiron_json_put_str(w, NULL, (andiron_str){ scopes.data, len });
        len += space != NULL;
        scopes.data += len;
        scopes.len -= len;
    }
    andiron_json_put_end(w);
    return andiron_json_written(w);
}

struct client_grant_memo *client_grant_ask(struct auth *auth, struct client *client,
                                           andiron_str requested, struct andiron_error *err)
{
    const struct andiron_scopes *scopes = auth->scopes.table;
    struct client_grant_memo *memo = client->grant;
    struct andiron_scope_grant grant;

    if (memo != NULL && andiron_str_eq(memo->requested, requested)) {
        memo->references++;
        return memo;
    }
    struct andiron_arena *arena = andiron_arena_new(4 * 1024);
    if (scopes->grant(auth->scopes.self, arena, requested, client->scope, &grant, err) != 0) {
        andiron_arena_free(arena);
        return NULL;
    }
    memo = andiron_new(arena, struct client_grant_memo);
    *memo = (struct client_grant_memo){ .references = 2, /* the caller's and the client's */
                                        .arena = arena,
                                        .requested = andiron_str_of(andiron_copy(arena, requested)),
                                        .is_empty = grant.scope.len == 0,
                                        .scope = quoted(arena, grant.scope),
                                        .claim = quoted(arena, grant.claim),
                                        .list = listed(arena, grant.scope) };
    /* Never a token without its scopes: it would be limited by none. */
    if (memo->scope.data == NULL || memo->claim.data == NULL || memo->list.data == NULL) {
        andiron_arena_free(arena);
        (void)andiron_error_set(err, ANDIRON_E_INVALID, "scope",
                                "the scopes granted come to more than %d bytes; ask for fewer",
                                TEXT_MAX);
        return NULL;
    }
    client_grant_free(client->grant);
    client->grant = memo;
    return memo;
}
