/*
 * Client and Session as resource types: checked when they are written, in force when they are
 * stored, without secrets when they are read.
 */
#include "client.h"
#include "clients.h"
#include "session.h"

enum { SHORT_SECRET = 16 };

/* ---- Client ------------------------------------------------------------------------------- */

static int check_jwks_uri(void *self, andiron_str url, struct andiron_error *err)
{
    struct auth *auth = self;
    const struct andiron_keys *keys = auth->keys.table;
    return keys->allowed(auth->keys.self, url, err);
}

static int check_scope(void *self, andiron_str scope, struct andiron_error *err)
{
    struct auth *auth = self;
    const struct andiron_scopes *scopes = auth->scopes.table;
    return scopes->check(auth->scopes.self, scope, err);
}

/* CL-5: the secret to store; *ret_text is absent for none. */
static int accept_secret(struct auth *auth, struct andiron_arena *arena, andiron_json resource,
                         andiron_json before, andiron_str *ret_text, struct andiron_error *err)
{
    andiron_json given = andiron_json_get(resource, "secret");
    andiron_str plain = andiron_json_str(given);
    andiron_str stored = andiron_json_str(andiron_json_get(before, "secret"));
    struct secret old;

    *ret_text = (andiron_str){ NULL, 0 };
    if (andiron_json_type(given) == ANDIRON_JSON_NULL)
        return 0;
    if (andiron_json_type(given) == ANDIRON_JSON_MISSING) {
        *ret_text = stored;
        return 0;
    }
    if (plain.len == 0)
        return andiron_error_set(err, ANDIRON_E_ELEMENT, "Client.secret",
                                 "must be a non-empty string, or null to remove it");
    if (plain.len < SHORT_SECRET) {
        andiron_str id = andiron_json_str(andiron_json_get(resource, "id"));
        andiron_log(auth->host, ANDIRON_LOG_WARN, "auth.secret.short",
                    "the secret of Client/%.*s is shorter than %d characters", (int)id.len, id.data,
                    SHORT_SECRET);
    }
    /* IB-4: the same secret again keeps its hash, so that nothing has changed. */
    if (stored.len != 0 && secret_read(stored, &old) == 0 &&
        old.rounds >= (unsigned)auth->config->secret_rounds && secret_is(&old, plain)) {
        *ret_text = stored;
        return 0;
    }
    return secret_make(arena, plain, (unsigned)auth->config->secret_rounds, ret_text, err);
}

/* CL-7: goes on as long as the Client is there and active. */
static andiron_str incarnation_of(struct andiron_arena *arena, andiron_json resource,
                                  andiron_json before)
{
    andiron_str old = andiron_json_str(andiron_json_get(before, CLIENT_INCARNATION));

    if (andiron_json_type(before) != ANDIRON_JSON_MISSING &&
        (client_is_active(before) || !client_is_active(resource)))
        return old;
    char *text = andiron_alloc(arena, SESSION_ID);
    session_new_id(text);
    return (andiron_str){ text, SESSION_ID };
}

static int client_accept(void *self, struct andiron_request *req, andiron_json resource,
                         andiron_json before, andiron_str *ret_text, struct andiron_error *err)
{
    struct auth *auth = self;
    struct andiron_arena *arena = andiron_request_arena(req);
    const struct client_checks checks = { .self = auth,
                                          .jwks_uri = check_jwks_uri,
                                          .scope =
                                              auth->scopes.table != NULL ? check_scope : NULL };
    andiron_json given = andiron_json_get(resource, "secret");
    bool will_have = andiron_json_type(given) == ANDIRON_JSON_MISSING
                         ? andiron_json_str(andiron_json_get(before, "secret")).len != 0
                         : andiron_json_str(given).len != 0;
    andiron_str secret;

    /* Cheap checks first: hashing takes 10 ms. */
    if (client_validate(arena, resource, will_have, &checks, err) != 0 ||
        accept_secret(auth, arena, resource, before, &secret, err) != 0)
        return -1;
    andiron_str text =
        client_text(arena, resource, secret, incarnation_of(arena, resource, before));
    if (text.data == NULL)
        return andiron_error_set(err, ANDIRON_E_TOO_LARGE, "Client", "is larger than %d bytes",
                                 CLIENT_MAX_BYTES);
    *ret_text = text;
    return 0;
}

static void client_stored(void *self, struct andiron_request *req, andiron_str id,
                          andiron_json resource)
{
    struct auth *auth = self;

    atomic_fetch_add(auth_client_epoch(auth, id), 1);
    if (!client_is_active(resource)) /* CL-7 */
        session_end_all(auth, andiron_request_loop(req), id);
}

static andiron_str client_present(void *self, struct andiron_request *req, andiron_json resource)
{
    (void)self;
    return client_text(andiron_request_arena(req), resource, (andiron_str){ NULL, 0 },
                       (andiron_str){ NULL, 0 });
}

static const char *const client_search[] = { "active:token:active", "type:token:type",
                                             "grant_types:token:grant_types", "name:string:name",
                                             NULL };

const struct andiron_resource_type auth_client_type = {
    .size = sizeof(struct andiron_resource_type),
    .accept = client_accept,
    .stored = client_stored,
    .present = client_present,
    .search = client_search,
};

/* ---- Session ------------------------------------------------------------------------------ */

static bool is_member(andiron_str name, const char *what)
{
    return andiron_str_eq(name, andiron_str_of(what));
}

/* Members that a writer may change, or cannot see and so cannot send. */
static bool is_left_out(andiron_str name)
{
    return is_member(name, "active") || is_member(name, "meta") || is_member(name, "access_token");
}

static bool has_equal(andiron_json object, andiron_str name, andiron_json value)
{
    struct andiron_json_iter it = { .of = object };
    while (andiron_json_next(&it))
        if (andiron_str_eq(it.name, name))
            return andiron_json_equal(it.value, value);
    return false;
}

/*
 * Everything but `active` and meta is as the token endpoint wrote it. Nothing may be missing,
 * either: without `scope` a token would be limited by none.
 */
static int check_unchanged(andiron_json resource, andiron_json before, struct andiron_error *err)
{
    const andiron_json pairs[2][2] = { { resource, before }, { before, resource } };

    for (int i = 0; i < 2; i++) {
        struct andiron_json_iter it = { .of = pairs[i][0] };
        while (andiron_json_next(&it))
            if (!is_left_out(it.name) && !has_equal(pairs[i][1], it.name, it.value))
                return andiron_error_set(err, ANDIRON_E_BUSINESS_RULE, "Session",
                                         "only `active` may be changed, to false");
    }
    return andiron_json_type(andiron_json_get(resource, "access_token")) == ANDIRON_JSON_MISSING
               ? 0
               : andiron_error_set(err, ANDIRON_E_ELEMENT, "Session", "has no such element");
}

static int session_accept(void *self, struct andiron_request *req, andiron_json resource,
                          andiron_json before, andiron_str *ret_text, struct andiron_error *err)
{
    (void)self;
    andiron_json active = andiron_json_get(resource, "active");

    if (andiron_json_type(before) == ANDIRON_JSON_MISSING)
        return andiron_error_set(err, ANDIRON_E_BUSINESS_RULE, "Session",
                                 "is made by POST /auth/token only");
    if (check_unchanged(resource, before, err) != 0)
        return -1;
    if (andiron_json_type(active) != ANDIRON_JSON_BOOL ||
        (andiron_json_true(active) && !andiron_json_true(andiron_json_get(before, "active"))))
        return andiron_error_set(err, ANDIRON_E_BUSINESS_RULE, "Session.active",
                                 "an ended session cannot be taken up again");
    /* What the writer may not see, the hash of the token, ends with this version, and so does
       an opaque token: hence no way back for `active`. */
    (void)req;
    (void)ret_text;
    return 0;
}

static void session_stored(void *self, struct andiron_request *req, andiron_str id,
                           andiron_json resource)
{
    struct auth *auth = self;
    (void)req;
    (void)resource;
    atomic_fetch_add(auth_session_epoch(auth, id), 1);
}

static andiron_str session_present(void *self, struct andiron_request *req, andiron_json resource)
{
    struct andiron_json_iter it = { .of = resource };
    (void)self;
    if (andiron_json_type(andiron_json_get(resource, "access_token")) == ANDIRON_JSON_MISSING)
        return andiron_json_raw(resource);
    struct andiron_json_writer *w =
        andiron_json_write(andiron_request_arena(req), andiron_json_raw(resource).len + 64);
    andiron_json_put_object(w, NULL);
    while (andiron_json_next(&it))
        if (!is_member(it.name, "access_token"))
            andiron_json_put_member(w, it.name, it.value);
    andiron_json_put_end(w);
    return andiron_json_written(w);
}

static const char *const session_search[] = { "client:reference:client", "active:token:active",
                                              NULL };
static const char *const session_references[] = { "client", "user", NULL };

const struct andiron_resource_type auth_session_type = {
    .size = sizeof(struct andiron_resource_type),
    .accept = session_accept,
    .stored = session_stored,
    .present = session_present,
    .search = session_search,
    .references = session_references,
};
