/*
 * Foreign tokens, step by step: issuer, header, key, signature, claims, user. Those that are no
 * JWT come to their claims by way of opaque.c.
 *
 * A good one goes into the loop's cache as our own do, for cache_ttl at most; its entry ends
 * when any TokenIntrospector or User changes.
 */
#include "foreign.h"

#include <math.h>
#include <strings.h>

#include "assertion.h"
#include "bearer.h"
#include "client.h"
#include "keys.h"
#include "lookup.h"
#include "opaque.h"
#include "secret.h"
#include "tokens.h"

enum { TOKEN_MAX = 16 * 1024, SCOPES_MAX = 1024 };

enum andiron_step foreign_refuse(struct andiron_request *req, struct foreign *f,
                                 enum andiron_code code, const char *description)
{
    opaque_refused(req, f);
    return bearer_refuse(req, code, description);
}

static enum andiron_step refuse(struct andiron_request *req, struct foreign *f)
{
    return foreign_refuse(req, f, ANDIRON_E_CREDENTIALS, "the token is not valid here");
}

static bool has(andiron_json object, const char *name)
{
    return andiron_json_type(andiron_json_get(object, name)) != ANDIRON_JSON_MISSING;
}

/* ---- the entry ------------------------------------------------------------------------------ */

static andiron_json keep(struct andiron_arena *arena, andiron_str text)
{
    andiron_json kept = { NULL, 0 };

    text = (andiron_str){ andiron_copy(arena, text), text.len };
    if (text.len == 0 || andiron_json_parse(arena, text, &kept, NULL) != 0)
        return (andiron_json){ NULL, 0 };
    return kept;
}

/* Policies see it, so its password stays behind. */
static andiron_json keep_user(struct andiron_arena *arena, andiron_json user)
{
    struct andiron_json_writer *w = andiron_json_write(arena, andiron_json_raw(user).len + 64);
    struct andiron_json_iter it = { .of = user };

    andiron_json_put_object(w, NULL);
    while (andiron_json_next(&it))
        if (!andiron_str_eq(it.name, ANDIRON_STR("password")))
            andiron_json_put_member(w, it.name, it.value);
    andiron_json_put_end(w);
    return keep(arena, andiron_json_written(w));
}

static bool is_resource_scope(andiron_str scope)
{
    static const char starts[][9] = { "patient/", "user/", "system/" };
    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        size_t len = strlen(starts[i]);
        if (scope.len >= len && memcmp(scope.data, starts[i], len) == 0)
            return true;
    }
    return false;
}

/* Scopes of the claim, NULL-terminated; NULL: too many, or not text. */
static const char *const *split_scopes(struct andiron_arena *arena, andiron_json claim,
                                       bool *ret_limits)
{
    andiron_str rest = andiron_json_str(claim);
    const char **list = andiron_alloc(arena, (SCOPES_MAX + 1) * sizeof(*list));
    size_t count = 0;

    if (rest.data == NULL)
        return NULL;
    while (rest.len != 0) {
        const char *blank = memchr(rest.data, ' ', rest.len);
        andiron_str one = { rest.data, blank != NULL ? (size_t)(blank - rest.data) : rest.len };
        size_t used = one.len + (blank != NULL);
        if (one.len != 0 && count == SCOPES_MAX)
            return NULL;
        if (one.len != 0) {
            *ret_limits = *ret_limits || is_resource_scope(one);
            list[count++] = andiron_copy(arena, one);
        }
        rest.data += used;
        rest.len -= used;
    }
    return list;
}

/* US-4: resource scopes limit; one that cannot be judged voids the token. */
static int scope_principal(const struct foreign *f, struct token *token)
{
    const struct andiron_scopes *scopes = f->auth->scopes.table;
    andiron_json claim = andiron_json_get(f->jws.claims, "scope");
    bool limits = false;

    if (andiron_json_type(claim) == ANDIRON_JSON_MISSING)
        return 0;
    const char *const *list = split_scopes(token->arena, claim, &limits);
    if (list == NULL)
        return -1;
    if (!limits)
        return 0;
    token->principal.scopes = list;
    if (scopes == NULL)
        return -1;
    return scopes->compile_in(f->auth->scopes.self, token->arena, list, token->principal.jwt,
                              &token->principal.scope_set, NULL);
}

static enum andiron_step admit(struct andiron_request *req, struct foreign *f)
{
    andiron_str claims = andiron_json_raw(f->jws.claims), user = andiron_json_raw(f->user);
    struct token *token = token_new(f->text, claims.len * 3 + user.len * 3 + 1024);
    andiron_usec now = andiron_now(), ttl = f->issuer->ttl_ms * 1000;
    double ends = f->exp_s != 0 ? (f->exp_s + (double)f->auth->config->clock_skew / 1e3) * 1e6
                                : (double)(now + ttl);

    token->session_epoch = f->epoch;
    token->session_epoch_now = &f->auth->issuer_epoch;
    token->dead = ends < (double)(now + ttl) ? (andiron_usec)ends : now + ttl;
    /* Without a User only the claims speak: no id that a policy could be linked to. */
    token->principal = (struct andiron_principal){
        .size = sizeof(token->principal),
        .kind = ANDIRON_USER,
        .jwt = keep(token->arena, claims),
        .expires = f->exp_s != 0 && f->exp_s < 4e9 ? (andiron_usec)(f->exp_s * 1e6) : 0,
    };
    if (user.len != 0) {
        token->principal.user = keep_user(token->arena, f->user);
        token->principal.roles = keep(token->arena, andiron_json_raw(f->roles));
        token->principal.id = andiron_copy(token->arena, f->ref.id);
    }
    if (scope_principal(f, token) != 0) {
        token_drop(token);
        return foreign_refuse(req, f, ANDIRON_E_CREDENTIALS, "the token's scopes cannot be judged");
    }
    token_insert(auth_loop_of(f->auth, req)->tokens, token);
    token_use(token, req);
    token_drop(token);
    opaque_admitted(f);
    return f->then(req, f->state);
}

/* ---- user ------------------------------------------------------------------------------------ */

enum { ROLES_MAX = 1000, ROLES_BYTES = 4 * 1024 * 1024 };

static enum andiron_step roles_read(struct andiron_request *req, void *state)
{
    struct foreign *f = state;
    struct andiron_arena *arena = andiron_request_arena(req);
    struct andiron_json_writer *w = andiron_json_write(arena, ROLES_BYTES);

    if (f->rows.error.code != ANDIRON_OK)
        return andiron_fail_with(req, &f->rows.error);
    if (f->rows.cursor.data != NULL) /* a policy that denies by a role must not miss it */
        return foreign_refuse(req, f, ANDIRON_E_CREDENTIALS, "the user has too many roles");
    andiron_json_put_array(w, NULL);
    for (size_t i = 0; i < f->rows.count; i++)
        andiron_json_put_raw(w, NULL, f->rows.rows[i].body);
    andiron_json_put_end(w);
    andiron_str text = andiron_json_written(w);
    if (text.data == NULL)
        return foreign_refuse(req, f, ANDIRON_E_CREDENTIALS, "the user's roles are too large");
    if (andiron_json_parse(arena, text, &f->roles, &f->error) != 0)
        return andiron_fail_with(req, &f->error);
    return admit(req, f);
}

static enum andiron_step find_roles(struct andiron_request *req, struct foreign *f)
{
    const struct andiron_store *store = f->auth->store.table;

    f->filter = (struct andiron_filter){ .op = ANDIRON_FILTER_TERM,
                                         .compare = ANDIRON_CMP_EQ,
                                         .term = { .param = "user",
                                                   .kind = ANDIRON_TERM_REFERENCE,
                                                   .system = ANDIRON_STR("User"),
                                                   .text = f->ref.id } };
    f->query = (struct andiron_query){ .type = "Role", .filter = &f->filter, .limit = ROLES_MAX };
    f->rows = (struct andiron_rows){ .total = -1 };
    return store->search(f->auth->store.self, req, &f->query, &f->rows, roles_read, f);
}

static enum andiron_step user_read(struct andiron_request *req, void *state)
{
    struct foreign *f = state;

    if (f->rows.error.code != ANDIRON_OK)
        return andiron_fail_with(req, &f->rows.error);
    const struct andiron_row *row = &f->rows.rows[0];
    if (f->rows.count != 1 || row->ref.id.len == 0 || row->deleted)
        return admit(req, f);
    if (andiron_json_parse(andiron_request_arena(req), row->body, &f->user, &f->error) != 0)
        return andiron_fail_with(req, &f->error);
    andiron_json active = andiron_json_get(f->user, "active");
    if (andiron_json_true(andiron_json_get(f->user, "inactive")) ||
        (andiron_json_type(active) == ANDIRON_JSON_BOOL && !andiron_json_true(active))) /* AU-6 */
        return foreign_refuse(req, f, ANDIRON_E_CREDENTIALS, "the user is not active");
    return find_roles(req, f);
}

static enum andiron_step find_user(struct andiron_request *req, struct foreign *f)
{
    const struct andiron_store *store = f->auth->store.table;
    andiron_str id = andiron_json_str(andiron_json_get(f->jws.claims, "box_user"));

    if (id.data == NULL)
        id = andiron_json_str(andiron_json_get(f->jws.claims, "sub"));
    if (!client_is_id(id))
        return admit(req, f);
    f->ref = (struct andiron_ref){ .type = ANDIRON_STR("User"), .id = id };
    f->rows = (struct andiron_rows){ .total = -1 };
    return store->read(f->auth->store.self, req, &f->ref, 1, &f->rows, user_read, f);
}

/* ---- claims ---------------------------------------------------------------------------------- */

static bool is_audience(const struct auth *auth, andiron_str aud)
{
    for (const char *const *a = auth->config->audiences; *a != NULL; a++)
        if (andiron_str_eq(aud, andiron_str_of(*a)))
            return true;
    return false;
}

static bool is_for_us(const struct auth *auth, andiron_json aud)
{
    struct andiron_json_iter it = { .of = aud };

    if (auth->config->audiences[0] == NULL)
        return true;
    if (andiron_json_type(aud) != ANDIRON_JSON_ARRAY)
        return is_audience(auth, andiron_json_str(aud));
    while (andiron_json_next(&it))
        if (is_audience(auth, andiron_json_str(it.value)))
            return true;
    return false;
}

/* Dates that are there must be numbers; exp must be there, unless an endpoint tells of the token. */
enum andiron_step foreign_claims(struct andiron_request *req, struct foreign *f)
{
    andiron_json claims = f->jws.claims;
    double now = (double)andiron_now() / 1e6, skew = (double)f->auth->config->clock_skew / 1e3;
    bool is_endless = f->lead != NULL && !has(claims, "exp");

    f->exp_s = is_endless ? 0 : assertion_date(andiron_json_get(claims, "exp"));
    if (isnan(f->exp_s) || !is_for_us(f->auth, andiron_json_get(claims, "aud")) ||
        (has(claims, "nbf") && !(assertion_date(andiron_json_get(claims, "nbf")) <= now + skew)) ||
        (has(claims, "iat") && !(assertion_date(andiron_json_get(claims, "iat")) <= now + skew)))
        return refuse(req, f);
    if (!is_endless && f->exp_s <= now - skew)
        return foreign_refuse(req, f, ANDIRON_E_EXPIRED, "the token has expired");
    return find_user(req, f);
}

/* ---- signature --------------------------------------------------------------------------------- */

static enum andiron_step verified(struct andiron_request *req, void *state)
{
    struct foreign *f = state;
    return f->is_valid ? foreign_claims(req, f) : refuse(req, f);
}

static void verify_now(void *state)
{
    struct foreign *f = state;
    f->is_valid = jose_verify(f->key, f->alg, f->jws.signed_part, f->jws.signature);
}

static void drop_keys(void *keys)
{
    client_keys_drop(keys);
}

static enum andiron_step fetch_set(struct andiron_request *req, struct foreign *f, bool renew);

static enum andiron_step find_key(struct andiron_request *req, struct foreign *f)
{
    struct client_keys *keys = NULL;
    size_t count =
        keys_find(&f->issuer->imported, f->issuer->keys, f->set, f->kid, f->alg, &f->key, &keys);

    if (count == 0 && f->set.data != NULL && !f->renewed)
        return fetch_set(req, f, true);
    if (count != 0)
        andiron_at_release(andiron_request_arena(req), drop_keys, keys);
    if (count != 1)
        return refuse(req, f);
    if (jose_verify_is_slow(f->key, f->alg))
        return andiron_offload(req, verify_now, verified, f);
    verify_now(f);
    return verified(req, f);
}

static enum andiron_step set_fetched(struct andiron_request *req, void *state)
{
    struct foreign *f = state;

    if (f->error.code != ANDIRON_OK)
        return foreign_refuse(req, f, ANDIRON_E_CREDENTIALS,
                              "the keys of the token's issuer are not available");
    return find_key(req, f);
}

static enum andiron_step fetch_set(struct andiron_request *req, struct foreign *f, bool renew)
{
    const struct andiron_keys *keys = f->auth->keys.table;
    f->renewed = renew;
    return keys->fetch(f->auth->keys.self, req, f->issuer->jwks_uri, renew, &f->set, &f->error,
                       set_fetched, f);
}

static enum andiron_step check_mac(struct andiron_request *req, struct foreign *f)
{
    struct hmac_sha256_ctx mac;
    uint8_t digest[SHA256_DIGEST_SIZE];

    hmac_sha256_set_key(&mac, f->issuer->secret.len, (const uint8_t *)f->issuer->secret.data);
    hmac_sha256_update(&mac, f->jws.signed_part.len, (const uint8_t *)f->jws.signed_part.data);
    hmac_sha256_digest(&mac, sizeof(digest), digest);
    f->is_valid = f->jws.signature.len == sizeof(digest) &&
                  secret_same(digest, f->jws.signature.data, sizeof(digest));
    return verified(req, f);
}

/* ---- header ------------------------------------------------------------------------------------ */

/* RFC 9068 section 4, and what older issuers write. Other kinds of JWT are no access tokens. */
static bool is_access_token(andiron_json header)
{
    static const char names[][20] = { "JWT", "at+jwt", "application/at+jwt" };
    andiron_str typ = andiron_json_str(andiron_json_get(header, "typ"));

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (typ.len == strlen(names[i]) && strncasecmp(typ.data, names[i], typ.len) == 0)
            return true;
    return !has(header, "typ");
}

/* The issuer says how its tokens are signed: with a secret HS256 and nothing else, else never. */
static enum andiron_step check_header(struct andiron_request *req, struct foreign *f)
{
    andiron_json header = f->jws.header;
    andiron_str alg = andiron_json_str(andiron_json_get(header, "alg"));

    if (has(header, "crit") || has(header, "b64") || has(header, "zip") || !is_access_token(header))
        return refuse(req, f);
    if (f->issuer->secret.data != NULL)
        return andiron_str_eq(alg, ANDIRON_STR("HS256")) ? check_mac(req, f) : refuse(req, f);
    f->alg = jose_alg_find(alg);
    f->kid = andiron_json_str(andiron_json_get(header, "kid"));
    if (f->alg == NULL || f->kid.len == 0)
        return refuse(req, f);
    return f->issuer->jwks_uri.data != NULL ? fetch_set(req, f, false) : find_key(req, f);
}

static enum andiron_step issuers_known(struct andiron_request *req, void *state)
{
    struct foreign *f = state;
    andiron_str iss = andiron_json_str(andiron_json_get(f->jws.claims, "iss"));

    if (f->error.code != ANDIRON_OK)
        return andiron_fail_with(req, &f->error);
    f->epoch = f->issuers->epoch;
    if (f->jws.signature.data == NULL)
        return opaque_ask(req, f);
    /* Ours is judged by our keys alone, whatever somebody may have stored. */
    if (iss.len == 0 || andiron_str_eq(iss, andiron_request_base(req)))
        return refuse(req, f);
    f->issuer = issuers_find(f->issuers, iss);
    return f->issuer != NULL ? check_header(req, f) : refuse(req, f);
}

enum andiron_step auth_foreign(struct andiron_request *req, struct auth *auth, andiron_str text,
                               andiron_step_fn then, void *state)
{
    struct foreign *f = andiron_new(andiron_request_arena(req), struct foreign);

    f->auth = auth;
    f->text = text;
    f->then = then;
    f->state = state;
    if (!lookup_is_token(text))
        return refuse(req, f);
    if (lookup_is_jws(text) &&
        jose_jws_split(andiron_request_arena(req), text, TOKEN_MAX, &f->jws, &f->error) != 0)
        return refuse(req, f);
    return issuers_now(auth, req, &f->issuers, &f->error, issuers_known, f);
}
