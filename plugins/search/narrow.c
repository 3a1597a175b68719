/*
 * Narrowing: which resources count at all. Compartments (R4 compartmentdefinition.html), and
 * the search expressions that policies and scopes put on a request.
 *
 * What cannot be compiled here must not open anything: it fails the search.
 */
#include "common/fhir/compartments.h"
#include "common/fhir/ids.h"
#include "common/fhir/types.h"
#include "compile.h"
#include "matches.h"
#include "text.h"

/* ---- compartments ------------------------------------------------------------ */

/* Resources of one R4 type that belong to the compartment. */
static const struct andiron_filter *members_of(struct compiling *c, int r4, int compartment,
                                               andiron_str id)
{
    struct list any = { NULL };
    andiron_str owner = andiron_str_of(fhir_type_name(compartment));
    const char *param;

    if (r4 == compartment)
        list_add(c, &any, filter_id(c, id));
    for (size_t pos = 0; (param = fhir_compartment_param(compartment, r4, &pos)) != NULL;) {
        struct operand o = { .name = param };
        struct andiron_filter *f = filter_term(c, &o, ANDIRON_TERM_REFERENCE, ANDIRON_CMP_EQ);
        f->term.system = owner;
        f->term.text = id;
        list_add(c, &any, f);
    }
    return filter_of(c, ANDIRON_FILTER_OR, &any);
}

/* Both: the resource is of that type, and f. */
static const struct andiron_filter *of_type(struct compiling *c, int r4,
                                            const struct andiron_filter *f)
{
    struct list both = { NULL };
    struct andiron_filter *type = filter_new(c, ANDIRON_FILTER_TYPE);
    type->type = fhir_type_name(r4);
    list_add(c, &both, type);
    if (f != NULL)
        list_add(c, &both, f);
    return filter_of(c, ANDIRON_FILTER_AND, &both);
}

int compartment_filter(struct compiling *c, const struct search_type *type, andiron_str value,
                       const struct andiron_filter **ret)
{
    const char *slash = value.len > 0 ? memchr(value.data, '/', value.len) : NULL;
    size_t owner_len = slash != NULL ? (size_t)(slash - value.data) : value.len;
    size_t id_at = slash != NULL ? owner_len + 1 : value.len;
    andiron_str id = { value.data + id_at, value.len - id_at };
    int compartment = fhir_type((andiron_str){ value.data, owner_len });

    if (compartment < 0 || !fhir_is_compartment(compartment) || !fhir_is_id(id))
        return compile_fail(c,
                            "_compartment must be \"Type/id\", Type being Patient, Encounter, "
                            "Practitioner, RelatedPerson or Device, not \"%.*s\"",
                            SHOWN(value));
    if (type->several_count == 0) {
        *ret = members_of(c, type->r4, compartment, id);
        return 0;
    }
    struct list any = { NULL };
    for (size_t i = 0; i < type->several_count; i++)
        if (type->several[i] == compartment || fhir_compartment_has(compartment, type->several[i]))
            list_add(
                c, &any,
                of_type(c, type->several[i], members_of(c, type->several[i], compartment, id)));
    *ret = filter_of(c, ANDIRON_FILTER_OR, &any);
    return 0;
}

/* ---- narrowings of the request ----------------------------------------------- */

/* All criteria of one expression, strictly read. NULL: there are none. */
static int expression_filter(struct compiling *c, const struct search_type *type,
                             andiron_str expression, const struct andiron_filter **ret)
{
    struct list all = { NULL };
    andiron_str name, value;

    *ret = NULL;
    while (text_next_pair(&expression, &name, &value)) {
        const struct andiron_filter *one;
        if (text_decode(c->arena, name, &name) != 0 || text_decode(c->arena, value, &value) != 0)
            return compile_fail(c, "a condition is not percent-encoded UTF-8");
        if (criterion(c, type, name, value, 0, &one) != 0)
            return -1;
        list_add(c, &all, one);
    }
    if (all.count > 0)
        *ret = filter_of(c, ANDIRON_FILTER_AND, &all);
    return 0;
}

/* At least one of the expressions; an empty one is met by everything. */
static int any_filter(struct compiling *c, const struct search_type *type,
                      const char *const *any_of, const struct andiron_filter **ret)
{
    struct list any = { NULL };
    for (; *any_of != NULL; any_of++) {
        const struct andiron_filter *one;
        if (expression_filter(c, type, andiron_str_of(*any_of), &one) != 0)
            return -1;
        list_add(c, &any, one != NULL ? one : filter_new(c, ANDIRON_FILTER_AND));
    }
    *ret = filter_of(c, ANDIRON_FILTER_OR, &any);
    return 0;
}

static uint64_t hash_of(const char *const *any_of)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (; *any_of != NULL; any_of++) {
        for (const char *at = *any_of; *at != '\0'; at++)
            hash = (hash ^ (uint8_t)*at) * UINT64_C(0x100000001b3);
        hash *= UINT64_C(0x100000001b3); /* as for a NUL between texts */
    }
    return hash;
}

static int limit_filter(struct compiling *c, const struct search_type *type,
                        const struct andiron_limit *limit, const struct andiron_filter **ret)
{
    const struct andiron_prepared *prepared = limit->prepared;

    if (prepared != NULL && prepared->generation == c->model->generation) {
        compile_hash_number(c, prepared->hash);
        *ret = prepared->filter;
        return 0;
    }
    compile_hash_number(c, hash_of(limit->any_of));
    if (any_filter(c, type, limit->any_of, ret) == 0)
        return 0;
    c->is_unknown = false;
    return andiron_error_set(c->err, ANDIRON_E_FORBIDDEN, "",
                             "access to %s is limited by a condition that cannot be applied to it",
                             type->name);
}

static int narrow_one(struct compiling *c, const struct search_type *type,
                      enum andiron_access access, const struct andiron_filter **ret)
{
    struct list all = { NULL };
    const struct andiron_limit *limit;
    size_t pos = 0;
    int failed = 0;

    *ret = NULL;
    if (c->narrowing == NULL || c->narrowing_depth > 0)
        return 0;
    c->narrowing_depth++;
    while (failed == 0 && (limit = c->narrowing(c->narrowing_of, &pos, andiron_str_of(type->name),
                                                access)) != NULL) {
        const struct andiron_filter *one = NULL;
        failed = limit_filter(c, type, limit, &one);
        if (failed == 0)
            list_add(c, &all, one);
    }
    c->narrowing_depth--;
    if (failed == 0 && all.count > 0)
        *ret = filter_of(c, ANDIRON_FILTER_AND, &all);
    return failed;
}

int narrow(struct compiling *c, const struct search_type *type, enum andiron_access access,
           const struct andiron_filter **ret)
{
    if (type->several_count == 0)
        return narrow_one(c, type, access, ret);

    struct list any = { NULL };
    bool is_narrowed = false;
    for (size_t i = 0; i < type->several_count; i++) {
        struct search_type one = { .model = c->model,
                                   .name = fhir_type_name(type->several[i]),
                                   .r4 = type->several[i] };
        const struct andiron_filter *f;
        if (narrow_one(c, &one, access, &f) != 0)
            return -1;
        is_narrowed = is_narrowed || f != NULL;
        list_add(c, &any, of_type(c, one.r4, f));
    }
    *ret = is_narrowed ? filter_of(c, ANDIRON_FILTER_OR, &any) : NULL;
    return 0;
}

/* ---- outside of searches ------------------------------------------------------- */

static int named_type(struct compiling *c, andiron_str name, struct search_type *ret)
{
    if (model_type(c->model, name, ret))
        return 0;
    return compile_fail(c, "there is no resource type \"%.*s\"", SHOWN(name));
}

const struct andiron_prepared *narrow_prepare(struct compiling *c, andiron_str type_name,
                                              const char *const *any_of)
{
    struct andiron_prepared *prepared = andiron_new(c->arena, struct andiron_prepared);
    struct search_type type;

    c->is_strict = true;
    c->narrowing = NULL;
    if (named_type(c, type_name, &type) != 0 ||
        any_filter(c, &type, any_of, &prepared->filter) != 0)
        return NULL;
    if (!matches_can_judge(prepared->filter)) {
        (void)compile_fail(c, "chains and _has look into other resources, and cannot be used here");
        return NULL;
    }
    prepared->generation = c->model->generation;
    prepared->hash = hash_of(any_of);
    return prepared;
}

int narrow_select(struct compiling *c, andiron_str type_name, andiron_str criteria,
                  const struct andiron_filter **ret)
{
    const struct andiron_filter *wanted, *narrowing;
    struct search_type type;

    if (named_type(c, type_name, &type) != 0 ||
        expression_filter(c, &type, criteria, &wanted) != 0 ||
        narrow(c, &type, c->access, &narrowing) != 0)
        return -1;
    *ret = wanted != NULL ? wanted : narrowing;
    if (wanted != NULL && narrowing != NULL) {
        struct list both = { NULL };
        list_add(c, &both, wanted);
        list_add(c, &both, narrowing);
        *ret = filter_of(c, ANDIRON_FILTER_AND, &both);
    }
    return 0;
}
