/*
 * Bearer tokens (RFC 6750, seed-semantics AU-4 to AU-7).
 *
 * The short way is a look into the loop's cache. The long way looks the token up (lookup.c) and
 * makes an entry.
 */
#include "bearer.h"

#include "foreign.h"
#include "lookup.h"
#include "session.h"
#include "tokens.h"

struct bearing {
    struct lookup found;
    andiron_step_fn then;
    void *state;
};

enum andiron_step bearer_refuse(struct andiron_request *req, enum andiron_code code,
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
static int scope_principal(const struct lookup *l, struct token *token)
{
    const struct andiron_scopes *scopes = l->auth->scopes.table;
    andiron_json scope = andiron_json_get(l->session, "scope");

    if (andiron_json_type(scope) == ANDIRON_JSON_MISSING)
        return 0;
    token->principal.scopes = keep_scopes(token->arena, scope);
    if (scopes == NULL)
        return -1;
    return scopes->compile_in(l->auth->scopes.self, token->arena, token->principal.scopes,
                              token->principal.jwt, &token->principal.scope_set, NULL);
}

/* The token's entry, or NULL if its scopes cannot be judged. */
static struct token *entry_of(const struct lookup *l)
{
    struct token *token = token_new(l->text, andiron_json_raw(l->claims).len * 3 +
                                                 andiron_json_raw(l->session).len * 3 + 1024);

    token->client = l->client;
    client_hold(l->client);
    token->session_epoch = l->session_epoch;
    token->session_epoch_now = l->session_epoch_now;
    token->dead = l->ends + l->auth->config->clock_skew * 1000;
    token->principal = (struct andiron_principal){
        .size = sizeof(token->principal),
        .kind = ANDIRON_CLIENT,
        .id = l->client->id.data,
        .client = l->client->json,
        .session = keep_session(token->arena, l->session),
        .jwt = keep_json(token->arena, l->claims),
        .expires = l->ends,
    };
    if (scope_principal(l, token) == 0)
        return token;
    token_drop(token);
    return NULL;
}

/* RFC 9068 section 4: a token that was asked for with another audience is not for us. */
static bool is_for_us(struct andiron_request *req, andiron_json session)
{
    static const andiron_str fhir = { "/fhir", 5 };
    andiron_str audience = andiron_json_str(andiron_json_get(session, "audience"));
    andiron_str base = andiron_request_base(req);

    if (audience.len < base.len || memcmp(audience.data, base.data, base.len) != 0)
        return false;
    audience.data += base.len;
    audience.len -= base.len;
    return audience.len == 0 || andiron_str_eq(audience, fhir);
}

static enum andiron_step looked_up(struct andiron_request *req, void *state)
{
    struct bearing *b = state;
    struct lookup *l = &b->found;

    switch (l->result) {
    case LOOKUP_HOLDS:
        break;
    case LOOKUP_FAILED:
        return andiron_fail_with(req, &l->error);
    case LOOKUP_EXPIRED:
        return bearer_refuse(req, ANDIRON_E_EXPIRED, "the token has expired");
    case LOOKUP_ENDED:
        return bearer_refuse(req, ANDIRON_E_CREDENTIALS, "the session has ended");
    case LOOKUP_NO_CLIENT:
        return bearer_refuse(req, ANDIRON_E_CREDENTIALS, "the client is not active");
    default:
        if (session_token_is_ours(l->text, andiron_request_base(req))) /* others must not see it */
            return bearer_refuse(req, ANDIRON_E_CREDENTIALS, "the session has ended");
        return auth_foreign(req, l->auth, l->text, b->then, b->state);
    }
    if (!is_for_us(req, l->session))
        return bearer_refuse(req, ANDIRON_E_CREDENTIALS, "the token is meant for another audience");
    struct token *token = entry_of(l);
    if (token == NULL)
        return bearer_refuse(req, ANDIRON_E_CREDENTIALS, "the token's scopes cannot be judged");
    token_insert(auth_loop_of(l->auth, req)->tokens, token);
    token_use(token, req);
    token_drop(token);
    return b->then(req, b->state);
}

enum andiron_step bearer_prove(struct andiron_request *req, struct auth *auth, andiron_str text,
                               andiron_step_fn then, void *state)
{
    /* Only good tokens are in there, so the text needs no look before. */
    struct token *token = token_find(auth_loop_of(auth, req)->tokens, text);
    if (token != NULL) {
        andiron_count(auth->token_hits, 1);
        token_use(token, req);
        return then(req, state);
    }
    andiron_count(auth->token_misses, 1);
    struct bearing *b = andiron_new(andiron_request_arena(req), struct bearing);
    b->then = then;
    b->state = state;
    return lookup_token(auth, req, text, &b->found, looked_up, b);
}
