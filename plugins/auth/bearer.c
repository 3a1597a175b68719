/*
 * Bearer tokens (RFC 6750, seed-semantics AU-4 to AU-7).
 *
 * The short way is a look into the loop's cache. The long way verifies the signature, or
 * finds the Session of an opaque token, then reads Session and Client and makes an entry.
 */
#include "client.h"
#include "clients.h"
#include "session.h"
#include "tokens.h"

enum { TOKEN_MAX = 16 * 1024 };

struct bearing {
    struct auth *auth;
    andiron_str text;
    andiron_json claims; /* MISSING for an opaque token */
    andiron_str session_id, client_id;
    andiron_usec ends;

    unsigned session_epoch;
    atomic_uint *session_epoch_now;
    struct andiron_ref ref;
    struct andiron_filter filter;
    struct andiron_query query;
    struct andiron_rows rows;
    andiron_json session;
    struct client *client;
    struct andiron_error error;
};

/* AU-7 */
static enum andiron_step refuse(struct andiron_request *req, enum andiron_code code,
                                const char *description)
{
    andiron_reply_header(
        req, "WWW-Authenticate",
        andiron_str_of(andiron_printf(andiron_request_arena(req),
                                      "Bearer realm=\"andiron\", error=\"invalid_token\", "
                                      "error_description=\"%s\"",
                                      description)));
    return andiron_fail(req, code, "Unauthorized");
}

static enum andiron_step refuse_unknown(struct andiron_request *req)
{
    return refuse(req, ANDIRON_E_CREDENTIALS, "the token is not valid here");
}

static andiron_usec skew(const struct bearing *b)
{
    return b->auth->config->clock_skew * 1000;
}

/* ---- the entry ---------------------------------------------------------------------------- */

static andiron_json keep_json(struct andiron_arena *arena, andiron_json v)
{
    andiron_str raw = andiron_json_raw(v);
    andiron_json kept = { NULL, 0 };
    struct andiron_error err;
    raw = (andiron_str){ andiron_copy(arena, raw), raw.len };
    if (raw.len == 0 || andiron_json_parse(arena, raw, &kept, &err) != 0)
        return (andiron_json){ NULL, 0 };
    return kept;
}

/* The Session without the hash of its token, which is nobody's to see. */
static andiron_json keep_session(struct andiron_arena *arena, andiron_json session)
{
    struct andiron_json_writer *w = andiron_json_write(arena, andiron_json_raw(session).len + 64);
    struct andiron_json_iter it = { .of = session };
    andiron_json kept = { NULL, 0 };
    struct andiron_error err;

    andiron_json_put_object(w, NULL);
    while (andiron_json_next(&it))
        if (!andiron_str_eq(it.name, ANDIRON_STR("access_token")))
            andiron_json_put_member(w, it.name, it.value);
    andiron_json_put_end(w);
    andiron_str text = andiron_json_written(w);
    if (text.data == NULL || andiron_json_parse(arena, text, &kept, &err) != 0)
        return (andiron_json){ NULL, 0 };
    return kept;
}

static const char *const *keep_scopes(struct andiron_arena *arena, andiron_json scope)
{
    const char **list = andiron_alloc(arena, (andiron_json_count(scope) + 1) * sizeof(*list));
    struct andiron_json_iter it = { .of = scope };
    size_t count = 0;
    while (andiron_json_next(&it))
        list[count++] = andiron_copy(arena, andiron_json_str(it.value));
    return list;
}

/* Fills principal.scopes and scope_set. A scope that cannot be judged voids the token. */
static int scope_principal(const struct bearing *b, struct token *token)
{
    const struct andiron_scopes *scopes = b->auth->scopes.table;
    andiron_json scope = andiron_json_get(b->session, "scope");

    if (andiron_json_type(scope) == ANDIRON_JSON_MISSING)
        return 0;
    token->principal.scopes = keep_scopes(token->arena, scope);
    if (scopes == NULL)
        return -1;
    return scopes->compile_in(b->auth->scopes.self, token->arena, token->principal.scopes,
                              token->principal.jwt, &token->principal.scope_set, NULL);
}

static enum andiron_step admit(struct andiron_request *req, struct bearing *b)
{
    struct token *token = token_new(b->text, andiron_json_raw(b->claims).len * 3 +
                                                 andiron_json_raw(b->session).len * 3 + 1024);

    token->client = b->client;
    client_hold(b->client);
    token->session_epoch = b->session_epoch;
    token->session_epoch_now = b->session_epoch_now;
    token->dead = b->ends + skew(b);
    token->principal = (struct andiron_principal){
        .size = sizeof(token->principal),
        .kind = ANDIRON_CLIENT,
        .id = b->client->id.data,
        .client = b->client->json,
        .session = keep_session(token->arena, b->session),
        .jwt = keep_json(token->arena, b->claims),
        .expires = b->ends,
    };
    if (scope_principal(b, token) != 0) {
        token_drop(token);
        return refuse(req, ANDIRON_E_CREDENTIALS, "the token's scopes cannot be judged");
    }
    token_insert(auth_loop_of(b->auth, req)->tokens, token);
    token_use(token, req);
    token_drop(token);
    return ANDIRON_NEXT;
}

/* ---- Session and Client ------------------------------------------------------------------- */

static enum andiron_step client_found(struct andiron_request *req, void *state)
{
    struct bearing *b = state;

    if (b->error.code != ANDIRON_OK)
        return andiron_fail_with(req, &b->error);
    if (b->client == NULL || !b->client->active) /* AU-6 */
        return refuse(req, ANDIRON_E_CREDENTIALS, "the client is not active");
    /* CL-7: also where nobody has ended the Session, or it was stored too late for that. */
    if (!andiron_str_eq(andiron_json_str(andiron_json_get(b->session, CLIENT_INCARNATION)),
                        b->client->incarnation))
        return refuse(req, ANDIRON_E_CREDENTIALS, "the session has ended");
    return admit(req, b);
}

/* Whether the stored Session is that of this token, and still runs. */
static bool session_holds(struct andiron_request *req, struct bearing *b,
                          const struct andiron_row *row)
{
    andiron_str client;

    if (row->deleted || row->ref.id.len == 0 ||
        andiron_json_parse(andiron_request_arena(req), row->body, &b->session, &b->error) != 0 ||
        !andiron_json_true(andiron_json_get(b->session, "active")))
        return false;
    client = andiron_json_str(andiron_json_path(b->session, "client.id"));
    if (andiron_json_type(b->claims) == ANDIRON_JSON_MISSING) {
        b->client_id = client;
        b->ends = auth_instant_read(andiron_json_str(andiron_json_get(b->session, "exp")));
    }
    return client.len != 0 && andiron_str_eq(client, b->client_id);
}

static enum andiron_step session_found(struct andiron_request *req, void *state)
{
    struct bearing *b = state;

    if (b->rows.error.code != ANDIRON_OK)
        return andiron_fail_with(req, &b->rows.error);
    if (b->rows.count != 1)
        return refuse_unknown(req);
    if (!session_holds(req, b, &b->rows.rows[0]))
        return refuse(req, ANDIRON_E_CREDENTIALS, "the session has ended");
    if (andiron_now() >= b->ends + skew(b))
        return refuse(req, ANDIRON_E_EXPIRED, "the token has expired");
    return client_find(b->auth, req, b->client_id, &b->client, &b->error, client_found, b);
}

/* ---- JWT ---------------------------------------------------------------------------------- */

static enum andiron_step read_session(struct andiron_request *req, struct bearing *b)
{
    const struct andiron_store *store = b->auth->store.table;

    b->session_epoch_now = auth_session_epoch(b->auth, b->session_id);
    b->session_epoch = atomic_load(b->session_epoch_now);
    b->ref = (struct andiron_ref){ .type = ANDIRON_STR("Session"), .id = b->session_id };
    b->rows = (struct andiron_rows){ .total = -1 };
    return store->read(b->auth->store.self, req, &b->ref, 1, &b->rows, session_found, b);
}

static enum andiron_step verified(struct andiron_request *req, void *state)
{
    struct bearing *b = state;

    if (b->error.code != ANDIRON_OK)
        return refuse_unknown(req);
    andiron_str iss = andiron_json_str(andiron_json_get(b->claims, "iss"));
    int64_t exp = andiron_json_int(andiron_json_get(b->claims, "exp"), 0);
    b->session_id = andiron_json_str(andiron_json_get(b->claims, "jti"));
    b->client_id = andiron_json_str(andiron_json_get(b->claims, "client_id"));
    if (!andiron_str_eq(iss, andiron_request_base(req)) || b->session_id.len == 0 ||
        b->client_id.len == 0 || exp <= 0 || exp > INT64_MAX / 2000000)
        return refuse_unknown(req);
    b->ends = exp * 1000000;
    if (andiron_now() >= b->ends + skew(b))
        return refuse(req, ANDIRON_E_EXPIRED, "the token has expired");
    return read_session(req, b);
}

/* ---- opaque ------------------------------------------------------------------------------- */

static enum andiron_step opaque_found(struct andiron_request *req, void *state)
{
    struct bearing *b = state;

    if (b->rows.error.code != ANDIRON_OK)
        return andiron_fail_with(req, &b->rows.error);
    if (b->rows.count != 1)
        return refuse_unknown(req);
    /* Read again by id: only now is it known which epoch to note before reading. */
    b->session_id = b->rows.rows[0].ref.id;
    return read_session(req, b);
}

static enum andiron_step find_opaque(struct andiron_request *req, struct bearing *b)
{
    const struct andiron_store *store = b->auth->store.table;
    andiron_str hash = session_token_hash(andiron_request_arena(req), b->text);

    b->filter = (struct andiron_filter){
        .op = ANDIRON_FILTER_TERM,
        .compare = ANDIRON_CMP_EQ,
        .term = { .param = SESSION_TOKEN_PARAM, .kind = ANDIRON_TERM_TOKEN, .text = hash }
    };
    b->query = (struct andiron_query){ .type = "Session", .filter = &b->filter, .limit = 2 };
    b->rows = (struct andiron_rows){ .total = -1 };
    return store->search(b->auth->store.self, req, &b->query, &b->rows, opaque_found, b);
}

/* ---- the way in --------------------------------------------------------------------------- */

static bool is_compact_jws(andiron_str text)
{
    size_t dots = 0;
    for (size_t i = 0; i < text.len; i++)
        dots += text.data[i] == '.';
    return dots == 2;
}

/* b64token of RFC 6750 section 2.1 */
static bool is_token_text(andiron_str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] <= ' ' || text.data[i] > '~' || text.data[i] == '"')
            return false;
    return text.len != 0 && text.len <= TOKEN_MAX;
}

enum andiron_step auth_bearer(struct andiron_request *req, struct auth *auth, andiron_str text)
{
    const struct andiron_keys *keys = auth->keys.table;

    /* Only good tokens are in there, so the text needs no look before. */
    struct token *token = token_find(auth_loop_of(auth, req)->tokens, text);
    if (token != NULL) {
        andiron_count(auth->token_hits, 1);
        token_use(token, req);
        return ANDIRON_NEXT;
    }
    andiron_count(auth->token_misses, 1);
    if (!is_token_text(text))
        return refuse_unknown(req);
    struct bearing *b = andiron_new(andiron_request_arena(req), struct bearing);
    b->auth = auth;
    b->text = text;
    if (!is_compact_jws(text))
        return find_opaque(req, b);
    return keys->verify(auth->keys.self, req, text, &b->claims, &b->error, verified, b);
}
