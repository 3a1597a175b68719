/*
 * Client authentication in steps: by assertion (JA-1 to JA-12 in their order), or by secret.
 */
#include "caller.h"

#include "basic.h"
#include "client.h"
#include "guess.h"
#include "keys.h"
#include "oauth.h"
#include "session.h"

/* AU-9: the same for right and wrong secrets, known and unknown clients. */
static enum andiron_step slow_down(struct andiron_request *req, struct caller *c, int64_t seconds)
{
    guess_refuse(req, c->auth, seconds);
    return oauth_fail(req, c->auth, "slow_down",
                      "too many failed authentications; try again in %lld s", (long long)seconds);
}

/*
 * JA-6 to JA-8 say the same, so that nobody learns which clients exist. This is what counts as a
 * guess: what was refused before named no client, and what is refused behind came from who has
 * its key. A signature cannot be guessed, so a good one need not wait for others' bad ones.
 */
static enum andiron_step refuse_client(struct andiron_request *req, struct caller *c)
{
    int64_t seconds = guess_failed(req, c->auth, c->id);

    if (seconds != 0)
        return slow_down(req, c, seconds);
    if (c->method == METHOD_HEADER)
        andiron_reply_header(req, "WWW-Authenticate", ANDIRON_STR("Basic realm=\"andiron\""));
    return oauth_fail(req, c->auth, "invalid_client", "client or signature not accepted");
}

static enum andiron_step client_again(struct andiron_request *req, void *state)
{
    struct caller *c = state;

    if (c->error.code != ANDIRON_OK)
        return oauth_fail_with(req, c->auth, &c->error);
    if (c->client == NULL || !c->client->active)
        return refuse_client(req, c);
    return c->then(req, c->state);
}

static enum andiron_step proven(struct andiron_request *req, struct caller *c)
{
    /* Hashing and fetching take time: the Client may have been changed, or ended, meanwhile. */
    if (!client_is_current(c->client) && !c->looked_again) {
        c->looked_again = true;
        return client_find(c->auth, req, c->client->id, &c->client, &c->error, client_again, c);
    }
    return c->then(req, c->state);
}

/* ---- by assertion ------------------------------------------------------------------------- */

enum andiron_step caller_refuse_used(struct andiron_request *req, struct caller *c)
{
    return oauth_fail(req, c->auth, "invalid_client", "assertion: jti was used before");
}

/* JA-12: what the store takes together with the Session, as long as the assertion could count. */
static void name_jti(struct andiron_request *req, struct caller *c)
{
    struct andiron_arena *arena = andiron_request_arena(req);
    andiron_str jti = session_token_hash(arena, c->assertion.jti); /* names have one length */

    c->jti = andiron_str_of(andiron_printf(arena, "jti/%.*s/%.*s", (int)c->client->id.len,
                                           c->client->id.data, (int)jti.len, jti.data));
    c->jti_until = (andiron_usec)((c->assertion.exp_s + c->rules.skew_s + 1) * 1e6);
}

static enum andiron_step signature_checked(struct andiron_request *req, void *state)
{
    struct caller *c = state;

    gate_leave(&c->visit);
    if (!c->is_valid)
        return refuse_client(req, c);
    /* Not the time at which it came: fetching keys takes seconds, a jti is forgotten at its end. */
    c->rules.now_s = (double)andiron_now() / 1e6;
    if (assertion_check(&c->assertion, &c->rules, &c->error) != 0)
        return oauth_fail(req, c->auth, "invalid_client", "%s", c->error.message);
    name_jti(req, c);
    return proven(req, c);
}

static enum andiron_step dummy_verified(struct andiron_request *req, void *state)
{
    return refuse_client(req, state);
}

static void verify_dummy_now(void *state)
{
    const struct caller *c = state;
    (void)jose_verify(c->key, c->assertion.alg, c->assertion.jws.signed_part,
                      c->assertion.jws.signature);
}

/* Refuses after a verification with a key of nobody's: takes as long as for a key that is there. */
static enum andiron_step refuse_as_slowly(struct andiron_request *req, struct caller *c)
{
    c->key = auth_dummy_key(c->auth, c->assertion.alg);
    if (jose_verify_is_slow(c->key, c->assertion.alg))
        return andiron_offload(req, verify_dummy_now, dummy_verified, c);
    verify_dummy_now(c);
    return refuse_client(req, c);
}

static void verify_now(void *state)
{
    struct caller *c = state;
    c->is_valid = jose_verify(c->key, c->assertion.alg, c->assertion.jws.signed_part,
                              c->assertion.jws.signature);
}

static void drop_keys(void *keys)
{
    client_keys_drop(keys);
}

static enum andiron_step fetch_set(struct andiron_request *req, struct caller *c, bool renew);

/* JA-7 and JA-8 */
static enum andiron_step find_key(struct andiron_request *req, struct caller *c)
{
    struct client_keys *keys = NULL;
    size_t count =
        client_key(c->client, c->set, c->assertion.kid, c->assertion.alg, &c->key, &keys);

    if (count == 0 && c->set.data != NULL && !c->renewed)
        return fetch_set(req, c, true);
    if (count != 0)
        andiron_at_release(andiron_request_arena(req), drop_keys, keys);
    if (count != 1)
        return refuse_as_slowly(req, c);
    if (jose_verify_is_slow(c->key, c->assertion.alg)) {
        gate_enter(auth_loop_of(c->auth, req)->gate, req, &c->visit);
        return andiron_offload(req, verify_now, signature_checked, c);
    }
    verify_now(c);
    return signature_checked(req, c);
}

static enum andiron_step set_fetched(struct andiron_request *req, void *state)
{
    struct caller *c = state;

    if (c->error.code != ANDIRON_OK) /* JK-7 */
        return oauth_fail(req, c->auth, "invalid_client", "client key set unavailable");
    return find_key(req, c);
}

static enum andiron_step fetch_set(struct andiron_request *req, struct caller *c, bool renew)
{
    const struct andiron_keys *keys = c->auth->keys.table;
    c->renewed = renew;
    return keys->fetch(c->auth->keys.self, req, c->client->jwks_uri, renew, &c->set, &c->error,
                       set_fetched, c);
}

static enum andiron_step assertion_client(struct andiron_request *req, void *state)
{
    struct caller *c = state;

    if (c->error.code != ANDIRON_OK)
        return oauth_fail_with(req, c->auth, &c->error);
    /*
     * JA-5: nothing is ever fetched from a URL that a token names. A client that does not exist has
     * registered none: it is refused in the same words.
     */
    bool exists = c->client != NULL && c->client->active;
    if (c->assertion.jku.data != NULL &&
        !(exists && andiron_str_eq(c->assertion.jku, c->client->jwks_uri)))
        return oauth_fail(req, c->auth, "invalid_client",
                          "assertion: jku must be the registered jwks_uri");
    if (!exists || (c->client->jwks_uri.len == 0 && andiron_json_count(c->client->jwks) == 0))
        return refuse_as_slowly(req, c);
    return c->client->jwks_uri.len != 0 ? fetch_set(req, c, false) : find_key(req, c);
}

static enum andiron_step by_assertion(struct andiron_request *req, struct caller *c)
{
    const struct config *config = c->auth->config;

    c->rules = (struct assertion_rules){ .algs = c->auth->algs,
                                         .max_bytes = (size_t)config->max_assertion,
                                         .audience = c->endpoint,
                                         .skew_s = (double)config->clock_skew / 1e3,
                                         .life_s = (double)config->max_assertion_life / 1e3 };
    if (config->assertion_aud_issuer)
        c->rules.other_audience = c->base;
    if (assertion_read(andiron_request_arena(req), c->params.client_assertion, &c->rules,
                       &c->assertion, &c->error) != 0)
        return oauth_fail(req, c->auth, "invalid_client", "%s", c->error.message);
    /* TK-8 */
    if (c->params.client_id.data != NULL &&
        !andiron_str_eq(c->params.client_id, c->assertion.client))
        return oauth_fail(req, c->auth, "invalid_client", "client_id must be the assertion's sub");
    c->id = c->assertion.client;
    andiron_request_note(req, "client", c->id);
    return client_find(c->auth, req, c->id, &c->client, &c->error, assertion_client, c);
}

/* ---- by secret ---------------------------------------------------------------------------- */

static enum andiron_step secret_proven(struct andiron_request *req, void *state);

static enum andiron_step secret_client(struct andiron_request *req, void *state)
{
    struct caller *c = state;
    if (c->error.code != ANDIRON_OK)
        return oauth_fail_with(req, c->auth, &c->error);
    return secret_prove(c->auth, req, c->id, c->client, c->secret, &c->proof, secret_proven, c);
}

static enum andiron_step prove(struct andiron_request *req, struct caller *c)
{
    andiron_request_note(req, "client", c->id);
    int64_t seconds = guess_wait(req, c->auth, c->id);

    if (seconds != 0)
        return slow_down(req, c, seconds);
    return client_find(c->auth, req, c->id, &c->client, &c->error, secret_client, c);
}

/* TK-6: RFC 6749 section 2.3.1 has id and secret form-encoded in Basic; most clients do not. */
static bool decode_again(struct andiron_request *req, struct caller *c)
{
    struct andiron_arena *arena = andiron_request_arena(req);
    andiron_str id, secret;

    if (c->method != METHOD_HEADER || c->tried_decoded || params_decode(arena, c->id, &id) != 0 ||
        params_decode(arena, c->secret, &secret) != 0 ||
        (andiron_str_eq(id, c->id) && andiron_str_eq(secret, c->secret)))
        return false;
    c->tried_decoded = true;
    c->id = id;
    c->secret = secret;
    return true;
}

static enum andiron_step secret_proven(struct andiron_request *req, void *state)
{
    struct caller *c = state;

    if (c->proof == PROOF_BUSY)
        return oauth_fail(req, c->auth, "temporarily_unavailable",
                          "too many secrets are being checked; try again in a moment");
    if (c->proof != PROOF_RIGHT)
        return decode_again(req, c) ? prove(req, c) : refuse_client(req, c);
    if (!c->client->active)
        return refuse_client(req, c);
    /* Guesses that were under way together must not tell which was right, either. */
    int64_t seconds = guess_wait(req, c->auth, c->id);
    if (seconds != 0)
        return slow_down(req, c, seconds);
    /* Who registered assertions must not be reachable by something weaker. */
    if (c->client->needs_assertion)
        return oauth_fail(req, c->auth, "invalid_client",
                          "this client must authenticate by an assertion");
    return proven(req, c);
}

/* TK-5 and TK-7: exactly one method; NULL and *ret, or what is wrong. */
static const char *method_of(const struct oauth_params *p, andiron_str authorization,
                             enum caller_method *ret)
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
        *ret = METHOD_HEADER;
    return count > 1 ? "only one way of client authentication may be used" : NULL;
}

static enum andiron_step by_basic(struct andiron_request *req, struct caller *c)
{
    struct andiron_arena *arena = andiron_request_arena(req);
    andiron_str text;

    if (auth_scheme(andiron_request_header(req, "authorization"), &text) != AUTH_BASIC ||
        basic_read(arena, text, &c->id, &c->secret) != 0 ||
        (c->params.client_id.data != NULL && !andiron_str_eq(c->params.client_id, c->id))) {
        andiron_reply_header(req, "WWW-Authenticate", ANDIRON_STR("Basic realm=\"andiron\""));
        return oauth_fail(req, c->auth, "invalid_client", "client or signature not accepted");
    }
    return prove(req, c);
}

static enum andiron_step by_post(struct andiron_request *req, struct caller *c)
{
    if (c->params.client_id.data == NULL)
        return oauth_fail(req, c->auth, "invalid_request", "client_id is missing");
    c->id = c->params.client_id;
    c->secret = c->params.client_secret;
    return prove(req, c);
}

/* ---- the way in --------------------------------------------------------------------------- */

bool caller_read(struct andiron_request *req, struct auth *auth, enum params_of of,
                 struct caller *c)
{
    struct andiron_arena *arena = andiron_request_arena(req);

    c->auth = auth;
    c->base = andiron_request_base(req);
    c->endpoint =
        andiron_str_of(andiron_printf(arena, "%.*s/auth/token", (int)c->base.len, c->base.data));
    oauth_headers(req);
    andiron_arena_wipe(arena);
    if (params_read(arena, andiron_request_header(req, "content-type"), andiron_request_body(req),
                    of, &c->params, &c->error) != 0) {
        (void)oauth_fail(req, auth, "invalid_request", "%s", c->error.message);
        return false;
    }
    return true;
}

enum andiron_step caller_prove(struct andiron_request *req, struct caller *c, andiron_step_fn then,
                               void *state)
{
    const char *fault =
        method_of(&c->params, andiron_request_header(req, "authorization"), &c->method);

    c->then = then;
    c->state = state;
    if (fault != NULL)
        return oauth_fail(req, c->auth, "invalid_request", "%s", fault);
    switch (c->method) {
    case METHOD_ASSERTION:
        return by_assertion(req, c);
    case METHOD_HEADER:
        return by_basic(req, c);
    case METHOD_POST:
        return by_post(req, c);
    default:
        return oauth_fail(req, c->auth, "invalid_client", "client authentication is missing");
    }
}

static enum andiron_step jti_claimed(struct andiron_request *req, void *state)
{
    struct caller *c = state;

    if (c->error.code != ANDIRON_OK)
        return oauth_fail_with(req, c->auth, &c->error);
    return c->was_free ? c->then(req, c->state) : caller_refuse_used(req, c);
}

enum andiron_step caller_claim(struct andiron_request *req, struct caller *c, andiron_step_fn then,
                               void *state)
{
    const struct andiron_store *store = c->auth->store.table;

    c->then = then;
    c->state = state;
    if (c->jti.data == NULL)
        return then(req, state);
    return store->claim(c->auth->store.self, req, c->jti, c->jti_until, &c->was_free, &c->error,
                        jti_claimed, c);
}
