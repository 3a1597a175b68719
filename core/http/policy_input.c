/*
 * Building the request object for policies. Reads a request, changes nothing of it but its
 * parsed body.
 */
#include "http/policy_input.h"

#include <ctype.h>

#include <andiron/auth.h>

#include "http/per_loop.h"
#include "http/request.h"
#include "http/shown.h"
#include "json/parse.h"
#include "json/plain.h"

enum { OBJECT_MAX = 256 * 1024 * 1024 /* the body, once more, and a little */ };

typedef void (*build_fn)(struct policy_input *input, struct andiron_json_writer *w,
                         const char *name);

/*
 * A member of the request object and how it is made, by one of: a builder, which leaves it out by
 * putting nothing; its text, left out if empty; the resource that it shows, without secrets.
 */
struct member {
    const char *name;
    build_fn build;
    andiron_str (*text)(struct policy_input *input);
    andiron_json (*resource)(const struct andiron_principal *principal);
};

enum { MEMBERS = 18 };

struct policy_input {
    struct andiron_arena *arena;
    struct andiron_request *req;
    andiron_json whole;
    bool whole_built;
    bool built[MEMBERS];
    andiron_json values[MEMBERS];
};

/* ---- RO-1: null, "", [] and {} count as absent ------------------------------------- */

static bool is_blank(andiron_json v)
{
    switch (andiron_json_type(v)) {
    case ANDIRON_JSON_MISSING:
    case ANDIRON_JSON_NULL:
        return true;
    case ANDIRON_JSON_STRING:
        return andiron_json_str(v).len == 0;
    case ANDIRON_JSON_ARRAY:
        return andiron_json_count(v) == 0;
    case ANDIRON_JSON_OBJECT: {
        struct andiron_json_iter it = { .of = v };
        while (andiron_json_next(&it))
            if (!is_blank(it.value))
                return false;
        return true;
    }
    case ANDIRON_JSON_BOOL:
    case ANDIRON_JSON_NUMBER:
    default:
        return false;
    }
}

/* What no policy may see, wherever in a Client or User it stands. */
static bool is_secret(andiron_str name)
{
    return andiron_str_eq(name, ANDIRON_STR("secret")) ||
           andiron_str_eq(name, ANDIRON_STR("password"));
}

static void put_pruned(struct policy_input *input, struct andiron_json_writer *w, const char *name,
                       andiron_json v, bool drop_secrets);

static void put_members(struct policy_input *input, struct andiron_json_writer *w, andiron_json v,
                        bool drop_secrets)
{
    struct andiron_json_iter it = { .of = v };
    while (andiron_json_next(&it)) {
        if (is_blank(it.value) || (drop_secrets && is_secret(it.name)))
            continue;
        put_pruned(input, w, andiron_copy(input->arena, it.name), it.value, drop_secrets);
    }
}

static void put_pruned(struct policy_input *input, struct andiron_json_writer *w, const char *name,
                       andiron_json v, bool drop_secrets)
{
    switch (andiron_json_type(v)) {
    case ANDIRON_JSON_OBJECT:
        andiron_json_put_object(w, name);
        put_members(input, w, v, drop_secrets);
        andiron_json_put_end(w);
        break;
    case ANDIRON_JSON_ARRAY: {
        struct andiron_json_iter it = { .of = v };
        andiron_json_put_array(w, name);
        while (andiron_json_next(&it))
            put_pruned(input, w, NULL, it.value, drop_secrets);
        andiron_json_put_end(w);
        break;
    }
    default:
        andiron_json_put(w, name, v);
    }
}

static void put_unless_blank(struct policy_input *input, struct andiron_json_writer *w,
                             const char *name, andiron_json v, bool drop_secrets)
{
    if (!is_blank(v))
        put_pruned(input, w, name, v, drop_secrets);
}

static void put_text(struct andiron_json_writer *w, const char *name, andiron_str text)
{
    if (text.len > 0)
        andiron_json_put_str(w, name, text);
}

/* ---- the members, in the order of seed-semantics 5.2 --------------------------------- */

static andiron_str text_of_method(struct policy_input *input)
{
    andiron_str method = andiron_request_method(input->req); /* GET, of HEAD too */
    char *lower = andiron_copy(input->arena, method);
    for (char *c = lower; *c != '\0'; c++)
        *c = (char)tolower((unsigned char)*c);
    return (andiron_str){ lower, method.len };
}

static andiron_str text_of_scheme(struct policy_input *input)
{
    return andiron_str_of(request_scheme(input->req));
}

/*
 * A platform type has one uri whichever base was used, so that a policy on ^/fhir/ never opens
 * it: its operations are those whose name does not begin with "Fhir".
 */
static andiron_str text_of_uri(struct policy_input *input)
{
    static const char prefix[] = "/fhir/";
    andiron_str path = andiron_request_path(input->req);
    const char *operation = andiron_request_operation(input->req);
    bool below_fhir = path.len >= 6 && memcmp(path.data, prefix, 6) == 0;
    bool platform = operation != NULL && strncmp(operation, "Fhir", 4) != 0 &&
                    andiron_request_var(input->req, "type").data != NULL;
    if (below_fhir && platform) {
        path.data += 5;
        path.len -= 5;
    }
    return path;
}

static andiron_str text_of_query(struct policy_input *input)
{
    return andiron_request_query(input->req);
}

/* Route variables under the names that policies use. */
static const struct {
    const char *var, *param;
} route_params[] = {
    { "type", "resource/type" },
    { "id", "resource/id" },
    { "vid", "resource/vid" },
    { "operation", "operation/name" },
    { "compartment", "compartment/type" },
    { "compartment-id", "compartment/id" },
};
enum { ROUTE_PARAMS = sizeof(route_params) / sizeof(route_params[0]) };

static bool is_route_param(andiron_str name)
{
    for (size_t i = 0; i < ROUTE_PARAMS; i++)
        if (andiron_str_eq(name, andiron_str_of(route_params[i].param)))
            return true;
    return false;
}

static bool named_before(struct andiron_request *req, size_t position, andiron_str name)
{
    andiron_str earlier, value;
    size_t pos = 0;
    for (size_t i = 0; i < position && andiron_request_param(req, &pos, &earlier, &value); i++)
        if (andiron_str_eq(earlier, name))
            return true;
    return false;
}

/* All values of a parameter: one as a string, several as an array. */
static void put_param(struct policy_input *input, struct andiron_json_writer *w, andiron_str name,
                      andiron_str first, size_t behind)
{
    const char *key = andiron_copy(input->arena, name);
    andiron_str other, value;
    size_t pos = behind, count = 1;
    while (andiron_request_param(input->req, &pos, &other, &value))
        count += andiron_str_eq(other, name);
    if (count == 1) {
        put_text(w, key, first);
        return;
    }
    andiron_json_put_array(w, key);
    andiron_json_put_str(w, NULL, first);
    pos = behind;
    while (andiron_request_param(input->req, &pos, &other, &value))
        if (andiron_str_eq(other, name))
            andiron_json_put_str(w, NULL, value);
    andiron_json_put_end(w);
}

static void build_params(struct policy_input *input, struct andiron_json_writer *w,
                         const char *name)
{
    andiron_str param, value;
    size_t pos = 0;

    andiron_json_put_object(w, name);
    for (size_t i = 0; andiron_request_param(input->req, &pos, &param, &value); i++)
        if (!is_route_param(param) && !named_before(input->req, i, param))
            put_param(input, w, param, value, pos);
    for (size_t i = 0; i < ROUTE_PARAMS; i++)
        put_text(w, route_params[i].param, andiron_request_var(input->req, route_params[i].var));
    andiron_json_put_end(w);
}

/* The body as JSON: parsed for the handler too if it is; MISSING if it is something else. */
static andiron_json body_of(struct policy_input *input)
{
    struct andiron_request *req = input->req;
    andiron_str body = andiron_request_body(req);
    andiron_json json = { NULL, 0 };
    struct andiron_error err;

    if (req->json_state == JSON_READ)
        return req->json;
    /* One that is broken was perhaps large, and found to be so beside the loop: not once more. */
    if (body.len == 0 || req->json_state == JSON_BAD)
        return json;
    /* What does not parse is left for the handler, which says why. */
    if (andiron_json_parse(input->arena, body, &json, &err) != 0)
        return (andiron_json){ NULL, 0 };
    req->json = json;
    req->json_state = JSON_READ;
    return json;
}

static void build_body(struct policy_input *input, struct andiron_json_writer *w, const char *name)
{
    put_unless_blank(input, w, name, body_of(input), false);
}

static void build_resource(struct policy_input *input, struct andiron_json_writer *w,
                           const char *name)
{
    andiron_str method = andiron_request_method(input->req);
    if (!andiron_str_eq(method, ANDIRON_STR("POST")) && !andiron_str_eq(method, ANDIRON_STR("PUT")))
        return;
    andiron_json body = body_of(input);
    if (andiron_json_type(body) == ANDIRON_JSON_OBJECT)
        put_unless_blank(input, w, name, body, false);
}

static bool is_credential(andiron_str header)
{
    return andiron_str_eq(header, ANDIRON_STR("authorization")) ||
           andiron_str_eq(header, ANDIRON_STR("proxy-authorization")) ||
           andiron_str_eq(header, ANDIRON_STR("cookie"));
}

/* What an entry of a batch says for itself, and so not its outer request for it. */
static bool is_entrys(andiron_str header)
{
    static const char *const names[] = { "content-type",      "content-length", "content-encoding",
                                         "transfer-encoding", "if-match",       "if-none-match",
                                         "if-modified-since", "if-none-exist" };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (andiron_str_eq(header, andiron_str_of(names[i])))
            return true;
    return false;
}

static bool has_header(const struct andiron_request *req, andiron_str name)
{
    andiron_str header, value;

    for (size_t pos = 0; request_header_next(req, &pos, &header, &value);)
        if (andiron_str_eq(header, name))
            return true;
    return false;
}

static void put_headers(struct policy_input *input, struct andiron_json_writer *w,
                        const struct andiron_request *of)
{
    andiron_str header, value, earlier;
    size_t pos = 0;

    for (size_t i = 0; request_header_next(of, &pos, &header, &value); i++) {
        bool repeated = false;
        size_t before = 0;
        for (size_t j = 0; j < i && request_header_next(of, &before, &earlier, &value); j++)
            repeated |= andiron_str_eq(earlier, header);
        if (repeated || is_credential(header))
            continue;
        if (of != input->req && (is_entrys(header) || has_header(input->req, header)))
            continue;
        const char *key = andiron_copy(input->arena, header);
        put_text(w, key, andiron_request_header(of, key));
    }
}

static void build_headers(struct policy_input *input, struct andiron_json_writer *w,
                          const char *name)
{
    const struct andiron_request *outer = request_origin(input->req);
    const struct andiron_inner *presented = input->req->presented;
    /* What an entry is run with beside what its Bundle came with does not stand for that. */
    bool has_own =
        presented != NULL && presented->headers != NULL && presented->bundle_type == NULL;

    andiron_json_put_object(w, name);
    put_headers(input, w, input->req);
    if (outer != input->req && !has_own)
        put_headers(input, w, outer);
    andiron_json_put_end(w);
}

static andiron_str text_of_remote(struct policy_input *input)
{
    return andiron_request_remote(input->req);
}

static andiron_json client_of(const struct andiron_principal *principal)
{
    return principal->client;
}

static andiron_json user_of(const struct andiron_principal *principal)
{
    return principal->user;
}

static andiron_json roles_of(const struct andiron_principal *principal)
{
    return principal->roles;
}

/* The Session, without the hash of its token, and with the roles once more. */
static void build_session(struct policy_input *input, struct andiron_json_writer *w,
                          const char *name)
{
    const struct andiron_principal *p = andiron_request_principal(input->req);
    if (is_blank(p->session))
        return;
    struct andiron_json_iter it = { .of = p->session };
    andiron_json_put_object(w, name);
    while (andiron_json_next(&it)) {
        bool token = it.name.len > 6 && memcmp(it.name.data + it.name.len - 6, "_token", 6) == 0;
        if (!token && !is_secret(it.name) && !is_blank(it.value) &&
            !andiron_str_eq(it.name, ANDIRON_STR("role")))
            put_pruned(input, w, andiron_copy(input->arena, it.name), it.value, true);
    }
    put_unless_blank(input, w, "role", p->roles, true);
    andiron_json_put_end(w);
}

static void build_jwt(struct policy_input *input, struct andiron_json_writer *w, const char *name)
{
    put_unless_blank(input, w, name, andiron_request_principal(input->req)->jwt, false);
}

static void build_operation(struct policy_input *input, struct andiron_json_writer *w,
                            const char *name)
{
    const char *operation = andiron_request_operation(input->req);
    const struct http_route *route = input->req->match.route;
    if (operation == NULL)
        return;
    andiron_json_put_object(w, name);
    andiron_json_put_str(w, "id", andiron_str_of(operation));
    if (route != NULL && route->owner != NULL)
        andiron_json_put_str(w, "module", andiron_str_of(route->owner->name));
    andiron_json_put_bool(w, "public", request_is_public(input->req));
    andiron_json_put_end(w);
}

/* "context/Type.perm?params" in its parts; others have no place here. */
static void put_scope(struct andiron_json_writer *w, andiron_str scope)
{
    const char *slash = memchr(scope.data, '/', scope.len);
    if (slash == NULL)
        return;
    size_t context = (size_t)(slash - scope.data);
    andiron_str rest = { slash + 1, scope.len - context - 1 };
    const char *dot = memchr(rest.data, '.', rest.len);
    if (dot == NULL)
        return;
    andiron_str type = { rest.data, (size_t)(dot - rest.data) };
    andiron_str perm = { dot + 1, rest.len - type.len - 1 }, params = { NULL, 0 };
    const char *mark = memchr(perm.data, '?', perm.len);
    if (mark != NULL) {
        params = (andiron_str){ mark + 1, perm.len - (size_t)(mark - perm.data) - 1 };
        perm.len = (size_t)(mark - perm.data);
    }
    andiron_json_put_object(w, NULL);
    put_text(w, "context", (andiron_str){ scope.data, context });
    put_text(w, "type", type);
    put_text(w, "perm", perm);
    put_text(w, "params", params);
    andiron_json_put_end(w);
}

static void build_scope(struct policy_input *input, struct andiron_json_writer *w, const char *name)
{
    const char *const *scopes = andiron_request_principal(input->req)->scopes;
    if (scopes == NULL)
        return;
    andiron_json_put_array(w, name);
    for (; *scopes != NULL; scopes++)
        put_scope(w, andiron_str_of(*scopes));
    andiron_json_put_end(w);
}

static void build_bundle(struct policy_input *input, struct andiron_json_writer *w,
                         const char *name)
{
    size_t index = 0;
    const char *type = request_bundle(input->req, &index);
    if (type == NULL)
        return;
    andiron_json_put_object(w, name);
    andiron_json_put_str(w, "type", andiron_str_of(type));
    andiron_json_put_int(w, "index", (int64_t)index);
    andiron_json_put_end(w);
}

static const struct member members[MEMBERS] = {
    { "request-method", .text = text_of_method },
    { "scheme", .text = text_of_scheme },
    { "uri", .text = text_of_uri },
    { "query-string", .text = text_of_query },
    { "params", .build = build_params },
    { "body", .build = build_body },
    { "resource", .build = build_resource },
    { "headers", .build = build_headers },
    { "remote-addr", .text = text_of_remote },
    { "client", .resource = client_of },
    { "user", .resource = user_of },
    { "role", .resource = roles_of },
    { "session", .build = build_session },
    { "jwt", .build = build_jwt },
    { "operation", .build = build_operation },
    { "scope", .build = build_scope },
    { "bundle", .build = build_bundle },
    { .name = NULL },
};

/* ---- access --------------------------------------------------------------------------- */

/* Kept by the loop: its Clients come again and again. */
static andiron_json resource_shown(struct policy_input *input, andiron_json of)
{
    andiron_json ret;

    if (andiron_json_type(of) == ANDIRON_JSON_MISSING)
        return of;
    if (shown_find(input->req->home->shown, input->arena, of, &ret))
        return ret;
    andiron_str text = { NULL, 0 };
    if (!is_blank(of)) {
        struct andiron_json_writer *w = andiron_json_write(input->arena, OBJECT_MAX);
        put_pruned(input, w, NULL, of, true);
        text = andiron_json_written(w);
    }
    ret = shown_keep(input->req->home->shown, input->arena, of, text);
    return is_blank(ret) ? (andiron_json){ NULL, 0 } : ret;
}

/* The value of `name` in the object {"name": value} that the builder writes. */
static andiron_json build_alone(struct policy_input *input, const struct member *member)
{
    struct andiron_error err;
    andiron_json object = { NULL, 0 };
    andiron_str word = { NULL, 0 };

    if (member->resource != NULL)
        return resource_shown(input, member->resource(andiron_request_principal(input->req)));
    if (member->text != NULL) {
        word = member->text(input);
        if (word.len == 0 || json_plain(input->arena, word, &object))
            return object;
    }
    struct andiron_json_writer *w = andiron_json_write(input->arena, OBJECT_MAX);
    andiron_json_put_object(w, NULL);
    if (member->text != NULL)
        put_text(w, member->name, word);
    else
        member->build(input, w, member->name);
    andiron_json_put_end(w);
    andiron_str text = andiron_json_written(w);
    if (text.data == NULL || andiron_json_parse(input->arena, text, &object, &err) != 0)
        return (andiron_json){ NULL, 0 };
    andiron_json value = andiron_json_get(object, member->name);
    return is_blank(value) ? (andiron_json){ NULL, 0 } : value;
}

static andiron_json member_value(struct policy_input *input, size_t i)
{
    if (!input->built[i]) {
        input->built[i] = true;
        input->values[i] = build_alone(input, &members[i]);
    }
    return input->values[i];
}

static andiron_json whole_of(struct policy_input *input)
{
    if (input->req == NULL || input->whole_built)
        return input->whole;
    struct andiron_json_writer *w = andiron_json_write(input->arena, OBJECT_MAX);
    struct andiron_error err;
    andiron_json_put_object(w, NULL);
    for (size_t i = 0; members[i].name != NULL; i++)
        andiron_json_put(w, members[i].name, member_value(input, i));
    andiron_json_put_end(w);
    andiron_str text = andiron_json_written(w);
    if (text.data == NULL || andiron_json_parse(input->arena, text, &input->whole, &err) != 0)
        input->whole = (andiron_json){ NULL, 0 };
    input->whole_built = true;
    return input->whole;
}

struct policy_input *policy_input_new(struct andiron_arena *arena, struct andiron_request *req,
                                      andiron_json whole)
{
    struct policy_input *input = andiron_new(arena, struct policy_input);
    input->arena = arena;
    input->req = req;
    input->whole = whole;
    return input;
}

andiron_json policy_input_get(struct policy_input *input, const char *path)
{
    if (path[0] == '\0')
        return whole_of(input);
    if (input->req == NULL)
        return andiron_json_path(input->whole, path);
    size_t len = strcspn(path, ".");
    for (size_t i = 0; members[i].name != NULL; i++) {
        if (strlen(members[i].name) != len || memcmp(members[i].name, path, len) != 0)
            continue;
        andiron_json value = member_value(input, i);
        return path[len] == '\0' ? value : andiron_json_path(value, path + len + 1);
    }
    return (andiron_json){ NULL, 0 };
}
