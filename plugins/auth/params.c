/*
 * Form and JSON bodies of the OAuth endpoints.
 */
#include "params.h"

#include <strings.h>

struct param {
    char name[24];
    size_t offset;
    unsigned of; /* enum params_of */
};

#define PARAM(member, whose)                                                                       \
    {                                                                                              \
#        member, offsetof(struct oauth_params, member), (whose)                                    \
    }

static const struct param params[] = {
    PARAM(client_id, PARAMS_OF_GRANT | PARAMS_OF_TOKEN),
    PARAM(client_secret, PARAMS_OF_GRANT | PARAMS_OF_TOKEN),
    PARAM(client_assertion, PARAMS_OF_GRANT | PARAMS_OF_TOKEN),
    PARAM(client_assertion_type, PARAMS_OF_GRANT | PARAMS_OF_TOKEN),
    PARAM(grant_type, PARAMS_OF_GRANT),
    PARAM(scope, PARAMS_OF_GRANT),
    PARAM(audience, PARAMS_OF_GRANT),
    PARAM(token, PARAMS_OF_TOKEN),
    PARAM(token_type_hint, PARAMS_OF_TOKEN),
};
enum { PARAMS = sizeof(params) / sizeof(params[0]) };

struct reading {
    struct oauth_params *out;
    unsigned of;
    bool seen[PARAMS];
};

static int refuse(struct andiron_error *err, const char *why)
{
    return andiron_error_set(err, ANDIRON_E_INVALID, "", "%s", why);
}

/* Index of a parameter we know, or -1. */
static int param_of(const struct reading *r, andiron_str name)
{
    for (int i = 0; i < PARAMS; i++)
        if ((params[i].of & r->of) != 0 && andiron_str_eq(name, andiron_str_of(params[i].name)))
            return i;
    return -1;
}

static int take(struct reading *r, int index, andiron_str value, struct andiron_error *err)
{
    if (r->seen[index])
        return andiron_error_set(err, ANDIRON_E_INVALID, "", "parameter %s is repeated",
                                 params[index].name);
    r->seen[index] = true;
    if (value.len != 0)
        memcpy((char *)r->out + params[index].offset, &value, sizeof(value));
    return 0;
}

/* ---- forms -------------------------------------------------------------------------------- */

static int hex_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Whether text stands for itself: assertions and most other values do. */
static bool is_plain(andiron_str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] == '+' || text.data[i] == '%' || text.data[i] == '\0')
            return false;
    return true;
}

int params_decode(struct andiron_arena *arena, andiron_str text, andiron_str *ret)
{
    if (is_plain(text)) {
        *ret = text;
        return 0;
    }
    char *out = andiron_alloc(arena, text.len + 1);
    size_t len = 0;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (c == '+') {
            c = ' ';
        } else if (c == '%') {
            int high = i + 2 < text.len ? hex_of(text.data[i + 1]) : -1;
            int low = i + 2 < text.len ? hex_of(text.data[i + 2]) : -1;
            if (high < 0 || low < 0)
                return -1;
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (c == '\0')
            return -1;
        out[len++] = c;
    }
    *ret = (andiron_str){ out, len };
    return 0;
}

static int take_pair(struct andiron_arena *arena, struct reading *r, andiron_str pair,
                     struct andiron_error *err)
{
    const char *equals = pair.len != 0 ? memchr(pair.data, '=', pair.len) : NULL;
    size_t name_len = equals != NULL ? (size_t)(equals - pair.data) : pair.len;
    andiron_str value = { pair.data + pair.len, 0 }, name;

    if (equals != NULL)
        value = (andiron_str){ equals + 1, pair.len - name_len - 1 };
    if (params_decode(arena, (andiron_str){ pair.data, name_len }, &name) != 0 ||
        params_decode(arena, value, &value) != 0)
        return refuse(err, "the form has a broken %-sequence");
    int index = param_of(r, name);
    return index < 0 ? 0 : take(r, index, value, err);
}

static int read_form(struct andiron_arena *arena, struct reading *r, andiron_str body,
                     struct andiron_error *err)
{
    while (body.len != 0) {
        const char *end = memchr(body.data, '&', body.len);
        size_t len = end != NULL ? (size_t)(end - body.data) : body.len;
        if (len != 0 && take_pair(arena, r, (andiron_str){ body.data, len }, err) != 0)
            return -1;
        len += end != NULL;
        body.data += len;
        body.len -= len;
    }
    return 0;
}

/* ---- JSON --------------------------------------------------------------------------------- */

static int read_json(struct andiron_arena *arena, struct reading *r, andiron_str body,
                     struct andiron_error *err)
{
    andiron_json root;
    struct andiron_error inner;

    if (andiron_json_parse(arena, body, &root, &inner) != 0)
        return andiron_error_set(err, ANDIRON_E_INVALID, "", "the body is not JSON: %s",
                                 inner.message);
    if (andiron_json_type(root) != ANDIRON_JSON_OBJECT)
        return refuse(err, "the body must be a JSON object");
    struct andiron_json_iter it = { .of = root };
    while (andiron_json_next(&it)) {
        int index = param_of(r, it.name);
        andiron_str value = andiron_json_str(it.value);
        if (index < 0)
            continue;
        if (andiron_json_type(it.value) != ANDIRON_JSON_STRING ||
            (value.len != 0 && memchr(value.data, '\0', value.len) != NULL))
            return andiron_error_set(err, ANDIRON_E_INVALID, "", "parameter %s must be a string",
                                     params[index].name);
        if (take(r, index, value, err) != 0)
            return -1;
    }
    return 0;
}

/* The media type without its parameters is `name`. */
static bool is_type(andiron_str content_type, const char *name)
{
    size_t len = 0;
    while (len < content_type.len && content_type.data[len] != ';' &&
           content_type.data[len] != ' ' && content_type.data[len] != '\t')
        len++;
    return len == strlen(name) && strncasecmp(content_type.data, name, len) == 0;
}

int params_read(struct andiron_arena *arena, andiron_str content_type, andiron_str body,
                enum params_of of, struct oauth_params *ret, struct andiron_error *err)
{
    struct reading r = { .out = ret, .of = (unsigned)of };

    *ret = (struct oauth_params){ .scope = { NULL, 0 } };
    if (is_type(content_type, "application/x-www-form-urlencoded"))
        return read_form(arena, &r, body, err);
    if (content_type.len == 0 || is_type(content_type, "application/json"))
        return read_json(arena, &r, body.data != NULL ? body : ANDIRON_STR(""), err);
    return refuse(err, "the body must be application/x-www-form-urlencoded or application/json");
}
