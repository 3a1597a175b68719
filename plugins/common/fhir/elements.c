/*
 * The elements of FHIR R4: binary search in the rows of a structure.
 */
#include "elements.h"

#include "tables.h"
#include "types.h"

/* Order of a name and a NUL-terminated one. */
static int compare(andiron_str name, const char *other)
{
    int order = strncmp(name.data, other, name.len);
    return order == 0 && other[name.len] != '\0' ? -1 : order;
}

static bool is_structure(int structure)
{
    return structure >= 0 && (size_t)structure < fhir_structure_count;
}

int fhir_structure(andiron_str name)
{
    int type = fhir_type(name);
    if (type >= 0 || name.len == 0)
        return type;
    size_t low = FHIR_TYPE_COUNT, high = fhir_structure_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = compare(name, fhir_texts + fhir_structure_rows[mid].name);
        if (order == 0)
            return (int)mid;
        if (order > 0)
            low = mid + 1;
        else
            high = mid;
    }
    return -1;
}

const char *fhir_structure_name(int structure)
{
    return is_structure(structure) ? fhir_texts + fhir_structure_rows[structure].name : NULL;
}

enum fhir_structure_kind fhir_structure_kind(int structure)
{
    return is_structure(structure) ? (enum fhir_structure_kind)fhir_structure_rows[structure].kind
                                   : FHIR_STRUCTURE_PRIMITIVE;
}

static void element_at(size_t index, struct fhir_element *ret)
{
    const struct fhir_element_row *row = &fhir_element_rows[index];
    *ret = (struct fhir_element){ .name = fhir_names + row->name,
                                  .system = fhir_texts + row->system,
                                  .structure = row->structure,
                                  .stem = row->stem,
                                  .is_array = (row->flags & FHIR_IS_ARRAY) != 0,
                                  .is_mandatory = (row->flags & FHIR_IS_MANDATORY) != 0,
                                  .is_summary = (row->flags & FHIR_IS_SUMMARY) != 0,
                                  .is_modifier = (row->flags & FHIR_IS_MODIFIER) != 0 };
}

bool fhir_element_find(int structure, andiron_str name, struct fhir_element *ret)
{
    if (!is_structure(structure) || name.len == 0)
        return false;
    size_t low = fhir_structure_rows[structure].first;
    size_t high = low + fhir_structure_rows[structure].count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = compare(name, fhir_names + fhir_element_rows[mid].name);
        if (order == 0) {
            element_at(mid, ret);
            return true;
        }
        if (order > 0)
            low = mid + 1;
        else
            high = mid;
    }
    return false;
}

bool fhir_element_next(int structure, size_t *pos, struct fhir_element *ret)
{
    if (!is_structure(structure) || *pos >= fhir_structure_rows[structure].count)
        return false;
    element_at(fhir_structure_rows[structure].first + *pos, ret);
    (*pos)++;
    return true;
}
