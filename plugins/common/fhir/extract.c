/*
 * Index terms of a resource: the walk. What a value becomes is in values.c.
 */
#include "extract.h"

#include "params.h"
#include "tables.h"
#include "types.h"
#include "values.h"

/* Parameters of one type, and behind them those of every resource. */
enum { OWN_MAX = 192, COMMON_MAX = 64, PRESENT_WORDS = (OWN_MAX + COMMON_MAX) / 64 };

struct walk {
    const struct fhir_program *program;
    const struct fhir_extract_options *options;
    andiron_json resource;
    struct fhir_terms terms;
    uint32_t groups;   /* handed out so far */
    uint16_t first;    /* parameter of bit 0 of present */
    uint64_t *present; /* bit per parameter that has a value */
};

static void at_value(struct walk *w, uint16_t node, andiron_json value, size_t index);

static void set_present(const struct walk *w, uint16_t param)
{
    unsigned bit = (unsigned)(param - w->first);
    w->present[bit / 64] |= UINT64_C(1) << bit % 64;
}

/* ---- guards ------------------------------------------------------------------ */

static bool holds(const struct walk *w, const struct fhir_guard_row *guard, andiron_json value,
                  size_t index)
{
    const char *names = w->program->names;

    switch ((enum fhir_guard_op)guard->op) {
    case FHIR_GUARD_EQ:
        return andiron_str_eq(andiron_json_str(andiron_json_get(value, names + guard->a)),
                              andiron_str_of(names + guard->b));
    case FHIR_GUARD_REFERENCE:
        return andiron_str_eq(fhir_reference_type(value, w->options->base),
                              andiron_str_of(names + guard->a));
    case FHIR_GUARD_INDEX:
        return index == guard->a;
    }
    return false;
}

static bool truth_holds(const struct walk *w, const struct fhir_truth_row *truth)
{
    const char *names = w->program->names;
    andiron_json value = { NULL, 0 };

    for (int i = 0; i < truth->member_count; i++) {
        value =
            andiron_json_get(w->resource, names + w->program->truth_members[truth->members + i]);
        if (andiron_json_type(value) != ANDIRON_JSON_MISSING)
            break;
    }
    if (andiron_json_type(value) == ANDIRON_JSON_MISSING)
        return false;
    if (truth->op == FHIR_TRUTH_EXISTS)
        return true;
    andiron_str text = andiron_json_type(value) == ANDIRON_JSON_STRING ? andiron_json_str(value)
                                                                       : andiron_json_raw(value);
    return !andiron_str_eq(text, andiron_str_of(names + truth->literal));
}

/* ---- emits ------------------------------------------------------------------- */

/* All parts, or none of them. */
static void composite(struct walk *w, const struct fhir_emit_row *emit, andiron_json value,
                      size_t index)
{
    const struct fhir_composite_row *row = &w->program->composites[emit->arg];
    size_t start = w->terms.count;

    w->groups++;
    for (int i = 0; i < row->count; i++) {
        size_t before = w->terms.count;
        bool is_from_resource = (row->from_resource >> i & 1) != 0;
        at_value(w, row->parts[i], is_from_resource ? w->resource : value, index);
        if (w->terms.count == before) {
            w->terms.count = start;
            w->groups--;
            return;
        }
    }
    set_present(w, emit->param);
}

static void truth(struct walk *w, const struct fhir_emitting *e, const struct fhir_emit_row *emit)
{
    const struct fhir_truth_row *row = &w->program->truths[emit->arg];
    bool is_true = truth_holds(w, row);

    while (is_true && !row->is_last)
        is_true = truth_holds(w, ++row);
    fhir_term(e, ANDIRON_TERM_TOKEN)->text = is_true ? ANDIRON_STR("true") : ANDIRON_STR("false");
}

static void emit_value(struct walk *w, const struct fhir_emit_row *emit, andiron_json value,
                       size_t index)
{
    const struct fhir_program *program = w->program;
    const struct fhir_param_row *param = &program->params[emit->param];
    enum fhir_how how = (enum fhir_how)emit->how;

    if (how == FHIR_HOW_COMPOSITE) {
        composite(w, emit, value, index);
        return;
    }
    struct fhir_emitting e = {
        .terms = &w->terms,
        .param = program->names + param->code,
        .base = w->options->base,
        .has_text = w->options->has_text,
    };
    if (emit->part != 0) {
        e.group = w->groups;
        e.part = emit->part;
    } else {
        set_present(w, emit->param);
    }
    if (how == FHIR_HOW_CODE)
        e.system = program->texts + emit->arg;
    else if (param->kind == FHIR_PARAM_STRING)
        e.words = program->names + param->more;

    if (how == FHIR_HOW_TRUTH) {
        truth(w, &e, emit);
    } else if (how == FHIR_HOW_POSITION) {
        e.group = ++w->groups;
        fhir_position_terms(&e, value);
    } else if (how != FHIR_HOW_PRESENT) {
        fhir_value_terms(&e, how, value);
    }
}

/* ---- the walk ---------------------------------------------------------------- */

/* Edges of a node are ordered by the length of their names. */
static const struct fhir_edge_row *find_edge(const struct walk *w, const struct fhir_node_row *node,
                                             andiron_str name)
{
    const struct fhir_edge_row *edge = w->program->edges + node->edges;
    const struct fhir_edge_row *end = edge + node->edge_count;

    for (; edge < end && edge->length <= name.len; edge++)
        if (edge->length == name.len &&
            memcmp(w->program->names + edge->name, name.data, name.len) == 0)
            return edge;
    return NULL;
}

static void at_member(struct walk *w, uint16_t node, andiron_json value)
{
    if (andiron_json_type(value) != ANDIRON_JSON_ARRAY) {
        at_value(w, node, value, 0);
        return;
    }
    struct andiron_json_iter it = { .of = value };
    for (size_t index = 0; andiron_json_next(&it); index++)
        at_value(w, node, it.value, index);
}

/* Depth is bounded by the program's tree, not by the document. */
static void at_value(struct walk *w, uint16_t number, andiron_json value, size_t index)
{
    const struct fhir_node_row *node = &w->program->nodes[number];
    enum andiron_json_type type = andiron_json_type(value);

    if (type == ANDIRON_JSON_NULL || type == ANDIRON_JSON_ARRAY || type == ANDIRON_JSON_MISSING)
        return;
    for (unsigned i = 0; i < node->emit_count; i++)
        emit_value(w, &w->program->emits[node->emits + i], value, index);
    for (unsigned i = 0; i < node->guard_count; i++) {
        const struct fhir_guard_row *guard = &w->program->guards[node->guards + i];
        if (holds(w, guard, value, index))
            at_value(w, guard->node, value, index);
    }
    if (node->edge_count == 0 || type != ANDIRON_JSON_OBJECT)
        return;
    struct andiron_json_iter it = { .of = value };
    while (andiron_json_next(&it)) {
        const struct fhir_edge_row *edge = find_edge(w, node, it.name);
        if (edge != NULL)
            at_member(w, edge->node, it.value);
    }
}

static void add_present(struct walk *w, const struct fhir_extract_root *root, size_t limit)
{
    for (unsigned word = 0; word < limit / 64; word++)
        for (uint64_t bits = w->present[word]; bits != 0; bits &= bits - 1) {
            unsigned param = root->first + word * 64 + (unsigned)__builtin_ctzll(bits);
            struct fhir_emitting e = {
                .terms = &w->terms,
                .param = root->program->names + root->program->params[param].code,
            };
            (void)fhir_term(&e, ANDIRON_TERM_PRESENT);
        }
}

static void walk_root(struct walk *w, const struct fhir_extract_root *root, uint64_t *present,
                      size_t limit)
{
    w->program = root->program;
    w->first = root->first;
    w->present = present;
    at_value(w, root->node, w->resource, 0);
    add_present(w, root, limit);
}

struct fhir_extract_root fhir_extract_r4(int type)
{
    return (struct fhir_extract_root){
        .program = fhir_program_r4(),
        .node = fhir_program_roots[type],
        .first = fhir_param_first[type],
        .count = (uint16_t)(fhir_param_first[type + 1] - fhir_param_first[type]),
    };
}

/* What a type has from the start: its own parameters, and those of every resource. */
static void walk_own(struct walk *w, const struct fhir_extract_root *root)
{
    uint64_t present[PRESENT_WORDS] = { 0 };
    struct fhir_extract_root common = fhir_extract_r4(FHIR_TYPE_COUNT);

    walk_root(w, root, present, OWN_MAX);
    walk_root(w, &common, present + OWN_MAX / 64, COMMON_MAX);
}

int fhir_extract_more(struct andiron_arena *arena, const struct fhir_extract_options *options,
                      const struct fhir_extract_root *root,
                      const struct fhir_extract_root *const *more, size_t more_count,
                      andiron_json resource, const struct andiron_term **ret_terms,
                      size_t *ret_count, struct andiron_error *err)
{
    struct walk w = {
        .options = options,
        .resource = resource,
        .terms = { .arena = arena, .max = options->max_terms },
    };

    if (root != NULL)
        walk_own(&w, root);
    for (size_t i = 0; i < more_count; i++) {
        uint64_t present = 0;
        w.groups = 0;
        walk_root(&w, more[i], &present, 64);
    }
    if (w.terms.is_over)
        return andiron_error_set(err, ANDIRON_E_TOO_LARGE, "",
                                 "this resource makes more than %zu index terms",
                                 options->max_terms);
    *ret_terms = w.terms.list;
    *ret_count = w.terms.count;
    return 0;
}

int fhir_extract(struct andiron_arena *arena, const struct fhir_extract_options *options,
                 const struct fhir_extract_root *root, andiron_json resource,
                 const struct andiron_term **ret_terms, size_t *ret_count,
                 struct andiron_error *err)
{
    return fhir_extract_more(arena, options, root, NULL, 0, resource, ret_terms, ret_count, err);
}

const struct fhir_program *fhir_program_r4(void)
{
    static const struct fhir_program program = {
        .nodes = fhir_program_nodes,
        .edges = fhir_program_edges,
        .guards = fhir_program_guards,
        .emits = fhir_program_emits,
        .composites = fhir_program_composites,
        .truths = fhir_program_truths,
        .truth_members = fhir_program_truth_members,
        .params = fhir_param_rows,
        .names = fhir_names,
        .texts = fhir_texts,
    };
    return &program;
}
