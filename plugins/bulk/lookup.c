#include "lookup.h"

#include "rights.h"

enum andiron_step lookup_unknown(struct andiron_request *req)
{
    return andiron_fail(req, ANDIRON_E_NOT_FOUND,
                        "there is no such export; it may have expired or been deleted");
}

static enum andiron_step found(struct andiron_request *req, void *arg)
{
    struct lookup *l = arg;
    struct andiron_arena *arena = andiron_request_arena(req);
    const struct andiron_row *rows = l->rows.rows;

    if (l->rows.error.code != ANDIRON_OK)
        return andiron_fail_with(req, &l->rows.error);
    for (size_t i = 0; i < 2; i++)
        if (rows[i].ref.id.len == 0 || rows[i].deleted)
            return lookup_unknown(req);
    if (job_spec_read(arena, rows[0].body, &l->spec) != 0 ||
        job_state_read(arena, &rows[1], &l->state) != 0)
        return andiron_fail(req, ANDIRON_E_INTERNAL, "the record of the export cannot be read");
    if (!andiron_str_eq(l->spec.client, rights_principal(req)))
        return lookup_unknown(req);
    return l->then(req, l->state_of_then);
}

enum andiron_step lookup_job(struct bulk *bulk, struct andiron_request *req, struct lookup *ret,
                             andiron_step_fn then, void *state)
{
    andiron_str id = andiron_request_var(req, "job");

    ret->bulk = bulk;
    ret->then = then;
    ret->state_of_then = state;
    if (!job_is_id(id))
        return lookup_unknown(req);
    ret->refs[0] = (struct andiron_ref){ .type = ANDIRON_STR(BULK_EXPORT), .id = id };
    ret->refs[1] = (struct andiron_ref){ .type = ANDIRON_STR(BULK_STATE), .id = id };
    return bulk->store->read(bulk->store_self, req, ret->refs, 2, &ret->rows, found, ret);
}
