/*
 * Platform types: a list of "name:kind:path" becomes a program like those generated for R4.
 */
#include "common/fhir/tables.h"
#include "model.h"

/* Limits of one type's list; beyond them it is an error of its plugin. */
enum { ENTRIES_MAX = 64, SEGMENTS_MAX = 256, NAMES_MAX = 2048 };

/* While it is built: members as a tree of indices. */
struct branch {
    uint16_t name;
    uint16_t first_child, next; /* 0: none; the root is nobody's child */
};

struct building {
    struct andiron_arena *arena;
    char *names;
    size_t names_len;
    struct branch branches[SEGMENTS_MAX];
    size_t branch_count;
    struct fhir_param_row params[ENTRIES_MAX];
    struct fhir_emit_row emits[ENTRIES_MAX];
    uint16_t branch_of[ENTRIES_MAX]; /* of an emit */
    size_t count;
};

static const struct {
    const char *name;
    enum fhir_param_kind kind;
    enum fhir_how how;
} kinds[] = {
    { "token", FHIR_PARAM_TOKEN, FHIR_HOW_ANY_TOKEN },
    { "string", FHIR_PARAM_STRING, FHIR_HOW_STRING },
    { "reference", FHIR_PARAM_REFERENCE, FHIR_HOW_REFERENCE },
    { "date", FHIR_PARAM_DATE, FHIR_HOW_DATE },
    { "number", FHIR_PARAM_NUMBER, FHIR_HOW_NUMBER },
    { "quantity", FHIR_PARAM_QUANTITY, FHIR_HOW_QUANTITY },
    { "uri", FHIR_PARAM_URI, FHIR_HOW_URI },
};

/* Offset of a new name, `more` appended; NAMES_MAX if there is no room. */
static uint16_t add_name(struct building *b, andiron_str name, const char *more)
{
    size_t more_len = strlen(more), at = b->names_len;
    if (name.len + more_len + 1 > NAMES_MAX - at)
        return NAMES_MAX;
    memcpy(b->names + at, name.data, name.len);
    memcpy(b->names + at + name.len, more, more_len + 1);
    b->names_len = at + name.len + more_len + 1;
    return (uint16_t)at;
}

/* The branch for a member below another, made if it is not there; 0 if there is no room. */
static uint16_t branch_below(struct building *b, uint16_t parent, andiron_str member)
{
    uint16_t *link = &b->branches[parent].first_child;
    for (; *link != 0; link = &b->branches[*link].next)
        if (andiron_str_eq(andiron_str_of(b->names + b->branches[*link].name), member))
            return *link;
    uint16_t name = add_name(b, member, "");
    if (b->branch_count == SEGMENTS_MAX || name == NAMES_MAX || member.len > UINT8_MAX)
        return 0;
    *link = (uint16_t)b->branch_count;
    b->branches[b->branch_count] = (struct branch){ .name = name };
    return (uint16_t)b->branch_count++;
}

/* Takes what is before sep off *rest; all of it if there is no sep. */
static andiron_str cut(andiron_str *rest, char sep)
{
    const char *at = rest->len > 0 ? memchr(rest->data, sep, rest->len) : NULL;
    andiron_str head = { rest->data, at != NULL ? (size_t)(at - rest->data) : rest->len };
    size_t taken = head.len + (at != NULL ? 1 : 0);
    rest->data += taken;
    rest->len -= taken;
    return head;
}

static int add_entry(struct building *b, andiron_str entry)
{
    andiron_str name = cut(&entry, ':');
    andiron_str kind = cut(&entry, ':');
    size_t k = 0;

    while (k < sizeof(kinds) / sizeof(kinds[0]) &&
           !andiron_str_eq(kind, andiron_str_of(kinds[k].name)))
        k++;
    if (k == sizeof(kinds) / sizeof(kinds[0]) || name.len == 0 || entry.len == 0 ||
        b->count == ENTRIES_MAX)
        return -1;
    uint16_t branch = 0;
    while (entry.len > 0) {
        branch = branch_below(b, branch, cut(&entry, '.'));
        if (branch == 0)
            return -1;
    }
    uint16_t code = add_name(b, name, "");
    uint16_t words = kinds[k].kind == FHIR_PARAM_STRING ? add_name(b, name, "#word") : 0;
    if (code == NAMES_MAX || words == NAMES_MAX)
        return -1;
    b->params[b->count] =
        (struct fhir_param_row){ .code = code, .more = words, .kind = (uint8_t)kinds[k].kind };
    b->emits[b->count] =
        (struct fhir_emit_row){ .param = (uint16_t)b->count, .how = (uint8_t)kinds[k].how };
    b->branch_of[b->count++] = branch;
    return 0;
}

/* Rows of the children of a branch, by the length of their names (extract.c relies on it). */
static size_t add_edges(struct building *b, uint16_t branch, struct fhir_edge_row *edges)
{
    size_t count = 0;
    for (uint16_t c = b->branches[branch].first_child; c != 0; c = b->branches[c].next) {
        uint8_t length = (uint8_t)strlen(b->names + b->branches[c].name);
        size_t at = count++;
        for (; at > 0 && edges[at - 1].length > length; at--)
            edges[at] = edges[at - 1];
        edges[at] =
            (struct fhir_edge_row){ .name = b->branches[c].name, .node = c, .length = length };
    }
    return count;
}

/* Rows in arena: a node for each branch, with the same number. */
static void finish(struct building *b, struct platform_type *type)
{
    struct fhir_node_row *nodes = andiron_alloc(b->arena, b->branch_count * sizeof(*nodes));
    struct fhir_edge_row *edges = andiron_alloc(b->arena, b->branch_count * sizeof(*edges));
    struct fhir_emit_row *emits = andiron_alloc(b->arena, (b->count + 1) * sizeof(*emits));
    struct fhir_param_row *params = andiron_alloc(b->arena, (b->count + 1) * sizeof(*params));
    size_t edge_count = 0, emit_count = 0;

    for (uint16_t i = 0; i < b->branch_count; i++) {
        struct fhir_node_row *node = &nodes[i];
        node->edges = (uint16_t)edge_count;
        node->edge_count = (uint8_t)add_edges(b, i, edges + edge_count);
        edge_count += node->edge_count;
        node->emits = (uint16_t)emit_count;
        for (size_t e = 0; e < b->count; e++)
            if (b->branch_of[e] == i)
                emits[emit_count++] = b->emits[e];
        node->emit_count = (uint8_t)(emit_count - node->emits);
    }
    memcpy(params, b->params, b->count * sizeof(*params));
    type->program = (struct fhir_program){ .nodes = nodes,
                                           .edges = edges,
                                           .emits = emits,
                                           .params = params,
                                           .names = b->names,
                                           .texts = "" };
    type->root =
        (struct fhir_extract_root){ .program = &type->program, .count = (uint16_t)b->count };
}

int model_add_platform(struct model *model, struct andiron_arena *arena, andiron_str name,
                       const char *const *search, struct andiron_error *err)
{
    struct building b = { .arena = arena, .names_len = 1, .branch_count = 1 }; /* "" is at 0 */
    struct platform_type *type = andiron_new(arena, struct platform_type);

    b.names = andiron_alloc(arena, NAMES_MAX);
    type->name = andiron_copy(arena, name);
    for (; search != NULL && *search != NULL; search++)
        if (add_entry(&b, andiron_str_of(*search)) != 0)
            return andiron_error_set(err, ANDIRON_E_INTERNAL, type->name,
                                     "search entry \"%s\" must read \"name:kind:path\", kind being "
                                     "token, string, reference, date, number, quantity or uri",
                                     *search);
    finish(&b, type);
    type->next = model->platform;
    model->platform = type;
    return 0;
}
