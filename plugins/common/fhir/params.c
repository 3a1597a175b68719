/*
 * The search parameters of FHIR R4: binary search in the rows of a type.
 */
#include "params.h"

#include "tables.h"
#include "types.h"

const char *fhir_param_kind_name(enum fhir_param_kind kind)
{
    static const char *const names[] = { "number",    "date",     "string", "token",  "reference",
                                         "composite", "quantity", "uri",    "special" };
    return (size_t)kind < sizeof(names) / sizeof(names[0]) ? names[kind] : NULL;
}

static void param_at(size_t index, struct fhir_param *ret)
{
    const struct fhir_param_row *row = &fhir_param_rows[index];
    enum fhir_param_kind kind = (enum fhir_param_kind)row->kind;

    *ret = (struct fhir_param){ .code = fhir_names + row->code,
                                .term = fhir_names + row->code,
                                .id = fhir_texts + row->id,
                                .kind = kind,
                                .index = (int)index,
                                .is_integer = kind == FHIR_PARAM_NUMBER && row->is_plain != 0,
                                .is_caseless = kind == FHIR_PARAM_TOKEN && row->is_plain != 0 };
    if (kind == FHIR_PARAM_COMPOSITE) {
        ret->part_count = row->more_count;
    } else if (kind == FHIR_PARAM_STRING) {
        ret->words = fhir_names + row->more;
    } else {
        ret->targets = fhir_param_targets + row->more;
        ret->target_count = row->more_count;
    }
}

bool fhir_param_next(int type, size_t *pos, struct fhir_param *ret)
{
    if (type < 0 || type >= FHIR_TYPE_COUNT)
        return false;
    size_t first = fhir_param_first[type];
    size_t own = fhir_param_first[type + 1] - first;
    size_t common_first = fhir_param_first[FHIR_TYPE_COUNT];
    size_t common = fhir_param_first[FHIR_TYPE_COUNT + 1] - common_first;

    if (*pos >= own + common)
        return false;
    param_at(*pos < own ? first + *pos : common_first + (*pos - own), ret);
    (*pos)++;
    return true;
}

static bool find_among(int type, andiron_str code, struct fhir_param *ret)
{
    size_t low = fhir_param_first[type];
    size_t high = fhir_param_first[type + 1];

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const char *name = fhir_names + fhir_param_rows[mid].code;
        int order = strncmp(name, code.data, code.len);
        if (order == 0 && name[code.len] != '\0')
            order = 1;
        if (order == 0) {
            param_at(mid, ret);
            return true;
        }
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return false;
}

bool fhir_param_find(int type, andiron_str code, struct fhir_param *ret)
{
    if (type < 0 || type >= FHIR_TYPE_COUNT || code.len == 0 ||
        memchr(code.data, '\0', code.len) != NULL)
        return false;
    return find_among(code.data[0] == '_' ? FHIR_TYPE_COUNT : type, code, ret);
}

bool fhir_param_part(int type, const struct fhir_param *composite, size_t part,
                     struct fhir_param *ret)
{
    const struct fhir_param_row *row = &fhir_param_rows[composite->index];
    if (part >= composite->part_count)
        return false;
    return fhir_param_find(type, andiron_str_of(fhir_names + fhir_param_parts[row->more + part]),
                           ret);
}

const char *fhir_param_code(int index)
{
    return fhir_names + fhir_param_rows[index].code;
}
