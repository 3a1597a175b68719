/*
 * Validation of Clients. Pure computation over JSON views, any thread.
 */
#include "client.h"

#include <stdio.h>
#include <strings.h>

#include "common/jose/jwk.h"
#include "members.h"

enum { MAX_KEYS = 64 };

/* Top-level members (3.2); jwks is looked at apart, since it has two forms. */
static const struct member members[] = {
    { "resourceType", ANDIRON_JSON_STRING },  { "id", ANDIRON_JSON_STRING },
    { "meta", ANDIRON_JSON_OBJECT },          { "active", ANDIRON_JSON_BOOL },
    { "type", ANDIRON_JSON_STRING },          { "name", ANDIRON_JSON_STRING },
    { "description", ANDIRON_JSON_STRING },   { "details", ANDIRON_JSON_OBJECT },
    { "secret", ANDIRON_JSON_MISSING },       { "grant_types", ANDIRON_JSON_ARRAY },
    { "scope", ANDIRON_JSON_ARRAY },          { "jwks_uri", ANDIRON_JSON_STRING },
    { "jwks", ANDIRON_JSON_MISSING },         { "auth", ANDIRON_JSON_OBJECT },
    { "smart", ANDIRON_JSON_OBJECT },         { "first_party", ANDIRON_JSON_BOOL },
    { "trusted", ANDIRON_JSON_BOOL },         { "allowed_origins", ANDIRON_JSON_ARRAY },
    { "allowedIssuers", ANDIRON_JSON_ARRAY }, { "fhir-base-url", ANDIRON_JSON_MISSING },
    { "scopes", ANDIRON_JSON_MISSING },       { "allowed-scopes", ANDIRON_JSON_MISSING },
};

/* Members of Client.auth.<grant> that are interpreted. */
static const struct member grant_members[] = {
    { "client_assertion_types", ANDIRON_JSON_ARRAY },
    { "token_format", ANDIRON_JSON_STRING },
    { "access_token_expiration", ANDIRON_JSON_NUMBER },
    { "refresh_token", ANDIRON_JSON_BOOL },
    { "refresh_token_expiration", ANDIRON_JSON_NUMBER },
    { "audience", ANDIRON_JSON_ARRAY },
    { "redirect_uri", ANDIRON_JSON_STRING },
    { "pkce", ANDIRON_JSON_BOOL },
    { "secret_required", ANDIRON_JSON_BOOL },
};

static const char auth_members[][20] = { "client_credentials", "authorization_code", "password",
                                         "implicit", "token_exchange" };

struct grant_name {
    char name[48];
    unsigned bit;
};

static const struct grant_name grants[] = {
    { "basic", GRANT_BASIC },
    { "client_credentials", GRANT_CLIENT_CREDENTIALS },
    { "authorization_code", GRANT_AUTHORIZATION_CODE },
    { "code", GRANT_AUTHORIZATION_CODE },
    { "refresh_token", GRANT_REFRESH_TOKEN },
    { "password", GRANT_PASSWORD },
    { "implicit", GRANT_IMPLICIT },
    { "urn:ietf:params:oauth:grant-type:token-exchange", GRANT_TOKEN_EXCHANGE },
};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

unsigned client_grant(andiron_str name)
{
    for (size_t i = 0; i < COUNT(grants); i++)
        if (andiron_str_eq(name, andiron_str_of(grants[i].name)))
            return grants[i].bit;
    return 0;
}

bool client_is_id(andiron_str id)
{
    for (size_t i = 0; i < id.len; i++) {
        char c = id.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '.'))
            return false;
    }
    return id.len >= 1 && id.len <= 64;
}

/* ---- types of members (CL-20) ------------------------------------------------------------- */

static int check_strings(andiron_json list, const char *where, struct andiron_error *err)
{
    struct andiron_json_iter it = { .of = list };
    while (andiron_json_next(&it))
        if (andiron_json_str(it.value).len == 0)
            return andiron_error_set(err, ANDIRON_E_ELEMENT, where,
                                     "must hold non-empty strings only");
    return 0;
}

/* ---- grants and lifetimes (CL-21) --------------------------------------------------------- */

static int check_grant_types(andiron_json client, unsigned *ret_grants, struct andiron_error *err)
{
    struct andiron_json_iter it = { .of = andiron_json_get(client, "grant_types") };
    unsigned found = 0;

    while (andiron_json_next(&it)) {
        andiron_str name = andiron_json_str(it.value);
        unsigned bit = client_grant(name);
        if (bit == 0)
            return andiron_error_set(err, ANDIRON_E_VALUE, "Client.grant_types",
                                     "'%.*s' is not a grant type; known are basic, "
                                     "client_credentials, authorization_code, refresh_token, "
                                     "password, implicit and token-exchange's URN",
                                     (int)(name.len > 64 ? 64 : name.len), name.data);
        found |= bit;
    }
    *ret_grants = found;
    return 0;
}

enum { PATH_MAX_BYTES = 160 };

/* "Client.auth.client_credentials" and "token_format" to one path, in out. */
static const char *member_of(char out[PATH_MAX_BYTES], const char *where, const char *name)
{
    (void)snprintf(out, PATH_MAX_BYTES, "%.90s.%.60s", where, name);
    return out;
}

static int check_lifetime(andiron_json grant, const char *name, const char *where,
                          struct andiron_error *err)
{
    andiron_json v = andiron_json_get(grant, name);
    int64_t seconds = andiron_json_int(v, -1);
    char path[PATH_MAX_BYTES];
    if (andiron_json_type(v) == ANDIRON_JSON_MISSING)
        return 0;
    if (seconds < 1 || (seconds > CLIENT_MAX_TTL && strcmp(name, "access_token_expiration") == 0))
        return andiron_error_set(err, ANDIRON_E_VALUE, member_of(path, where, name),
                                 "must be a whole number of seconds from 1 to %d", CLIENT_MAX_TTL);
    return 0;
}

static int check_assertion_types(andiron_json grant, const char *where, struct andiron_error *err)
{
    struct andiron_json_iter it = { .of = andiron_json_get(grant, "client_assertion_types") };
    char path[PATH_MAX_BYTES];
    while (andiron_json_next(&it))
        if (!andiron_str_eq(andiron_json_str(it.value), ANDIRON_STR(CLIENT_ASSERTION_TYPE)))
            return andiron_error_set(err, ANDIRON_E_VALUE,
                                     member_of(path, where, "client_assertion_types"),
                                     "may name " CLIENT_ASSERTION_TYPE " only");
    return 0;
}

static int check_grant(andiron_json grant, const char *where, struct andiron_error *err)
{
    char path[PATH_MAX_BYTES];

    if (andiron_json_type(grant) != ANDIRON_JSON_OBJECT)
        return members_wrong_type(where, ANDIRON_JSON_OBJECT, err);
    for (size_t i = 0; i < COUNT(grant_members); i++) {
        enum andiron_json_type type =
            andiron_json_type(andiron_json_get(grant, grant_members[i].name));
        if (type != ANDIRON_JSON_MISSING && type != grant_members[i].type)
            return members_wrong_type(member_of(path, where, grant_members[i].name),
                                      grant_members[i].type, err);
    }
    andiron_json format = andiron_json_get(grant, "token_format");
    if (andiron_json_type(format) != ANDIRON_JSON_MISSING &&
        !andiron_str_eq(andiron_json_str(format), ANDIRON_STR("jwt")))
        return andiron_error_set(err, ANDIRON_E_VALUE, member_of(path, where, "token_format"),
                                 "must be \"jwt\", or absent for opaque tokens");
    if (check_assertion_types(grant, where, err) != 0 ||
        check_lifetime(grant, "access_token_expiration", where, err) != 0 ||
        check_lifetime(grant, "refresh_token_expiration", where, err) != 0)
        return -1;
    return check_strings(andiron_json_get(grant, "audience"), member_of(path, where, "audience"),
                         err);
}

static int check_auth(andiron_json client, struct andiron_error *err)
{
    struct andiron_json_iter it = { .of = andiron_json_get(client, "auth") };
    char where[80];

    while (andiron_json_next(&it)) {
        (void)snprintf(where, sizeof(where), "Client.auth.%.*s",
                       (int)(it.name.len > 64 ? 64 : it.name.len), it.name.data);
        bool known = false;
        for (size_t i = 0; i < COUNT(auth_members) && !known; i++)
            known = andiron_str_eq(it.name, andiron_str_of(auth_members[i]));
        if (!known)
            return andiron_error_set(err, ANDIRON_E_ELEMENT, where,
                                     "is not a grant; known are client_credentials, "
                                     "authorization_code, password, implicit and token_exchange");
        if (check_grant(it.value, where, err) != 0)
            return -1;
    }
    return 0;
}

/* ---- keys (CL-22 to CL-25) ---------------------------------------------------------------- */

static bool has(andiron_json client, const char *name)
{
    return andiron_json_type(andiron_json_get(client, name)) != ANDIRON_JSON_MISSING;
}

static int check_means(andiron_json client, unsigned granted, bool has_secret,
                       struct andiron_error *err)
{
    if (has(client, "jwks") && has(client, "jwks_uri"))
        return andiron_error_set(err, ANDIRON_E_BUSINESS_RULE, "Client.jwks",
                                 "jwks and jwks_uri exclude each other; name keys in one place");
    if ((granted & GRANT_BASIC) != 0 && !has_secret)
        return andiron_error_set(err, ANDIRON_E_BUSINESS_RULE, "Client.secret",
                                 "grant type basic needs a secret");
    /* An empty set is no key. */
    if ((granted & GRANT_CLIENT_CREDENTIALS) != 0 && !has_secret && !has(client, "jwks_uri") &&
        andiron_json_count(jose_set_keys(andiron_json_get(client, "jwks"))) == 0)
        return andiron_error_set(err, ANDIRON_E_BUSINESS_RULE, "Client.jwks_uri",
                                 "grant type client_credentials needs one of jwks_uri, jwks and "
                                 "secret");
    return 0;
}

/* Two keys that a token could not tell apart. */
static bool is_same_name(const struct jose_key *a, const struct jose_key *b)
{
    return a->kty == b->kty && andiron_str_eq(a->kid, b->kid) && andiron_str_eq(a->alg, b->alg);
}

static int check_key(struct andiron_arena *arena, andiron_json jwk, size_t index,
                     struct jose_key *keys, struct andiron_error *err)
{
    struct andiron_error inner;
    char where[80];

    (void)snprintf(where, sizeof(where), "Client.jwks[%zu]", index);
    if (jose_jwk_read(arena, jwk, &keys[index], &inner) != 0)
        return andiron_error_set(err, ANDIRON_E_VALUE, where, "%s%s%s", inner.where,
                                 inner.where[0] != '\0' ? " " : "", inner.message);
    if (keys[index].kid.data == NULL)
        return andiron_error_set(err, ANDIRON_E_VALUE, where, "kid is required");
    for (size_t i = 0; i < index; i++)
        if (is_same_name(&keys[i], &keys[index]))
            return andiron_error_set(err, ANDIRON_E_VALUE, where,
                                     "kid must be unique with kty and alg");
    return 0;
}

static int check_jwks(struct andiron_arena *arena, andiron_json client, struct andiron_error *err)
{
    andiron_json list = jose_set_keys(andiron_json_get(client, "jwks"));
    struct andiron_json_iter it = { .of = list };
    struct jose_key keys[MAX_KEYS];
    size_t count = 0;

    if (!has(client, "jwks"))
        return 0;
    if (andiron_json_type(list) != ANDIRON_JSON_ARRAY)
        return andiron_error_set(err, ANDIRON_E_ELEMENT, "Client.jwks",
                                 "must be an array of keys, or {\"keys\":[...]}");
    if (andiron_json_count(list) > MAX_KEYS)
        return andiron_error_set(err, ANDIRON_E_VALUE, "Client.jwks", "may hold %d keys at most",
                                 MAX_KEYS);
    while (andiron_json_next(&it))
        if (check_key(arena, it.value, count++, keys, err) != 0)
            return -1;
    return 0;
}

static int check_jwks_uri(andiron_json client, const struct client_checks *checks,
                          struct andiron_error *err)
{
    andiron_json v = andiron_json_get(client, "jwks_uri");
    struct andiron_error inner;

    if (andiron_json_type(v) == ANDIRON_JSON_MISSING || checks->jwks_uri == NULL)
        return 0;
    if (checks->jwks_uri(checks->self, andiron_json_str(v), &inner) != 0)
        return andiron_error_set(err, ANDIRON_E_VALUE, "Client.jwks_uri", "%s", inner.message);
    return 0;
}

/* ---- scopes and addresses (CL-26, CL-27) -------------------------------------------------- */

static int check_scopes(andiron_json client, const struct client_checks *checks,
                        struct andiron_error *err)
{
    struct andiron_json_iter it = { .of = andiron_json_get(client, "scope") };
    struct andiron_error inner;

    while (andiron_json_next(&it)) {
        andiron_str scope = andiron_json_str(it.value);
        for (size_t i = 0; i < scope.len; i++)
            if (scope.data[i] <= ' ' || scope.data[i] > '~')
                return andiron_error_set(err, ANDIRON_E_VALUE, "Client.scope",
                                         "each item is one scope, without blanks");
        if (checks->scope != NULL && checks->scope(checks->self, scope, &inner) != 0)
            return andiron_error_set(err, ANDIRON_E_VALUE, "Client.scope", "%s", inner.message);
    }
    return 0;
}

static bool begins(andiron_str text, const char *with)
{
    size_t len = strlen(with);
    return text.len >= len && strncasecmp(text.data, with, len) == 0;
}

static bool is_loopback(andiron_str url)
{
    static const char origins[][20] = { "http://localhost", "http://127.0.0.1", "http://[::1]" };
    for (size_t i = 0; i < COUNT(origins); i++) {
        size_t len = strlen(origins[i]);
        if (begins(url, origins[i]) &&
            (url.len == len || url.data[len] == ':' || url.data[len] == '/'))
            return true;
    }
    return false;
}

static int check_redirect(andiron_json client, unsigned granted, struct andiron_error *err)
{
    static const char where[] = "Client.auth.authorization_code.redirect_uri";
    andiron_str url =
        andiron_json_str(andiron_json_path(client, "auth.authorization_code.redirect_uri"));

    if (url.data == NULL && (granted & GRANT_AUTHORIZATION_CODE) == 0)
        return 0;
    if (url.data == NULL)
        return andiron_error_set(err, ANDIRON_E_BUSINESS_RULE, where,
                                 "grant type authorization_code needs a redirect_uri");
    if (memchr(url.data, '#', url.len) != NULL || memchr(url.data, ':', url.len) == NULL)
        return andiron_error_set(err, ANDIRON_E_VALUE, where,
                                 "must be an absolute URI without a fragment");
    if (begins(url, "http:") && !is_loopback(url))
        return andiron_error_set(err, ANDIRON_E_VALUE, where,
                                 "may use http for a loopback address only");
    return 0;
}

/* ---- the whole ---------------------------------------------------------------------------- */

int client_validate(struct andiron_arena *arena, andiron_json client, bool has_secret,
                    const struct client_checks *checks, struct andiron_error *err)
{
    static const char lists[][20] = { "grant_types", "scope", "allowed_origins", "allowedIssuers" };
    unsigned granted = 0;
    char where[96];

    if (members_check(client, "Client", members, COUNT(members),
                      "; free-form values belong into Client.details", err) != 0)
        return -1;
    for (size_t i = 0; i < COUNT(lists); i++) {
        (void)snprintf(where, sizeof(where), "Client.%s", lists[i]);
        if (check_strings(andiron_json_get(client, lists[i]), where, err) != 0)
            return -1;
    }
    if (check_grant_types(client, &granted, err) != 0 || check_auth(client, err) != 0 ||
        check_means(client, granted, has_secret, err) != 0 ||
        check_jwks_uri(client, checks, err) != 0 || check_jwks(arena, client, err) != 0 ||
        check_scopes(client, checks, err) != 0)
        return -1;
    return check_redirect(client, granted, err);
}

andiron_str client_text(struct andiron_arena *arena, andiron_json client, andiron_str secret,
                        andiron_str incarnation)
{
    struct andiron_json_writer *w = andiron_json_write(arena, CLIENT_MAX_BYTES);
    struct andiron_json_iter it = { .of = client };

    andiron_json_put_object(w, NULL);
    while (andiron_json_next(&it)) {
        if (andiron_str_eq(it.name, ANDIRON_STR("secret")) ||
            andiron_str_eq(it.name, ANDIRON_STR(CLIENT_INCARNATION)))
            continue;
        if (andiron_str_eq(it.name, ANDIRON_STR("jwks")))
            andiron_json_put(w, "jwks", jose_set_keys(it.value));
        else
            andiron_json_put_member(w, it.name, it.value);
    }
    if (secret.data != NULL)
        andiron_json_put_str(w, "secret", secret);
    if (incarnation.len != 0)
        andiron_json_put_str(w, CLIENT_INCARNATION, incarnation);
    andiron_json_put_end(w);
    return andiron_json_written(w);
}

bool client_is_active(andiron_json client)
{
    andiron_json active = andiron_json_get(client, "active");
    return andiron_json_type(client) != ANDIRON_JSON_MISSING &&
           (andiron_json_type(active) == ANDIRON_JSON_MISSING || andiron_json_true(active));
}
