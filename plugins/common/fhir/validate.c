/*
 * Structural validation: one walk through a resource beside the tables of elements. What a
 * primitive must look like is in primitives.c, what is said of a fault in faults.c.
 *
 * Depth is bounded by the parser's limit on nesting, work by the size of the document and the
 * limit on issues.
 */
#include "validate.h"

#include "elements.h"
#include "faults.h"
#include "primitives.h"
#include "tables.h"
#include "types.h"

static void check_object(struct fhir_validating *v, const struct fhir_place *at, size_t structure,
                         andiron_json object);
static void check_resource(struct fhir_validating *v, const struct fhir_place *at,
                           andiron_json resource, bool is_contained);

static bool is_full(const struct fhir_validating *v)
{
    return v->count == v->max;
}

/* What is known of an object while its members are walked. */
struct object {
    const struct fhir_place *at;
    andiron_json json;
    size_t structure;
    uint32_t choices;   /* bit per choice that has a value */
    unsigned mandatory; /* elements found of those that must be there */
    bool is_resource, is_contained;
};

/* ---- values --------------------------------------------------------------------------- */

static bool in_set(uint16_t set, andiron_str code)
{
    size_t low = fhir_code_sets[set].first, high = low + fhir_code_sets[set].count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const char *other = fhir_codes + fhir_code_texts[mid];
        int order = strncmp(code.data, other, code.len);
        if (order == 0 && other[code.len] == '\0')
            return true;
        if (order > 0)
            low = mid + 1;
        else
            high = mid;
    }
    return false;
}

static void check_primitive(struct fhir_validating *v, const struct fhir_place *at,
                            const struct fhir_element_row *row, andiron_json value)
{
    enum fhir_format format = (enum fhir_format)fhir_structure_rows[row->structure].format;
    const char *fault = fhir_primitive_fault(format, value);

    if (fault != NULL)
        fhir_fault_value(v, at, fault, value);
    else if (row->codes != 0 && !v->is_lenient && format == FHIR_FORMAT_CODE &&
             !in_set(row->codes, andiron_json_str(value)))
        fhir_fault_code(v, at, row, andiron_json_str(value));
}

/* A required binding of a CodeableConcept: one of the codings is of the set (terminologies.html). */
static void check_concept(struct fhir_validating *v, const struct fhir_place *at,
                          const struct fhir_element_row *row, andiron_json value)
{
    andiron_str system = andiron_str_of(fhir_texts + row->system);
    struct andiron_json_iter it = { .of = andiron_json_get(value, "coding") };

    while (andiron_json_next(&it)) {
        andiron_str code = andiron_json_str(andiron_json_get(it.value, "code"));
        if (code.len > 0 && in_set(row->codes, code) &&
            andiron_str_eq(andiron_json_str(andiron_json_get(it.value, "system")), system))
            return;
    }
    fhir_fault(v, ANDIRON_E_CODE, at, "must have a coding of %s", fhir_texts + row->system);
}

/* One value of an element; neither an array nor null. */
static void check_value(struct fhir_validating *v, const struct object *o,
                        const struct fhir_place *at, const struct fhir_element_row *row,
                        andiron_json value)
{
    if (fhir_structure_rows[row->structure].format != FHIR_FORMAT_NONE) {
        check_primitive(v, at, row, value);
        return;
    }
    if (andiron_json_type(value) != ANDIRON_JSON_OBJECT) {
        fhir_fault(v, ANDIRON_E_ELEMENT, at, "must be an object (%s)",
                   fhir_texts + fhir_structure_rows[row->structure].name);
        return;
    }
    if (row->structure == FHIR_STRUCTURE_RESOURCE_INDEX) {
        bool is_contained = o->is_resource && andiron_str_eq(at->name, ANDIRON_STR("contained"));
        check_resource(v, at, value, is_contained);
        return;
    }
    size_t before = v->count;
    check_object(v, at, row->structure, value);
    /* A concept with other faults is judged when these are mended. */
    if (row->codes != 0 && v->count == before && !v->is_lenient &&
        row->structure == FHIR_STRUCTURE_CODEABLECONCEPT_INDEX)
        check_concept(v, at, row, value);
}

/* ---- members -------------------------------------------------------------------------- */

/* "_given" for "given" and the other way round; MISSING if there is none. */
static andiron_json sibling_of(andiron_json object, andiron_str name)
{
    char with[FHIR_ELEMENT_NAME_MAX + 1] = "_";
    if (name.data[0] == '_')
        return andiron_json_member(object, (andiron_str){ name.data + 1, name.len - 1 });
    memcpy(with + 1, name.data, name.len); /* of an element, so it fits */
    return andiron_json_member(object, (andiron_str){ with, name.len + 1 });
}

/*
 * Whether the other of the two arrays of a primitive (json.html#primitive) has something at
 * index, where this one has null. Goes through it once, beside the first.
 */
static bool is_filled(struct andiron_json_iter *other, size_t *at, size_t index)
{
    bool more = true;
    for (; more && *at <= index; (*at)++)
        more = andiron_json_next(other);
    return more && andiron_json_type(other->value) != ANDIRON_JSON_NULL;
}

typedef void check_fn(struct fhir_validating *v, const struct object *o,
                      const struct fhir_place *at, const struct fhir_element_row *row,
                      andiron_json value);

static void check_array(struct fhir_validating *v, const struct object *o, struct fhir_place *at,
                        const struct fhir_element_row *row, andiron_str name, andiron_json array,
                        check_fn *check)
{
    struct andiron_json_iter it = { .of = array }, other = { .of = { NULL, 0 } };
    bool is_primitive = fhir_structure_rows[row->structure].format != FHIR_FORMAT_NONE;
    size_t other_at = 0;

    if (andiron_json_count(array) == 0)
        fhir_fault(v, ANDIRON_E_STRUCTURE, at, "an array must not be empty; leave the element out");
    for (at->index = 0; !is_full(v) && andiron_json_next(&it); at->index++) {
        enum andiron_json_type type = andiron_json_type(it.value);
        if (type == ANDIRON_JSON_ARRAY) {
            fhir_fault(v, ANDIRON_E_STRUCTURE, at, "an array must not stand directly in an array");
            continue;
        }
        if (type != ANDIRON_JSON_NULL) {
            check(v, o, at, row, it.value);
            continue;
        }
        if (is_primitive && other.of.doc == NULL)
            other.of = sibling_of(o->json, name);
        if (!is_primitive || !is_filled(&other, &other_at, at->index))
            fhir_fault(v, ANDIRON_E_STRUCTURE, at,
                       "null may stand only in an array of primitives with extensions beside it");
    }
}

/* A member by the cardinality of its element. */
static void check_member(struct fhir_validating *v, const struct object *o,
                         const struct fhir_element_row *row, andiron_str name, andiron_json value,
                         check_fn *check)
{
    struct fhir_place at = { .outer = o->at, .name = name, .index = FHIR_NO_INDEX };
    bool is_array = (row->flags & FHIR_IS_ARRAY) != 0;

    if (name.data[0] == '_')
        at.name = (andiron_str){ name.data + 1, name.len - 1 };
    if (row->stem != 0)
        at.name.len = row->stem;
    if (andiron_json_type(value) == ANDIRON_JSON_NULL)
        fhir_fault(v, ANDIRON_E_STRUCTURE, &at, "must not be null; leave the element out");
    else if (is_array && andiron_json_type(value) != ANDIRON_JSON_ARRAY)
        fhir_fault(v, ANDIRON_E_ELEMENT, &at, "must be an array, also of one value");
    else if (is_array)
        check_array(v, o, &at, row, name, value, check);
    else if (andiron_json_type(value) == ANDIRON_JSON_ARRAY)
        fhir_fault(v, ANDIRON_E_ELEMENT, &at, "has at most one value, so it must not be an array");
    else
        check(v, o, &at, row, value);
}

/* A choice may have one type, and a mandatory element has been found. */
static void count_member(struct fhir_validating *v, struct object *o,
                         const struct fhir_element_row *row)
{
    uint32_t bit = row->choice != 0 ? UINT32_C(1) << row->choice : 0;

    if ((o->choices & bit) != 0) {
        struct fhir_place at = { .outer = o->at,
                                 .name = { fhir_names + row->name, row->stem },
                                 .index = FHIR_NO_INDEX };
        fhir_fault_choices(v, &at, o->structure, row, o->json);
        return;
    }
    o->choices |= bit;
    o->mandatory += (row->flags & FHIR_IS_MANDATORY) != 0;
}

/* ---- what R4 does not know ------------------------------------------------------------ */

/* Accepted as it is, within JSON's and FHIR's rules for any element. */
static void check_free(struct fhir_validating *v, struct fhir_place *at, andiron_json value)
{
    struct andiron_json_iter it = { .of = value };
    struct fhir_place inner = { .outer = at, .index = FHIR_NO_INDEX };
    enum andiron_json_type type = andiron_json_type(value);

    if (type == ANDIRON_JSON_STRING) {
        const char *fault = fhir_primitive_fault(FHIR_FORMAT_STRING, value);
        if (fault != NULL)
            fhir_fault_value(v, at, fault, value);
    }
    if (type != ANDIRON_JSON_ARRAY && type != ANDIRON_JSON_OBJECT)
        return;
    if (andiron_json_count(value) == 0)
        fhir_fault(v, ANDIRON_E_STRUCTURE, at, "must not be empty; leave the element out");
    for (size_t i = 0; !is_full(v) && andiron_json_next(&it); i++) {
        if (type == ANDIRON_JSON_ARRAY) {
            at->index = i;
            check_free(v, at, it.value);
        } else {
            inner.name = it.name;
            check_free(v, &inner, it.value);
        }
    }
}

static void unknown(struct fhir_validating *v, const struct object *o, andiron_str name,
                    andiron_json value)
{
    struct fhir_place at = { .outer = o->at, .name = name, .index = FHIR_NO_INDEX };

    if (v->is_lenient)
        check_free(v, &at, value);
    else
        fhir_fault_unknown(v, &at, o->structure);
}

/* ---- objects -------------------------------------------------------------------------- */

/* Extensions and id of a primitive. */
static void check_extras(struct fhir_validating *v, const struct object *o,
                         const struct fhir_place *at, const struct fhir_element_row *row,
                         andiron_json value)
{
    (void)o;
    (void)row;
    if (andiron_json_type(value) == ANDIRON_JSON_OBJECT)
        check_object(v, at, FHIR_STRUCTURE_ELEMENT_INDEX, value);
    else
        fhir_fault(v, ANDIRON_E_ELEMENT, at, "must be an object with extensions or an id");
}

/* "_birthDate": beside the value of a primitive, or instead of it. */
static void check_underscore(struct fhir_validating *v, struct object *o, andiron_str name,
                             andiron_json value)
{
    andiron_str plain = { name.data + 1, name.len - 1 };
    const struct fhir_element_row *row = fhir_element_row(o->structure, plain);

    if (row == NULL || (row->flags & FHIR_IS_BARE) != 0 ||
        fhir_structure_rows[row->structure].format == FHIR_FORMAT_NONE) {
        unknown(v, o, name, value);
        return;
    }
    if (andiron_json_type(sibling_of(o->json, name)) == ANDIRON_JSON_MISSING)
        count_member(v, o, row);
    check_member(v, o, row, name, value, check_extras);
}

static void check_members(struct fhir_validating *v, struct object *o)
{
    struct andiron_json_iter it = { .of = o->json };

    while (!is_full(v) && andiron_json_next(&it)) {
        const struct fhir_element_row *row = fhir_element_row(o->structure, it.name);
        if (row != NULL) {
            count_member(v, o, row);
            check_member(v, o, row, it.name, it.value, check_value);
        } else if (it.name.len > 1 && it.name.data[0] == '_') {
            check_underscore(v, o, it.name, it.value);
        } else if (!o->is_resource || !andiron_str_eq(it.name, ANDIRON_STR("resourceType"))) {
            unknown(v, o, it.name, it.value);
        }
    }
}

/* ext-1 and ele-1: the two invariants without which an element says nothing. */
static void check_content(struct fhir_validating *v, const struct object *o)
{
    if (o->structure == FHIR_STRUCTURE_EXTENSION_INDEX) {
        bool nested =
            andiron_json_type(andiron_json_get(o->json, "extension")) != ANDIRON_JSON_MISSING;
        if (nested == (o->choices != 0))
            fhir_fault(v, ANDIRON_E_VALUE, o->at, "must have either a value[x] or extensions%s",
                       nested ? ", not both" : "");
    } else if (andiron_json_count(o->json) == 1 && !o->is_resource &&
               o->structure != FHIR_STRUCTURE_ELEMENT_INDEX &&
               andiron_json_type(andiron_json_get(o->json, "id")) != ANDIRON_JSON_MISSING)
        fhir_fault(v, ANDIRON_E_VALUE, o->at, "must have a value or elements, not an id alone");
}

static void check_parts(struct fhir_validating *v, struct object *o)
{
    if (andiron_json_count(o->json) == 0) {
        fhir_fault(v, ANDIRON_E_STRUCTURE, o->at,
                   "an object must not be empty; leave the element out");
        return;
    }
    check_members(v, o);
    if (is_full(v))
        return;
    if (o->mandatory < fhir_structure_rows[o->structure].mandatory)
        fhir_fault_missing(v, o->at, o->structure, o->json);
    check_content(v, o);
}

static void check_object(struct fhir_validating *v, const struct fhir_place *at, size_t structure,
                         andiron_json object)
{
    struct object o = { .at = at, .json = object, .structure = structure };
    check_parts(v, &o);
}

static void check_resource(struct fhir_validating *v, const struct fhir_place *at,
                           andiron_json resource, bool is_contained)
{
    andiron_json name = andiron_json_get(resource, "resourceType");
    struct fhir_place type_at = { .outer = at,
                                  .name = ANDIRON_STR("resourceType"),
                                  .index = FHIR_NO_INDEX };
    int type = fhir_type(andiron_json_str(name));

    if (type < 0) {
        bool is_missing = andiron_json_type(name) == ANDIRON_JSON_MISSING;
        fhir_fault(v, is_missing ? ANDIRON_E_REQUIRED : ANDIRON_E_ELEMENT, &type_at,
                   "%smust be the name of a resource type of R4",
                   is_missing ? "is missing and " : "");
        return;
    }
    struct object o = { .at = at,
                        .json = resource,
                        .structure = (size_t)type,
                        .is_resource = true,
                        .is_contained = is_contained };
    if (is_contained &&
        andiron_json_type(andiron_json_get(resource, "contained")) != ANDIRON_JSON_MISSING) {
        type_at.name = ANDIRON_STR("contained");
        fhir_fault(v, ANDIRON_E_ELEMENT, &type_at,
                   "a contained resource must not contain others; put all into the outer one");
    }
    check_parts(v, &o);
}

void fhir_validate(struct fhir_validating *v, andiron_json resource)
{
    v->issues = NULL;
    v->count = 0;
    if (andiron_json_type(resource) != ANDIRON_JSON_OBJECT)
        fhir_fault(v, ANDIRON_E_STRUCTURE, NULL, "a resource must be a JSON object");
    else
        check_resource(v, NULL, resource, false);
}
