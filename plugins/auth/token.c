/*
 * POST /auth/token: the grant client_credentials (seed-semantics 4.1 to 4.4).
 *
 * A row of steps in the order of TK-4: parse, grant_type, client authentication, grant
 * allowed, parameters, scope, issue. The jti of an assertion is claimed in the transaction that
 * stores the Session, or alone where the request is refused behind the authentication.
 */
#include <stdlib.h>
#include <strings.h>

#include <gnutls/crypto.h>

#include "assertion.h"
#include "basic.h"
#include "client.h"
#include "common/jose/base64url.h"
#include "grant.h"
#include "keys.h"
#include "oauth.h"
#include "params.h"
#include "prove.h"
#include "session.h"

enum { DEFAULT_TTL_S = 300, OPAQUE_BYTES = 32 };

enum method { METHOD_NONE, METHOD_BASIC, METHOD_POST, METHOD_ASSERTION };

struct asking {
    struct auth *auth;
    struct token_params params;
    andiron_str base, endpoint;
    enum method method;
    struct andiron_error error;
    struct client *client; /* NULL: unknown */

    /* by secret */
    andiron_str id, secret;
    bool tried_decoded;
    enum proof proof;

    /* by assertion */
    struct assertion_rules rules;
    struct assertion assertion;
    andiron_str set; /* absent: the Client's own jwks */
    bool renewed, is_valid;
    const struct jose_key *key;

    andiron_str jti; /* name to be claimed; absent: not by assertion */
    andiron_usec jti_until;
    bool was_free;

    /* issuing */
    bool looked_again;
    const char *refusal, *refusal_text; /* told once the jti has been claimed */
    struct client_grant_memo *grant;    /* NULL: no scopes */
    andiron_str audience_json;
    struct session session;
    struct andiron_write write;
    struct andiron_commit commit;
    andiron_str access_token;
};

/* JA-6 to JA-8 say the same, so that nobody learns which clients exist. */
static enum andiron_step refuse_client(struct andiron_request *req, struct asking *a)
{
    if (a->method == METHOD_BASIC)
        andiron_reply_header(req, "WWW-Authenticate", ANDIRON_STR("Basic realm=\"andiron\""));
    return oauth_fail(req, a->auth, "invalid_client", "client or signature not accepted");
}

static enum andiron_step authenticated(struct andiron_request *req, struct asking *a);

/* ---- by assertion ------------------------------------------------------------------------- */

static enum andiron_step refuse_used(struct andiron_request *req, struct asking *a)
{
    return oauth_fail(req, a->auth, "invalid_client", "assertion: jti was used before");
}

/* JA-12: what the store takes together with the Session, as long as the assertion could count. */
static void name_jti(struct andiron_request *req, struct asking *a)
{
    struct andiron_arena *arena = andiron_request_arena(req);
    andiron_str jti = session_token_hash(arena, a->assertion.jti); /* names have one length */

    a->jti = andiron_str_of(andiron_printf(arena, "jti/%.*s/%.*s", (int)a->client->id.len,
                                           a->client->id.data, (int)jti.len, jti.data));
    a->jti_until = (andiron_usec)((a->assertion.exp_s + a->rules.skew_s + 1) * 1e6);
}

static enum andiron_step signature_checked(struct andiron_request *req, void *state)
{
    struct asking *a = state;

    if (!a->is_valid)
        return refuse_client(req, a);
    /* Not the time at which it came: fetching keys takes seconds, a jti is forgotten at its end. */
    a->rules.now_s = (double)andiron_now() / 1e6;
    if (assertion_check(&a->assertion, &a->rules, &a->error) != 0)
        return oauth_fail(req, a->auth, "invalid_client", "%s", a->error.message);
    name_jti(req, a);
    return authenticated(req, a);
}

static enum andiron_step dummy_verified(struct andiron_request *req, void *state)
{
    return refuse_client(req, state);
}

static void verify_dummy_now(void *state)
{
    const struct asking *a = state;
    (void)jose_verify(a->key, a->assertion.alg, a->assertion.jws.signed_part,
                      a->assertion.jws.signature);
}

/* Refuses after a verification with a key of nobody's: takes as long as for a key that is there. */
static enum andiron_step refuse_as_slowly(struct andiron_request *req, struct asking *a)
{
    a->key = auth_dummy_key(a->auth, a->assertion.alg);
    if (jose_verify_is_slow(a->key, a->assertion.alg))
        return andiron_offload(req, verify_dummy_now, dummy_verified, a);
    verify_dummy_now(a);
    return refuse_client(req, a);
}

static void verify_now(void *state)
{
    struct asking *a = state;
    a->is_valid = jose_verify(a->key, a->assertion.alg, a->assertion.jws.signed_part,
                              a->assertion.jws.signature);
}

static void drop_keys(void *keys)
{
    client_keys_drop(keys);
}

static enum andiron_step fetch_set(struct andiron_request *req, struct asking *a, bool renew);

/* JA-7 and JA-8 */
static enum andiron_step find_key(struct andiron_request *req, struct asking *a)
{
    struct client_keys *keys = NULL;
    size_t count =
        client_key(a->client, a->set, a->assertion.kid, a->assertion.alg, &a->key, &keys);

    if (count == 0 && a->set.data != NULL && !a->renewed)
        return fetch_set(req, a, true);
    if (count != 0)
        andiron_at_release(andiron_request_arena(req), drop_keys, keys);
    if (count != 1)
        return refuse_as_slowly(req, a);
    if (jose_verify_is_slow(a->key, a->assertion.alg))
        return andiron_offload(req, verify_now, signature_checked, a);
    verify_now(a);
    return signature_checked(req, a);
}

static enum andiron_step set_fetched(struct andiron_request *req, void *state)
{
    struct asking *a = state;

    if (a->error.code != ANDIRON_OK) /* JK-7 */
        return oauth_fail(req, a->auth, "invalid_client", "client key set unavailable");
    return find_key(req, a);
}

static enum andiron_step fetch_set(struct andiron_request *req, struct asking *a, bool renew)
{
    const struct andiron_keys *keys = a->auth->keys.table;
    a->renewed = renew;
    return keys->fetch(a->auth->keys.self, req, a->client->jwks_uri, renew, &a->set, &a->error,
                       set_fetched, a);
}

static enum andiron_step assertion_client(struct andiron_request *req, void *state)
{
    struct asking *a = state;

    if (a->error.code != ANDIRON_OK)
        return oauth_fail_with(req, a->auth, &a->error);
    /*
     * JA-5: nothing is ever fetched from a URL that a token names. A client that does not exist has
     * registered none: it is refused in the same words.
     */
    bool exists = a->client != NULL && a->client->active;
    if (a->assertion.jku.data != NULL &&
        !(exists && andiron_str_eq(a->assertion.jku, a->client->jwks_uri)))
        return oauth_fail(req, a->auth, "invalid_client",
                          "assertion: jku must be the registered jwks_uri");
    if (!exists || (a->client->jwks_uri.len == 0 &&
                    andiron_json_type(a->client->jwks) == ANDIRON_JSON_MISSING))
        return refuse_as_slowly(req, a);
    return a->client->jwks_uri.len != 0 ? fetch_set(req, a, false) : find_key(req, a);
}

static enum andiron_step by_assertion(struct andiron_request *req, struct asking *a)
{
    const struct config *config = a->auth->config;

    a->rules = (struct assertion_rules){ .algs = a->auth->algs,
                                         .max_bytes = (size_t)config->max_assertion,
                                         .audience = a->endpoint,
                                         .skew_s = (double)config->clock_skew / 1e3,
                                         .life_s = (double)config->max_assertion_life / 1e3 };
    if (config->assertion_aud_issuer)
        a->rules.other_audience = a->base;
    if (assertion_read(andiron_request_arena(req), a->params.client_assertion, &a->rules,
                       &a->assertion, &a->error) != 0)
        return oauth_fail(req, a->auth, "invalid_client", "%s", a->error.message);
    /* TK-8 */
    if (a->params.client_id.data != NULL &&
        !andiron_str_eq(a->params.client_id, a->assertion.client))
        return oauth_fail(req, a->auth, "invalid_client", "client_id must be the assertion's sub");
    return client_find(a->auth, req, a->assertion.client, &a->client, &a->error, assertion_client,
                       a);
}

/* ---- by secret ---------------------------------------------------------------------------- */

static enum andiron_step secret_proven(struct andiron_request *req, void *state);

static enum andiron_step secret_client(struct andiron_request *req, void *state)
{
    struct asking *a = state;
    if (a->error.code != ANDIRON_OK)
        return oauth_fail_with(req, a->auth, &a->error);
    return secret_prove(a->auth, req, a->id, a->client, a->secret, &a->proof, secret_proven, a);
}

static enum andiron_step prove(struct andiron_request *req, struct asking *a)
{
    return client_find(a->auth, req, a->id, &a->client, &a->error, secret_client, a);
}

/* TK-6: RFC 6749 section 2.3.1 has id and secret form-encoded in Basic; most clients do not. */
static bool decode_again(struct andiron_request *req, struct asking *a)
{
    struct andiron_arena *arena = andiron_request_arena(req);
    andiron_str id, secret;

    if (a->method != METHOD_BASIC || a->tried_decoded || params_decode(arena, a->id, &id) != 0 ||
        params_decode(arena, a->secret, &secret) != 0 ||
        (andiron_str_eq(id, a->id) && andiron_str_eq(secret, a->secret)))
        return false;
    a->tried_decoded = true;
    a->id = id;
    a->secret = secret;
    return true;
}

static enum andiron_step secret_proven(struct andiron_request *req, void *state)
{
    struct asking *a = state;

    if (a->proof == PROOF_BUSY)
        return oauth_fail(req, a->auth, "temporarily_unavailable",
                          "too many secrets are being checked; try again in a moment");
    if (a->proof != PROOF_RIGHT)
        return decode_again(req, a) ? prove(req, a) : refuse_client(req, a);
    if (!a->client->active)
        return refuse_client(req, a);
    /* Who registered assertions must not be reachable by something weaker. */
    if (a->client->needs_assertion)
        return oauth_fail(req, a->auth, "invalid_client",
                          "this client must authenticate by an assertion");
    return authenticated(req, a);
}

/* ---- issuing ------------------------------------------------------------------------------ */

static enum andiron_step reply(struct andiron_request *req, struct asking *a)
{
    struct andiron_json_writer *w = andiron_json_write(andiron_request_arena(req), 1024 * 1024);

    auth_count(a->auth, NULL);
    andiron_request_log(req, ANDIRON_LOG_INFO, "auth.token.issued",
                        "client_credentials for Client/%.*s, session %.*s", (int)a->client->id.len,
                        a->client->id.data, (int)a->session.id.len, a->session.id.data);
    andiron_json_put_object(w, NULL);
    andiron_json_put_str(w, "token_type", ANDIRON_STR("Bearer"));
    if (a->grant != NULL)
        andiron_json_put_raw(w, "scope", a->grant->scope);
    if (a->client->shows_banner)
        andiron_json_put_bool(w, "need_patient_banner", true);
    andiron_json_put_int(w, "expires_in", (a->session.end - a->session.start) / 1000000);
    andiron_json_put_str(w, "access_token", a->access_token);
    if (a->auth->config->null_refresh)
        andiron_json_put_raw(w, "refresh_token", ANDIRON_STR("null"));
    andiron_json_put_end(w);
    return andiron_reply(req, 200, "application/json", andiron_json_written(w));
}

static enum andiron_step token_signed(struct andiron_request *req, void *state)
{
    struct asking *a = state;
    if (a->error.code != ANDIRON_OK)
        return oauth_fail_with(req, a->auth, &a->error);
    return reply(req, a);
}

/* TK-28 */
static andiron_str claims_of(struct andiron_arena *arena, const struct asking *a)
{
    struct andiron_json_writer *w = andiron_json_write(arena, 1024 * 1024);

    andiron_json_put_object(w, NULL);
    andiron_json_put_str(w, "iss", a->base);
    andiron_json_put_str(w, "sub", a->client->id);
    andiron_json_put_raw(w, "aud", a->audience_json);
    andiron_json_put_int(w, "iat", a->session.start / 1000000);
    andiron_json_put_int(w, "exp", a->session.end / 1000000);
    andiron_json_put_str(w, "jti", a->session.id);
    andiron_json_put_str(w, "client_id", a->client->id);
    if (a->grant != NULL)
        andiron_json_put_raw(w, "scope", a->grant->claim);
    andiron_json_put_end(w);
    return andiron_json_written(w);
}

static enum andiron_step session_stored(struct andiron_request *req, void *state)
{
    struct asking *a = state;
    const struct andiron_keys *keys = a->auth->keys.table;

    if (a->commit.error.code == ANDIRON_E_CONFLICT && a->commit.failed == a->commit.count)
        return refuse_used(req, a);
    if (a->commit.error.code != ANDIRON_OK)
        return oauth_fail_with(req, a->auth, &a->commit.error);
    if (!a->client->wants_jwt)
        return reply(req, a);
    return keys->sign(a->auth->keys.self, req, claims_of(andiron_request_arena(req), a),
                      &a->access_token, &a->error, token_signed, a);
}

static void new_opaque_token(struct andiron_arena *arena, struct asking *a)
{
    uint8_t random[OPAQUE_BYTES];
    if (gnutls_rnd(GNUTLS_RND_KEY, random, sizeof(random)) != 0)
        abort(); /* without random numbers no token may be made */
    a->access_token = jose_base64url_text(arena, random, sizeof(random));
    a->session.token_hash = session_token_hash(arena, a->access_token);
}

/* TK-25 */
static int64_t lifetime(struct andiron_request *req, struct asking *a)
{
    int64_t seconds = a->client->ttl_s > 0 ? a->client->ttl_s : DEFAULT_TTL_S;
    int64_t most = a->auth->config->max_ttl / 1000;

    if (seconds > DEFAULT_TTL_S && a->method == METHOD_ASSERTION && !a->client->long_life_noted) {
        a->client->long_life_noted = true;
        andiron_request_log(req, ANDIRON_LOG_WARN, "auth.token.long",
                            "Client/%.*s gets tokens for more than 300 s, which SMART backend "
                            "services advises against",
                            (int)a->client->id.len, a->client->id.data);
    }
    return seconds < most ? seconds : most;
}

static enum andiron_step issue(struct andiron_request *req, struct asking *a)
{
    struct andiron_arena *arena = andiron_request_arena(req);
    const struct andiron_store *store = a->auth->store.table;
    char *id = andiron_alloc(arena, SESSION_ID);

    session_new_id(id);
    a->session = (struct session){ .id = { id, SESSION_ID },
                                   .client = a->client->id,
                                   .incarnation = a->client->incarnation,
                                   .issuer = a->base,
                                   .audience_json = a->audience_json,
                                   .start = andiron_now() / 1000000 * 1000000 };
    a->session.end = a->session.start + lifetime(req, a) * 1000000;
    if (a->grant != NULL)
        a->session.scope_json = a->grant->list;
    if (!a->client->wants_jwt)
        new_opaque_token(arena, a);
    session_write(arena, &a->session, &a->write);
    a->commit = (struct andiron_commit){
        .writes = &a->write, .count = 1, .claim = a->jti, .claim_expires = a->jti_until
    };
    return store->commit(a->auth->store.self, req, &a->commit, session_stored, a);
}

/* ---- scope and audience ------------------------------------------------------------------- */

static enum andiron_step jti_claimed(struct andiron_request *req, void *state)
{
    struct asking *a = state;
    if (a->error.code != ANDIRON_OK)
        return oauth_fail_with(req, a->auth, &a->error);
    if (!a->was_free)
        return refuse_used(req, a);
    return oauth_fail(req, a->auth, a->refusal, "%s", a->refusal_text);
}

/* TK-4: authentication comes first, and the claim of the jti is part of it. */
static enum andiron_step refuse_grant(struct andiron_request *req, struct asking *a,
                                      const char *error, const char *text)
{
    const struct andiron_store *store = a->auth->store.table;

    a->refusal = error;
    a->refusal_text = text;
    if (a->jti.data == NULL)
        return oauth_fail(req, a->auth, error, "%s", text);
    return store->claim(a->auth->store.self, req, a->jti, a->jti_until, &a->was_free, &a->error,
                        jti_claimed, a);
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
    andiron_str scope = a->params.scope;

    if (andiron_json_count(a->client->scope) == 0) {
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
    if (a->auth->scopes.table == NULL)
        return refuse_grant(req, a, "invalid_scope",
                            "scopes are not supported here: plugin smart is not enabled");
    a->grant = client_grant_ask(a->auth, a->client, scope, &a->error);
    if (a->grant == NULL)
        return refuse_grant(
            req, a, "invalid_scope",
            andiron_copy(andiron_request_arena(req), andiron_str_of(a->error.message)));
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
    andiron_str fhir =
        andiron_str_of(andiron_printf(arena, "%.*s/fhir", (int)a->base.len, a->base.data));
    andiron_str audience = a->params.audience.data != NULL ? a->params.audience : fhir;

    if (!andiron_str_eq(audience, fhir) && !lists(a->client->audience, audience))
        return refuse_grant(req, a, "invalid_target", "audience is not registered for this client");
    struct andiron_json_writer *w = andiron_json_write(arena, 128 * 1024);
    andiron_json_put_str(w, NULL, audience);
    a->audience_json = andiron_json_written(w);
    return check_scope(req, a);
}

static enum andiron_step client_again(struct andiron_request *req, void *state)
{
    struct asking *a = state;

    if (a->error.code != ANDIRON_OK)
        return oauth_fail_with(req, a->auth, &a->error);
    if (a->client == NULL || !a->client->active)
        return refuse_client(req, a);
    return authenticated(req, a);
}

static enum andiron_step authenticated(struct andiron_request *req, struct asking *a)
{
    /* Hashing and fetching take time: the Client may have been changed, or ended, meanwhile. */
    if (!client_is_current(a->client) && !a->looked_again) {
        a->looked_again = true;
        return client_find(a->auth, req, a->client->id, &a->client, &a->error, client_again, a);
    }
    if ((a->client->grants & client_grant(a->params.grant_type)) == 0) /* TK-20 */
        return refuse_grant(req, a, "unauthorized_client",
                            "grant type client_credentials is not registered for this client");
    return check_audience(req, a);
}

/* ---- the request -------------------------------------------------------------------------- */

/* TK-5 and TK-7: exactly one method; NULL and *ret, or what is wrong. */
static const char *method_of(const struct token_params *p, andiron_str authorization,
                             enum method *ret)
{
    int count = 0;

    *ret = METHOD_NONE;
    if ((p->client_assertion.data != NULL) != (p->client_assertion_type.data != NULL))
        return "client_assertion and client_assertion_type must come together";
    if (p->client_assertion_type.data != NULL &&
        !andiron_str_eq(p->client_assertion_type, ANDIRON_STR(CLIENT_ASSERTION_TYPE)))
        return "client_assertion_type must be " CLIENT_ASSERTION_TYPE;
    if (p->client_assertion.data != NULL && ++count > 0)
        *ret = METHOD_ASSERTION;
    if (p->client_secret.data != NULL && ++count > 0)
        *ret = METHOD_POST;
    if (authorization.data != NULL && ++count > 0)
        *ret = METHOD_BASIC;
    return count > 1 ? "only one way of client authentication may be used" : NULL;
}

static enum andiron_step by_basic(struct andiron_request *req, struct asking *a,
                                  andiron_str authorization)
{
    if (!(authorization.len > 6 && strncasecmp(authorization.data, "Basic ", 6) == 0) ||
        basic_read(andiron_request_arena(req),
                   (andiron_str){ authorization.data + 6, authorization.len - 6 }, &a->id,
                   &a->secret) != 0 ||
        (a->params.client_id.data != NULL && !andiron_str_eq(a->params.client_id, a->id)))
        return refuse_client(req, a);
    return prove(req, a);
}

static enum andiron_step by_post(struct andiron_request *req, struct asking *a)
{
    if (a->params.client_id.data == NULL)
        return oauth_fail(req, a->auth, "invalid_request", "client_id is missing");
    a->id = a->params.client_id;
    a->secret = a->params.client_secret;
    return prove(req, a);
}

enum andiron_step auth_token(struct andiron_request *req, void *self)
{
    struct asking *a = andiron_new(andiron_request_arena(req), struct asking);
    andiron_str authorization = andiron_request_header(req, "authorization");

    a->auth = self;
    a->base = andiron_request_base(req);
    a->endpoint = andiron_str_of(andiron_printf(andiron_request_arena(req), "%.*s/auth/token",
                                                (int)a->base.len, a->base.data));
    oauth_headers(req);
    if (params_read(andiron_request_arena(req), andiron_request_header(req, "content-type"),
                    andiron_request_body(req), &a->params, &a->error) != 0)
        return oauth_fail(req, a->auth, "invalid_request", "%s", a->error.message);
    if (a->params.grant_type.data == NULL)
        return oauth_fail(req, a->auth, "invalid_request", "grant_type is missing");
    if (!andiron_str_eq(a->params.grant_type, ANDIRON_STR("client_credentials")))
        return oauth_fail(req, a->auth, "unsupported_grant_type",
                          "grant_type must be client_credentials");
    const char *fault = method_of(&a->params, authorization, &a->method);
    if (fault != NULL)
        return oauth_fail(req, a->auth, "invalid_request", "%s", fault);
    switch (a->method) {
    case METHOD_ASSERTION:
        return by_assertion(req, a);
    case METHOD_BASIC:
        return by_basic(req, a, authorization);
    case METHOD_POST:
        return by_post(req, a);
    default:
        return oauth_fail(req, a->auth, "invalid_client", "client authentication is missing");
    }
}
