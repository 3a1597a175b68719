/*
 * TokenIntrospectors as they are written and read. The secret of one is write-only, as that of a
 * Client, but has to be kept as it is: it checks signatures.
 */
#include "introspector.h"

#include <stdio.h>

#include "common/jose/jwk.h"
#include "members.h"

static const struct member members[] = {
    { "resourceType", ANDIRON_JSON_STRING },
    { "id", ANDIRON_JSON_STRING },
    { "meta", ANDIRON_JSON_OBJECT },
    { "type", ANDIRON_JSON_STRING },
    { "jwks_uri", ANDIRON_JSON_STRING },
    { "jwt", ANDIRON_JSON_OBJECT },
    { "cache_ttl", ANDIRON_JSON_NUMBER },
    { "description", ANDIRON_JSON_STRING },
    { "introspection_endpoint", ANDIRON_JSON_OBJECT },
};

static const struct member endpoint_members[] = {
    { "url", ANDIRON_JSON_STRING },
    { "authorization", ANDIRON_JSON_MISSING }, /* a string, or null to remove it */
};

static const struct member jwt_members[] = {
    { "iss", ANDIRON_JSON_STRING },
    { "secret", ANDIRON_JSON_MISSING }, /* a string, or null to remove it */
    { "keys", ANDIRON_JSON_ARRAY },
};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static bool has(andiron_json object, const char *name)
{
    return andiron_json_type(andiron_json_get(object, name)) != ANDIRON_JSON_MISSING;
}

/* ---- keys --------------------------------------------------------------------------------- */

static int check_key(struct andiron_arena *arena, andiron_json list, size_t index,
                     struct andiron_error *err)
{
    andiron_json jwk = andiron_json_at(list, index);
    andiron_str kid = andiron_json_str(andiron_json_get(jwk, "kid"));
    struct andiron_error inner = { .code = ANDIRON_OK };
    struct jose_key key;
    char where[60];

    (void)snprintf(where, sizeof(where), "TokenIntrospector.jwt.keys[%zu]", index);
    if (jose_jwk_is_secret(jwk))
        return andiron_error_set(err, ANDIRON_E_VALUE, where,
                                 "must be a public key, without private or symmetric members");
    if (jose_jwk_read(arena, jwk, &key, &inner) != 0)
        return andiron_error_set(err, ANDIRON_E_VALUE, where, "%s", inner.message);
    if (kid.len == 0)
        return andiron_error_set(err, ANDIRON_E_VALUE, where, "kid is required");
    for (size_t i = 0; i < index; i++)
        if (andiron_str_eq(kid,
                           andiron_json_str(andiron_json_get(andiron_json_at(list, i), "kid"))))
            return andiron_error_set(err, ANDIRON_E_VALUE, where, "kid must be unique");
    return 0;
}

static int check_keys(struct andiron_arena *arena, andiron_json jwt, struct andiron_error *err)
{
    andiron_json list = andiron_json_get(jwt, "keys");
    size_t count = andiron_json_count(list);

    if (!has(jwt, "keys"))
        return 0;
    if (count == 0 || count > INTROSPECTOR_MAX_KEYS)
        return andiron_error_set(err, ANDIRON_E_VALUE, "TokenIntrospector.jwt.keys",
                                 "must hold 1 to %d keys", INTROSPECTOR_MAX_KEYS);
    for (size_t i = 0; i < count; i++)
        if (check_key(arena, list, i, err) != 0)
            return -1;
    return 0;
}

static bool is_opaque(andiron_json resource)
{
    return andiron_str_eq(andiron_json_str(andiron_json_get(resource, "type")),
                          ANDIRON_STR("opaque"));
}

/* Exactly one place where keys are: else it would depend on us which one counts. */
static int check_source(andiron_json resource, bool has_secret, struct andiron_error *err)
{
    andiron_json jwt = andiron_json_get(resource, "jwt");
    int sources = has(resource, "jwks_uri") + has(jwt, "keys") + has_secret;

    if (is_opaque(resource))
        return sources == 0
                   ? 0
                   : andiron_error_set(err, ANDIRON_E_BUSINESS_RULE, "TokenIntrospector.type",
                                       "is opaque: jwks_uri, jwt.keys and jwt.secret are for jwt");
    if (sources != 1)
        return andiron_error_set(err, ANDIRON_E_BUSINESS_RULE, "TokenIntrospector.jwt",
                                 "needs exactly one of jwks_uri, jwt.keys and jwt.secret");
    andiron_json given = andiron_json_get(jwt, "secret");
    if (andiron_json_type(given) != ANDIRON_JSON_MISSING &&
        andiron_json_type(given) != ANDIRON_JSON_NULL &&
        andiron_json_str(given).len < INTROSPECTOR_MIN_SECRET)
        return andiron_error_set(err, ANDIRON_E_VALUE, "TokenIntrospector.jwt.secret",
                                 "must be a string of %d bytes at least, as HS256 needs it",
                                 INTROSPECTOR_MIN_SECRET);
    return 0;
}

/* ---- the whole ------------------------------------------------------------------------------ */

static int check_issuer(andiron_json resource, const struct introspector_checks *checks,
                        struct andiron_error *err)
{
    andiron_str type = andiron_json_str(andiron_json_get(resource, "type"));
    andiron_str iss = andiron_json_str(andiron_json_path(resource, "jwt.iss"));

    if (!is_opaque(resource) && !andiron_str_eq(type, ANDIRON_STR("jwt")))
        return andiron_error_set(err, ANDIRON_E_VALUE, "TokenIntrospector.type",
                                 "must be jwt or opaque");
    if (iss.len == 0 && (!is_opaque(resource) || has(andiron_json_get(resource, "jwt"), "iss")))
        return andiron_error_set(err, ANDIRON_E_REQUIRED, "TokenIntrospector.jwt.iss",
                                 "is required: the iss of the tokens");
    if (checks->own_issuer.len != 0 && andiron_str_eq(iss, checks->own_issuer))
        return andiron_error_set(err, ANDIRON_E_BUSINESS_RULE, "TokenIntrospector.jwt.iss",
                                 "is this server, whose tokens are checked with its own keys");
    return 0;
}

static int check_ttl(andiron_json resource, struct andiron_error *err)
{
    int64_t ttl = andiron_json_int(andiron_json_get(resource, "cache_ttl"), 0);

    if (has(resource, "cache_ttl") && (ttl < 1 || ttl > INTROSPECTOR_MAX_TTL_S))
        return andiron_error_set(err, ANDIRON_E_VALUE, "TokenIntrospector.cache_ttl",
                                 "must be a whole number of seconds from 1 to %d",
                                 INTROSPECTOR_MAX_TTL_S);
    return 0;
}

/* What curl would send as it stands: no other line may hide in it. */
static bool is_field_value(andiron_str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] < ' ' || text.data[i] > '~')
            return false;
    return text.len != 0 && text.len <= INTROSPECTOR_MAX_AUTHORIZATION;
}

static int check_endpoint(andiron_json resource, const struct introspector_checks *checks,
                          struct andiron_error *err)
{
    andiron_json endpoint = andiron_json_get(resource, "introspection_endpoint");
    andiron_json authorization = andiron_json_get(endpoint, "authorization");
    struct andiron_error inner;

    if (is_opaque(resource) != has(resource, "introspection_endpoint"))
        return andiron_error_set(err, ANDIRON_E_BUSINESS_RULE,
                                 "TokenIntrospector.introspection_endpoint",
                                 "belongs to type opaque, which needs it");
    if (!is_opaque(resource))
        return 0;
    if (andiron_json_str(andiron_json_get(endpoint, "url")).len == 0)
        return andiron_error_set(err, ANDIRON_E_REQUIRED,
                                 "TokenIntrospector.introspection_endpoint.url", "is required");
    if (checks->endpoint != NULL &&
        checks->endpoint(checks->self, andiron_json_str(andiron_json_get(endpoint, "url")),
                         &inner) != 0)
        return andiron_error_set(err, ANDIRON_E_VALUE,
                                 "TokenIntrospector.introspection_endpoint.url", "%s",
                                 inner.message);
    if (has(endpoint, "authorization") && andiron_json_type(authorization) != ANDIRON_JSON_NULL &&
        !is_field_value(andiron_json_str(authorization)))
        return andiron_error_set(err, ANDIRON_E_VALUE,
                                 "TokenIntrospector.introspection_endpoint.authorization",
                                 "must be the value of an Authorization header, such as 'Basic "
                                 "...', of 1 to %d visible characters and blanks",
                                 INTROSPECTOR_MAX_AUTHORIZATION);
    return 0;
}

static int check_uri(andiron_json resource, const struct introspector_checks *checks,
                     struct andiron_error *err)
{
    struct andiron_error inner;

    if (!has(resource, "jwks_uri") || checks->jwks_uri == NULL ||
        checks->jwks_uri(checks->self, andiron_json_str(andiron_json_get(resource, "jwks_uri")),
                         &inner) == 0)
        return 0;
    return andiron_error_set(err, ANDIRON_E_VALUE, "TokenIntrospector.jwks_uri", "%s",
                             inner.message);
}

int introspector_validate(struct andiron_arena *arena, andiron_json resource, bool has_secret,
                          const struct introspector_checks *checks, struct andiron_error *err)
{
    andiron_json jwt = andiron_json_get(resource, "jwt");

    if (members_check(resource, "TokenIntrospector", members, COUNT(members), "", err) != 0 ||
        members_check(jwt, "TokenIntrospector.jwt", jwt_members, COUNT(jwt_members), "", err) !=
            0 ||
        members_check(andiron_json_get(resource, "introspection_endpoint"),
                      "TokenIntrospector.introspection_endpoint", endpoint_members,
                      COUNT(endpoint_members), "", err) != 0 ||
        check_issuer(resource, checks, err) != 0 || check_source(resource, has_secret, err) != 0 ||
        check_endpoint(resource, checks, err) != 0 || check_ttl(resource, err) != 0 ||
        check_uri(resource, checks, err) != 0)
        return -1;
    return check_keys(arena, jwt, err);
}

/* What is kept secret: of jwt its secret, of introspection_endpoint its authorization. */
static const char *secret_of(andiron_str member)
{
    return andiron_str_eq(member, ANDIRON_STR("jwt"))                      ? "secret"
           : andiron_str_eq(member, ANDIRON_STR("introspection_endpoint")) ? "authorization"
                                                                           : NULL;
}

static void put_with(struct andiron_json_writer *w, const struct andiron_json_iter *member,
                     const char *name, andiron_str secret)
{
    struct andiron_json_iter it = { .of = member->value };

    andiron_json_put_object(w, strcmp(name, "secret") == 0 ? "jwt" : "introspection_endpoint");
    while (andiron_json_next(&it))
        if (!andiron_str_eq(it.name, andiron_str_of(name)))
            andiron_json_put_member(w, it.name, it.value);
    andiron_json_put_str(w, name, secret);
    andiron_json_put_end(w);
}

andiron_str introspector_text(struct andiron_arena *arena, andiron_json resource,
                              andiron_str secret)
{
    struct andiron_json_writer *w = andiron_json_write(arena, INTROSPECTOR_MAX_BYTES);
    struct andiron_json_iter it = { .of = resource };
    const andiron_str none = { NULL, 0 };

    andiron_json_put_object(w, NULL);
    while (andiron_json_next(&it)) {
        const char *name = secret_of(it.name);
        if (name == NULL)
            andiron_json_put_member(w, it.name, it.value);
        else /* an opaque one may have a jwt, which has no secret */
            put_with(w, &it, name,
                     is_opaque(resource) == (strcmp(name, "authorization") == 0) ? secret : none);
    }
    andiron_json_put_end(w);
    return andiron_json_written(w);
}

/* ---- the resource type ---------------------------------------------------------------------- */

static int check_jwks_uri(void *self, andiron_str url, struct andiron_error *err)
{
    struct auth *auth = self;
    const struct andiron_keys *keys = auth->keys.table;
    return keys->allowed(auth->keys.self, url, err);
}

static int check_endpoint_url(void *self, andiron_str url, struct andiron_error *err)
{
    struct auth *auth = self;
    const struct andiron_outbound *outbound = auth->outbound.table;
    return outbound != NULL
               ? outbound->allowed(auth->outbound.self, url, err)
               : andiron_error_set(err, ANDIRON_E_VALUE, "", "cannot be asked: no plugin does");
}

/*
 * Not sent again, it is kept, unless other keys take its place, or it would go to another server
 * than the one that it was entered for.
 */
static andiron_str secret_kept(andiron_json resource, andiron_json before)
{
    andiron_json now = andiron_json_path(resource, "introspection_endpoint.url");
    andiron_json old = andiron_json_path(before, "introspection_endpoint.url");

    if (is_opaque(resource))
        return andiron_str_eq(andiron_json_str(now), andiron_json_str(old))
                   ? andiron_json_str(
                         andiron_json_path(before, "introspection_endpoint.authorization"))
                   : (andiron_str){ NULL, 0 };
    return has(resource, "jwks_uri") || has(andiron_json_get(resource, "jwt"), "keys")
               ? (andiron_str){ NULL, 0 }
               : andiron_json_str(andiron_json_path(before, "jwt.secret"));
}

static int accept(void *self, struct andiron_request *req, andiron_json resource,
                  andiron_json before, andiron_str *ret_text, struct andiron_error *err)
{
    struct auth *auth = self;
    struct andiron_arena *arena = andiron_request_arena(req);
    andiron_json given = andiron_json_path(
        resource, is_opaque(resource) ? "introspection_endpoint.authorization" : "jwt.secret");
    const struct introspector_checks checks = { .self = auth,
                                                .jwks_uri = check_jwks_uri,
                                                .endpoint = check_endpoint_url,
                                                .own_issuer = auth->issuer };
    andiron_str secret = andiron_json_str(given);

    if (andiron_json_type(given) == ANDIRON_JSON_MISSING)
        secret = secret_kept(resource, before);
    bool has_secret = is_opaque(resource) ? has(andiron_json_get(resource, "jwt"), "secret")
                                          : secret.data != NULL;
    if (introspector_validate(arena, resource, has_secret, &checks, err) != 0)
        return -1;
    *ret_text = introspector_text(arena, resource, secret);
    return ret_text->data != NULL
               ? 0
               : andiron_error_set(err, ANDIRON_E_TOO_LARGE, "TokenIntrospector",
                                   "is larger than %d bytes", INTROSPECTOR_MAX_BYTES);
}

static void stored(void *self, struct andiron_request *req, andiron_str id, andiron_json resource)
{
    struct auth *auth = self;
    (void)req;
    (void)id;
    (void)resource;
    atomic_fetch_add(&auth->issuer_epoch, 1);
}

static andiron_str present(void *self, struct andiron_request *req, andiron_json resource)
{
    (void)self;
    return introspector_text(andiron_request_arena(req), resource, (andiron_str){ NULL, 0 });
}

static const char *const search[] = { "type:token:type", "iss:uri:jwt.iss", NULL };

const struct andiron_resource_type auth_introspector_type = {
    .size = sizeof(struct andiron_resource_type),
    .accept = accept,
    .stored = stored,
    .present = present,
    .search = search,
};
