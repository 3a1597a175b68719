/*
 * Finding {{...}} outside of quotes and comments.
 */
#include "template.h"

#include <stdio.h>

#include "common/fhir/types.h"

enum { TYPE_NAME_MAX = 64 };

struct reading {
    struct andiron_arena *arena;
    andiron_str query;
    size_t at;
    char *out;
    size_t len;
    struct template *t;
    struct template_hole *names;
    struct andiron_error *err;
};

static bool starts(const struct reading *r, const char *text)
{
    size_t len = strlen(text);
    return r->query.len - r->at >= len && memcmp(r->query.data + r->at, text, len) == 0;
}

static void copy_until(struct reading *r, size_t end)
{
    memcpy(r->out + r->len, r->query.data + r->at, end - r->at);
    r->len += end - r->at;
    r->at = end;
}

/* Behind the quoted text, name or comment that begins here; `at` if none does, SIZE_MAX if it does not end. */
static size_t behind_quoted(const struct reading *r)
{
    static const struct {
        const char *open, *close;
        bool may_end; /* with the query */
    } kinds[] = { { "'", "'", false }, { "\"", "\"", false }, { "`", "`", false },
                  { "[", "]", false }, { "--", "\n", true },  { "/*", "*/", true } };
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (!starts(r, kinds[i].open))
            continue;
        size_t close = strlen(kinds[i].close);
        for (size_t end = r->at + strlen(kinds[i].open); end + close <= r->query.len; end++)
            if (memcmp(r->query.data + end, kinds[i].close, close) == 0)
                return end + close;
        return kinds[i].may_end ? r->query.len : SIZE_MAX;
    }
    return r->at;
}

static int copy_quoted(struct reading *r, size_t end)
{
    for (size_t i = r->at; i + 1 < end; i++)
        if (r->query.data[i] == '{' && r->query.data[i + 1] == '{')
            return andiron_error_set(r->err, ANDIRON_E_VALUE, "",
                                     "has {{ in quotes or a comment at byte %zu: values are "
                                     "written {{path}} without quotes",
                                     i);
    copy_until(r, end);
    return 0;
}

static bool is_path(andiron_str path)
{
    if (path.len == 0 || path.data[0] == '.' || path.data[path.len - 1] == '.')
        return false;
    for (size_t i = 0; i < path.len; i++) {
        unsigned char c = (unsigned char)path.data[i];
        if (c <= ' ' || c == '{' || c == '}' || c == 0x7f || (c == '.' && path.data[i - 1] == '.'))
            return false;
    }
    return true;
}

/* Behind "{{": the path until "}}". */
static int read_hole(struct reading *r)
{
    size_t begin = r->at + 2, end = begin;
    while (end + 1 < r->query.len && (r->query.data[end] != '}' || r->query.data[end + 1] != '}'))
        end++;
    if (end + 1 >= r->query.len)
        return andiron_error_set(r->err, ANDIRON_E_VALUE, "", "has {{ without }} at byte %zu",
                                 r->at);
    andiron_str path = { r->query.data + begin, end - begin };
    while (path.len > 0 && path.data[0] == ' ')
        path.data++, path.len--;
    while (path.len > 0 && path.data[path.len - 1] == ' ')
        path.len--;
    bool is_name = path.len > 0 && path.data[0] == '!';
    if (is_name)
        path.data++, path.len--;
    if (!is_path(path))
        return andiron_error_set(r->err, ANDIRON_E_VALUE, "",
                                 "has {{...}} at byte %zu that is no path, such as {{client.id}} "
                                 "or {{params.resource/id}}",
                                 r->at);
    if (r->t->value_count + r->t->name_count == TEMPLATE_HOLES_MAX)
        return andiron_error_set(r->err, ANDIRON_E_VALUE, "", "has more than %d {{...}}",
                                 TEMPLATE_HOLES_MAX);
    const char *copy = andiron_copy(r->arena, path);
    if (is_name) {
        r->names[r->t->name_count++] = (struct template_hole){ r->len, copy };
    } else {
        r->t->values[r->t->value_count++] = copy;
        /* Never longer than what it replaces but by a few bytes, for which there is room. */
        r->len += (size_t)snprintf(r->out + r->len, 8, "$%zu", r->t->value_count);
    }
    r->at = end + 2;
    return 0;
}

int template_compile(struct andiron_arena *arena, andiron_str query, struct template *ret,
                     struct andiron_error *err)
{
    if (query.len > TEMPLATE_MAX)
        return andiron_error_set(err, ANDIRON_E_VALUE, "", "has %zu bytes; at most %d are allowed",
                                 query.len, TEMPLATE_MAX);
    struct reading r = { .arena = arena, .query = query, .t = ret, .err = err };
    *ret = (struct template){ .text = { NULL, 0 } };
    ret->values = andiron_alloc(arena, TEMPLATE_HOLES_MAX * sizeof(*ret->values));
    r.names = andiron_alloc(arena, TEMPLATE_HOLES_MAX * sizeof(*r.names));
    r.out = andiron_alloc(arena, query.len + (size_t)TEMPLATE_HOLES_MAX * 8 + 1);
    while (r.at < query.len) {
        size_t end = behind_quoted(&r);
        if (end == SIZE_MAX)
            return andiron_error_set(err, ANDIRON_E_VALUE, "",
                                     "has a quote without end at byte %zu", r.at);
        if (end > r.at) {
            if (copy_quoted(&r, end) != 0)
                return -1;
        } else if (starts(&r, "{{")) {
            if (read_hole(&r) != 0)
                return -1;
        } else {
            copy_until(&r, r.at + 1);
        }
    }
    ret->text = (andiron_str){ r.out, r.len };
    ret->names = r.names;
    return 0;
}

static bool is_same_name(andiron_str name, const char *type)
{
    if (strlen(type) != name.len)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char a = name.data[i], b = type[i];
        a = a >= 'A' && a <= 'Z' ? (char)(a + 'a' - 'A') : a;
        b = b >= 'A' && b <= 'Z' ? (char)(b + 'a' - 'A') : b;
        if (a != b)
            return false;
    }
    return true;
}

static bool is_table(andiron_str name)
{
    for (int type = 0; type < FHIR_TYPE_COUNT; type++)
        if (is_same_name(name, fhir_type_name(type)))
            return true;
    return false;
}

andiron_str template_text(struct andiron_arena *arena, const struct template *t,
                          const andiron_str *names)
{
    if (t->name_count == 0)
        return t->text;
    char *out = andiron_alloc(arena, t->text.len + t->name_count * (TYPE_NAME_MAX + 2));
    size_t len = 0, at = 0;
    for (size_t i = 0; i < t->name_count; i++) {
        if (names[i].len > TYPE_NAME_MAX || !is_table(names[i]))
            return (andiron_str){ NULL, 0 };
        memcpy(out + len, t->text.data + at, t->names[i].at - at);
        len += t->names[i].at - at;
        at = t->names[i].at;
        out[len++] = '"';
        for (size_t c = 0; c < names[i].len; c++)
            out[len++] = (char)(names[i].data[c] | 0x20); /* letters, by is_table() */
        out[len++] = '"';
    }
    memcpy(out + len, t->text.data + at, t->text.len - at);
    return (andiron_str){ out, len + (t->text.len - at) };
}
