/*
 * Building of filter trees; see node.h. Pure computation, except for what it asks its source.
 */
#include "node.h"

#include <string.h>

#include "tokens.h"

static struct node *node_new(const struct node_source *source, enum node_op op, int64_t type)
{
    struct node *n = andiron_new(source->arena, struct node);

    n->op = op;
    n->type = type;
    return n;
}

static bool is_url(andiron_str text)
{
    return text.len != 0 && memchr(text.data, ':', text.len) != NULL;
}

static void prepare_token(const struct node_source *source, struct node *n)
{
    const struct hash_key *key = source->key;
    const struct andiron_term *t = n->term;

    n->kind = KEYS_TOKEN;
    n->any_system = t->system.data == NULL;
    n->no_system = t->system.data != NULL && t->system.len == 0;
    if (t->system.len != 0)
        n->hash = keys_hash_system(key, t->system);
    if (t->text.data == NULL && n->compare == ANDIRON_CMP_EQ)
        n->compare = ANDIRON_CMP_SYSTEM;
    n->text = keys_text(key, source->arena, t->text, KEYS_CODE_MAX);
    if (n->compare == ANDIRON_CMP_OF_TYPE) {
        n->kind = KEYS_OF_TYPE;
        n->wide = keys_hash_of_type(key, t->system, t->text, t->exact);
    }
}

static int prepare_reference(const struct node_source *source, struct node *n)
{
    const struct andiron_term *t = n->term;

    n->kind = KEYS_REFERENCE;
    if (n->compare == ANDIRON_CMP_SYSTEM || t->text.data == NULL) {
        n->compare = ANDIRON_CMP_SYSTEM;
        return source->type(source->arg, t->system, &n->other);
    }
    if (t->system.len == 0 && is_url(t->text)) {
        n->kind = KEYS_URL;
        n->text = keys_text(source->key, source->arena, t->text, KEYS_TEXT_MAX);
        return 0;
    }
    return source->targets(source->arg, n);
}

static int prepare_term(const struct node_source *source, struct node *n)
{
    const struct hash_key *key = source->key;
    const struct andiron_term *t = n->term;

    switch (t->kind) {
    case ANDIRON_TERM_TOKEN:
        prepare_token(source, n);
        return 0;
    case ANDIRON_TERM_STRING:
        n->kind = KEYS_STRING;
        n->text = keys_text(key, source->arena, t->text, KEYS_STRING_MAX);
        if (n->compare == ANDIRON_CMP_EXACT)
            n->hash = keys_hash_exact(key, t->exact.data != NULL ? t->exact : t->text);
        return 0;
    case ANDIRON_TERM_REFERENCE:
        return prepare_reference(source, n);
    case ANDIRON_TERM_DATE:
        n->kind = KEYS_DATE;
        return 0;
    case ANDIRON_TERM_NUMBER:
        n->kind = KEYS_NUMBER;
        return 0;
    case ANDIRON_TERM_QUANTITY:
        n->kind = KEYS_QUANTITY;
        if (t->system.len != 0 && t->text.len != 0)
            n->hash = keys_hash_coded_unit(key, t->system, t->text);
        else if (t->text.len != 0)
            n->hash = keys_hash_unit(key, t->text);
        return 0;
    case ANDIRON_TERM_URI:
        n->kind = KEYS_URI;
        n->text = keys_text(key, source->arena, t->text, KEYS_TEXT_MAX);
        return 0;
    case ANDIRON_TERM_PRESENT:
        n->kind = KEYS_PRESENT;
        return 0;
    default:
        n->op = NODE_FALSE;
        return 0;
    }
}

static struct node *build_term(const struct node_source *source, int64_t type,
                               const struct andiron_filter *filter)
{
    struct node *n = node_new(source, NODE_TERM, type);

    n->term = &filter->term;
    n->compare = filter->compare;
    n->text = filter->term.text;
    if (strcmp(filter->term.param, "_id") == 0) {
        n->op = filter->term.kind == ANDIRON_TERM_PRESENT ? NODE_TRUE : NODE_ID;
        return n;
    }
    if (strcmp(filter->term.param, "_lastUpdated") == 0) {
        n->op = filter->term.kind == ANDIRON_TERM_PRESENT ? NODE_TRUE : NODE_UPDATED;
        return n;
    }
    if (source->param(source->arg, type, andiron_str_of(filter->term.param), &n->p) != 0)
        return NULL;
    if (n->p == 0) {
        n->op = NODE_FALSE; /* no resource has a value */
        return n;
    }
    if (prepare_term(source, n) != 0)
        return NULL;
    if ((n->kind == KEYS_DATE || n->kind == KEYS_NUMBER || n->kind == KEYS_QUANTITY) &&
        n->term->part == 0 &&
        source->single(source->arg, type, andiron_str_of(filter->term.param), &n->single) != 0)
        return NULL;
    if (n->kind == KEYS_REFERENCE && n->compare == ANDIRON_CMP_EQ && n->rid_count == 0)
        n->op = NODE_FALSE;
    return n;
}

/* CHAIN and HAS: the other side is compiled for its own type. */
static struct node *build_link(const struct node_source *source, int64_t type,
                               const struct andiron_filter *filter)
{
    bool chain = filter->op == ANDIRON_FILTER_CHAIN;
    struct node *n = node_new(source, chain ? NODE_CHAIN : NODE_HAS, type);

    if (source->type(source->arg, andiron_str_of(filter->type), &n->other) != 0 ||
        source->param(source->arg, chain ? type : n->other, andiron_str_of(filter->term.param),
                      &n->p) != 0)
        return NULL;
    if (n->p == 0 || n->other == 0) {
        n->op = NODE_FALSE;
        return n;
    }
    n->args = andiron_alloc(source->arena, sizeof(n->args[0]));
    n->arg_count = 1;
    n->args[0] = filter->arg_count != 0 ? node_build(source, n->other, filter->args[0])
                                        : node_new(source, NODE_TRUE, n->other);
    if (n->args[0] == NULL)
        return NULL;
    if (n->args[0]->op == NODE_FALSE)
        n->op = NODE_FALSE;
    return n;
}

/* AND and OR, without the arguments that decide nothing. */
static struct node *build_list(const struct node_source *source, int64_t type,
                               const struct andiron_filter *filter)
{
    bool all = filter->op == ANDIRON_FILTER_AND;
    struct node *n = node_new(source, all ? NODE_AND : NODE_OR, type);

    n->args = andiron_alloc(source->arena, (filter->arg_count + 1) * sizeof(n->args[0]));
    for (size_t i = 0; i < filter->arg_count; i++) {
        struct node *arg = node_build(source, type, filter->args[i]);
        if (arg == NULL)
            return NULL;
        if (arg->op == (all ? NODE_FALSE : NODE_TRUE))
            return arg;
        if (arg->op != (all ? NODE_TRUE : NODE_FALSE))
            n->args[n->arg_count++] = arg;
    }
    if (n->arg_count == 1)
        return n->args[0];
    if (n->arg_count == 0)
        n->op = all ? NODE_TRUE : NODE_FALSE;
    if (n->op == NODE_OR)
        tokens_set(source->arena, n);
    return n;
}

static struct node *build_not(const struct node_source *source, int64_t type,
                              const struct andiron_filter *filter)
{
    struct node *n = node_new(source, NODE_NOT, type);
    struct node *arg = filter->arg_count != 0 ? node_build(source, type, filter->args[0])
                                              : node_new(source, NODE_TRUE, type);

    if (arg == NULL)
        return NULL;
    if (arg->op == NODE_TRUE || arg->op == NODE_FALSE) {
        n->op = arg->op == NODE_TRUE ? NODE_FALSE : NODE_TRUE;
        return n;
    }
    n->args = andiron_alloc(source->arena, sizeof(n->args[0]));
    n->args[0] = arg;
    n->arg_count = 1;
    return n;
}

static struct node *build_together(const struct node_source *source, int64_t type,
                                   const struct andiron_filter *filter)
{
    struct node *n = node_new(source, NODE_TOGETHER, type);

    n->args = andiron_alloc(source->arena, (filter->arg_count + 1) * sizeof(n->args[0]));
    for (size_t i = 0; i < filter->arg_count; i++) {
        struct node *arg = filter->args[i]->op == ANDIRON_FILTER_TERM
                               ? build_term(source, type, filter->args[i])
                               : node_new(source, NODE_FALSE, type);
        if (arg == NULL || arg->op == NODE_FALSE)
            return arg;
        n->args[n->arg_count++] = arg;
    }
    if (n->arg_count == 0)
        n->op = NODE_FALSE;
    else
        n->p = n->args[0]->p;
    n->compare = filter->compare;
    n->term = &filter->term;
    return n;
}

struct node *node_build(const struct node_source *source, int64_t type,
                        const struct andiron_filter *filter)
{
    struct node *n;

    if (filter == NULL)
        return node_new(source, NODE_TRUE, type);
    switch (filter->op) {
    case ANDIRON_FILTER_AND:
    case ANDIRON_FILTER_OR:
        return build_list(source, type, filter);
    case ANDIRON_FILTER_NOT:
        return build_not(source, type, filter);
    case ANDIRON_FILTER_TERM:
        return build_term(source, type, filter);
    case ANDIRON_FILTER_ID:
        n = node_new(source, NODE_ID, type);
        n->term = &filter->term;
        n->text = filter->term.text;
        return n;
    case ANDIRON_FILTER_CHAIN:
    case ANDIRON_FILTER_HAS:
        return build_link(source, type, filter);
    case ANDIRON_FILTER_TOGETHER:
        return build_together(source, type, filter);
    case ANDIRON_FILTER_TYPE: {
        int64_t wanted;
        if (source->type(source->arg, andiron_str_of(filter->type), &wanted) != 0)
            return NULL;
        return node_new(source, wanted == type ? NODE_TRUE : NODE_FALSE, type);
    }
    default:
        andiron_error_set(source->err, ANDIRON_E_NOT_IMPLEMENTED, "",
                          "this store does not know a filter of the kind asked for");
        return NULL;
    }
}
