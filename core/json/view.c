/*
 * Read access to a parsed document: what plugins see of the tape. Changes nothing, so any number
 * of threads may read.
 */
#include <andiron/json.h>

#include "json/names.h"
#include "json/number.h"
#include "json/tape.h"

static const struct andiron_json missing;

static inline const char *text_of(andiron_json v)
{
    return ((const struct json_doc *)v.doc)->text;
}

static inline const struct json_node *node_of(andiron_json v)
{
    return (const struct json_node *)v.at;
}

static inline andiron_json view_of(andiron_json v, const struct json_node *n)
{
    return (andiron_json){ .doc = v.doc, .at = (uintptr_t)n };
}

enum andiron_json_type andiron_json_type(andiron_json v)
{
    return v.doc != NULL ? node_type(node_of(v)) : ANDIRON_JSON_MISSING;
}

andiron_json andiron_json_member(andiron_json v, andiron_str name)
{
    if (andiron_json_type(v) != ANDIRON_JSON_OBJECT)
        return missing;
    const struct json_node *object = node_of(v);
    const char *text = text_of(v);
    if ((object->info & NODE_INDEXED) != 0) {
        const struct json_node *found = names_find(text, object, name);
        return found != NULL ? view_of(v, found + 1) : missing;
    }
    const struct json_node *end = object + object->size;
    for (const struct json_node *n = object + 1; n < end; n = node_after(n + 1))
        if (node_is_named(text, n, name))
            return view_of(v, n + 1);
    return missing;
}

andiron_json andiron_json_get(andiron_json v, const char *name)
{
    return andiron_json_member(v, andiron_str_of(name));
}

size_t andiron_json_count(andiron_json v)
{
    if (v.doc == NULL || !node_is_container(node_of(v)))
        return 0;
    return node_of(v)->info >> NODE_COUNT_SHIFT;
}

andiron_json andiron_json_at(andiron_json v, size_t index)
{
    if (andiron_json_type(v) != ANDIRON_JSON_ARRAY || index >= andiron_json_count(v))
        return missing;
    const struct json_node *n = node_of(v) + 1;
    if (node_of(v)->size == andiron_json_count(v) + 1)
        return view_of(v, n + index); /* nothing nested: elements lie side by side */
    for (; index > 0; index--)
        n = node_after(n);
    return view_of(v, n);
}

/* A piece of a path as an index; SIZE_MAX, which no array has, if it is not a plain number. */
static size_t piece_index(andiron_str piece)
{
    size_t index = 0;
    if (piece.len == 0 || piece.len > 9)
        return SIZE_MAX;
    for (size_t i = 0; i < piece.len; i++) {
        if (piece.data[i] < '0' || piece.data[i] > '9')
            return SIZE_MAX;
        index = index * 10 + (size_t)(piece.data[i] - '0');
    }
    return index;
}

andiron_json andiron_json_path(andiron_json v, const char *path)
{
    while (v.doc != NULL) {
        const char *dot = strchr(path, '.');
        andiron_str piece = { path, dot != NULL ? (size_t)(dot - path) : strlen(path) };
        if (andiron_json_type(v) == ANDIRON_JSON_ARRAY)
            v = andiron_json_at(v, piece_index(piece));
        else
            v = andiron_json_member(v, piece);
        if (dot == NULL)
            break;
        path = dot + 1;
    }
    return v;
}

bool andiron_json_next(struct andiron_json_iter *it)
{
    enum andiron_json_type type = andiron_json_type(it->of);
    it->name = (andiron_str){ NULL, 0 };
    it->value = missing;
    if (type != ANDIRON_JSON_ARRAY && type != ANDIRON_JSON_OBJECT)
        return false;
    const struct json_node *container = node_of(it->of);
    const struct json_node *n = container + (it->pos != 0 ? it->pos : 1);
    if (n >= node_end(container))
        return false;
    if (type == ANDIRON_JSON_OBJECT)
        it->name = node_str(text_of(it->of), n++);
    it->value = view_of(it->of, n);
    it->pos = (uintptr_t)(node_after(n) - container);
    return true;
}

andiron_str andiron_json_str(andiron_json v)
{
    if (andiron_json_type(v) != ANDIRON_JSON_STRING)
        return (andiron_str){ NULL, 0 };
    return node_str(text_of(v), node_of(v));
}

bool andiron_json_true(andiron_json v)
{
    return v.doc != NULL && (node_of(v)->info & NODE_TRUE) != 0;
}

int64_t andiron_json_int(andiron_json v, int64_t fallback)
{
    if (andiron_json_type(v) != ANDIRON_JSON_NUMBER)
        return fallback;
    return number_int(node_raw(text_of(v), node_of(v)), fallback);
}

double andiron_json_double(andiron_json v, double fallback)
{
    if (andiron_json_type(v) != ANDIRON_JSON_NUMBER)
        return fallback;
    return number_double(node_raw(text_of(v), node_of(v)));
}

andiron_str andiron_json_raw(andiron_json v)
{
    if (v.doc == NULL)
        return (andiron_str){ NULL, 0 };
    return node_raw(text_of(v), node_of(v));
}

static bool same_arrays(andiron_json a, andiron_json b)
{
    struct andiron_json_iter x = { .of = a }, y = { .of = b };
    while (andiron_json_next(&x))
        if (!andiron_json_next(&y) || !andiron_json_equal(x.value, y.value))
            return false;
    return true;
}

/* Both are usually written in the same order: only what is elsewhere is looked for. */
static bool same_objects(andiron_json a, andiron_json b)
{
    struct andiron_json_iter x = { .of = a }, y = { .of = b };
    while (andiron_json_next(&x)) {
        bool same_place = andiron_json_next(&y) && andiron_str_eq(x.name, y.name);
        andiron_json other = same_place ? y.value : andiron_json_member(b, x.name);
        if (!andiron_json_equal(x.value, other))
            return false;
    }
    return true;
}

/* Recursion is as deep as the parser allowed nesting. */
bool andiron_json_equal(andiron_json a, andiron_json b)
{
    enum andiron_json_type type = andiron_json_type(a);
    if (type != andiron_json_type(b))
        return false;
    switch (type) {
    case ANDIRON_JSON_BOOL:
        return andiron_json_true(a) == andiron_json_true(b);
    case ANDIRON_JSON_NUMBER:
        return number_equal(andiron_json_raw(a), andiron_json_raw(b));
    case ANDIRON_JSON_STRING:
        return andiron_str_eq(andiron_json_str(a), andiron_json_str(b));
    case ANDIRON_JSON_ARRAY:
        return andiron_json_count(a) == andiron_json_count(b) && same_arrays(a, b);
    case ANDIRON_JSON_OBJECT:
        return andiron_json_count(a) == andiron_json_count(b) && same_objects(a, b);
    case ANDIRON_JSON_MISSING:
    case ANDIRON_JSON_NULL:
    default:
        return true;
    }
}
