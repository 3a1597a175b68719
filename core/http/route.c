/*
 * Route table as a tree of path segments.
 *
 * A node has its literal children in a small hash table and at most one child for
 * {placeholder}; names of placeholders belong to routes, not nodes, so {a} and {b}
 * at one place are the same place. Built in an arena of its own, then only read.
 */
#include "http/route.h"

#include <assert.h>

#include "base/arena.h"

enum { SIDES = ROUTE_SIDE_CONTROL + 1, ROUTE_MAX_SEGMENTS = 16 };

struct entry {
    andiron_str method;
    const struct http_route *route;
    unsigned sides; /* bit per enum route_side */
    const char *const *names;
    struct entry *next; /* in the order of the routes */
};

struct node {
    andiron_str segment;  /* of a literal */
    struct node *sibling; /* while building */
    struct node *literals;
    size_t literal_count;
    struct node **slots; /* literals by hash; a power of two, at most half full */
    size_t slot_mask;
    struct node *placeholder;
    struct entry *entries;
    const char *allow[SIDES]; /* NULL: the node ends no route of that side */
    bool shared;              /* some entry is ANDIRON_ROUTE_SHARED */
    bool below_oauth;         /* some route below is ANDIRON_ROUTE_OAUTH */
};

struct route_table {
    struct andiron_arena *arena;
    struct node root;
};

/* ---- building ----------------------------------------------------------------- */

/*
 * A route for the admin listener is also on the public one, but there it needs a grant like any
 * other ("metrics" for whom a policy allows the operation); health pages are PUBLIC as well.
 */
static unsigned route_sides(unsigned flags)
{
    if ((flags & ANDIRON_ROUTE_CONTROL) != 0)
        return 1U << ROUTE_SIDE_CONTROL;
    return 1U << ROUTE_SIDE_PUBLIC |
           ((flags & ANDIRON_ROUTE_ADMIN) != 0 ? 1U << ROUTE_SIDE_ADMIN : 0);
}

/* Cheap and good enough for the few names of a node. */
static inline size_t segment_hash(andiron_str segment)
{
    const unsigned char *p = (const unsigned char *)segment.data;

    return segment.len * 7 + p[0] * 31U + p[segment.len / 2] * 17U + p[segment.len - 1];
}

/* Cuts the first segment off *path, which begins with '/'. */
static inline andiron_str next_segment(andiron_str *path)
{
    const char *at = path->data + 1;
    const char *slash = memchr(at, '/', path->len - 1);
    andiron_str segment = { at, slash != NULL ? (size_t)(slash - at) : path->len - 1 };

    path->data += segment.len + 1;
    path->len -= segment.len + 1;
    return segment;
}

static struct node *child_literal(struct route_table *table, struct node *node, andiron_str segment)
{
    struct node *child;

    for (child = node->literals; child != NULL; child = child->sibling)
        if (andiron_str_eq(child->segment, segment))
            return child;
    child = andiron_new(table->arena, struct node);
    child->segment = (andiron_str){ andiron_copy(table->arena, segment), segment.len };
    child->sibling = node->literals;
    node->literals = child;
    node->literal_count++;
    return child;
}

static struct node *child_placeholder(struct route_table *table, struct node *node)
{
    if (node->placeholder == NULL)
        node->placeholder = andiron_new(table->arena, struct node);
    return node->placeholder;
}

/* "{name}": the name in arena, NULL if segment is not a placeholder; -1 if it is a broken one. */
static int placeholder_name(struct andiron_arena *arena, andiron_str segment, const char **ret)
{
    *ret = NULL;
    if (memchr(segment.data, '{', segment.len) == NULL &&
        memchr(segment.data, '}', segment.len) == NULL)
        return 0;
    if (segment.len < 3 || segment.data[0] != '{' || segment.data[segment.len - 1] != '}')
        return -1;
    segment = (andiron_str){ segment.data + 1, segment.len - 2 };
    if (memchr(segment.data, '{', segment.len) != NULL ||
        memchr(segment.data, '}', segment.len) != NULL)
        return -1;
    *ret = andiron_copy(arena, segment);
    return 0;
}

static int fail_pattern(struct andiron_error *err, const struct http_route *route, const char *why)
{
    return andiron_error_set(err, ANDIRON_E_INVALID, route->owner->name, "route %s %s: %s",
                             route->route->method, route->route->pattern, why);
}

/* Walks and makes the nodes of a pattern; names get its placeholders, ending with NULL. */
static int place_pattern(struct route_table *table, const struct http_route *route,
                         struct node **ret_node, const char **names, struct andiron_error *err)
{
    andiron_str path = andiron_str_of(route->route->pattern);
    struct node *node = &table->root;
    size_t name_count = 0, segment_count = 0;

    if (path.len == 0 || path.data[0] != '/')
        return fail_pattern(err, route, "must begin with '/'");
    while (path.len > 1 || (path.len == 1 && node != &table->root)) {
        andiron_str segment = next_segment(&path);
        const char *name;

        if (segment.len == 0)
            return fail_pattern(err, route, "must not hold empty segments, nor end with '/'");
        if (++segment_count > ROUTE_MAX_SEGMENTS)
            return fail_pattern(err, route, "must have at most 16 segments");
        if (placeholder_name(table->arena, segment, &name) != 0)
            return fail_pattern(err, route, "a placeholder must be a whole segment, {name}");
        if (name == NULL) {
            node = child_literal(table, node, segment);
            continue;
        }
        if (name_count == ROUTE_MAX_VARS)
            return fail_pattern(err, route, "must have at most 8 placeholders");
        for (size_t i = 0; i < name_count; i++)
            if (strcmp(names[i], name) == 0)
                return fail_pattern(err, route, "must name each placeholder differently");
        names[name_count++] = name;
        node = child_placeholder(table, node);
    }
    *ret_node = node;
    return 0;
}

static int add_route(struct route_table *table, const struct http_route *route,
                     struct andiron_error *err)
{
    const char **names = andiron_alloc(table->arena, (ROUTE_MAX_VARS + 1) * sizeof(const char *));
    struct entry *entry = andiron_new(table->arena, struct entry), **tail;
    struct node *node = NULL;

    if (place_pattern(table, route, &node, names, err) != 0)
        return -1;
    entry->method = andiron_str_of(route->route->method);
    if (entry->method.len == 0)
        return fail_pattern(err, route, "must have a method");
    entry->route = route;
    entry->sides = route_sides(route->route->flags);
    entry->names = names;
    assert(node != NULL);
    node->shared = node->shared || (route->route->flags & ANDIRON_ROUTE_SHARED) != 0;
    for (tail = &node->entries; *tail != NULL; tail = &(*tail)->next)
        if (((*tail)->sides & entry->sides) != 0 && andiron_str_eq((*tail)->method, entry->method))
            return andiron_error_set(err, ANDIRON_E_CONFLICT, route->owner->name,
                                     "route %s %s of plugin \"%s\" is already route %s of plugin "
                                     "\"%s\"; enable only one of the two",
                                     route->route->method, route->route->pattern,
                                     route->owner->name, (*tail)->route->route->pattern,
                                     (*tail)->route->owner->name);
    *tail = entry;
    return 0;
}

static bool node_has(const struct node *node, unsigned side_bit, andiron_str method)
{
    for (const struct entry *entry = node->entries; entry != NULL; entry = entry->next)
        if ((entry->sides & side_bit) != 0 && andiron_str_eq(entry->method, method))
            return true;
    return false;
}

/* "GET, HEAD, PUT" of one side, or NULL. */
static const char *allow_text(struct andiron_arena *arena, const struct node *node,
                              unsigned side_bit)
{
    const char *text = NULL;

    for (const struct entry *entry = node->entries; entry != NULL; entry = entry->next) {
        bool adds_head = andiron_str_eq(entry->method, ANDIRON_STR("GET")) &&
                         !node_has(node, side_bit, ANDIRON_STR("HEAD"));
        if ((entry->sides & side_bit) != 0)
            text = andiron_printf(arena, "%s%s%s%s", text != NULL ? text : "",
                                  text != NULL ? ", " : "", entry->route->route->method,
                                  adds_head ? ", HEAD" : "");
    }
    return text;
}

static bool is_oauth(const struct entry *entry)
{
    return (entry->route->route->flags & ANDIRON_ROUTE_OAUTH) != 0;
}

/* Adds what the placeholder beside a shared literal answers to, methods that both have once. */
static void share_allow(struct route_table *table, const struct node *beside, struct node *node)
{
    for (unsigned side = 0; side < SIDES; side++)
        if (node->allow[side] != NULL && beside->allow[side] != NULL)
            node->allow[side] =
                andiron_printf(table->arena, "%s, %s", node->allow[side], beside->allow[side]);
}

/* Depth is at most ROUTE_MAX_SEGMENTS. */
static void finish_node(struct route_table *table, struct node *node)
{
    size_t slots = 2;

    for (unsigned side = 0; side < SIDES; side++)
        node->allow[side] = allow_text(table->arena, node, 1U << side);
    for (const struct entry *entry = node->entries; entry != NULL; entry = entry->next)
        node->below_oauth = node->below_oauth || is_oauth(entry);
    if (node->placeholder != NULL)
        finish_node(table, node->placeholder);
    while (slots < node->literal_count * 2)
        slots *= 2;
    node->slots = andiron_alloc(table->arena, slots * sizeof(struct node *));
    node->slot_mask = slots - 1;
    for (struct node *child = node->literals; child != NULL; child = child->sibling) {
        size_t slot = segment_hash(child->segment) & node->slot_mask;
        while (node->slots[slot] != NULL)
            slot = (slot + 1) & node->slot_mask;
        node->slots[slot] = child;
        finish_node(table, child);
        node->below_oauth = node->below_oauth || child->below_oauth;
        if (child->shared && node->placeholder != NULL)
            share_allow(table, node->placeholder, child);
    }
}

struct route_table *route_table_new(const struct http_route *routes, size_t count,
                                    struct andiron_error *err)
{
    struct andiron_arena *arena = arena_new();
    struct route_table *table = andiron_new(arena, struct route_table);

    table->arena = arena;
    for (size_t i = 0; i < count; i++) {
        if (add_route(table, &routes[i], err) != 0) {
            arena_free(arena);
            return NULL;
        }
    }
    finish_node(table, &table->root);
    return table;
}

void route_table_free(struct route_table *table)
{
    if (table != NULL)
        arena_free(table->arena);
}

/* ---- looking up ----------------------------------------------------------------- */

static const struct node *find_literal(const struct node *node, andiron_str segment)
{
    size_t slot;
    const struct node *child;

    if (node->literal_count == 0)
        return NULL;
    slot = segment_hash(segment) & node->slot_mask;
    while ((child = node->slots[slot]) != NULL) {
        if (andiron_str_eq(child->segment, segment))
            return child;
        slot = (slot + 1) & node->slot_mask;
    }
    return NULL;
}

/*
 * The node for path below node, literals first. A literal that leads nowhere is given up for the
 * placeholder, so "/fhir/metadata" does not hide "/fhir/{type}/{id}". Each node of the tree is
 * seen at most once, since its depth says which segment it is compared with. Without shared_too,
 * nodes that share their path with the placeholder beside them lead nowhere.
 */
static const struct node *find_node(const struct node *node, enum route_side side, andiron_str path,
                                    bool shared_too, struct route_var *vars, size_t *var_count)
{
    const struct node *child, *found;
    andiron_str segment;

    if (path.len == 0)
        return node->allow[side] != NULL && (shared_too || !node->shared) ? node : NULL;
    segment = next_segment(&path);
    if (segment.len == 0)
        return NULL;
    child = find_literal(node, segment);
    if (child != NULL &&
        (found = find_node(child, side, path, shared_too, vars, var_count)) != NULL)
        return found;
    if (node->placeholder == NULL)
        return NULL;
    vars[*var_count].value = segment;
    ++*var_count;
    found = find_node(node->placeholder, side, path, shared_too, vars, var_count);
    if (found == NULL)
        --*var_count;
    return found;
}

static const struct entry *find_entry(const struct node *node, unsigned side_bit,
                                      andiron_str method)
{
    const struct entry *get = NULL;
    bool is_head = andiron_str_eq(method, ANDIRON_STR("HEAD"));

    for (const struct entry *entry = node->entries; entry != NULL; entry = entry->next) {
        if ((entry->sides & side_bit) == 0)
            continue;
        if (andiron_str_eq(entry->method, method))
            return entry;
        if (is_head && andiron_str_eq(entry->method, ANDIRON_STR("GET")))
            get = entry;
    }
    return get;
}

/*
 * Where to look for path, which loses its first segment if that has OAuth endpoints below it:
 * whoever mistypes one expects OAuth's errors, and no {type} of others.
 */
static const struct node *start_of(const struct node *root, andiron_str *path, bool *ret_oauth)
{
    andiron_str rest = *path;
    andiron_str segment = path->len != 0 ? next_segment(&rest) : rest;
    const struct node *child = segment.len != 0 ? find_literal(root, segment) : NULL;

    *ret_oauth = child != NULL && child->below_oauth;
    if (!*ret_oauth)
        return root;
    *path = rest;
    return child;
}

void route_find(const struct route_table *table, enum route_side side, andiron_str method,
                andiron_str path, struct route_match *ret)
{
    const struct node *from, *node, *shared = NULL;
    const struct entry *entry;

    ret->route = NULL;
    ret->allow = NULL;
    ret->oauth = false;
    ret->var_count = 0;
    if (path.len == 0 || path.data[0] != '/')
        return;
    if (path.len == 1)
        path.len = 0; /* "/" has no segments */
    from = start_of(&table->root, &path, &ret->oauth);
    node = find_node(from, side, path, true, ret->vars, &ret->var_count);
    entry = node != NULL ? find_entry(node, 1U << side, method) : NULL;
    if (entry == NULL && node != NULL && node->shared) {
        shared = node;
        ret->var_count = 0;
        node = find_node(from, side, path, false, ret->vars, &ret->var_count);
        entry = node != NULL ? find_entry(node, 1U << side, method) : NULL;
    }
    if (entry == NULL) {
        node = shared != NULL ? shared : node;
        ret->allow = node != NULL ? node->allow[side] : NULL;
        ret->oauth = ret->allow != NULL ? is_oauth(node->entries) : ret->oauth;
        ret->var_count = 0;
        return;
    }
    ret->route = entry->route;
    ret->oauth = is_oauth(entry);
    for (size_t i = 0; i < ret->var_count; i++)
        ret->vars[i].name = entry->names[i];
}
