/*
 * Reading references.
 */
#include "reference.h"

static bool is_letter(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool is_type(andiron_str s)
{
    if (s.len == 0 || s.data[0] < 'A' || s.data[0] > 'Z')
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (!is_letter(s.data[i]))
            return false;
    return true;
}

/* FHIR R4, datatypes: id is [A-Za-z0-9\-\.]{1,64} */
static bool is_id(andiron_str s)
{
    if (s.len == 0 || s.len > 64)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (!is_letter(s.data[i]) && !(s.data[i] >= '0' && s.data[i] <= '9') && s.data[i] != '-' &&
            s.data[i] != '.')
            return false;
    return true;
}

/* Up to the first slash; *rest is what follows it, absent if there is none. */
static andiron_str cut(andiron_str text, andiron_str *rest)
{
    const char *slash = text.len > 0 ? memchr(text.data, '/', text.len) : NULL;
    *rest = (andiron_str){ NULL, 0 };
    if (slash == NULL)
        return text;
    size_t len = (size_t)(slash - text.data);
    *rest = (andiron_str){ slash + 1, text.len - len - 1 };
    return (andiron_str){ text.data, len };
}

static bool read_local(andiron_str text, struct reference *ret)
{
    andiron_str rest, version;
    andiron_str type = cut(text, &rest);
    if (rest.data == NULL)
        return false;
    andiron_str id = cut(rest, &rest);
    if (rest.data != NULL) {
        andiron_str history = cut(rest, &version);
        if (!andiron_str_eq(history, ANDIRON_STR("_history")) || !is_id(version))
            return false;
    }
    if (!is_type(type) || !is_id(id))
        return false;
    *ret = (struct reference){ .type = type, .id = id };
    return true;
}

bool reference_of_text(andiron_str text, andiron_str base, struct reference *ret)
{
    andiron_str local = text;
    if (text.len == 0)
        return false;
    if (base.len > 0 && text.len > base.len && memcmp(text.data, base.data, base.len) == 0)
        local = (andiron_str){ text.data + base.len, text.len - base.len };
    if (!read_local(local, ret))
        *ret = (struct reference){ .uri = text };
    return true;
}

bool reference_of(andiron_json v, andiron_str base, struct reference *ret)
{
    andiron_str text = andiron_json_str(v);
    if (text.data != NULL)
        return reference_of_text(text, base, ret);
    struct reference own = { .type = andiron_json_str(andiron_json_get(v, "resourceType")),
                             .id = andiron_json_str(andiron_json_get(v, "id")) };
    bool has_own = own.type.len > 0 && own.id.len > 0;
    text = andiron_json_str(andiron_json_get(v, "reference"));
    if (text.data == NULL) {
        *ret = own;
        return has_own;
    }
    if (!reference_of_text(text, base, ret))
        return false;
    return !has_own || reference_same(&own, ret);
}

bool reference_same(const struct reference *a, const struct reference *b)
{
    return andiron_str_eq(a->type, b->type) && andiron_str_eq(a->id, b->id) &&
           andiron_str_eq(a->uri, b->uri);
}
