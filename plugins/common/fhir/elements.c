/*
 * The elements of FHIR R4: one hash over structure and name, and nearly always one comparison.
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

static void element_of(const struct fhir_element_row *row, struct fhir_element *ret)
{
    *ret = (struct fhir_element){ .name = fhir_names + row->name,
                                  .system = fhir_texts + row->system,
                                  .structure = row->structure,
                                  .stem = row->stem,
                                  .is_array = (row->flags & FHIR_IS_ARRAY) != 0,
                                  .is_mandatory = (row->flags & FHIR_IS_MANDATORY) != 0,
                                  .is_summary = (row->flags & FHIR_IS_SUMMARY) != 0,
                                  .is_modifier = (row->flags & FHIR_IS_MODIFIER) != 0 };
}

/* FNV-1a, as tools/fhir/emit.js computes it. */
static uint32_t hash(size_t structure, andiron_str name)
{
    uint32_t h = 0x811c9dc5u ^ (uint32_t)structure * 0x9e3779b1u;
    for (size_t i = 0; i < name.len; i++)
        h = (h ^ (uint8_t)name.data[i]) * 0x01000193u;
    return h;
}

static bool is_of(const struct fhir_element_row *row, size_t structure, andiron_str name)
{
    const struct fhir_structure_row *owner = &fhir_structure_rows[structure];
    size_t index = (size_t)(row - fhir_element_rows);
    return index - owner->first < owner->count && compare(name, fhir_names + row->name) == 0;
}

const struct fhir_element_row *fhir_element_row(size_t structure, andiron_str name)
{
    if (name.len == 0 || name.len > FHIR_ELEMENT_NAME_MAX)
        return NULL;
    size_t at = hash(structure, name) % FHIR_ELEMENT_SLOTS;
    for (; fhir_element_slots[at] != 0xffff; at = (at + 1) % FHIR_ELEMENT_SLOTS) {
        const struct fhir_element_row *row = &fhir_element_rows[fhir_element_slots[at]];
        if (is_of(row, structure, name))
            return row;
    }
    return NULL;
}

bool fhir_element_find(int structure, andiron_str name, struct fhir_element *ret)
{
    const struct fhir_element_row *row =
        is_structure(structure) ? fhir_element_row((size_t)structure, name) : NULL;
    if (row == NULL)
        return false;
    element_of(row, ret);
    return true;
}

bool fhir_element_next(int structure, size_t *pos, struct fhir_element *ret)
{
    if (!is_structure(structure) || *pos >= fhir_structure_rows[structure].count)
        return false;
    element_of(&fhir_element_rows[fhir_structure_rows[structure].first + *pos], ret);
    (*pos)++;
    return true;
}
