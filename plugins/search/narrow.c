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

/* All criteria of one expression, strictly read. */
static int expression_filter(struct compiling *c, const struct search_type *type,
                             const char *expression, const struct andiron_filter **ret)
{
    struct list all = { NULL };
    andiron_str rest = andiron_str_of(expression), name, value;

    compile_hash(c, rest);
    while (text_next_pair(&rest, &name, &value)) {
        const struct andiron_filter *one;
        if (text_decode(c->arena, name, &name) != 0 || text_decode(c->arena, value, &value) != 0)
            return -1;
        if (criterion(c, type, name, value, 0, &one) != 0)
            return -1;
        list_add(c, &all, one);
    }
    *ret = filter_of(c, ANDIRON_FILTER_AND, &all);
    return 0;
}

static int any_filter(struct compiling *c, const struct search_type *type,
                      const char *const *any_of, const struct andiron_filter **ret)
{
    struct list any = { NULL };
    for (; *any_of != NULL; any_of++) {
        const struct andiron_filter *one;
        if (expression_filter(c, type, *any_of, &one) != 0) {
            c->is_unknown = false;
            return andiron_error_set(c->err, ANDIRON_E_FORBIDDEN, "",
                                     "access to %s is limited by a condition that cannot be "
                                     "applied to it",
                                     type->name);
        }
        list_add(c, &any, one);
    }
    *ret = filter_of(c, ANDIRON_FILTER_OR, &any);
    return 0;
}

static int narrow_one(struct compiling *c, const struct search_type *type,
                      const struct andiron_filter **ret)
{
    struct list all = { NULL };
    const char *const *any_of;
    size_t pos = 0;
    int failed = 0;

    *ret = NULL;
    if (c->narrowing == NULL || c->narrowing_depth > 0)
        return 0;
    c->narrowing_depth++;
    while (failed == 0 &&
           (any_of = c->narrowing(c->narrowing_of, &pos, andiron_str_of(type->name))) != NULL) {
        const struct andiron_filter *one = NULL;
        failed = any_filter(c, type, any_of, &one);
        if (failed == 0)
            list_add(c, &all, one);
    }
    c->narrowing_depth--;
    if (failed == 0 && all.count > 0)
        *ret = filter_of(c, ANDIRON_FILTER_AND, &all);
    return failed;
}

int narrow(struct compiling *c, const struct search_type *type, const struct andiron_filter **ret)
{
    if (type->several_count == 0)
        return narrow_one(c, type, ret);

    struct list any = { NULL };
    bool is_narrowed = false;
    for (size_t i = 0; i < type->several_count; i++) {
        struct search_type one = { .name = fhir_type_name(type->several[i]),
                                   .r4 = type->several[i] };
        const struct andiron_filter *f;
        if (narrow_one(c, &one, &f) != 0)
            return -1;
        is_narrowed = is_narrowed || f != NULL;
        list_add(c, &any, of_type(c, one.r4, f));
    }
    *ret = is_narrowed ? filter_of(c, ANDIRON_FILTER_OR, &any) : NULL;
    return 0;
}
