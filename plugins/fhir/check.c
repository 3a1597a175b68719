#include "check.h"

#include <stdarg.h>
#include <stdio.h>

/* Where the walk is: a chain of frames from the inner to the outer. */
struct place {
    const struct place *outer;
    andiron_str name; /* member, or absent for an element of an array */
    size_t index;
};

struct check {
    struct issues *issues;
    bool fhir; /* else only U+0000 */
};

void issues_init(struct issues *issues, struct andiron_arena *arena, andiron_str root)
{
    *issues = (struct issues){ .arena = arena, .root = root };
}

static struct andiron_error *issues_slot(struct issues *issues)
{
    if (issues->count == ISSUES_MAX)
        return NULL;
    if (issues->list == NULL)
        issues->list = andiron_alloc(issues->arena, ISSUES_MAX * sizeof(issues->list[0]));
    return &issues->list[issues->count++];
}

void issues_add(struct issues *issues, enum andiron_code code, const char *where, const char *fmt,
                ...)
{
    struct andiron_error *err = issues_slot(issues);
    if (err == NULL)
        return;
    err->code = code;
    (void)snprintf(err->where, sizeof(err->where), "%.*s%s", (int)issues->root.len,
                   issues->root.data, where);
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(err->message, sizeof(err->message), fmt, args);
    va_end(args);
}

void issues_add_error(struct issues *issues, const struct andiron_error *err)
{
    struct andiron_error *slot = issues_slot(issues);
    if (slot == NULL)
        return;
    *slot = *err;
    /* "Client.secret" is ".secret" of this resource, which may be an entry of a Bundle. */
    const char *rest = err->where;
    if (rest[0] >= 'A' && rest[0] <= 'Z')
        rest += strcspn(rest, ".[");
    else if (rest[0] != '\0')
        return;
    int len = snprintf(slot->where, sizeof(slot->where), "%.*s%s", (int)issues->root.len,
                       issues->root.data, rest);
    if (len < 0 || (size_t)len >= sizeof(slot->where)) /* deep in a Bundle: the entry says enough */
        (void)snprintf(slot->where, sizeof(slot->where), "%.*s", (int)issues->root.len,
                       issues->root.data);
}

size_t issues_leading(const struct andiron_error *list, size_t count)
{
    size_t syntax = count;

    for (size_t i = 0; i < count; i++) {
        int status = andiron_code_http(list[i].code);
        if (status >= 500)
            return i;
        if (status == 400 && syntax == count)
            syntax = i;
    }
    return syntax < count ? syntax : 0;
}

void issues_take(struct issues *issues, const struct andiron_error *list, size_t count)
{
    struct andiron_error *err;
    for (size_t i = 0; i < count && (err = issues_slot(issues)) != NULL; i++)
        *err = list[i];
}

/* Writes the place into out, outermost first; returns the length, cut at size. */
static size_t place_text(const struct place *place, char *out, size_t size)
{
    if (place == NULL || size == 0)
        return 0;
    size_t len = place_text(place->outer, out, size);
    int more = place->name.data != NULL ? snprintf(out + len, size - len, ".%.*s",
                                                   (int)place->name.len, place->name.data)
                                        : snprintf(out + len, size - len, "[%zu]", place->index);
    return more < 0 ? len : len + (size_t)more < size ? len + (size_t)more : size - 1;
}

static void refuse(const struct check *check, const struct place *place, const char *message)
{
    char where[100] = "";
    (void)place_text(place, where, sizeof(where));
    issues_add(check->issues, ANDIRON_E_STRUCTURE, where, "%s", message);
}

static void check_string(const struct check *check, const struct place *place, andiron_json v)
{
    andiron_str s = andiron_json_str(v);
    if (s.len == 0 && check->fhir)
        refuse(check, place, "a string must not be empty; leave the element out");
    else if (s.len > 0 && memchr(s.data, 0, s.len) != NULL)
        refuse(check, place, "a string must not contain U+0000");
}

static void check_value(const struct check *check, const struct place *place, andiron_json v);

static bool is_primitive(andiron_json v)
{
    enum andiron_json_type type = andiron_json_type(v);
    return type == ANDIRON_JSON_STRING || type == ANDIRON_JSON_NUMBER || type == ANDIRON_JSON_BOOL;
}

/*
 * null keeps the elements of an array of primitives and those of its `_name` array in
 * step (json.html#primitive), so it needs that other array beside it.
 */
static bool nulls_allowed(andiron_json array, andiron_str name, andiron_json parent)
{
    char with[128] = "_";
    bool extensions = name.len > 1 && name.data[0] == '_';
    andiron_str other = { with, name.len + 1 };
    if (name.data == NULL || other.len > sizeof(with))
        return false;
    memcpy(with + 1, name.data, name.len);
    if (extensions)
        other = (andiron_str){ name.data + 1, name.len - 1 };
    if (andiron_json_type(andiron_json_member(parent, other)) != ANDIRON_JSON_ARRAY)
        return false;
    struct andiron_json_iter it = { .of = array };
    while (andiron_json_next(&it))
        if (andiron_json_type(it.value) != ANDIRON_JSON_NULL &&
            is_primitive(it.value) == extensions)
            return false;
    return true;
}

static void check_array(const struct check *check, const struct place *place, andiron_json array,
                        andiron_json parent)
{
    struct andiron_json_iter it = { .of = array };
    struct place inner = { .outer = place };
    int nulls = -1; /* not looked yet */

    if (andiron_json_count(array) == 0 && check->fhir)
        refuse(check, place, "an array must not be empty; leave the element out");
    for (; andiron_json_next(&it); inner.index++) {
        if (check->fhir && andiron_json_type(it.value) == ANDIRON_JSON_NULL) {
            if (nulls < 0)
                nulls = nulls_allowed(array, place != NULL ? place->name : (andiron_str){ NULL, 0 },
                                      parent);
            if (!nulls)
                refuse(check, &inner,
                       "null may stand only in an array of primitives with extensions beside it");
        } else {
            check_value(check, &inner, it.value);
        }
    }
}

static void check_object(const struct check *check, const struct place *place, andiron_json object)
{
    struct andiron_json_iter it = { .of = object };

    if (andiron_json_count(object) == 0 && check->fhir)
        refuse(check, place, "an object must not be empty; leave the element out");
    while (andiron_json_next(&it)) {
        struct place inner = { .outer = place, .name = it.name };
        if (andiron_json_type(it.value) == ANDIRON_JSON_ARRAY)
            check_array(check, &inner, it.value, object);
        else if (check->fhir && andiron_json_type(it.value) == ANDIRON_JSON_NULL)
            refuse(check, &inner, "must not be null; leave the element out");
        else
            check_value(check, &inner, it.value);
    }
}

/* Depth is bounded by the parser's limit on nesting. */
static void check_value(const struct check *check, const struct place *place, andiron_json v)
{
    switch (andiron_json_type(v)) {
    case ANDIRON_JSON_OBJECT:
        check_object(check, place, v);
        break;
    case ANDIRON_JSON_ARRAY:
        if (check->fhir)
            refuse(check, place, "an array must not stand directly in an array");
        else
            check_array(check, place, v, (andiron_json){ NULL, 0 });
        break;
    case ANDIRON_JSON_STRING:
        check_string(check, place, v);
        break;
    default:
        break;
    }
}

void check_whole(andiron_json resource, struct issues *issues)
{
    struct andiron_json_iter it = { .of = andiron_json_path(resource, "meta.tag") };
    for (size_t i = 0; andiron_json_next(&it); i++) {
        if (!andiron_str_eq(andiron_json_str(andiron_json_get(it.value, "code")),
                            ANDIRON_STR("SUBSETTED")))
            continue;
        char where[32];
        (void)snprintf(where, sizeof(where), ".meta.tag[%zu]", i);
        issues_add(issues, ANDIRON_E_BUSINESS_RULE, where,
                   "a resource tagged SUBSETTED is incomplete; read it whole and send that");
    }
}

static void check_meta(andiron_json resource, struct issues *issues)
{
    enum andiron_json_type type = andiron_json_type(andiron_json_get(resource, "meta"));
    if (type != ANDIRON_JSON_MISSING && type != ANDIRON_JSON_OBJECT && type != ANDIRON_JSON_NULL)
        issues_add(issues, ANDIRON_E_STRUCTURE, ".meta", "must be an object");
    check_whole(resource, issues);
}

void check_resource(andiron_json resource, struct issues *issues)
{
    struct check check = { .issues = issues, .fhir = true };
    check_object(&check, NULL, resource);
    check_meta(resource, issues);
}

void check_platform(andiron_json resource, struct issues *issues)
{
    struct check check = { .issues = issues };
    check_object(&check, NULL, resource);
    check_meta(resource, issues);
}
