/*
 * Steps: read the body; find the Client, the User and its Roles as the server itself would;
 * route the request.
 */
#include "trial.h"

#include "common/jose/base64url.h"

enum { HEADERS_MAX = 100, SCOPES_MAX = 1000 };

static const struct andiron_principal server = { .size = sizeof(server), .kind = ANDIRON_SYSTEM };

static enum andiron_step wrong(struct andiron_request *req, const char *where, const char *why)
{
    struct andiron_error err;
    (void)andiron_error_set(&err, ANDIRON_E_VALUE, where, "%s", why);
    return andiron_fail_with(req, &err);
}

static andiron_str member(const struct trial *t, const char *name)
{
    return andiron_json_str(andiron_json_get(t->request, name));
}

static bool is_given(const struct trial *t, const char *name)
{
    return andiron_json_type(andiron_json_get(t->request, name)) != ANDIRON_JSON_MISSING;
}

/* ---- the request ------------------------------------------------------------------------- */

static andiron_str changed_case(struct andiron_arena *arena, andiron_str text, char first)
{
    char *copy = andiron_copy(arena, text);
    for (size_t i = 0; i < text.len; i++)
        if (copy[i] >= first && copy[i] <= first + ('z' - 'a'))
            copy[i] = (char)(copy[i] ^ 0x20);
    return (andiron_str){ copy, text.len };
}

/* "https://host/fhir/Patient" too, where host is this server. */
static andiron_str path_of(struct andiron_request *req, andiron_str uri)
{
    andiron_str base = andiron_request_base(req);
    if (uri.len > base.len && base.len > 0 && memcmp(uri.data, base.data, base.len) == 0) {
        uri.data += base.len;
        uri.len -= base.len;
    }
    return uri;
}

static void read_headers(struct andiron_request *req, struct trial *t)
{
    struct andiron_arena *arena = andiron_request_arena(req);
    andiron_json given = andiron_json_get(t->request, "headers");
    struct andiron_inner_header *headers =
        andiron_alloc(arena, (HEADERS_MAX + 1) * sizeof(*headers));
    struct andiron_json_iter it = { .of = given };
    size_t count = 0;

    while (count < HEADERS_MAX && andiron_json_next(&it)) {
        andiron_str value = andiron_json_str(it.value);
        if (it.name.len == 0 || value.data == NULL)
            continue;
        andiron_str name = changed_case(arena, it.name, 'A');
        if (andiron_str_eq(name, ANDIRON_STR("content-type")))
            t->inner.content_type = value;
        else
            headers[count++] = (struct andiron_inner_header){ name.data, value };
    }
    t->inner.headers = headers;
}

/* -1: answered. */
static int read_request(struct andiron_request *req, struct trial *t)
{
    struct andiron_arena *arena = andiron_request_arena(req);
    andiron_str method = member(t, "method"), uri = member(t, "uri");
    andiron_json body = andiron_json_get(t->request, "body");

    if (uri.len == 0 || method.len > 16) {
        (void)wrong(req, "request.uri",
                    "a path such as \"/fhir/Patient/1\" is required, and method, headers, body, "
                    "client-id or user-id beside it");
        return -1;
    }
    t->inner = (struct andiron_inner){ .size = sizeof(t->inner), .routed_only = true };
    t->inner.target = path_of(req, uri);
    t->inner.method = method.len > 0 ? changed_case(arena, method, 'a') : ANDIRON_STR("GET");
    if (andiron_json_type(body) != ANDIRON_JSON_MISSING)
        t->inner.body = andiron_json_type(body) == ANDIRON_JSON_STRING ? andiron_json_str(body)
                                                                       : andiron_json_raw(body);
    read_headers(req, t);
    return 0;
}

/* ---- scopes and claims --------------------------------------------------------------------- */

static const char *const *words_of(struct andiron_arena *arena, andiron_str text)
{
    const char **words = andiron_alloc(arena, (SCOPES_MAX + 1) * sizeof(*words));
    size_t count = 0;
    while (text.len > 0 && count < SCOPES_MAX) {
        const char *blank = memchr(text.data, ' ', text.len);
        size_t len = blank != NULL ? (size_t)(blank - text.data) : text.len;
        if (len > 0)
            words[count++] = andiron_copy(arena, (andiron_str){ text.data, len });
        len += blank != NULL;
        text.data += len;
        text.len -= len;
    }
    return words;
}

/* DB-2: the payload of a JWT is read, its signature is not looked at. MISSING if it is none. */
static andiron_json claims_of(struct andiron_request *req, andiron_json headers)
{
    static const char bearer[] = "Bearer ";
    struct andiron_arena *arena = andiron_request_arena(req);
    andiron_str text = andiron_json_str(andiron_json_get(headers, "authorization"));
    andiron_json claims = { NULL, 0 };
    struct andiron_error err;

    if (text.data == NULL)
        text = andiron_json_str(andiron_json_get(headers, "Authorization"));
    if (text.len < sizeof(bearer) || memcmp(text.data, bearer, sizeof(bearer) - 1) != 0)
        return claims;
    const char *end = text.data + text.len;
    const char *from = memchr(text.data, '.', text.len);
    const char *to = from != NULL ? memchr(from + 1, '.', (size_t)(end - from - 1)) : NULL;
    if (to == NULL)
        return claims;
    andiron_str part = { from + 1, (size_t)(to - from - 1) }, payload = { NULL, 0 };
    if (jose_base64url_read(arena, part, &payload) != 0 ||
        andiron_json_parse(arena, payload, &claims, &err) != 0)
        return (andiron_json){ NULL, 0 };
    return claims;
}

/* -1: answered. */
static int read_scopes(struct andiron_request *req, struct trial *t)
{
    const struct andiron_scopes *service = t->scopes.table;
    struct andiron_principal *p = &t->principal;
    struct andiron_error err;
    bool from_token = !is_given(t, "scope");
    andiron_str text =
        from_token ? andiron_json_str(andiron_json_get(p->jwt, "scope")) : member(t, "scope");

    if (text.data == NULL)
        return 0;
    p->scopes = words_of(andiron_request_arena(req), text);
    if (service == NULL || service->compile_in(t->scopes.self, andiron_request_arena(req),
                                               p->scopes, p->jwt, &p->scope_set, &err) == 0)
        return 0;
    (void)wrong(req, from_token ? "request.headers.authorization" : "request.scope", err.message);
    return -1;
}

/* ---- who ------------------------------------------------------------------------------------- */

static enum andiron_step route_it(struct andiron_request *req, struct trial *t)
{
    struct andiron_principal *p = &t->principal;
    andiron_str user = andiron_json_str(andiron_json_get(p->user, "id"));
    andiron_str client = andiron_json_str(andiron_json_get(p->client, "id"));

    p->size = sizeof(*p);
    p->kind = user.len > 0 ? ANDIRON_USER : client.len > 0 ? ANDIRON_CLIENT : ANDIRON_ANONYMOUS;
    if (p->kind != ANDIRON_ANONYMOUS)
        p->id = andiron_copy(andiron_request_arena(req), user.len > 0 ? user : client);
    if (read_scopes(req, t) != 0)
        return ANDIRON_DONE;
    t->inner.principal = p;
    return andiron_request_run(req, &t->inner, &t->sub, t->then, t->state);
}

static enum andiron_step read_as_server(struct andiron_request *req, struct trial *t,
                                        const char *target, andiron_step_fn then)
{
    const struct andiron_inner inner = { .size = sizeof(inner),
                                         .method = ANDIRON_STR("GET"),
                                         .target = andiron_str_of(target),
                                         .principal = &server };
    return andiron_request_run(req, &inner, &t->read, then, t);
}

/* What was read, or MISSING. */
static andiron_json answer_of(struct andiron_request *req, const struct trial *t)
{
    andiron_json json = { NULL, 0 };
    struct andiron_error err;
    if (andiron_reply_status(t->read) != 200 ||
        andiron_json_parse(andiron_request_arena(req), andiron_reply_body(t->read), &json, &err) !=
            0)
        return (andiron_json){ NULL, 0 };
    return json;
}

static bool is_id(andiron_str id)
{
    for (size_t i = 0; i < id.len; i++) {
        char c = id.data[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!plain && c != '-' && c != '.')
            return false;
    }
    return id.len > 0 && id.len <= 64;
}

static enum andiron_step roles_read(struct andiron_request *req, void *state)
{
    struct trial *t = state;
    andiron_json bundle = answer_of(req, t);
    struct andiron_json_iter it = { .of = andiron_json_get(bundle, "entry") };
    struct andiron_json_writer *w = andiron_json_write(andiron_request_arena(req), 1024 * 1024);
    struct andiron_error err;

    andiron_json_put_array(w, NULL);
    while (andiron_json_next(&it))
        andiron_json_put(w, NULL, andiron_json_get(it.value, "resource"));
    andiron_json_put_end(w);
    andiron_str text = andiron_json_written(w);
    if (text.data == NULL ||
        andiron_json_parse(andiron_request_arena(req), text, &t->principal.roles, &err) != 0)
        return andiron_fail(req, ANDIRON_E_TOO_LARGE, "the User has too many Roles");
    return route_it(req, t);
}

static enum andiron_step user_read(struct andiron_request *req, void *state)
{
    struct trial *t = state;
    andiron_str id = member(t, "user-id");
    t->principal.user = answer_of(req, t);
    if (andiron_json_type(t->principal.user) != ANDIRON_JSON_OBJECT)
        return wrong(req, "request.user-id", "no such User is stored");
    return read_as_server(req, t,
                          andiron_printf(andiron_request_arena(req),
                                         "/Role?user=User/%.*s&_count=1000", (int)id.len, id.data),
                          roles_read);
}

static enum andiron_step find_user(struct andiron_request *req, struct trial *t)
{
    andiron_str id = member(t, "user-id");
    t->principal.user = andiron_json_get(t->request, "user");
    t->principal.roles = andiron_json_get(t->request, "role");
    t->principal.session = andiron_json_get(t->request, "session");
    if (id.data == NULL)
        return route_it(req, t);
    if (!is_id(id))
        return wrong(req, "request.user-id", "is the id of a User");
    return read_as_server(
        req, t, andiron_printf(andiron_request_arena(req), "/User/%.*s", (int)id.len, id.data),
        user_read);
}

static enum andiron_step client_read(struct andiron_request *req, void *state)
{
    struct trial *t = state;
    t->principal.client = answer_of(req, t);
    if (andiron_json_type(t->principal.client) != ANDIRON_JSON_OBJECT)
        return wrong(req, is_given(t, "client-id") ? "request.client-id" : "request.headers",
                     "no such Client is stored");
    return find_user(req, t);
}

enum andiron_step trial_begin(struct andiron_request *req, struct trial *t, andiron_step_fn then,
                              void *state)
{
    andiron_json body;
    if (andiron_request_json(req, &body) != 0)
        return ANDIRON_DONE;
    t->then = then;
    t->state = state;
    t->request = andiron_json_get(body, "request");
    t->policy = andiron_json_get(body, "policy");
    if (andiron_json_type(t->request) != ANDIRON_JSON_OBJECT)
        return wrong(req, "request",
                     "an object is required, such as {\"method\":\"get\",\"uri\":\"/fhir/Patient\","
                     "\"client-id\":\"lab\"}");
    if (read_request(req, t) != 0)
        return ANDIRON_DONE;
    t->principal.jwt = claims_of(req, andiron_json_get(t->request, "headers"));
    andiron_str id = is_given(t, "client-id")
                         ? member(t, "client-id")
                         : andiron_json_str(andiron_json_get(t->principal.jwt, "client_id"));
    if (is_given(t, "client"))
        t->principal.client = andiron_json_get(t->request, "client");
    else if (is_given(t, "client-id") || id.data != NULL)
        return is_id(id) ? read_as_server(req, t,
                                          andiron_printf(andiron_request_arena(req), "/Client/%.*s",
                                                         (int)id.len, id.data),
                                          client_read)
                         : wrong(req, "request.client-id", "is the id of a Client");
    return find_user(req, t);
}
