#include "types.h"

#include <stdlib.h>

#include "common/fhir/types.h"

struct types {
    struct resource_type *list; /* by name */
    size_t count;
    const struct resource_type **slots; /* open addressing over the name's hash */
    size_t mask;
};

static size_t hash(andiron_str s)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < s.len; i++)
        h = (h ^ (unsigned char)s.data[i]) * 16777619u;
    return h ^ h >> 15;
}

const struct resource_type *types_find(const struct types *types, andiron_str name)
{
    for (size_t at = hash(name) & types->mask; types->slots[at] != NULL;
         at = (at + 1) & types->mask)
        if (andiron_str_eq(types->slots[at]->str, name))
            return types->slots[at];
    return NULL;
}

const struct resource_type *types_at(const struct types *types, size_t index)
{
    return index < types->count ? &types->list[index] : NULL;
}

/* "name:reference:path" of the search table gives a path too. */
static const char *searched_reference(const char *entry)
{
    static const char kind[] = ":reference:";
    const char *at = strstr(entry, kind);
    return at != NULL ? at + sizeof(kind) - 1 : NULL;
}

static const char *const *reference_paths(struct andiron_arena *arena,
                                          const struct andiron_resource_type *hooks)
{
    bool has_list = hooks->size > offsetof(struct andiron_resource_type, references);
    const char *const *named = has_list ? hooks->references : NULL;
    size_t max = 1, count = 0;
    for (size_t i = 0; named != NULL && named[i] != NULL; i++)
        max++;
    for (size_t i = 0; hooks->search != NULL && hooks->search[i] != NULL; i++)
        max++;
    const char **paths = andiron_alloc(arena, max * sizeof(paths[0]));
    for (size_t i = 0; named != NULL && named[i] != NULL; i++)
        paths[count++] = named[i];
    for (size_t i = 0; hooks->search != NULL && hooks->search[i] != NULL; i++) {
        const char *path = searched_reference(hooks->search[i]);
        if (path != NULL)
            paths[count++] = path;
    }
    return paths;
}

static struct resource_type *add(struct types *types, const char *name)
{
    struct resource_type *type = &types->list[types->count++];
    *type = (struct resource_type){ .name = name, .str = andiron_str_of(name) };
    return type;
}

static bool has(const struct types *types, const char *name)
{
    for (size_t i = 0; i < types->count; i++)
        if (strcmp(types->list[i].name, name) == 0)
            return true;
    return false;
}

static int by_name(const void *a, const void *b)
{
    const struct resource_type *left = a, *right = b;
    return strcmp(left->name, right->name);
}

static int add_provided(struct andiron_host *host, struct types *types, struct andiron_error *err)
{
    struct andiron_service_ref ref;
    const char *service;

    for (size_t pos = 0; andiron_service_find(host, ANDIRON_RESOURCE_TYPE, &pos, &ref, &service);) {
        const char *name = service + sizeof(ANDIRON_RESOURCE_TYPE) - 1;
        if (name[0] == '_')
            continue; /* a plugin's own state */
        if (has(types, name))
            return andiron_error_set(err, ANDIRON_E_CONFLICT, service,
                                     "the type '%s' exists already", name);
        struct resource_type *type = add(types, name);
        type->platform = true;
        type->hooks = ref.table;
        type->hooks_self = ref.self;
        type->references = reference_paths(andiron_host_arena(host), ref.table);
    }
    return 0;
}

int types_load(struct andiron_host *host, struct types **ret, struct andiron_error *err)
{
    struct andiron_arena *arena = andiron_host_arena(host);
    struct types *types = andiron_new(arena, struct types);
    struct andiron_service_ref ref;
    const char *service;
    size_t max = FHIR_TYPE_COUNT + 1, size = 64;

    for (size_t pos = 0; andiron_service_find(host, ANDIRON_RESOURCE_TYPE, &pos, &ref, &service);)
        max++;
    types->list = andiron_alloc(arena, max * sizeof(types->list[0]));
    for (size_t i = 0; i < FHIR_TYPE_COUNT; i++)
        (void)add(types, fhir_type_name((int)i));
    struct resource_type *operation = add(types, "Operation");
    operation->platform = operation->virtual = true;
    if (add_provided(host, types, err) != 0)
        return -1;
    qsort(types->list, types->count, sizeof(types->list[0]), by_name);

    while (size < types->count * 2)
        size *= 2;
    types->slots = andiron_alloc(arena, size * sizeof(types->slots[0]));
    types->mask = size - 1;
    for (size_t i = 0; i < types->count; i++) {
        size_t at = hash(types->list[i].str) & types->mask;
        while (types->slots[at] != NULL)
            at = (at + 1) & types->mask;
        types->slots[at] = &types->list[i];
    }
    *ret = types;
    return 0;
}

static bool is_id_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.';
}

bool types_is_id(andiron_str s)
{
    if (s.len == 0 || s.len > 64)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (!is_id_char(s.data[i]))
            return false;
    return true;
}

static bool is_type_name(andiron_str s)
{
    if (s.len == 0 || s.len > 64 || s.data[0] < 'A' || s.data[0] > 'Z')
        return false;
    for (size_t i = 1; i < s.len; i++)
        if (!is_id_char(s.data[i]) || s.data[i] == '-' || s.data[i] == '.')
            return false;
    return true;
}

int types_split(andiron_str reference, andiron_str *ret_type, andiron_str *ret_id,
                andiron_str *ret_version)
{
    static const char history[] = "/_history/";
    const char *slash = reference.len > 0 ? memchr(reference.data, '/', reference.len) : NULL;
    if (slash == NULL)
        return -1;
    andiron_str type = { reference.data, (size_t)(slash - reference.data) };
    andiron_str id = { slash + 1, reference.len - type.len - 1 }, version = { NULL, 0 };
    const char *second = id.len > 0 ? memchr(id.data, '/', id.len) : NULL;
    if (second != NULL) {
        size_t left = id.len - (size_t)(second - id.data), len = sizeof(history) - 1;
        if (left <= len || memcmp(second, history, len) != 0)
            return -1;
        version = (andiron_str){ second + len, left - len };
        id.len = (size_t)(second - id.data);
        if (!types_is_id(version))
            return -1;
    }
    if (!is_type_name(type) || !types_is_id(id))
        return -1;
    *ret_type = type;
    *ret_id = id;
    if (ret_version != NULL)
        *ret_version = version;
    return 0;
}
