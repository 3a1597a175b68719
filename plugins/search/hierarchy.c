/*
 * Hierarchy of a stored CodeSystem (R4 codesystem.html): nested concepts, and properties that name
 * parents or children. Once read it answers without the document. Any thread.
 */
#include <stdlib.h>

#include "terminology.h"

/* child is below parent: indices of codes. */
struct edge {
    uint32_t from, to;
};

struct hierarchy {
    andiron_str *codes; /* in order, each once */
    uint32_t count;
    struct edge *down, *up; /* ordered by from */
    size_t edge_count;
};

/* Codes of properties, by what they say: the standard ones, and those with their URIs. */
enum { NAMES_MAX = 16 };
struct names {
    andiron_str parents[NAMES_MAX], children[NAMES_MAX];
    size_t parent_count, child_count;
};

struct building {
    struct hierarchy *h;
    struct names names;
    struct edge *edges; /* from child to parent; NULL: only counting */
    size_t edge_count;
};

static int compare_text(const void *a, const void *b)
{
    const andiron_str *x = a, *y = b;
    size_t len = x->len < y->len ? x->len : y->len;
    int order = len > 0 ? memcmp(x->data, y->data, len) : 0;
    return order != 0 ? order : (x->len > y->len) - (x->len < y->len);
}

static int compare_edges(const void *a, const void *b)
{
    const struct edge *x = a, *y = b;
    return x->from != y->from ? (x->from > y->from) - (x->from < y->from)
                              : (x->to > y->to) - (x->to < y->to);
}

/* Index of a code; count if there is no such. */
static uint32_t find(const struct hierarchy *h, andiron_str code)
{
    const andiron_str *at =
        h->count > 0 ? bsearch(&code, h->codes, h->count, sizeof(code), compare_text) : NULL;
    return at != NULL ? (uint32_t)(at - h->codes) : h->count;
}

static bool is_one(const andiron_str *names, size_t count, andiron_str name)
{
    for (size_t i = 0; i < count; i++)
        if (andiron_str_eq(names[i], name))
            return true;
    return false;
}

static void read_names(andiron_json system, struct names *ret)
{
    static const char parent[] = "http://hl7.org/fhir/concept-properties#parent";
    static const char child[] = "http://hl7.org/fhir/concept-properties#child";
    struct andiron_json_iter it = { .of = andiron_json_get(system, "property") };

    *ret = (struct names){ .parents = { ANDIRON_STR("parent"), ANDIRON_STR("subsumedBy") },
                           .children = { ANDIRON_STR("child") },
                           .parent_count = 2,
                           .child_count = 1 };
    while (andiron_json_next(&it)) {
        andiron_str uri = andiron_json_str(andiron_json_get(it.value, "uri"));
        andiron_str code = andiron_json_str(andiron_json_get(it.value, "code"));
        if (andiron_str_eq(uri, ANDIRON_STR(parent)) && ret->parent_count < NAMES_MAX)
            ret->parents[ret->parent_count++] = code;
        if (andiron_str_eq(uri, ANDIRON_STR(child)) && ret->child_count < NAMES_MAX)
            ret->children[ret->child_count++] = code;
    }
}

static size_t count_codes(andiron_json concepts)
{
    struct andiron_json_iter it = { .of = concepts };
    size_t count = 0;
    while (andiron_json_next(&it))
        count += 1 + count_codes(andiron_json_get(it.value, "concept"));
    return count;
}

static void collect_codes(struct hierarchy *h, andiron_json concepts)
{
    struct andiron_json_iter it = { .of = concepts };
    while (andiron_json_next(&it)) {
        andiron_str code = andiron_json_str(andiron_json_get(it.value, "code"));
        if (code.len > 0)
            h->codes[h->count++] = code;
        collect_codes(h, andiron_json_get(it.value, "concept"));
    }
}

static void sort_codes(struct hierarchy *h)
{
    uint32_t kept = 0;
    if (h->count > 0)
        qsort(h->codes, h->count, sizeof(h->codes[0]), compare_text);
    for (uint32_t i = 0; i < h->count; i++)
        if (kept == 0 || !andiron_str_eq(h->codes[kept - 1], h->codes[i]))
            h->codes[kept++] = h->codes[i];
    h->count = kept;
}

static void add_edge(struct building *b, andiron_str child, andiron_str parent)
{
    uint32_t from = find(b->h, child), to = find(b->h, parent);
    if (from == b->h->count || to == b->h->count)
        return;
    if (b->edges != NULL)
        b->edges[b->edge_count] = (struct edge){ from, to };
    b->edge_count++;
}

/* Depth is bounded by the parser's. */
static void collect_edges(struct building *b, andiron_json concepts, andiron_str parent)
{
    struct andiron_json_iter it = { .of = concepts };
    while (andiron_json_next(&it)) {
        andiron_str code = andiron_json_str(andiron_json_get(it.value, "code"));
        struct andiron_json_iter property = { .of = andiron_json_get(it.value, "property") };
        if (parent.len > 0)
            add_edge(b, code, parent);
        while (andiron_json_next(&property)) {
            andiron_str name = andiron_json_str(andiron_json_get(property.value, "code"));
            andiron_str other = andiron_json_str(andiron_json_get(property.value, "valueCode"));
            if (is_one(b->names.parents, b->names.parent_count, name))
                add_edge(b, code, other);
            else if (is_one(b->names.children, b->names.child_count, name))
                add_edge(b, other, code);
        }
        collect_edges(b, andiron_json_get(it.value, "concept"), code);
    }
}

/* The edges in both directions, each in order. */
static void set_edges(struct hierarchy *h, struct andiron_arena *arena, const struct building *b)
{
    h->edge_count = b->edge_count;
    h->up = b->edges;
    h->down = andiron_alloc(arena, (b->edge_count + 1) * sizeof(h->down[0]));
    for (size_t i = 0; i < b->edge_count; i++)
        h->down[i] = (struct edge){ b->edges[i].to, b->edges[i].from };
    if (b->edge_count == 0)
        return;
    qsort(h->up, h->edge_count, sizeof(h->up[0]), compare_edges);
    qsort(h->down, h->edge_count, sizeof(h->down[0]), compare_edges);
}

struct hierarchy *hierarchy_read(struct andiron_arena *arena, andiron_json system,
                                 struct andiron_error *err)
{
    andiron_str content = andiron_json_str(andiron_json_get(system, "content"));
    andiron_str meaning = andiron_json_str(andiron_json_get(system, "hierarchyMeaning"));
    andiron_json concepts = andiron_json_get(system, "concept");
    andiron_str none = { NULL, 0 };

    if (!andiron_str_eq(content, ANDIRON_STR("complete"))) {
        andiron_error_set(err, ANDIRON_E_INVALID, "",
                          "its content is \"%.*s\", and only \"complete\" tells all",
                          SHOWN(content));
        return NULL;
    }
    if (meaning.len > 0 && !andiron_str_eq(meaning, ANDIRON_STR("is-a"))) {
        andiron_error_set(err, ANDIRON_E_INVALID, "",
                          "its hierarchyMeaning is \"%.*s\", and only \"is-a\" subsumes",
                          SHOWN(meaning));
        return NULL;
    }
    struct hierarchy *h = andiron_new(arena, struct hierarchy);
    struct building b = { .h = h };
    h->codes = andiron_alloc(arena, (count_codes(concepts) + 1) * sizeof(h->codes[0]));
    collect_codes(h, concepts);
    sort_codes(h);
    read_names(system, &b.names);
    collect_edges(&b, concepts, none);
    b.edges = andiron_alloc(arena, (b.edge_count + 1) * sizeof(b.edges[0]));
    b.edge_count = 0;
    collect_edges(&b, concepts, none);
    set_edges(h, arena, &b);
    return h;
}

/* First edge from there or behind. */
static size_t first_from(const struct edge *edges, size_t count, uint32_t from)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (edges[middle].from < from)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

size_t hierarchy_walk(const struct hierarchy *h, struct andiron_arena *arena, andiron_str code,
                      bool is_up, andiron_str *ret, size_t max)
{
    const struct edge *edges = is_up ? h->up : h->down;
    uint32_t start = find(h, code);
    size_t count = 0;

    if (start == h->count) {
        ret[0] = code;
        return 1;
    }
    bool *is_seen = andiron_alloc(arena, h->count * sizeof(*is_seen));
    uint32_t *reached = andiron_alloc(arena, h->count * sizeof(*reached));
    memset(is_seen, 0, h->count * sizeof(*is_seen));
    is_seen[start] = true;
    reached[count++] = start;
    for (size_t at = 0; at < count; at++) {
        ret[at] = h->codes[reached[at]];
        size_t i = first_from(edges, h->edge_count, reached[at]);
        for (; i < h->edge_count && edges[i].from == reached[at]; i++)
            if (!is_seen[edges[i].to]) {
                if (count == max)
                    return max + 1;
                is_seen[edges[i].to] = true;
                reached[count++] = edges[i].to;
            }
    }
    return count;
}
