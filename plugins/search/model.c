/*
 * What can be searched: lookups. How a platform type gets its program is in platform.c.
 */
#include "model.h"

#include "common/fhir/tables.h"
#include "common/fhir/types.h"

bool model_type(const struct model *model, andiron_str name, struct search_type *ret)
{
    int r4 = fhir_type(name);
    if (r4 >= 0) {
        *ret = (struct search_type){ .model = model, .name = fhir_type_name(r4), .r4 = r4 };
        return true;
    }
    for (const struct platform_type *p = model->platform; p != NULL; p = p->next)
        if (andiron_str_eq(name, andiron_str_of(p->name))) {
            *ret = (struct search_type){ .model = model, .name = p->name, .r4 = -1, .platform = p };
            return true;
        }
    return false;
}

static void platform_param(const struct platform_type *platform, size_t index,
                           struct fhir_param *ret)
{
    const struct fhir_param_row *row = &platform->program.params[index];
    *ret = (struct fhir_param){ .code = platform->program.names + row->code,
                                .term = platform->program.names + row->code,
                                .id = "",
                                .kind = (enum fhir_param_kind)row->kind,
                                .index = (int)index };
    if (ret->kind == FHIR_PARAM_STRING)
        ret->words = platform->program.names + row->more;
}

/* Position among all parameters of a platform type to one of every resource. */
static bool common_param(size_t index, struct fhir_param *ret)
{
    /* Any type will do: those of every resource come behind its own. */
    size_t pos = (size_t)(fhir_param_first[1] - fhir_param_first[0]) + index;
    return fhir_param_next(0, &pos, ret);
}

static const struct model_custom *customs_of(const struct model *model, int r4, size_t *ret_count)
{
    *ret_count = 0;
    if (model->first == NULL || r4 < 0)
        return NULL;
    *ret_count = model->first[r4 + 1] - model->first[r4];
    return model->customs + model->first[r4];
}

/* Of one R4 type: its own, one of every resource, or one made at run time. */
static bool r4_param(const struct model *model, int r4, andiron_str code, struct fhir_param *ret)
{
    size_t count;

    if (fhir_param_find(r4, code, ret))
        return true;
    const struct model_custom *customs = customs_of(model, r4, &count);
    for (size_t i = 0; i < count; i++)
        if (andiron_str_eq(code, andiron_str_of(customs[i].param.code))) {
            *ret = customs[i].param;
            return true;
        }
    return false;
}

/* The parameter of that code which all types have, as one with the same terms. */
static bool shared_param(const struct search_type *type, andiron_str code, struct fhir_param *ret)
{
    struct fhir_param other;
    if (!r4_param(type->model, type->several[0], code, ret))
        return false;
    for (size_t i = 1; i < type->several_count; i++)
        if (!r4_param(type->model, type->several[i], code, &other) || other.kind != ret->kind ||
            strcmp(other.term, ret->term) != 0)
            return false;
    return true;
}

bool model_param(const struct search_type *type, andiron_str code, struct fhir_param *ret)
{
    if (type->several_count > 0)
        return shared_param(type, code, ret);
    if (type->platform == NULL)
        return r4_param(type->model, type->r4, code, ret);
    for (size_t i = 0; i < type->platform->root.count; i++) {
        platform_param(type->platform, i, ret);
        if (andiron_str_eq(code, andiron_str_of(ret->code)))
            return true;
    }
    return code.len > 0 && code.data[0] == '_' && fhir_param_find(0, code, ret);
}

/* R4's, then those made at run time, whose positions come behind all that R4 has. */
static bool next_r4(const struct model *model, int r4, size_t *pos, struct fhir_param *ret)
{
    enum { R4_MAX = 4096 };
    size_t count;

    if (*pos < R4_MAX && fhir_param_next(r4, pos, ret))
        return true;
    const struct model_custom *customs = customs_of(model, r4, &count);
    size_t at = *pos < R4_MAX ? 0 : *pos - R4_MAX;
    if (at >= count)
        return false;
    *ret = customs[at].param;
    *pos = R4_MAX + at + 1;
    return true;
}

static bool next_shared(const struct search_type *type, size_t *pos, struct fhir_param *ret)
{
    struct fhir_param found;
    while (next_r4(type->model, type->several[0], pos, ret))
        if (shared_param(type, andiron_str_of(ret->code), &found))
            return true;
    return false;
}

bool model_param_next(const struct search_type *type, size_t *pos, struct fhir_param *ret)
{
    if (type->several_count > 0)
        return next_shared(type, pos, ret);
    if (type->platform == NULL)
        return next_r4(type->model, type->r4, pos, ret);
    size_t own = type->platform->root.count;
    if (*pos < own)
        platform_param(type->platform, *pos, ret);
    else if (!common_param(*pos - own, ret))
        return false;
    (*pos)++;
    return true;
}

bool model_part(const struct search_type *type, const struct fhir_param *composite, size_t part,
                struct fhir_param *ret)
{
    if (composite->parts == NULL)
        return fhir_param_part(type->r4, composite, part, ret);
    if (part >= composite->part_count)
        return false;
    *ret = composite->parts[part];
    return true;
}

const struct model_custom *model_customs(const struct search_type *type, size_t *ret_count)
{
    return customs_of(type->model, type->r4, ret_count);
}

struct fhir_extract_root model_root(const struct search_type *type)
{
    return type->platform != NULL ? type->platform->root : fhir_extract_r4(type->r4);
}
