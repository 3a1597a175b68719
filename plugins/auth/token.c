/*
 * POST /auth/token: the grant client_credentials (seed-semantics 4.1 to 4.4).
 *
 * A row of steps in the order of TK-4: parse, grant_type, client authentication (caller.c), grant
 * allowed, parameters, scope, issue. The jti of an assertion is claimed in the transaction that
 * stores the Session, or alone where the request is refused behind the authentication.
 */
#include "caller.h"
#include "client.h"
#include "grant.h"
#include "oauth.h"
#include "session.h"

enum { DEFAULT_TTL_S = 300 };

struct asking {
    struct caller caller;
    const char *refusal, *refusal_text; /* told once the jti has been claimed */
    struct client_grant_memo *grant;    /* NULL: no scopes */
    andiron_str audience_json;
    struct session session;
    struct andiron_write write;
    struct andiron_commit commit;
    struct gate_visit visit;
    andiron_str access_token;
};

/* ---- issuing ------------------------------------------------------------------------------ */

static enum andiron_step reply(struct andiron_request *req, struct asking *a)
{
    struct andiron_json_writer *w = andiron_json_write(andiron_request_arena(req), 1024 * 1024);

    oauth_count(req, a->caller.auth, NULL);
    andiron_request_log(req, ANDIRON_LOG_INFO, "auth.token.issued",
                        "client_credentials for Client/%.*s, session %.*s",
                        (int)a->caller.client->id.len, a->caller.client->id.data,
                        (int)a->session.id.len, a->session.id.data);
    andiron_json_put_object(w, NULL);
    andiron_json_put_str(w, "token_type", ANDIRON_STR("Bearer"));
    if (a->grant != NULL)
        andiron_json_put_raw(w, "scope", a->grant->scope);
    if (a->caller.client->shows_banner)
        andiron_json_put_bool(w, "need_patient_banner", true);
    andiron_json_put_int(w, "expires_in", (a->session.end - a->session.start) / 1000000);
    andiron_json_put_str(w, "access_token", a->access_token);
    if (a->caller.auth->config->null_refresh)
        andiron_json_put_raw(w, "refresh_token", ANDIRON_STR("null"));
    andiron_json_put_end(w);
    return andiron_reply(req, 200, "application/json", andiron_json_written(w));
}

static enum andiron_step token_signed(struct andiron_request *req, void *state)
{
    struct asking *a = state;
    gate_leave(&a->visit);
    if (a->caller.error.code != ANDIRON_OK)
        return oauth_fail_with(req, a->caller.auth, &a->caller.error);
    return reply(req, a);
}

/* TK-28 */
static andiron_str claims_of(struct andiron_arena *arena, const struct asking *a)
{
    struct andiron_json_writer *w = andiron_json_write(arena, 1024 * 1024);

    andiron_json_put_object(w, NULL);
    andiron_json_put_str(w, "iss", a->caller.base);
    andiron_json_put_str(w, "sub", a->caller.client->id);
    andiron_json_put_raw(w, "aud", a->audience_json);
    andiron_json_put_int(w, "iat", a->session.start / 1000000);
    andiron_json_put_int(w, "exp", a->session.end / 1000000);
    andiron_json_put_str(w, "jti", a->session.id);
    andiron_json_put_str(w, "client_id", a->caller.client->id);
    if (a->grant != NULL)
        andiron_json_put_raw(w, "scope", a->grant->claim);
    andiron_json_put_end(w);
    return andiron_json_written(w);
}

static enum andiron_step session_stored(struct andiron_request *req, void *state)
{
    struct asking *a = state;
    const struct andiron_keys *keys = a->caller.auth->keys.table;

    if (a->commit.error.code == ANDIRON_E_CONFLICT && a->commit.failed == a->commit.count)
        return caller_refuse_used(req, &a->caller);
    if (a->commit.error.code != ANDIRON_OK)
        return oauth_fail_with(req, a->caller.auth, &a->commit.error);
    if (!a->caller.client->wants_jwt)
        return reply(req, a);
    gate_enter(auth_loop_of(a->caller.auth, req)->gate, req, &a->visit);
    return keys->sign(a->caller.auth->keys.self, req, claims_of(andiron_request_arena(req), a),
                      &a->access_token, &a->caller.error, token_signed, a);
}

static void new_opaque_token(struct andiron_arena *arena, struct asking *a)
{
    a->access_token = session_token_new(arena, a->caller.base);
    a->session.token_hash = session_token_hash(arena, a->access_token);
}

/* Once for each start, whichever loop has the Client in memory; of two of one slot the first. */
static void note_long_life(struct andiron_request *req, struct asking *a)
{
    andiron_str id = a->caller.client->id;
    uint64_t slot = auth_hash(a->caller.auth, id) % LONG_LIVES;
    unsigned bit = 1u << slot % 32;

    if ((atomic_fetch_or(&a->caller.auth->long_lives[slot / 32], bit) & bit) == 0)
        andiron_request_log(req, ANDIRON_LOG_WARN, "auth.token.long",
                            "Client/%.*s gets tokens for more than 300 s, which SMART backend "
                            "services advises against",
                            (int)id.len, id.data);
}

/* TK-25 */
static int64_t lifetime(struct andiron_request *req, struct asking *a)
{
    int64_t seconds = a->caller.client->ttl_s > 0 ? a->caller.client->ttl_s : DEFAULT_TTL_S;
    int64_t most = a->caller.auth->config->max_ttl / 1000;

    if (seconds > DEFAULT_TTL_S && a->caller.method == METHOD_ASSERTION)
        note_long_life(req, a);
    return seconds < most ? seconds : most;
}

static enum andiron_step store_session(struct andiron_request *req, void *state)
{
    struct asking *a = state;
    const struct andiron_store *store = a->caller.auth->store.table;
    return store->commit(a->caller.auth->store.self, req, &a->commit, session_stored, a);
}

static enum andiron_step issue(struct andiron_request *req, struct asking *a)
{
    struct andiron_arena *arena = andiron_request_arena(req);
    char *id = andiron_alloc(arena, SESSION_ID);

    session_new_id(id);
    a->session = (struct session){ .id = { id, SESSION_ID },
                                   .client = a->caller.client->id,
                                   .incarnation = a->caller.client->incarnation,
                                   .issuer = a->caller.base,
                                   .audience_json = a->audience_json,
                                   .start = andiron_now() / 1000000 * 1000000 };
    a->session.end = a->session.start + lifetime(req, a) * 1000000;
    if (a->grant != NULL)
        a->session.scope_json = a->grant->list;
    if (!a->caller.client->wants_jwt)
        new_opaque_token(arena, a);
    session_write(arena, &a->session, &a->write);
    a->commit = (struct andiron_commit){ .writes = &a->write,
                                         .count = 1,
                                         .claim = a->caller.jti,
                                         .claim_expires = a->caller.jti_until };
    return gate_pass(auth_loop_of(a->caller.auth, req)->gate, req, store_session, a);
}

/* ---- scope and audience ------------------------------------------------------------------- */

static enum andiron_step refuse_now(struct andiron_request *req, void *state)
{
    const struct asking *a = state;
    return oauth_fail(req, a->caller.auth, a->refusal, "%s", a->refusal_text);
}

/* TK-4: authentication comes first, and the claim of the jti is part of it. */
static enum andiron_step refuse_grant(struct andiron_request *req, struct asking *a,
                                      const char *error, const char *text)
{
    a->refusal = error;
    a->refusal_text = text;
    return caller_claim(req, &a->caller, refuse_now, a);
}

static bool begins(andiron_str text, const char *with)
{
    size_t len = strlen(with);
    return text.len >= len && memcmp(text.data, with, len) == 0;
}

/* TK-22: what only makes sense with a user. */
static bool needs_user(andiron_str scope)
{
    static const char starts[][12] = { "patient/", "user/", "launch" };
    static const char names[][16] = { "openid", "fhirUser", "offline_access", "online_access" };
    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++)
        if (begins(scope, starts[i]))
            return true;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (andiron_str_eq(scope, andiron_str_of(names[i])))
            return true;
    return false;
}

static bool asks_for_user(andiron_str scopes)
{
    while (scopes.len != 0) {
        const char *space = memchr(scopes.data, ' ', scopes.len);
        size_t len = space != NULL ? (size_t)(space - scopes.data) : scopes.len;
        if (needs_user((andiron_str){ scopes.data, len }))
            return true;
        len += space != NULL;
        scopes.data += len;
        scopes.len -= len;
    }
    return false;
}

static void drop_grant(void *grant)
{
    client_grant_free(grant);
}

/* TK-21 to TK-23 */
static enum andiron_step check_scope(struct andiron_request *req, struct asking *a)
{
    andiron_str scope = a->caller.params.scope;

    if (andiron_json_count(a->caller.client->scope) == 0) {
        if (scope.data != NULL)
            return refuse_grant(req, a, "invalid_scope",
                                "no scopes are registered for this client; leave scope out");
        return issue(req, a);
    }
    if (scope.data == NULL)
        return refuse_grant(req, a, "invalid_scope", "scope is required");
    if (asks_for_user(scope))
        return refuse_grant(req, a, "invalid_scope",
                            "patient/, user/, launch and OpenID scopes need a user, whom "
                            "client_credentials has not");
    if (a->caller.auth->scopes.table == NULL)
        return refuse_grant(req, a, "invalid_scope",
                            "scopes are not supported here: plugin smart is not enabled");
    a->grant = client_grant_ask(a->caller.auth, a->caller.client, scope, &a->caller.error);
    if (a->grant == NULL)
        return refuse_grant(
            req, a, "invalid_scope",
            andiron_copy(andiron_request_arena(req), andiron_str_of(a->caller.error.message)));
    andiron_at_release(andiron_request_arena(req), drop_grant, a->grant);
    if (a->grant->is_empty)
        return refuse_grant(req, a, "invalid_scope",
                            "none of the requested scopes can be granted to this client");
    return issue(req, a);
}

static bool lists(andiron_json list, andiron_str text)
{
    struct andiron_json_iter it = { .of = list };
    while (andiron_json_next(&it))
        if (andiron_str_eq(andiron_json_str(it.value), text))
            return true;
    return false;
}

/* TK-24 */
static enum andiron_step check_audience(struct andiron_request *req, struct asking *a)
{
    struct andiron_arena *arena = andiron_request_arena(req);
    andiron_str fhir = andiron_str_of(
        andiron_printf(arena, "%.*s/fhir", (int)a->caller.base.len, a->caller.base.data));
    andiron_str audience =
        a->caller.params.audience.data != NULL ? a->caller.params.audience : fhir;

    if (!andiron_str_eq(audience, fhir) && !lists(a->caller.client->audience, audience))
        return refuse_grant(req, a, "invalid_target", "audience is not registered for this client");
    struct andiron_json_writer *w = andiron_json_write(arena, 128 * 1024);
    andiron_json_put_str(w, NULL, audience);
    a->audience_json = andiron_json_written(w);
    return check_scope(req, a);
}

static enum andiron_step authenticated(struct andiron_request *req, void *state)
{
    struct asking *a = state;

    if ((a->caller.client->grants & client_grant(a->caller.params.grant_type)) == 0) /* TK-20 */
        return refuse_grant(req, a, "unauthorized_client",
                            "grant type client_credentials is not registered for this client");
    return check_audience(req, a);
}

/* ---- the request -------------------------------------------------------------------------- */

enum andiron_step auth_token(struct andiron_request *req, void *self)
{
    struct auth *auth = self;
    struct asking *a = andiron_new(andiron_request_arena(req), struct asking);
    andiron_str grant_type;

    if (!caller_read(req, auth, PARAMS_OF_GRANT, &a->caller))
        return ANDIRON_DONE;
    grant_type = a->caller.params.grant_type;
    if (grant_type.data == NULL)
        return oauth_fail(req, auth, "invalid_request", "grant_type is missing");
    if (!andiron_str_eq(grant_type, ANDIRON_STR("client_credentials")))
        return oauth_fail(req, auth, "unsupported_grant_type",
                          "grant_type must be client_credentials");
    return caller_prove(req, &a->caller, authenticated, a);
}
