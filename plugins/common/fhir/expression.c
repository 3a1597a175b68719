/*
 * Search parameters made at run time: paths to an extraction program. See expression.h.
 *
 * First a tree over member names, as tools/fhir/programs.js makes it; then its rows.
 */
#include "expression.h"

#include <assert.h>
#include <stdlib.h>

#include "elements.h"
#include "expression_tree.h"
#include "tables.h"

enum { NAMES_MAX = 32 * 1024, PATH_MAX_STEPS = 32 };

/* ---- the tree ---------------------------------------------------------------- */

struct node;

struct edge {
    andiron_str member;
    struct node *to;
    struct edge *next;
};

struct guard {
    struct fhir_path_step step;
    struct node *to;
    struct guard *next;
};

struct truth {
    bool is_ne;
    andiron_str literal;
    andiron_str *members;
    size_t count;
    struct truth *next;
};

struct emit {
    enum fhir_how how;
    uint16_t param;
    uint8_t part;
    uint16_t system; /* in fhir_texts */
    struct node *parts[FHIR_EXPRESSION_PARTS];
    uint8_t part_count, from_resource;
    struct truth *truth;
    struct emit *next;
};

struct node {
    struct edge *edges;
    struct guard *guards;
    struct emit *emits;
};

struct list {
    void *items;
    size_t count, capacity;
};

struct building {
    struct andiron_arena *arena;
    int structure; /* the programs' start */
    char *names;
    size_t names_len, names_cap;
    size_t paths; /* followed so far */
    struct list nodes, edges, guards, emits, composites, truths, truth_members;
    bool is_full;
    struct andiron_error *err;
};

static struct node *edge_to(struct building *b, struct node *node, andiron_str member)
{
    struct edge **link = &node->edges;
    for (; *link != NULL; link = &(*link)->next)
        if (andiron_str_eq((*link)->member, member))
            return (*link)->to;
    struct edge *edge = andiron_new(b->arena, struct edge);
    edge->member = member;
    edge->to = andiron_new(b->arena, struct node);
    *link = edge;
    return edge->to;
}

static struct node *guard_to(struct building *b, struct node *node,
                             const struct fhir_path_step *step)
{
    struct guard **link = &node->guards;
    for (; *link != NULL; link = &(*link)->next)
        if ((*link)->step.guard == step->guard && (*link)->step.index == step->index &&
            andiron_str_eq((*link)->step.a, step->a) && andiron_str_eq((*link)->step.b, step->b))
            return (*link)->to;
    struct guard *guard = andiron_new(b->arena, struct guard);
    guard->step = *step;
    guard->to = andiron_new(b->arena, struct node);
    *link = guard;
    return guard->to;
}

static struct node *node_at(struct building *b, struct node *node,
                            const struct fhir_path_step *last)
{
    const struct fhir_path_step *steps[PATH_MAX_STEPS];
    int count = last != NULL ? last->depth : 0;

    for (int i = count; i-- > 0; last = last->before)
        steps[i] = last;
    for (int i = 0; i < count; i++)
        node = steps[i]->member.data != NULL ? edge_to(b, node, steps[i]->member)
                                             : guard_to(b, node, steps[i]);
    return node;
}

static struct emit *add_emit(struct building *b, struct node *node, struct emit emit)
{
    struct emit **link = &node->emits;
    for (; *link != NULL; link = &(*link)->next)
        if (emit.how != FHIR_HOW_COMPOSITE && (*link)->how == emit.how &&
            (*link)->param == emit.param && (*link)->part == emit.part &&
            (*link)->system == emit.system)
            return *link;
    *link = andiron_new(b->arena, struct emit);
    **link = emit;
    return *link;
}

/* Systems of a code's binding are in the row of its element, or there are several. */
static void add_code(struct building *b, struct node *node, const struct fhir_path *path,
                     struct emit emit)
{
    const struct fhir_path_step *last = path->last;
    const struct fhir_element_row *row = NULL;
    bool is_several = false;

    while (last != NULL && last->member.data == NULL)
        last = last->before;
    if (last != NULL && path->owner >= 0)
        row = fhir_element_row((size_t)path->owner, last->member);
    for (size_t i = 0; row != NULL && i < fhir_element_system_count; i++)
        if (&fhir_element_rows[fhir_element_systems[i].element] == row) {
            emit.system = fhir_element_systems[i].system;
            (void)add_emit(b, node, emit);
            is_several = true;
        }
    if (is_several)
        return;
    emit.system = row != NULL ? row->system : 0;
    (void)add_emit(b, node, emit);
}

static void add_value(struct building *b, struct node *root, const struct fhir_path *path,
                      struct emit emit)
{
    struct node *node = node_at(b, root, path->last);
    if (emit.how == FHIR_HOW_CODE)
        add_code(b, node, path, emit);
    else
        (void)add_emit(b, node, emit);
}

/* ---- one parameter ----------------------------------------------------------- */

static int paths_of_text(struct building *b, int base, andiron_str text, struct fhir_paths *ret,
                         bool *ret_is_other)
{
    struct fhir_resolving r = {
        .arena = b->arena, .base = base, .resource = b->structure, .err = b->err
    };
    const struct fhir_tree *tree = fhir_expression_parse(b->arena, text, b->err);
    if (tree == NULL || fhir_expression_paths(&r, tree, ret) != 0)
        return -1;
    b->paths += r.made;
    *ret_is_other = r.is_other;
    return 0;
}

/* Values that the kind cannot index are left out, unless that is all: then it is an error. */
static int add_values(struct building *b, struct node *root, enum fhir_param_kind kind,
                      const struct fhir_paths *paths, struct emit emit, bool *ret_is_plain)
{
    size_t count = 0;

    *ret_is_plain = kind == FHIR_PARAM_NUMBER || kind == FHIR_PARAM_TOKEN;
    for (const struct fhir_path *path = paths->first; path != NULL; path = path->next) {
        if (!fhir_how_of(kind, path->structure, &emit.how))
            continue;
        const char *type = fhir_structure_name(path->structure);
        if (kind == FHIR_PARAM_NUMBER ? strcmp(type, "integer") != 0 : strcmp(type, "string") != 0)
            *ret_is_plain = false;
        add_value(b, root, path, emit);
        count++;
    }
    if (count > 0)
        return 0;
    assert(paths->first != NULL);
    return andiron_error_set(
        b->err, ANDIRON_E_UNPROCESSABLE, "", "it leads to a %s, which a %s parameter cannot search",
        fhir_structure_name(paths->first->structure), fhir_param_kind_name(kind));
}

static int nothing_found(struct building *b, bool is_other)
{
    return andiron_error_set(b->err, ANDIRON_E_UNPROCESSABLE, "",
                             is_other ? "no part of it is about %s"
                                      : "no element of %s is of the type asked for",
                             fhir_structure_name(b->structure));
}

static int add_composite(struct building *b, struct node *root, uint16_t number,
                         const struct fhir_expression *param, const struct fhir_paths *paths)
{
    for (const struct fhir_path *path = paths->first; path != NULL; path = path->next) {
        struct emit emit = { .how = FHIR_HOW_COMPOSITE,
                             .param = number,
                             .part_count = (uint8_t)param->part_count };
        for (size_t i = 0; i < param->part_count; i++) {
            struct fhir_paths found;
            bool is_other, is_plain;
            struct emit part = { .param = number, .part = (uint8_t)(i + 1) };
            if (paths_of_text(b, path->structure, param->parts[i].text, &found, &is_other) != 0)
                return -1;
            if (found.count == 0)
                return nothing_found(b, is_other);
            emit.parts[i] = andiron_new(b->arena, struct node);
            if (add_values(b, emit.parts[i], param->parts[i].kind, &found, part, &is_plain) != 0)
                return -1;
            if (found.first->from_resource)
                emit.from_resource = (uint8_t)(emit.from_resource | 1u << i);
        }
        (void)add_emit(b, node_at(b, root, path->last), emit);
    }
    return 0;
}

static bool is_truth(const struct fhir_tree *tree)
{
    return tree->op == FHIR_TREE_AND || tree->op == FHIR_TREE_EXISTS || tree->op == FHIR_TREE_NE;
}

/* "a.exists()" or "a != b", of members of the resource. */
static int truth_of(struct building *b, const struct fhir_tree *tree, struct truth *ret)
{
    struct fhir_resolving r = {
        .arena = b->arena, .base = b->structure, .resource = b->structure, .err = b->err
    };
    struct fhir_paths paths;

    if (tree->op != FHIR_TREE_EXISTS && tree->op != FHIR_TREE_NE)
        return andiron_error_set(b->err, ANDIRON_E_UNPROCESSABLE, "",
                                 "with \"and\" only exists() and != are supported");
    if (fhir_expression_paths(&r, tree->of, &paths) != 0)
        return -1;
    *ret = (struct truth){ .is_ne = tree->op == FHIR_TREE_NE, .literal = tree->text };
    ret->members = andiron_alloc(b->arena, (paths.count + 1) * sizeof(*ret->members));
    for (const struct fhir_path *path = paths.first; path != NULL; path = path->next) {
        if (path->last == NULL || path->last->depth != 1 || path->last->member.data == NULL)
            return andiron_error_set(b->err, ANDIRON_E_UNPROCESSABLE, "",
                                     "exists() and != are supported for elements of the resource "
                                     "itself only");
        ret->members[ret->count++] = path->last->member;
    }
    if (ret->count == 0 || ret->count > UINT8_MAX)
        return nothing_found(b, r.is_other);
    return 0;
}

static int add_truth(struct building *b, struct node *root, uint16_t number,
                     const struct fhir_tree *tree)
{
    struct emit emit = { .how = FHIR_HOW_TRUTH, .param = number };

    for (; tree != NULL; tree = tree->op == FHIR_TREE_AND ? tree->of : NULL) {
        struct truth *truth = andiron_new(b->arena, struct truth);
        if (truth_of(b, tree->op == FHIR_TREE_AND ? tree->with : tree, truth) != 0)
            return -1;
        truth->next = emit.truth; /* from the last to the first */
        emit.truth = truth;
    }
    (void)add_emit(b, root, emit);
    return 0;
}

static int add_param(struct building *b, struct node *root, uint16_t number,
                     struct fhir_expression *param)
{
    struct fhir_resolving r = {
        .arena = b->arena, .base = b->structure, .resource = b->structure, .err = b->err
    };
    const struct fhir_tree *tree = fhir_expression_parse(b->arena, param->text, b->err);
    struct fhir_paths paths;

    if (tree == NULL)
        return -1;
    if (param->kind == FHIR_PARAM_TOKEN && is_truth(tree))
        return add_truth(b, root, number, tree);
    if (fhir_expression_paths(&r, tree, &paths) != 0)
        return -1;
    b->paths += r.made;
    if (paths.count == 0)
        return nothing_found(b, r.is_other);
    if (param->kind == FHIR_PARAM_COMPOSITE)
        return add_composite(b, root, number, param, &paths);
    return add_values(b, root, param->kind, &paths, (struct emit){ .param = number },
                      &param->is_plain);
}

/* ---- rows -------------------------------------------------------------------- */

/* Index of a new row. */
static uint16_t add_row(struct building *b, struct list *list, const void *row, size_t size)
{
    if (list->count == UINT16_MAX) {
        b->is_full = true;
        return 0;
    }
    if (list->count == list->capacity) {
        size_t capacity = list->capacity > 0 ? list->capacity * 2 : 16;
        char *items = andiron_alloc(b->arena, capacity * size);
        if (list->count > 0)
            memcpy(items, list->items, list->count * size);
        list->items = items;
        list->capacity = capacity;
    }
    memcpy((char *)list->items + list->count * size, row, size);
    return (uint16_t)list->count++;
}

/* Offset of a name; 0 stands for "" and is where it goes if there is no room. */
static uint16_t name_at(struct building *b, andiron_str name)
{
    for (size_t at = 0; at < b->names_len; at += strlen(b->names + at) + 1)
        if (andiron_str_eq(andiron_str_of(b->names + at), name))
            return (uint16_t)at;
    if (name.len + 1 > NAMES_MAX - b->names_len ||
        (name.len > 0 && memchr(name.data, '\0', name.len) != NULL)) {
        b->is_full = true;
        return 0;
    }
    size_t at = b->names_len;
    if (at + name.len + 1 > b->names_cap) {
        char *names = andiron_alloc(b->arena, 2 * (at + name.len) + 256);
        if (at > 0)
            memcpy(names, b->names, at);
        b->names = names;
        b->names_cap = 2 * (at + name.len) + 256;
    }
    if (name.len > 0)
        memcpy(b->names + at, name.data, name.len);
    b->names[at + name.len] = '\0';
    b->names_len += name.len + 1;
    return (uint16_t)at;
}

static uint16_t flatten(struct building *b, const struct node *node);

static uint16_t flatten_truth(struct building *b, const struct truth *truth)
{
    size_t first = b->truths.count;
    for (; truth != NULL; truth = truth->next) {
        struct fhir_truth_row row = { .op = truth->is_ne ? FHIR_TRUTH_NE : FHIR_TRUTH_EXISTS,
                                      .member_count = (uint8_t)truth->count,
                                      .members = (uint16_t)b->truth_members.count,
                                      .is_last = truth->next == NULL };
        if (truth->is_ne)
            row.literal = name_at(b, truth->literal);
        for (size_t i = 0; i < truth->count; i++) {
            uint16_t member = name_at(b, truth->members[i]);
            (void)add_row(b, &b->truth_members, &member, sizeof(member));
        }
        (void)add_row(b, &b->truths, &row, sizeof(row));
    }
    return (uint16_t)first;
}

static struct fhir_emit_row flatten_emit(struct building *b, const struct emit *emit)
{
    struct fhir_emit_row row = { .param = emit->param,
                                 .how = (uint8_t)emit->how,
                                 .part = emit->part };
    if (emit->how == FHIR_HOW_CODE) {
        row.arg = emit->system;
    } else if (emit->how == FHIR_HOW_TRUTH) {
        row.arg = flatten_truth(b, emit->truth);
    } else if (emit->how == FHIR_HOW_COMPOSITE) {
        struct fhir_composite_row composite = { .count = emit->part_count,
                                                .from_resource = emit->from_resource };
        for (size_t i = 0; i < emit->part_count; i++)
            composite.parts[i] = flatten(b, emit->parts[i]);
        row.arg = add_row(b, &b->composites, &composite, sizeof(composite));
    }
    return row;
}

static struct fhir_guard_row flatten_guard(struct building *b, const struct guard *guard)
{
    struct fhir_guard_row row = { .op = (uint8_t)guard->step.guard, .a = guard->step.index };
    if (guard->step.guard != FHIR_GUARD_INDEX)
        row.a = name_at(b, guard->step.a);
    if (guard->step.guard == FHIR_GUARD_EQ)
        row.b = name_at(b, guard->step.b);
    row.node = flatten(b, guard->to);
    return row;
}

static int by_length(const void *x, const void *y)
{
    const struct fhir_edge_row *a = x, *b = y;
    return (a->length > b->length) - (a->length < b->length);
}

/* Rows of the edges, sorted as the walk wants them, and how many. */
static uint8_t flatten_edges(struct building *b, const struct node *node, uint16_t *ret_first)
{
    struct fhir_edge_row rows[UINT8_MAX];
    uint8_t count = 0;

    for (const struct edge *e = node->edges; e != NULL; e = e->next) {
        if (count == UINT8_MAX) {
            b->is_full = true;
            break;
        }
        uint16_t name = name_at(b, e->member);
        rows[count++] = (struct fhir_edge_row){ .name = name,
                                                .node = flatten(b, e->to),
                                                .length = (uint8_t)e->member.len };
    }
    /* cppcheck-suppress uninitvar ; the first count of them are set */
    qsort(rows, count, sizeof(rows[0]), by_length);
    *ret_first = (uint16_t)b->edges.count;
    for (uint8_t i = 0; i < count; i++)
        (void)add_row(b, &b->edges, &rows[i], sizeof(rows[0]));
    return count;
}

/* Bounded by the number of steps that a path may have. */
static uint16_t flatten(struct building *b, const struct node *node)
{
    struct fhir_node_row row = { .edges = 0 };
    struct fhir_guard_row guards[UINT8_MAX];
    struct fhir_emit_row emits[UINT8_MAX];
    uint16_t number = add_row(b, &b->nodes, &row, sizeof(row));

    row.edge_count = flatten_edges(b, node, &row.edges);
    for (const struct guard *g = node->guards; g != NULL && row.guard_count < UINT8_MAX;
         g = g->next)
        guards[row.guard_count++] = flatten_guard(b, g);
    for (const struct emit *e = node->emits; e != NULL && row.emit_count < UINT8_MAX; e = e->next)
        emits[row.emit_count++] = flatten_emit(b, e);
    b->is_full = b->is_full || row.guard_count == UINT8_MAX || row.emit_count == UINT8_MAX;
    row.guards = (uint16_t)b->guards.count;
    row.emits = (uint16_t)b->emits.count;
    for (uint8_t i = 0; i < row.guard_count; i++)
        (void)add_row(b, &b->guards, &guards[i], sizeof(guards[0]));
    for (uint8_t i = 0; i < row.emit_count; i++)
        (void)add_row(b, &b->emits, &emits[i], sizeof(emits[0]));
    if (!b->is_full)
        ((struct fhir_node_row *)b->nodes.items)[number] = row;
    return number;
}

/* ---- all --------------------------------------------------------------------- */

static const struct fhir_param_row *param_rows(struct building *b,
                                               const struct fhir_expression *params, size_t count)
{
    struct fhir_param_row *rows = andiron_alloc(b->arena, (count + 1) * sizeof(*rows));
    for (size_t i = 0; i < count; i++) {
        rows[i] = (struct fhir_param_row){ .code = name_at(b, andiron_str_of(params[i].code)),
                                           .kind = (uint8_t)params[i].kind };
        if (params[i].kind == FHIR_PARAM_STRING)
            rows[i].more =
                name_at(b, andiron_str_of(andiron_printf(b->arena, "%s#word", params[i].code)));
    }
    return rows;
}

int fhir_expression_compile(struct andiron_arena *arena, int structure,
                            struct fhir_expression *params, size_t count,
                            struct fhir_extract_root *ret, size_t *ret_failed,
                            struct andiron_error *err)
{
    struct building b = { .arena = arena, .structure = structure, .err = err };
    struct node *root = andiron_new(arena, struct node);
    struct fhir_program *program = andiron_new(arena, struct fhir_program);

    (void)name_at(&b, ANDIRON_STR("")); /* is at 0 */
    for (size_t i = 0; i < count; i++) {
        *ret_failed = i;
        b.paths = 0;
        if (add_param(&b, root, (uint16_t)i, &params[i]) != 0)
            return -1;
        params[i].paths = b.paths;
    }
    uint16_t start = flatten(&b, root);
    *program = (struct fhir_program){ .params = param_rows(&b, params, count),
                                      .nodes = b.nodes.items,
                                      .edges = b.edges.items,
                                      .guards = b.guards.items,
                                      .emits = b.emits.items,
                                      .composites = b.composites.items,
                                      .truths = b.truths.items,
                                      .truth_members = b.truth_members.items,
                                      .names = b.names,
                                      .texts = fhir_texts };
    if (b.is_full)
        return andiron_error_set(err, ANDIRON_E_UNPROCESSABLE, "",
                                 "it leads to more elements than can be indexed");
    *ret =
        (struct fhir_extract_root){ .program = program, .node = start, .count = (uint16_t)count };
    return 0;
}
