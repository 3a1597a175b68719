/*
 * Issues of validation: places as FHIRPath, and messages that say what would be right.
 */
#include "faults.h"

#include <stdarg.h>
#include <stdio.h>

#include "elements.h"
#include "nearest.h"

/* ---- places --------------------------------------------------------------------------- */

/* Adds a step where all of it fits; the place then stays that of the element around it. */
static bool put_step(char *where, size_t size, size_t *len, const struct fhir_place *at)
{
    char index[24] = "";
    int digits =
        at->index == FHIR_NO_INDEX ? 0 : snprintf(index, sizeof(index), "[%zu]", at->index);
    size_t more = 1 + at->name.len + (size_t)digits;

    if (at->name.len >= size || more >= size - *len)
        return false;
    where[*len] = '.';
    memcpy(where + *len + 1, at->name.data, at->name.len);
    memcpy(where + *len + 1 + at->name.len, index, (size_t)digits + 1);
    *len += more;
    return true;
}

static bool put_place(char *where, size_t size, size_t *len, const struct fhir_place *at)
{
    return at == NULL || (put_place(where, size, len, at->outer) && put_step(where, size, len, at));
}

void fhir_fault(struct fhir_validating *v, enum andiron_code code, const struct fhir_place *at,
                const char *fmt, ...)
{
    va_list args;

    if (v->count == v->max)
        return;
    if (v->issues == NULL)
        v->issues = andiron_alloc(v->arena, v->max * sizeof(v->issues[0]));
    struct andiron_error *err = &v->issues[v->count++];
    size_t len = v->root.len < sizeof(err->where) ? v->root.len : 0;
    err->code = code;
    memcpy(err->where, v->root.data, len);
    err->where[len] = '\0';
    (void)put_place(err->where, sizeof(err->where), &len, at);
    va_start(args, fmt);
    (void)vsnprintf(err->message, sizeof(err->message), fmt, args); /* cut if too long */
    va_end(args);
}

/* ---- messages ------------------------------------------------------------------------- */

static const char *name_of(size_t structure)
{
    return fhir_texts + fhir_structure_rows[structure].name;
}

/* What holds for any string of FHIR is a matter of JSON (json.html), not of the type. */
void fhir_fault_value(struct fhir_validating *v, const struct fhir_place *at, const char *fault,
                      andiron_json value)
{
    andiron_str s = andiron_json_str(value);

    if (s.data != NULL && s.len == 0)
        fhir_fault(v, ANDIRON_E_STRUCTURE, at, "a string must not be empty; leave the element out");
    else if (s.data != NULL && memchr(s.data, 0, s.len) != NULL)
        fhir_fault(v, ANDIRON_E_STRUCTURE, at, "a string must not contain U+0000");
    else
        fhir_fault(v, ANDIRON_E_VALUE, at, "%s", fault);
}

void fhir_fault_unknown(struct fhir_validating *v, const struct fhir_place *at, size_t structure)
{
    const struct fhir_structure_row *owner = &fhir_structure_rows[structure];
    struct fhir_nearest nearest = { .wanted = at->name };

    if (andiron_str_eq(at->name, ANDIRON_STR("fhir_comments"))) {
        fhir_fault(v, ANDIRON_E_ELEMENT, at,
                   "comments have no place in JSON since R4; leave them out");
        return;
    }
    for (size_t i = owner->first; i < (size_t)owner->first + owner->count; i++)
        fhir_nearest_try(&nearest, fhir_names + fhir_element_rows[i].name);
    fhir_fault(v, ANDIRON_E_ELEMENT, at, "is not an element of %s%s%s%s", name_of(structure),
               nearest.best != NULL ? "; did you mean '" : "",
               nearest.best != NULL ? nearest.best : "", nearest.best != NULL ? "'?" : "");
}

void fhir_fault_code(struct fhir_validating *v, const struct fhir_place *at,
                     const struct fhir_element_row *row, andiron_str code)
{
    enum { LIST_MAX = 12 };
    const struct fhir_code_set_row *set = &fhir_code_sets[row->codes];
    struct fhir_nearest nearest = { .wanted = code };
    char list[300] = "";
    size_t len = 0;

    for (size_t i = 0; i < set->count; i++) {
        const char *other = fhir_codes + fhir_code_texts[set->first + i];
        fhir_nearest_try(&nearest, other);
        if (set->count <= LIST_MAX && len + strlen(other) + 5 < sizeof(list))
            len += (size_t)snprintf(list + len, sizeof(list) - len, "%s'%s'", i > 0 ? ", " : "",
                                    other);
    }
    if (set->count == 1)
        fhir_fault(v, ANDIRON_E_CODE, at, "must be %s", list);
    else if (set->count <= LIST_MAX)
        fhir_fault(v, ANDIRON_E_CODE, at, "must be one of %s", list);
    else
        fhir_fault(v, ANDIRON_E_CODE, at,
                   "must be one of the %u codes of its required binding%s%s%s%s%s", set->count,
                   row->system != 0 ? ", of " : "", fhir_texts + row->system,
                   nearest.best != NULL ? "; did you mean '" : "",
                   nearest.best != NULL ? nearest.best : "", nearest.best != NULL ? "'?" : "");
}

static bool has(andiron_json object, const char *name)
{
    char with[FHIR_ELEMENT_NAME_MAX + 2] = "_";
    if (andiron_json_type(andiron_json_get(object, name)) != ANDIRON_JSON_MISSING)
        return true;
    memcpy(with + 1, name, strlen(name) + 1);
    return andiron_json_type(andiron_json_get(object, with)) != ANDIRON_JSON_MISSING;
}

void fhir_fault_choices(struct fhir_validating *v, const struct fhir_place *at, size_t structure,
                        const struct fhir_element_row *row, andiron_json object)
{
    const struct fhir_structure_row *owner = &fhir_structure_rows[structure];
    const char *other = "another type";

    for (size_t i = owner->first; i < (size_t)owner->first + owner->count; i++) {
        const struct fhir_element_row *e = &fhir_element_rows[i];
        if (e->choice == row->choice && e != row && has(object, fhir_names + e->name)) {
            other = fhir_names + e->name;
            break;
        }
    }
    fhir_fault(v, ANDIRON_E_ELEMENT, at, "has one value of one type, not both %s and %s", other,
               fhir_names + row->name);
}

/* Whether some type of a choice is there; of other elements, the element itself. */
static bool is_there(const struct fhir_structure_row *owner, const struct fhir_element_row *row,
                     andiron_json object)
{
    if (row->choice == 0)
        return has(object, fhir_names + row->name);
    for (size_t i = owner->first; i < (size_t)owner->first + owner->count; i++)
        if (fhir_element_rows[i].choice == row->choice &&
            has(object, fhir_names + fhir_element_rows[i].name))
            return true;
    return false;
}

void fhir_fault_missing(struct fhir_validating *v, const struct fhir_place *at, size_t structure,
                        andiron_json object)
{
    const struct fhir_structure_row *owner = &fhir_structure_rows[structure];
    uint32_t told = 0; /* a choice is one element */

    for (size_t i = owner->first; i < (size_t)owner->first + owner->count; i++) {
        const struct fhir_element_row *row = &fhir_element_rows[i];
        uint32_t bit = row->choice != 0 ? UINT32_C(1) << row->choice : 0;
        if ((row->flags & FHIR_IS_MANDATORY) == 0 || (told & bit) != 0 ||
            is_there(owner, row, object))
            continue;
        told |= bit;
        andiron_str name = andiron_str_of(fhir_names + row->name);
        if (row->stem != 0)
            name.len = row->stem;
        struct fhir_place missing = { .outer = at, .name = name, .index = FHIR_NO_INDEX };
        fhir_fault(v, ANDIRON_E_REQUIRED, &missing, "is missing: %s needs %.*s%s",
                   name_of(structure), (int)name.len, name.data, row->stem != 0 ? "[x]" : "");
    }
}
