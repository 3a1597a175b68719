#include "rewrite.h"

#include <sys/random.h>

#include "types.h"

struct rewrite_map {
    const struct rewrite_target **slots;
    size_t mask;
    uint64_t seed; /* urls are the client's: nobody may choose them to collide */
    bool has_urn, has_http;
};

static uint64_t hash(const struct rewrite_map *map, andiron_str s)
{
    uint64_t h = map->seed;
    for (size_t i = 0; i < s.len; i++)
        h = (h ^ (unsigned char)s.data[i]) * 0x100000001b3u;
    return h ^ h >> 32;
}

struct rewrite_map *rewrite_map_new(struct andiron_arena *arena, size_t count)
{
    struct rewrite_map *map = andiron_new(arena, struct rewrite_map);
    size_t size = 8;
    while (size < count * 2)
        size *= 2;
    map->slots = andiron_alloc(arena, size * sizeof(map->slots[0]));
    map->mask = size - 1;
    if (getrandom(&map->seed, sizeof(map->seed), 0) != (ssize_t)sizeof(map->seed))
        map->seed =
            (uint64_t)andiron_now(); /* before the kernel's pool is ready: still not constant */
    return map;
}

static bool begins(andiron_str s, const char *with)
{
    size_t len = strlen(with);
    return s.len >= len && memcmp(s.data, with, len) == 0;
}

bool rewrite_map_add(struct rewrite_map *map, const struct rewrite_target *target)
{
    size_t at = hash(map, target->url) & map->mask;
    for (; map->slots[at] != NULL; at = (at + 1) & map->mask)
        if (andiron_str_eq(map->slots[at]->url, target->url))
            return false;
    map->slots[at] = target;
    map->has_urn |= begins(target->url, "urn:");
    map->has_http |= begins(target->url, "http");
    return true;
}

const struct rewrite_target *rewrite_map_find(const struct rewrite_map *map, andiron_str url)
{
    for (size_t at = hash(map, url) & map->mask; map->slots[at] != NULL; at = (at + 1) & map->mask)
        if (andiron_str_eq(map->slots[at]->url, url))
            return map->slots[at];
    return NULL;
}

/*
 * Members whose strings are data, not links: an identifier may well hold the
 * same UUID as the fullUrl, and must keep it.
 */
static bool is_data(andiron_str name)
{
    static const char *const names[] = { "value",     "valueString", "valueMarkdown", "valueCode",
                                         "valueId",   "fullUrl",     "display",       "id",
                                         "versionId", "div" };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (andiron_str_eq(name, andiron_str_of(names[i])))
            return true;
    return false;
}

static const struct rewrite_target *find_url(const struct rewrite_map *map, andiron_str value,
                                             andiron_str *ret_rest)
{
    if (!(map->has_urn && begins(value, "urn:")) && !(map->has_http && begins(value, "http")))
        return NULL;
    *ret_rest = (andiron_str){ "", 0 };
    const struct rewrite_target *target = rewrite_map_find(map, value);
    if (target != NULL)
        return target;
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] != '#' && value.data[i] != '|')
            continue;
        *ret_rest = (andiron_str){ value.data + i, value.len - i };
        return rewrite_map_find(map, (andiron_str){ value.data, i });
    }
    return NULL;
}

/* "Patient/1" as seen from an entry whose own fullUrl is "http://example.org/fhir/Observation/2". */
static const struct rewrite_target *find_relative(const struct rewrites *rewrites,
                                                  andiron_str value, struct andiron_arena *scratch)
{
    andiron_str type, id, version;
    if (!rewrites->map->has_http || types_split(value, &type, &id, &version) != 0)
        return NULL;
    size_t len = rewrites->base.len + type.len + 1 + id.len;
    char *url = andiron_alloc(scratch, len);
    memcpy(url, rewrites->base.data, rewrites->base.len);
    memcpy(url + rewrites->base.len, type.data, type.len + 1 + id.len);
    return rewrite_map_find(rewrites->map, (andiron_str){ url, len });
}

const struct rewrite_target *rewrite_find(const struct rewrites *rewrites, andiron_str name,
                                          andiron_str value, andiron_str *ret_rest,
                                          struct andiron_arena *scratch)
{
    if (value.len < 3 || is_data(name))
        return NULL;
    const struct rewrite_target *target = find_url(rewrites->map, value, ret_rest);
    if (target != NULL || !andiron_str_eq(name, ANDIRON_STR("reference")))
        return target;
    *ret_rest = (andiron_str){ "", 0 };
    if (rewrites->conditional != NULL && memchr(value.data, '?', value.len) != NULL)
        return rewrite_map_find(rewrites->conditional, value);
    return rewrites->base.len > 0 ? find_relative(rewrites, value, scratch) : NULL;
}

/* Length of the attribute "href=" or "src=" that begins at s[at]; 0 if there is none. */
static size_t link_attribute(andiron_str s, size_t at)
{
    andiron_str rest = { s.data + at, s.len - at };
    if (at > 0 && s.data[at - 1] != ' ' && s.data[at - 1] != 'n' && s.data[at - 1] != 't')
        return 0; /* an attribute follows a blank, or the n or t of an escaped one */
    return begins(rest, "href=") ? 5 : begins(rest, "src=") ? 4 : 0;
}

const struct rewrite_target *rewrite_next_link(const struct rewrites *rewrites, andiron_str raw,
                                               size_t *pos, size_t *ret_from, size_t *ret_to)
{
    for (size_t at = *pos; at + 8 < raw.len; at++) {
        size_t len = raw.data[at] == 'h' || raw.data[at] == 's' ? link_attribute(raw, at) : 0;
        if (len == 0)
            continue;
        size_t from = at + len;
        bool escaped = raw.data[from] == '\\'; /* \" inside a JSON string */
        char quote = raw.data[from + (escaped ? 1 : 0)];
        if (quote != '"' && quote != '\'')
            continue;
        from += escaped ? 2 : 1;
        size_t to = from;
        while (to < raw.len && raw.data[to] != (escaped ? '\\' : quote) && raw.data[to] != '"')
            to++;
        andiron_str value = { raw.data + from, to - from }, rest;
        const struct rewrite_target *target = find_url(rewrites->map, value, &rest);
        if (target != NULL) {
            *ret_from = from;
            *ret_to = to - rest.len;
            *pos = to;
            return target;
        }
        at = to;
    }
    *pos = raw.len;
    return NULL;
}

andiron_str rewrite_base(andiron_str full_url)
{
    andiron_str none = { NULL, 0 };
    if (!begins(full_url, "http://") && !begins(full_url, "https://"))
        return none;
    size_t slashes = 0, at = full_url.len;
    while (at > 0) {
        at--;
        if (full_url.data[at] == '/' && ++slashes == 2)
            break;
    }
    andiron_str type, id, version, relative = { full_url.data + at + 1, full_url.len - at - 1 };
    if (slashes < 2 || types_split(relative, &type, &id, &version) != 0)
        return none;
    return (andiron_str){ full_url.data, at + 1 };
}
