#include "binary.h"

#include <strings.h>

#include "base64.h"
#include "text.h"

bool binary_is(const struct resource_type *type)
{
    return andiron_str_eq(type->str, ANDIRON_STR("Binary"));
}

/* The next media range of an Accept header, without its parameters. */
static andiron_str next_range(andiron_str *rest)
{
    const char *comma = memchr(rest->data, ',', rest->len);
    andiron_str range = { rest->data, comma != NULL ? (size_t)(comma - rest->data) : rest->len };
    size_t past = comma != NULL ? range.len + 1 : range.len;

    rest->data += past;
    rest->len -= past;
    const char *semicolon = memchr(range.data, ';', range.len);
    if (semicolon != NULL)
        range.len = (size_t)(semicolon - range.data);
    while (range.len > 0 && range.data[0] == ' ')
        range.data++, range.len--;
    while (range.len > 0 && range.data[range.len - 1] == ' ')
        range.len--;
    return range;
}

static bool is_json(andiron_str type)
{
    return negotiate_is_type(type, "application/fhir+json") ||
           negotiate_is_type(type, "application/json") ||
           negotiate_is_type(type, "application/json+fhir") || negotiate_is_type(type, "text/json");
}

bool binary_wants_content(struct andiron_request *req)
{
    andiron_str accept = andiron_request_header(req, "accept"), name, value;

    for (size_t pos = 0; andiron_request_param(req, &pos, &name, &value);)
        if (andiron_str_eq(name, ANDIRON_STR("_format")))
            return false;
    while (accept.len > 0)
        if (is_json(next_range(&accept)))
            return false;
    return true;
}

andiron_str binary_resource(struct andiron_arena *arena, andiron_str id, andiron_str content_type,
                            andiron_str security_context, andiron_str content)
{
    andiron_str data = base64_encode(arena, content);
    struct text t;

    text_init(&t, arena, data.len + content_type.len + security_context.len + id.len + 128);
    TEXT_LIT(&t, "{\"resourceType\":\"Binary\",\"id\":");
    text_json(&t, id);
    TEXT_LIT(&t, ",\"contentType\":");
    text_json(&t, content_type);
    if (security_context.len > 0) {
        TEXT_LIT(&t, ",\"securityContext\":{\"reference\":");
        text_json(&t, security_context);
        TEXT_LIT(&t, "}");
    }
    TEXT_LIT(&t, ",\"data\":\"");
    text_str(&t, data);
    TEXT_LIT(&t, "\"}");
    return text_view(&t);
}

/* ---- reading -------------------------------------------------------------------------------- */

struct content {
    andiron_str text; /* of the resource */
    struct andiron_arena *arena;
    andiron_str content_type, security_context, bytes;
    bool found;
};

static void read_content(void *state)
{
    struct content *c = state;
    andiron_json resource;
    struct andiron_error err;

    if (andiron_json_parse(c->arena, c->text, &resource, &err) != 0)
        return;
    andiron_json data = andiron_json_get(resource, "data");
    c->content_type = andiron_json_str(andiron_json_get(resource, "contentType"));
    c->security_context =
        andiron_json_str(andiron_json_path(resource, "securityContext.reference"));
    c->found = andiron_json_type(data) == ANDIRON_JSON_STRING &&
               base64_decode(c->arena, andiron_json_str(data), &c->bytes) == 0;
}

/* What can stand in a header; the stored text may be anything. */
static bool is_plain(andiron_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.data[i] < ' ' || s.data[i] > '~')
            return false;
    return s.len > 0 && s.len < 256;
}

static bool is_allowed(andiron_str accept, andiron_str type)
{
    const char *end = memchr(type.data, ';', type.len);
    if (end != NULL)
        type.len = (size_t)(end - type.data);
    const char *slash = memchr(type.data, '/', type.len);
    size_t stem = slash != NULL ? (size_t)(slash - type.data) + 1 : type.len;

    if (accept.len == 0)
        return true;
    while (accept.len > 0) {
        andiron_str range = next_range(&accept);
        if (andiron_str_eq(range, ANDIRON_STR("*/*")) ||
            (range.len == type.len && strncasecmp(range.data, type.data, type.len) == 0) ||
            (range.len == stem + 1 && range.data[stem] == '*' &&
             strncasecmp(range.data, type.data, stem) == 0))
            return true;
    }
    return false;
}

static enum andiron_step content_read(struct andiron_request *req, void *state)
{
    struct content *c = state;
    andiron_str type =
        is_plain(c->content_type) ? c->content_type : ANDIRON_STR("application/octet-stream");

    if (!c->found)
        return andiron_fail(req, ANDIRON_E_NOT_ACCEPTABLE,
                            "this Binary has no data that could be sent by itself; accept "
                            "application/fhir+json");
    if (!is_allowed(andiron_request_header(req, "accept"), type))
        return andiron_fail(req, ANDIRON_E_NOT_ACCEPTABLE, "Accept does not allow %.*s",
                            (int)type.len, type.data);
    if (is_plain(c->security_context))
        andiron_reply_header(req, "X-Security-Context", c->security_context);
    /* Whoever stored it must not run scripts in this server's name. */
    andiron_reply_header(req, "X-Content-Type-Options", ANDIRON_STR("nosniff"));
    andiron_reply_header(req, "Content-Security-Policy",
                         ANDIRON_STR("sandbox; default-src 'none'"));
    andiron_reply_header(req, "Content-Disposition", ANDIRON_STR("attachment"));
    andiron_reply_header(req, "Vary", ANDIRON_STR("Accept"));
    return andiron_reply(req, 200, andiron_copy(andiron_request_arena(req), type), c->bytes);
}

enum andiron_step binary_answer(struct andiron_request *req, const struct shown *shown)
{
    struct content *c = andiron_new(andiron_request_arena(req), struct content);

    answer_version(req, shown->version, shown->updated);
    if (answer_is_current(req, shown->version, shown->updated))
        return andiron_reply(req, 304, NULL, (andiron_str){ NULL, 0 });
    c->text = shown->body;
    c->arena = andiron_request_arena(req);
    if (c->text.len > FHIR_OFFLOAD_ABOVE)
        return andiron_offload(req, read_content, content_read, c);
    read_content(c);
    return content_read(req, c);
}
