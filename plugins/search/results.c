/*
 * Parameters that say what comes back (search.html, 3.1.1.5): how many, in which order, with
 * which others, and how much of each.
 */
#include "common/fhir/types.h"
#include "compile.h"
#include "text.h"

/* ---- _count, _total, _summary, _elements ------------------------------------- */

static int count_param(struct compiling *c, struct results *r, andiron_str *value)
{
    int64_t count = 0;
    bool is_number = value->len > 0;
    for (size_t i = 0; i < value->len && is_number; i++) {
        is_number = value->data[i] >= '0' && value->data[i] <= '9';
        if (count <= c->limits->max_count)
            count = count * 10 + (value->data[i] - '0');
    }
    if (!is_number)
        return compile_fail(c, "_count must be a whole number from 0 to %lld, not \"%.*s\"",
                            (long long)c->limits->max_count, SHOWN(*value));
    if (count > c->limits->max_count) {
        count = c->limits->max_count;
        *value = andiron_str_of(andiron_printf(c->arena, "%lld", (long long)count));
    }
    r->count = count;
    return 0;
}

static int total_param(struct compiling *c, struct results *r, andiron_str value)
{
    static const char *const names[] = { "none", "estimate", "accurate" };
    for (int i = 0; i < 3; i++)
        if (andiron_str_eq(value, andiron_str_of(names[i]))) {
            r->total = (enum andiron_total)i;
            r->has_total = true;
            return 0;
        }
    return compile_fail(c, "_total must be none, estimate or accurate, not \"%.*s\"", SHOWN(value));
}

static int summary_param(struct compiling *c, struct results *r, andiron_str value)
{
    static const struct {
        const char *name;
        enum andiron_subset subset;
    } modes[] = { { "false", ANDIRON_SUBSET_NONE },
                  { "true", ANDIRON_SUBSET_SUMMARY },
                  { "text", ANDIRON_SUBSET_TEXT },
                  { "data", ANDIRON_SUBSET_DATA },
                  { "count", ANDIRON_SUBSET_COUNT } };
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
        if (andiron_str_eq(value, andiron_str_of(modes[i].name))) {
            r->subset = modes[i].subset;
            return 0;
        }
    return compile_fail(c, "_summary must be true, false, text, data or count, not \"%.*s\"",
                        SHOWN(value));
}

static int elements_param(struct compiling *c, struct results *r, andiron_str value)
{
    andiron_str name;
    while (text_cut(&value, ',', &name)) {
        if (name.len == 0)
            return compile_fail(c, "_elements must be names joined by commas");
        if ((int64_t)r->elements.count == c->limits->max_values)
            return compile_fail(c, "_elements has more than %lld names",
                                (long long)c->limits->max_values);
        list_add(c, &r->elements, andiron_copy(c->arena, name));
    }
    return 0;
}

/* ---- _sort ------------------------------------------------------------------- */

static int sort_key(struct compiling *c, const struct search_type *type, andiron_str key,
                    struct andiron_sort *ret)
{
    static const enum andiron_term_kind kinds[] = {
        [FHIR_PARAM_NUMBER] = ANDIRON_TERM_NUMBER,       [FHIR_PARAM_DATE] = ANDIRON_TERM_DATE,
        [FHIR_PARAM_STRING] = ANDIRON_TERM_STRING,       [FHIR_PARAM_TOKEN] = ANDIRON_TERM_TOKEN,
        [FHIR_PARAM_REFERENCE] = ANDIRON_TERM_REFERENCE, [FHIR_PARAM_URI] = ANDIRON_TERM_URI,
        [FHIR_PARAM_QUANTITY] = ANDIRON_TERM_QUANTITY,
    };
    struct fhir_param param;

    ret->descending = key.len > 0 && key.data[0] == '-';
    if (ret->descending)
        key = (andiron_str){ key.data + 1, key.len - 1 };
    if (compile_param(c, type, key, &param) != 0)
        return -1;
    ret->param = param.term;
    if (param.kind == FHIR_PARAM_COMPOSITE || param.kind == FHIR_PARAM_SPECIAL)
        return compile_unknown(c, "_sort: nothing can be sorted by %s, a %s parameter", param.code,
                               fhir_param_kind_name(param.kind));
    ret->kind = kinds[param.kind];
    return 0;
}

static int sort_param(struct compiling *c, struct results *r, const struct search_type *type,
                      andiron_str value)
{
    size_t max = (size_t)c->limits->sort_keys;
    struct andiron_sort *sort = andiron_alloc(c->arena, (max + 1) * sizeof(*sort));
    size_t count = 0;
    andiron_str key;

    if (r->sort_count > 0)
        return compile_fail(c, "_sort may be given once, with keys joined by commas");
    while (text_cut(&value, ',', &key)) {
        if (count == max)
            return compile_fail(c, "_sort may have %zu keys at most", max);
        if (sort_key(c, type, key, &sort[count++]) != 0)
            return -1;
    }
    r->sort = sort;
    r->sort_count = count;
    return 0;
}

/* ---- _include, _revinclude --------------------------------------------------- */

/* The parameter of an include: a reference of its source type, or "*". */
static int include_reference(struct compiling *c, const struct search_type *source,
                             andiron_str name, struct andiron_include *include)
{
    struct fhir_param param;
    if (andiron_str_eq(name, ANDIRON_STR("*"))) {
        include->param = "*";
        return 0;
    }
    if (compile_param(c, source, name, &param) != 0)
        return -1;
    if (param.kind != FHIR_PARAM_REFERENCE)
        return compile_unknown(c, "includes follow references: %s of %s is a %s parameter",
                               param.code, source->name, fhir_param_kind_name(param.kind));
    include->param = param.term;
    return 0;
}

/* _revinclude=*: every reference, of every type that may refer to the searched one. */
static void add_referring(struct compiling *c, struct results *r, const struct search_type *type,
                          bool iterate)
{
    for (int source = 0; source < FHIR_TYPE_COUNT; source++) {
        struct search_type from = { .model = c->model, .r4 = source };
        struct fhir_param param;
        bool refers = false;
        for (size_t pos = 0; !refers && model_param_next(&from, &pos, &param);) {
            refers = param.kind == FHIR_PARAM_REFERENCE && param.target_count == 0;
            for (size_t i = 0; i < param.target_count && !refers; i++)
                refers = param.targets[i] == type->r4;
        }
        if (!refers)
            continue;
        struct andiron_include *include = andiron_new(c->arena, struct andiron_include);
        *include = (struct andiron_include){
            .reverse = true, .iterate = iterate, .source = fhir_type_name(source), .param = "*"
        };
        list_add(c, &r->includes, include);
    }
}

/* "Observation:subject", "Observation:subject:Patient", "Observation:*", "*". */
static int include_param(struct compiling *c, struct results *r, const struct search_type *type,
                         bool reverse, andiron_str modifier, andiron_str value)
{
    struct andiron_include *include = andiron_new(c->arena, struct andiron_include);
    const char *which = reverse ? "_revinclude" : "_include";
    struct search_type source = *type, target;
    andiron_str source_name, name = ANDIRON_STR("*"), target_name;

    include->reverse = reverse;
    include->iterate = modifier.len > 0;
    if (modifier.len > 0 && !andiron_str_eq(modifier, ANDIRON_STR("iterate")) &&
        !andiron_str_eq(modifier, ANDIRON_STR("recurse")))
        return compile_fail(c, "%s has no modifier \"%.*s\"; it has :iterate", which,
                            SHOWN(modifier));
    if (reverse && andiron_str_eq(value, ANDIRON_STR("*")) && type->r4 >= 0) {
        add_referring(c, r, type, include->iterate);
        return 0;
    }
    bool is_all = andiron_str_eq(value, ANDIRON_STR("*")) && !reverse && type->name != NULL;
    if (!is_all) {
        if (!text_cut(&value, ':', &source_name) || !text_cut(&value, ':', &name))
            return compile_unknown(
                c, "%s must read \"Type:reference\" or \"Type:reference:Target\"", which);
        if (!model_type(c->model, source_name, &source))
            return compile_unknown(c, "%s: there is no resource type \"%.*s\"", which,
                                   SHOWN(source_name));
        if (text_cut(&value, ':', &target_name)) {
            if (!model_type(c->model, target_name, &target))
                return compile_unknown(c, "%s: there is no resource type \"%.*s\"", which,
                                       SHOWN(target_name));
            include->target = target.name;
        }
    }
    include->source = source.name;
    if (include_reference(c, &source, name, include) != 0)
        return -1;
    list_add(c, &r->includes, include);
    return 0;
}

/* ---- all of them ------------------------------------------------------------- */

static bool is_silent(andiron_str name)
{
    return andiron_str_eq(name, ANDIRON_STR("_format")) ||
           andiron_str_eq(name, ANDIRON_STR("_pretty"));
}

enum result_use result_param(struct compiling *c, struct results *r, const struct search_type *type,
                             andiron_str name, andiron_str *value)
{
    const char *colon = name.len > 0 ? memchr(name.data, ':', name.len) : NULL;
    andiron_str modifier = { NULL, 0 };
    int failed;

    if (name.len == 0 || name.data[0] != '_')
        return RESULT_NONE;
    if (colon != NULL) {
        modifier = (andiron_str){ colon + 1, (size_t)(name.data + name.len - colon) - 1 };
        name.len = (size_t)(colon - name.data);
    }
    if (andiron_str_eq(name, ANDIRON_STR("_include")))
        failed = include_param(c, r, type, false, modifier, *value);
    else if (andiron_str_eq(name, ANDIRON_STR("_revinclude")))
        failed = include_param(c, r, type, true, modifier, *value);
    else if (colon != NULL)
        return RESULT_NONE;
    else if (is_silent(name))
        return RESULT_SILENT;
    else if (andiron_str_eq(name, ANDIRON_STR("_cursor"))) {
        r->cursor = *value;
        return RESULT_SILENT;
    } else if (andiron_str_eq(name, ANDIRON_STR("_count")))
        failed = count_param(c, r, value);
    else if (andiron_str_eq(name, ANDIRON_STR("_sort")))
        failed = sort_param(c, r, type, *value);
    else if (andiron_str_eq(name, ANDIRON_STR("_total")))
        failed = total_param(c, r, *value);
    else if (andiron_str_eq(name, ANDIRON_STR("_summary")))
        failed = summary_param(c, r, *value);
    else if (andiron_str_eq(name, ANDIRON_STR("_elements")))
        failed = elements_param(c, r, *value);
    else if (andiron_str_eq(name, ANDIRON_STR("_contained")))
        failed = andiron_str_eq(*value, ANDIRON_STR("false"))
                     ? 0
                     : compile_unknown(c, "_contained is not supported");
    else
        return RESULT_NONE;
    return failed != 0 ? RESULT_FAILED : RESULT_USED;
}

/* ---- what includes may bring ------------------------------------------------- */

/* Types in the order in which includes reach them, each once. */
struct reached {
    bool r4[FHIR_TYPE_COUNT];
    struct list names;
};

static void reach(struct compiling *c, struct reached *reached, const char *name, int r4)
{
    if (r4 < 0) {
        list_add_name(c, &reached->names, name); /* platform types are few */
    } else if (!reached->r4[r4]) {
        reached->r4[r4] = true;
        list_add(c, &reached->names, name);
    }
}

static void reach_by(struct compiling *c, struct reached *reached,
                     const struct andiron_include *include)
{
    const char *one = include->reverse ? include->source : include->target;
    struct search_type source;
    struct fhir_param param;

    if (one != NULL) {
        reach(c, reached, one, fhir_type(andiron_str_of(one)));
        return;
    }
    if (!model_type(c->model, andiron_str_of(include->source), &source))
        return;
    for (size_t pos = 0; model_param_next(&source, &pos, &param);)
        if (param.kind == FHIR_PARAM_REFERENCE &&
            (include->param[0] == '*' || strcmp(param.term, include->param) == 0))
            for (size_t i = 0; i < param.target_count; i++)
                reach(c, reached, fhir_type_name(param.targets[i]), param.targets[i]);
}

static int set_visible(struct compiling *c, struct andiron_query *query)
{
    struct reached reached = { .names = { NULL } };
    for (size_t i = 0; i < query->include_count; i++)
        reach_by(c, &reached, &query->includes[i]);

    struct andiron_visible *visible =
        andiron_alloc(c->arena, (reached.names.count + 1) * sizeof(*visible));
    for (size_t i = 0; i < reached.names.count; i++) {
        struct search_type type;
        visible[i].type = reached.names.items[i];
        if (!model_type(c->model, andiron_str_of(visible[i].type), &type))
            continue;
        if (narrow(c, &type, ANDIRON_ACCESS_SEARCH, &visible[i].filter) != 0)
            return -1;
    }
    query->visible = visible;
    query->visible_count = reached.names.count;
    return 0;
}

int results_finish(struct compiling *c, struct results *r, const struct search_type *type,
                   struct andiron_search_plan *plan)
{
    struct andiron_query *query = &plan->query;
    (void)type;

    plan->subset = r->subset;
    if (r->elements.count > 0 && r->subset == ANDIRON_SUBSET_NONE) {
        plan->subset = ANDIRON_SUBSET_ELEMENTS;
        plan->elements = list_names(c, &r->elements);
    }
    if (r->count == 0)
        plan->subset = ANDIRON_SUBSET_COUNT;
    bool is_count = plan->subset == ANDIRON_SUBSET_COUNT;
    query->sort = r->sort;
    query->sort_count = r->sort_count;
    query->limit = is_count ? 0 : (size_t)(r->count >= 0 ? r->count : c->limits->default_count);
    query->cursor = r->cursor;
    query->total = is_count       ? ANDIRON_TOTAL_ACCURATE
                   : r->has_total ? r->total
                                  : ANDIRON_TOTAL_ESTIMATE;
    query->total_limit = query->total == ANDIRON_TOTAL_ESTIMATE ? c->limits->total_limit : 0;
    if (r->has_total && query->total == ANDIRON_TOTAL_ESTIMATE)
        query->total = ANDIRON_TOTAL_ACCURATE; /* asked for, so it is counted up to the limit */
    if (r->includes.count == 0 || is_count)
        return 0; /* _summary=count ignores includes */

    struct andiron_include *includes =
        andiron_alloc(c->arena, r->includes.count * sizeof(*includes));
    for (size_t i = 0; i < r->includes.count; i++)
        includes[i] = *(const struct andiron_include *)r->includes.items[i];
    query->includes = includes;
    query->include_count = r->includes.count;
    return set_visible(c, query);
}
