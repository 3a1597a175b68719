/*
 * Compiling a search expression: its parameters one by one, and the plan at the end.
 */
#include "compile.h"

#include <stdarg.h>
#include <stdio.h>

#include "common/fhir/types.h"
#include "text.h"

/* ---- failures and lists ------------------------------------------------------ */

static int fail(struct compiling *c, const char *fmt, va_list args)
{
    char message[sizeof(c->err->message)];
    (void)vsnprintf(message, sizeof(message), fmt, args);
    return andiron_error_set(c->err, ANDIRON_E_INVALID, "", "%s", message);
}

int compile_unknown(struct compiling *c, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int failed = fail(c, fmt, args);
    va_end(args);
    c->is_unknown = true;
    return failed;
}

int compile_fail(struct compiling *c, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int failed = fail(c, fmt, args);
    va_end(args);
    return failed;
}

void list_add(struct compiling *c, struct list *list, const void *item)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity > 0 ? list->capacity * 2 : 4;
        const void **items = andiron_alloc(c->arena, capacity * sizeof(*items));
        if (list->count > 0)
            memcpy(items, list->items, list->count * sizeof(*items));
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = item;
}

void list_add_name(struct compiling *c, struct list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i], name) == 0)
            return;
    list_add(c, list, name);
}

const char *const *list_names(struct compiling *c, struct list *list)
{
    if (list->count == 0)
        return NULL;
    list_add(c, list, NULL);
    list->count--;
    return (const char *const *)list->items;
}

/* FNV-1a; a NUL between texts. */
void compile_hash(struct compiling *c, andiron_str text)
{
    for (size_t i = 0; i < text.len; i++)
        c->fingerprint = (c->fingerprint ^ (uint8_t)text.data[i]) * UINT64_C(0x100000001b3);
    c->fingerprint *= UINT64_C(0x100000001b3);
}

void compile_hash_number(struct compiling *c, uint64_t number)
{
    c->fingerprint = (c->fingerprint ^ number) * UINT64_C(0x100000001b3);
}

/* ---- parameters -------------------------------------------------------------- */

struct pair {
    andiron_str name, value; /* decoded */
};

struct pairs {
    struct pair *list;
    size_t count;
};

static int read_pairs(struct compiling *c, andiron_str expression, struct pairs *ret)
{
    size_t capacity = 1;
    andiron_str name, value;

    for (size_t i = 0; i < expression.len; i++)
        capacity += expression.data[i] == '&' ? 1 : 0;
    if (capacity > (size_t)c->limits->max_params)
        capacity = (size_t)c->limits->max_params;
    ret->list = andiron_alloc(c->arena, capacity * sizeof(*ret->list));
    ret->count = 0;
    while (text_next_pair(&expression, &name, &value)) {
        if (ret->count == capacity)
            return compile_fail(c, "a search may have %lld parameters at most",
                                (long long)c->limits->max_params);
        struct pair *pair = &ret->list[ret->count++];
        if (text_decode(c->arena, name, &pair->name) != 0 ||
            text_decode(c->arena, value, &pair->value) != 0)
            return compile_fail(c, "parameter \"%.*s\" is not percent-encoded UTF-8", SHOWN(name));
    }
    return 0;
}

static bool is_type_param(andiron_str name)
{
    return andiron_str_eq(name, ANDIRON_STR("_type"));
}

/* Types of a system-level search: those of _type, or all of R4. */
static int several_types(struct compiling *c, const struct pairs *pairs, struct search_type *ret,
                         const char *const **ret_names)
{
    int *several = andiron_alloc(c->arena, FHIR_TYPE_COUNT * sizeof(*several));
    struct list names = { NULL };
    bool is_given = false;

    *ret = (struct search_type){ .model = c->model, .r4 = -1, .several = several };
    for (size_t i = 0; i < pairs->count; i++) {
        andiron_str rest = pairs->list[i].value, name;
        if (!is_type_param(pairs->list[i].name))
            continue;
        is_given = true;
        while (text_cut(&rest, ',', &name)) {
            int type = fhir_type(name);
            if (type < 0)
                return compile_fail(c, "_type: there is no FHIR resource type \"%.*s\"",
                                    SHOWN(name));
            list_add_name(c, &names, fhir_type_name(type));
        }
    }
    for (int type = 0; type < FHIR_TYPE_COUNT && !is_given; type++)
        list_add(c, &names, fhir_type_name(type));
    for (size_t i = 0; i < names.count; i++)
        several[ret->several_count++] = fhir_type(andiron_str_of(names.items[i]));
    *ret_names = list_names(c, &names);
    return 0;
}

static int find_type(struct compiling *c, andiron_str type, const struct pairs *pairs,
                     struct search_type *ret, struct andiron_query *query)
{
    if (type.data == NULL)
        return several_types(c, pairs, ret, &query->types);
    if (!model_type(c->model, type, ret))
        return andiron_error_set(c->err, ANDIRON_E_NOT_FOUND, "",
                                 "there is no resource type \"%.*s\"", SHOWN(type));
    query->type = ret->name;
    return 0;
}

/* ---- the self link ----------------------------------------------------------- */

struct self {
    char *text;
    size_t len;
};

/* Room for all of it, but not more: transactions keep the plans of thousands of conditions. */
static size_t longest_self(const struct pairs *pairs)
{
    size_t len = 1;
    for (size_t i = 0; i < pairs->count; i++) {
        const struct pair *pair = &pairs->list[i];
        len += text_encoded_len(pair->name) + text_encoded_len(pair->value) + 2;
        if (andiron_str_eq(pair->name, ANDIRON_STR("_count")))
            len += 24; /* one that is cut may get longer */
    }
    return len;
}

static void add_self(struct compiling *c, struct self *self, andiron_str name, andiron_str value)
{
    if (self->len > 0)
        self->text[self->len++] = '&';
    self->len += text_encode(name, self->text + self->len);
    self->text[self->len++] = '=';
    self->len += text_encode(value, self->text + self->len);
    if (!andiron_str_eq(name, ANDIRON_STR("_count"))) {
        compile_hash(c, name);
        compile_hash(c, value);
    }
}

/* ---- all --------------------------------------------------------------------- */

/* What was made of the parameters so far. */
struct applied {
    struct list filters, ignored;
    struct results results;
    struct self self;
};

static int apply(struct compiling *c, const struct search_type *type, const struct pair *pair,
                 struct applied *a)
{
    andiron_str value = pair->value;
    const struct andiron_filter *filter = NULL;

    c->is_unknown = false;
    if (is_type_param(pair->name) && type->several_count > 0) {
        add_self(c, &a->self, pair->name, value);
        return 0;
    }
    enum result_use use = result_param(c, &a->results, type, pair->name, &value);
    if (use == RESULT_SILENT)
        return 0;
    bool is_failed = use == RESULT_FAILED;
    if (use == RESULT_NONE)
        is_failed = criterion(c, type, pair->name, value, 0, &filter) != 0;
    if (is_failed) {
        if (!c->is_unknown || c->is_strict)
            return -1;
        list_add(c, &a->ignored, andiron_copy(c->arena, pair->name));
        return 0;
    }
    if (filter != NULL)
        list_add(c, &a->filters, filter);
    add_self(c, &a->self, pair->name, value);
    return 0;
}

int search_compile(struct compiling *c, andiron_str type_name, andiron_str expression,
                   struct andiron_search_plan *ret)
{
    struct andiron_search_plan plan = { .subset = ANDIRON_SUBSET_NONE };
    struct applied a = { .results = { .count = -1 } };
    const struct andiron_filter *narrowing;
    struct search_type type;
    struct pairs pairs;

    c->fingerprint = UINT64_C(0xcbf29ce484222325);
    compile_hash(c, type_name);
    if (read_pairs(c, expression, &pairs) != 0 ||
        find_type(c, type_name, &pairs, &type, &plan.query) != 0)
        return -1;
    a.self.text = andiron_alloc(c->arena, longest_self(&pairs));
    for (size_t i = 0; i < pairs.count; i++)
        if (apply(c, &type, &pairs.list[i], &a) != 0)
            return -1;
    if (narrow(c, &type, c->access, &narrowing) != 0)
        return -1;
    if (narrowing != NULL)
        list_add(c, &a.filters, narrowing);
    if (results_finish(c, &a.results, &type, &plan) != 0)
        return -1;

    if (a.filters.count > 0)
        plan.query.filter = filter_of(c, ANDIRON_FILTER_AND, &a.filters);
    plan.query.fingerprint = c->fingerprint;
    plan.ignored = list_names(c, &a.ignored);
    plan.types = list_names(c, &c->types);
    plan.self = (andiron_str){ a.self.text, a.self.len };
    *ret = plan;
    return 0;
}
