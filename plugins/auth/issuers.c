/*
 * Snapshots of TokenIntrospectors.
 */
#include "issuers.h"

#include "introspector.h"
#include "keys.h"

struct reading {
    struct auth *auth;
    unsigned epoch;
    struct andiron_query query;
    struct andiron_rows rows;
    struct issuers **ret_issuers;
    struct andiron_error *ret_error;
    andiron_step_fn then;
    void *state;
};

void issuers_drop(struct issuers *issuers)
{
    if (issuers == NULL || --issuers->references != 0)
        return;
    for (size_t i = 0; i < issuers->count; i++)
        client_keys_free(issuers->list[i].imported);
    andiron_arena_free(issuers->arena);
}

static bool is_for_jwts_of(const struct issuer *issuer, andiron_str iss)
{
    return issuer->endpoint.data == NULL && andiron_str_eq(issuer->iss, iss);
}

struct issuer *issuers_find(struct issuers *issuers, andiron_str iss)
{
    for (size_t i = 0; i < issuers->count; i++)
        if (is_for_jwts_of(&issuers->list[i], iss))
            return issuers->list[i].is_ambiguous ? NULL : &issuers->list[i];
    return NULL;
}

bool issuers_has(const struct issuers *issuers, andiron_str iss)
{
    for (size_t i = 0; i < issuers->count; i++)
        if (is_for_jwts_of(&issuers->list[i], iss))
            return true;
    return false;
}

bool issuers_has_endpoint(const struct issuers *issuers)
{
    return issuers->endpoints != 0;
}

static void note_ambiguous(const struct reading *r, struct issuers *issuers)
{
    struct issuer *last = &issuers->list[issuers->count - 1];

    for (size_t i = 0; i + 1 < issuers->count; i++) {
        if (!is_for_jwts_of(&issuers->list[i], last->iss))
            continue;
        issuers->list[i].is_ambiguous = last->is_ambiguous = true;
        andiron_log(r->auth->host, ANDIRON_LOG_ERROR, "auth.introspector.ambiguous",
                    "TokenIntrospector/%.*s and TokenIntrospector/%.*s have the same jwt.iss: "
                    "neither counts until one of them is gone",
                    (int)issuers->list[i].id.len, issuers->list[i].id.data, (int)last->id.len,
                    last->id.data);
    }
}

static void add_row(const struct reading *r, struct issuers *issuers, const struct andiron_row *row)
{
    struct issuer *issuer = &issuers->list[issuers->count];
    andiron_str body = { andiron_copy(issuers->arena, row->body), row->body.len };
    struct andiron_error err;
    andiron_json root;

    if (row->deleted)
        return;
    if (andiron_json_parse(issuers->arena, body, &root, &err) != 0) {
        andiron_log(r->auth->host, ANDIRON_LOG_ERROR, "auth.introspector.broken",
                    "TokenIntrospector/%.*s cannot be read: %s", (int)row->ref.id.len,
                    row->ref.id.data, err.message);
        return;
    }
    *issuer = (struct issuer){
        .id = andiron_json_str(andiron_json_get(root, "id")),
        .iss = andiron_json_str(andiron_json_path(root, "jwt.iss")),
        .jwks_uri = andiron_json_str(andiron_json_get(root, "jwks_uri")),
        .keys = andiron_json_path(root, "jwt.keys"),
        .secret = andiron_json_str(andiron_json_path(root, "jwt.secret")),
        .endpoint = andiron_json_str(andiron_json_path(root, "introspection_endpoint.url")),
        .authorization =
            andiron_json_str(andiron_json_path(root, "introspection_endpoint.authorization")),
        .ttl_ms = andiron_json_int(andiron_json_get(root, "cache_ttl"), INTROSPECTOR_TTL_S) * 1000,
    };
    if (issuer->endpoint.data == NULL && issuer->iss.len == 0)
        return;
    if (issuer->endpoint.data != NULL && issuers->endpoints == ENDPOINTS_MAX) {
        andiron_log(r->auth->host, ANDIRON_LOG_ERROR, "auth.introspector.many",
                    "there are more than %d TokenIntrospectors of type opaque; "
                    "TokenIntrospector/%.*s does not count",
                    ENDPOINTS_MAX, (int)issuer->id.len, issuer->id.data);
        return;
    }
    issuers->count++;
    if (issuer->endpoint.data != NULL)
        issuers->endpoints++;
    else
        note_ambiguous(r, issuers);
}

static void drop(void *issuers)
{
    issuers_drop(issuers);
}

static enum andiron_step give(struct andiron_request *req, struct issuers *issuers,
                              struct issuers **ret_issuers, andiron_step_fn then, void *state)
{
    issuers->references++;
    andiron_at_release(andiron_request_arena(req), drop, issuers);
    *ret_issuers = issuers;
    return then(req, state);
}

static enum andiron_step listed(struct andiron_request *req, void *state)
{
    struct reading *r = state;
    struct auth_loop *loop = auth_loop_of(r->auth, req);

    if (r->rows.error.code != ANDIRON_OK) {
        *r->ret_error = r->rows.error;
        return r->then(req, r->state);
    }
    struct andiron_arena *arena = andiron_arena_new(sizeof(struct issuers) + 4096);
    struct issuers *issuers = andiron_new(arena, struct issuers);
    issuers->arena = arena;
    issuers->references = 1;
    issuers->epoch = r->epoch;
    for (size_t i = 0; i < r->rows.count && i < ISSUERS_MAX; i++)
        add_row(r, issuers, &r->rows.rows[i]);
    if (r->rows.count > ISSUERS_MAX)
        andiron_log(r->auth->host, ANDIRON_LOG_ERROR, "auth.introspector.many",
                    "there are more than %d TokenIntrospectors; the others do not count",
                    ISSUERS_MAX);
    issuers_drop(loop->issuers);
    loop->issuers = issuers;
    return give(req, issuers, r->ret_issuers, r->then, r->state);
}

enum andiron_step issuers_now(struct auth *auth, struct andiron_request *req,
                              struct issuers **ret_issuers, struct andiron_error *ret_error,
                              andiron_step_fn then, void *state)
{
    struct auth_loop *loop = auth_loop_of(auth, req);
    const struct andiron_store *store = auth->store.table;
    unsigned epoch = atomic_load(&auth->issuer_epoch); /* noted before reading */

    *ret_error = (struct andiron_error){ .code = ANDIRON_OK };
    if (loop->issuers != NULL && loop->issuers->epoch == epoch)
        return give(req, loop->issuers, ret_issuers, then, state);
    struct reading *r = andiron_new(andiron_request_arena(req), struct reading);
    *r = (struct reading){ .auth = auth,
                           .epoch = epoch,
                           .query = { .type = "TokenIntrospector", .limit = ISSUERS_MAX + 1 },
                           .rows = { .total = -1 },
                           .ret_issuers = ret_issuers,
                           .ret_error = ret_error,
                           .then = then,
                           .state = state };
    return store->search(auth->store.self, req, &r->query, &r->rows, listed, r);
}
