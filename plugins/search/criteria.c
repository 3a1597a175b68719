/*
 * Criteria: from the name of a parameter, with modifiers and chains, to a filter.
 */
#include "common/fhir/ids.h"
#include "common/fhir/types.h"
#include "compile.h"
#include "text.h"

struct andiron_filter *filter_new(struct compiling *c, enum andiron_filter_op op)
{
    struct andiron_filter *f = andiron_new(c->arena, struct andiron_filter);
    c->conditions++;
    f->op = op;
    return f;
}

int conditions_check(struct compiling *c)
{
    if (c->conditions <= c->limits->max_conditions)
        return 0;
    c->is_unknown = false;
    return compile_fail(c,
                        "this search means more than %lld conditions: give fewer values, and name "
                        "types, as in subject=Patient/1 and subject:Patient.name=x",
                        (long long)c->limits->max_conditions);
}

const struct andiron_filter *filter_of(struct compiling *c, enum andiron_filter_op op,
                                       struct list *args)
{
    if (args->count == 1)
        return args->items[0];
    struct andiron_filter *f = filter_new(c, op);
    f->args = (const struct andiron_filter *const *)args->items;
    f->arg_count = args->count;
    return f;
}

struct andiron_filter *filter_term(struct compiling *c, const struct operand *o,
                                   enum andiron_term_kind kind, enum andiron_compare compare)
{
    struct andiron_filter *f = filter_new(c, ANDIRON_FILTER_TERM);
    f->compare = compare;
    f->term.param = o->name;
    f->term.kind = kind;
    f->term.part = o->part;
    return f;
}

static const struct andiron_filter *filter_around(struct compiling *c, enum andiron_filter_op op,
                                                  const struct andiron_filter *arg)
{
    struct list args = { NULL };
    list_add(c, &args, arg);
    struct andiron_filter *f = filter_new(c, op);
    f->args = (const struct andiron_filter *const *)args.items;
    f->arg_count = 1;
    return f;
}

const struct andiron_filter *filter_not(struct compiling *c, const struct andiron_filter *arg)
{
    return filter_around(c, ANDIRON_FILTER_NOT, arg);
}

struct andiron_filter *filter_id(struct compiling *c, andiron_str id)
{
    struct andiron_filter *f = filter_new(c, ANDIRON_FILTER_ID);
    f->term.text = id;
    return f;
}

/* ---- modifiers --------------------------------------------------------------- */

#define KIND(name) (1u << FHIR_PARAM_##name)

static const struct {
    const char *name;
    enum modifier modifier;
    unsigned kinds; /* of parameters that have it (search.html, 3.1.1.4.3) */
} modifiers[] = {
    { "missing", MODIFIER_MISSING, ~0u },
    { "exact", MODIFIER_EXACT, KIND(STRING) },
    { "contains", MODIFIER_CONTAINS, KIND(STRING) },
    { "text", MODIFIER_TEXT, KIND(TOKEN) },
    { "not", MODIFIER_NOT, KIND(TOKEN) },
    { "of-type", MODIFIER_OF_TYPE, KIND(TOKEN) },
    { "identifier", MODIFIER_IDENTIFIER, KIND(REFERENCE) },
    { "above", MODIFIER_ABOVE, KIND(URI) | KIND(TOKEN) },
    { "below", MODIFIER_BELOW, KIND(URI) | KIND(TOKEN) },
    { "in", MODIFIER_IN, KIND(TOKEN) },
    { "not-in", MODIFIER_NOT_IN, KIND(TOKEN) },
};
enum { MODIFIER_COUNT = sizeof(modifiers) / sizeof(modifiers[0]) };

static int unknown_modifier(struct compiling *c, const struct fhir_param *param, andiron_str name)
{
    char known[128] = "";
    size_t len = 0;
    for (size_t i = 0; i < MODIFIER_COUNT; i++) {
        if ((modifiers[i].kinds & 1u << param->kind) == 0 || len + 16 > sizeof(known))
            continue;
        size_t more = strlen(modifiers[i].name);
        memcpy(known + len, len > 0 ? ", :" : ":", len > 0 ? 3 : 1);
        len += len > 0 ? 3 : 1;
        memcpy(known + len, modifiers[i].name, more + 1);
        len += more;
    }
    return compile_fail(c, "%s, a %s parameter, has no modifier \":%.*s\"; it has %s%s",
                        param->code, fhir_param_kind_name(param->kind), SHOWN(name), known,
                        param->kind == FHIR_PARAM_REFERENCE ? " and the types it refers to" : "");
}

/* Whether a reference may point to a type; without declared targets to any. */
static bool is_target(const struct fhir_param *param, int r4)
{
    for (size_t i = 0; i < param->target_count; i++)
        if (param->targets[i] == r4)
            return true;
    return param->target_count == 0;
}

/* The type named behind a reference: "Patient" in subject:Patient. */
static int target_type(struct compiling *c, const struct fhir_param *param, andiron_str name,
                       struct search_type *ret)
{
    if (!model_type(c->model, name, ret))
        return unknown_modifier(c, param, name);
    if (!is_target(param, ret->r4))
        return compile_fail(c, "%s never refers to a %s", param->code, ret->name);
    return 0;
}

static int set_modifier(struct compiling *c, struct operand *o, andiron_str name)
{
    for (size_t i = 0; i < MODIFIER_COUNT; i++)
        if (andiron_str_eq(name, andiron_str_of(modifiers[i].name))) {
            if ((modifiers[i].kinds & 1u << o->param->kind) == 0)
                return unknown_modifier(c, o->param, name);
            o->modifier = modifiers[i].modifier;
            return 0;
        }
    if (o->param->kind != FHIR_PARAM_REFERENCE)
        return unknown_modifier(c, o->param, name);
    o->modifier = MODIFIER_TYPE;
    return target_type(c, o->param, name, &o->target);
}

/* ---- values of one parameter ------------------------------------------------- */

/* The store answers these without terms, and no resource lacks them. */
static bool is_of_store(const struct fhir_param *param)
{
    return strcmp(param->code, "_id") == 0 || strcmp(param->code, "_lastUpdated") == 0;
}

static int missing_filter(struct compiling *c, const struct operand *o, andiron_str value,
                          const struct andiron_filter **ret)
{
    bool is_missing = andiron_str_eq(value, ANDIRON_STR("true"));
    if (!is_missing && !andiron_str_eq(value, ANDIRON_STR("false")))
        return compile_fail(c, "%s:missing must be true or false, not \"%.*s\"", o->param->code,
                            SHOWN(value));
    if (is_of_store(o->param)) {
        *ret = filter_new(c, is_missing ? ANDIRON_FILTER_OR : ANDIRON_FILTER_AND);
        return 0;
    }
    const struct andiron_filter *present = filter_term(c, o, ANDIRON_TERM_PRESENT, ANDIRON_CMP_EQ);
    *ret = is_missing ? filter_not(c, present) : present;
    return 0;
}

int values_filter(struct compiling *c, const struct operand *o, andiron_str values,
                  const struct andiron_filter **ret)
{
    struct list any = { NULL };
    andiron_str rest = values, value;

    if (values.len == 0)
        return compile_unknown(c, "%s needs a value", o->param->code);
    if (o->modifier == MODIFIER_MISSING)
        return missing_filter(c, o, values, ret);
    while (text_cut(&rest, ',', &value)) {
        const struct andiron_filter *one;
        if ((int64_t)any.count == c->limits->max_values)
            return compile_fail(c, "%s has more than %lld values", o->param->code,
                                (long long)c->limits->max_values);
        if (value.len == 0)
            return compile_fail(c, "%s has an empty value in its list", o->param->code);
        if (value_filter(c, o, value, &one) != 0 || conditions_check(c) != 0)
            return -1;
        list_add(c, &any, one);
    }
    *ret = filter_of(c, ANDIRON_FILTER_OR, &any);
    if (o->modifier == MODIFIER_NOT || o->modifier == MODIFIER_NOT_IN)
        *ret = filter_not(c, *ret);
    return 0;
}

/* ---- chains ------------------------------------------------------------------ */

/* The caller must be allowed to search what the caller's chains look into, not what narrows it. */
static void add_type(struct compiling *c, const char *name)
{
    if (c->narrowing_depth == 0)
        list_add_name(c, &c->types, name);
}

/* inner, and what of that type may be seen. */
static int narrowed(struct compiling *c, const struct search_type *type,
                    const struct andiron_filter *inner, const struct andiron_filter **ret)
{
    const struct andiron_filter *narrowing = NULL;
    if (narrow(c, type, ANDIRON_ACCESS_SEARCH, &narrowing) != 0)
        return -1;
    *ret = inner;
    if (narrowing != NULL) {
        struct list both = { NULL };
        list_add(c, &both, inner);
        list_add(c, &both, narrowing);
        *ret = filter_of(c, ANDIRON_FILTER_AND, &both);
    }
    return 0;
}

static int chain_to(struct compiling *c, const struct fhir_param *param,
                    const struct search_type *target, andiron_str name, andiron_str value,
                    int64_t depth, const struct andiron_filter **ret)
{
    const struct andiron_filter *inner;
    if (criterion(c, target, name, value, depth + 1, &inner) != 0 ||
        narrowed(c, target, inner, &inner) != 0 || conditions_check(c) != 0)
        return -1;
    const struct andiron_filter *around = filter_around(c, ANDIRON_FILTER_CHAIN, inner);
    struct andiron_filter *chain = filter_new(c, ANDIRON_FILTER_CHAIN);
    *chain = *around;
    chain->term.param = param->term;
    chain->term.kind = ANDIRON_TERM_REFERENCE;
    chain->type = target->name;
    add_type(c, target->name);
    *ret = chain;
    return 0;
}

/* Whether a type has the parameter that name begins with; what does not is not worth a message. */
static bool may_have(const struct search_type *type, andiron_str name)
{
    struct fhir_param param;
    size_t end = 0;
    while (end < name.len && name.data[end] != ':' && name.data[end] != '.')
        end++;
    andiron_str code = { name.data, end };
    return model_param(type, code, &param) || andiron_str_eq(code, ANDIRON_STR("_has")) ||
           andiron_str_eq(code, ANDIRON_STR("_compartment")) ||
           andiron_str_eq(code, ANDIRON_STR("_list"));
}

/* subject.name: through every type that subject may refer to and that has a name. */
static int chain_to_any(struct compiling *c, const struct search_type *type,
                        const struct fhir_param *param, andiron_str name, andiron_str value,
                        int64_t depth, const struct andiron_filter **ret)
{
    struct list any = { NULL };
    for (size_t i = 0; i < param->target_count; i++) {
        struct search_type target = { .model = c->model,
                                      .name = fhir_type_name(param->targets[i]),
                                      .r4 = param->targets[i] };
        const struct andiron_filter *one;
        if (!may_have(&target, name))
            continue;
        c->is_unknown = false;
        if (chain_to(c, param, &target, name, value, depth, &one) == 0)
            list_add(c, &any, one);
        else if (!c->is_unknown || c->err->code == ANDIRON_E_UNAVAILABLE)
            return -1; /* one that is being built: the others are not all that there is */
    }
    c->is_unknown = false;
    if (param->target_count == 0)
        return compile_fail(c, "%s may refer to any type: name one, as in %s:Patient.%.*s",
                            param->code, param->code, SHOWN(name));
    if (any.count == 0)
        return compile_unknown(c, "no type that %s of %s refers to has a search parameter \"%.*s\"",
                               param->code, type->name != NULL ? type->name : "all types",
                               SHOWN(name));
    *ret = filter_of(c, ANDIRON_FILTER_OR, &any);
    return 0;
}

static int too_deep(struct compiling *c)
{
    return compile_fail(c, "chains may pass through %lld references at most",
                        (long long)c->limits->chain_depth);
}

static int chain(struct compiling *c, const struct search_type *type,
                 const struct fhir_param *param, andiron_str through, andiron_str name,
                 andiron_str value, int64_t depth, const struct andiron_filter **ret)
{
    if (param->kind != FHIR_PARAM_REFERENCE)
        return compile_unknown(c, "%s is a %s parameter: only references can be chained",
                               param->code, fhir_param_kind_name(param->kind));
    if (depth == c->limits->chain_depth)
        return too_deep(c);
    if (through.data == NULL)
        return chain_to_any(c, type, param, name, value, depth, ret);
    struct search_type target;
    if (target_type(c, param, through, &target) != 0)
        return -1;
    return chain_to(c, param, &target, name, value, depth, ret);
}

/* Takes what is before sep off *rest; false if there is no sep. */
static bool cut_at(andiron_str *rest, char sep, andiron_str *ret)
{
    const char *at = rest->len > 0 ? memchr(rest->data, sep, rest->len) : NULL;
    if (at == NULL)
        return false;
    *ret = (andiron_str){ rest->data, (size_t)(at - rest->data) };
    *rest = (andiron_str){ at + 1, rest->len - ret->len - 1 };
    return true;
}

/* "Observation:patient:code", what stands behind "_has:". */
static int has(struct compiling *c, const struct search_type *type, andiron_str name,
               andiron_str value, int64_t depth, const struct andiron_filter **ret)
{
    andiron_str source_name, param_name;
    struct search_type source;
    struct fhir_param param;
    const struct andiron_filter *inner;

    if (!cut_at(&name, ':', &source_name) || !cut_at(&name, ':', &param_name) || name.len == 0)
        return compile_unknown(c, "_has must read \"_has:Type:reference:parameter\"");
    if (depth == c->limits->chain_depth)
        return too_deep(c);
    if (!model_type(c->model, source_name, &source))
        return compile_unknown(c, "_has: there is no resource type \"%.*s\"", SHOWN(source_name));
    if (compile_param(c, &source, param_name, &param) != 0)
        return -1;
    if (param.kind != FHIR_PARAM_REFERENCE)
        return compile_unknown(c, "_has: %s of %s is a %s parameter, not a reference", param.code,
                               source.name, fhir_param_kind_name(param.kind));
    if (type->r4 >= 0 && !is_target(&param, type->r4))
        return compile_unknown(c, "_has: %s of %s never refers to a %s", param.code, source.name,
                               type->name);
    if (criterion(c, &source, name, value, depth + 1, &inner) != 0 ||
        narrowed(c, &source, inner, &inner) != 0)
        return -1;
    struct andiron_filter *f = filter_new(c, ANDIRON_FILTER_HAS);
    *f = *filter_around(c, ANDIRON_FILTER_HAS, inner);
    f->term.param = param.term;
    f->term.kind = ANDIRON_TERM_REFERENCE;
    f->type = source.name;
    add_type(c, source.name);
    *ret = f;
    return 0;
}

/* "_list=12", "_list=List/12": what the list has as items (search.html, 3.1.1.4.10). */
static int in_list(struct compiling *c, const struct search_type *type, andiron_str values,
                   int64_t depth, const struct andiron_filter **ret)
{
    static const char prefix[] = "List/";
    size_t len = sizeof(prefix) - 1;
    struct list any = { NULL };
    andiron_str value;

    while (text_cut(&values, ',', &value)) {
        const struct andiron_filter *one;
        if (value.len > len && memcmp(value.data, prefix, len) == 0)
            value = (andiron_str){ value.data + len, value.len - len };
        if (value.len > 0 && value.data[0] == '$')
            return compile_unknown(c,
                                   "_list: there is no list \"%.*s\" here; it must be the id of a "
                                   "List",
                                   SHOWN(value));
        if (!fhir_is_id(value))
            return compile_fail(c, "_list must be the id of a List, not \"%.*s\"", SHOWN(value));
        if (has(c, type, ANDIRON_STR("List:item:_id"), value, depth, &one) != 0 ||
            conditions_check(c) != 0)
            return -1;
        list_add(c, &any, one);
    }
    *ret = filter_of(c, ANDIRON_FILTER_OR, &any);
    return 0;
}

/* ---- one criterion ----------------------------------------------------------- */

static int unknown_param(struct compiling *c, const struct search_type *type, andiron_str code)
{
    static const char *const unsupported[] = { "_text", "_content", "_filter", "_query" };
    struct text_nearest nearest = { .wrong = code };
    const char *of = type->name != NULL ? type->name : "a search of all these types";
    struct fhir_param p;

    for (size_t i = 0; i < sizeof(unsupported) / sizeof(unsupported[0]); i++)
        if (andiron_str_eq(code, andiron_str_of(unsupported[i])))
            return compile_unknown(c, "%s is not supported", unsupported[i]);
    /* Lenient handling passes over it without a word: no need to look for better ones. */
    for (size_t pos = 0; c->is_strict && model_param_next(type, &pos, &p);)
        text_consider(&nearest, p.code);
    if (nearest.best != NULL)
        return compile_unknown(c, "%s has no search parameter \"%.*s\"; did you mean \"%s\"?", of,
                               SHOWN(code), nearest.best);
    return compile_unknown(c, "%s has no search parameter \"%.*s\"", of, SHOWN(code));
}

int compile_param(struct compiling *c, const struct search_type *type, andiron_str code,
                  struct fhir_param *ret)
{
    if (!model_param(type, code, ret))
        return unknown_param(c, type, code);
    if (ret->building == NULL)
        return 0;
    c->is_unknown = true;
    return andiron_error_set(c->err, ANDIRON_E_UNAVAILABLE, "",
                             "the search parameter \"%s\" is being built, %d %%: try again later",
                             ret->code, ret->building->percent);
}

int criterion(struct compiling *c, const struct search_type *type, andiron_str name,
              andiron_str value, int64_t depth, const struct andiron_filter **ret)
{
    static const char has_prefix[] = "_has:";
    size_t has_len = sizeof(has_prefix) - 1, end = 0;
    struct fhir_param param;

    if (name.len > has_len && memcmp(name.data, has_prefix, has_len) == 0)
        return has(c, type, (andiron_str){ name.data + has_len, name.len - has_len }, value, depth,
                   ret);
    if (andiron_str_eq(name, ANDIRON_STR("_compartment")))
        return compartment_filter(c, type, value, ret);
    if (andiron_str_eq(name, ANDIRON_STR("_list")))
        return in_list(c, type, value, depth, ret);
    while (end < name.len && name.data[end] != ':' && name.data[end] != '.')
        end++;
    andiron_str code = { name.data, end };
    if (compile_param(c, type, code, &param) != 0)
        return -1;

    andiron_str rest = { name.data + end, name.len - end };
    andiron_str modifier = { NULL, 0 };
    if (rest.len > 0 && rest.data[0] == ':') {
        const char *dot = memchr(rest.data, '.', rest.len);
        size_t len = dot != NULL ? (size_t)(dot - rest.data) : rest.len;
        modifier = (andiron_str){ rest.data + 1, len - 1 };
        rest = (andiron_str){ rest.data + len, rest.len - len };
    }
    if (rest.len > 0)
        return chain(c, type, &param, modifier, (andiron_str){ rest.data + 1, rest.len - 1 }, value,
                     depth, ret);
    struct operand o = { .type = type, .param = &param, .name = param.term };
    if (modifier.data != NULL && set_modifier(c, &o, modifier) != 0)
        return -1;
    return values_filter(c, &o, value, ret);
}
