/*
 * Conditional update, patch and delete (http.html#cond-update, #3.1.0.7.1): what the criteria
 * match is looked for first, since rules depend on it; the commit repeats the search inside its
 * transaction and fails if it leads elsewhere. Then all begins again.
 */
#include "access.h"
#include "uuid.h"
#include "write.h"

struct removing {
    struct writing *w;
    struct andiron_query outside; /* of what was found: what may not be deleted */
    struct andiron_rows rows;
    struct andiron_commit commit;
};

static enum andiron_step removed_all(struct andiron_request *req, void *state)
{
    struct removing *r = state;
    enum andiron_code code = r->commit.error.code;

    if (code == ANDIRON_E_PRECONDITION && ++r->w->tries < WRITE_TRIES)
        return write_find(req, r->w); /* one of them was changed meanwhile */
    if (code != ANDIRON_OK)
        return andiron_fail_with(req, &r->commit.error);
    return andiron_reply(req, 204, NULL, (andiron_str){ NULL, 0 });
}

static enum andiron_step remove_found(struct andiron_request *req, struct removing *r)
{
    struct writing *w = r->w;
    struct andiron_write *writes =
        andiron_alloc(andiron_request_arena(req), w->found.count * sizeof(writes[0]));

    for (size_t i = 0; i < w->found.count; i++)
        writes[i] =
            (struct andiron_write){ .ref = { .type = w->type->str, .id = w->found.rows[i].ref.id },
                                    .remove = true,
                                    .if_version = w->found.rows[i].ref.version };
    r->commit =
        (struct andiron_commit){ .writes = writes,
                                 .count = w->found.count,
                                 .check_references = w->fhir->config->referential_integrity };
    return w->fhir->store->commit(w->fhir->store_self, req, &r->commit, removed_all, r);
}

static enum andiron_step outside_found(struct andiron_request *req, void *state)
{
    struct removing *r = state;

    if (r->rows.error.code != ANDIRON_OK)
        return andiron_fail_with(req, &r->rows.error);
    if (r->rows.count > 0 || r->rows.cursor.data != NULL)
        return access_refuse(req);
    return remove_found(req, r);
}

/* conditional-delete-multiple: all matches, in one commit, each as it was found. */
static enum andiron_step remove_all(struct andiron_request *req, struct writing *w)
{
    struct andiron_arena *arena = andiron_request_arena(req);
    struct removing *r = andiron_new(arena, struct removing);
    struct andiron_filter *both = andiron_new(arena, struct andiron_filter);
    struct andiron_filter *outside = andiron_new(arena, struct andiron_filter);
    const struct andiron_filter **args = andiron_alloc(arena, 3 * sizeof(args[0]));
    struct andiron_error err;

    if (w->found.count > (size_t)w->fhir->config->max_bundle_entries)
        return andiron_fail(req, ANDIRON_E_MULTIPLE_MATCHES,
                            "more than %lld resources match; delete fewer at a time",
                            (long long)w->fhir->config->max_bundle_entries);
    r->w = w;
    if (!access_is_narrowed(req, w->type, ANDIRON_ACCESS_DELETE))
        return remove_found(req, r);
    if (w->fhir->search->select(w->fhir->search_self, req, w->type->str, (andiron_str){ NULL, 0 },
                                ANDIRON_ACCESS_DELETE, &args[2], &err) != 0)
        return andiron_fail_with(req, &err);
    *outside =
        (struct andiron_filter){ .op = ANDIRON_FILTER_NOT, .args = &args[2], .arg_count = 1 };
    args[0] = w->match.query.filter;
    args[1] = outside;
    *both = (struct andiron_filter){ .op = ANDIRON_FILTER_AND, .args = args, .arg_count = 2 };
    r->outside = (struct andiron_query){ .type = w->type->name, .filter = both, .limit = 1 };
    return w->fhir->store->search(w->fhir->store_self, req, &r->outside, &r->rows, outside_found,
                                  r);
}

static bool removes_all(const struct writing *w)
{
    return w->is_delete && !w->type->platform && w->if_match == 0 &&
           w->fhir->config->conditional_delete_multiple;
}

static enum andiron_step none_found(struct andiron_request *req, struct writing *w)
{
    if (w->is_delete)
        return w->if_match == 0 ? andiron_reply(req, 204, NULL, (andiron_str){ NULL, 0 })
                                : andiron_fail(req, ANDIRON_E_PRECONDITION,
                                               "nothing matches, so no version can match If-Match");
    if (w->patch.kind != PATCH_NONE)
        return andiron_fail(req, ANDIRON_E_NOT_FOUND, "no %s matches the condition", w->type->name);
    if (w->if_match != 0)
        return andiron_fail(req, ANDIRON_E_PRECONDITION,
                            "nothing matches, so no version can match If-Match");
    /* A resource that has the id already, without matching, must not be overwritten. */
    w->repeats = w->if_none ? w->repeats + 1 : 0;
    w->if_none = true;
    w->id = w->body_id.len > 0 ? w->body_id : uuid_new(andiron_request_arena(req));
    return write_begun(req, w);
}

static enum andiron_step one_found(struct andiron_request *req, struct writing *w)
{
    andiron_str id = w->found.rows[0].ref.id;

    if (w->body_id.len > 0 && !andiron_str_eq(w->body_id, id))
        return andiron_fail(req, ANDIRON_E_INVALID,
                            "the condition matches %s/%.*s, and the body names another id",
                            w->type->name, (int)id.len, id.data);
    if (w->only_new)
        return andiron_fail(req, ANDIRON_E_PRECONDITION, "%s/%.*s matches already", w->type->name,
                            (int)id.len, id.data);
    w->repeats = andiron_str_eq(w->id, id) ? w->repeats + 1 : 0;
    w->if_none = false;
    w->id = id;
    if (w->demands_version)
        return write_demand_version(req, w);
    return write_begun(req, w); /* what may be found may not always be changed */
}

static enum andiron_step found(struct andiron_request *req, void *state)
{
    struct writing *w = state;

    if (w->found.error.code != ANDIRON_OK)
        return andiron_fail_with(req, &w->found.error);
    if (w->found.count == 0 && w->found.cursor.data != NULL)
        return andiron_fail(req, ANDIRON_E_UNPROCESSABLE,
                            "looking for a match takes too long; use a more selective condition");
    if (w->found.count == 0)
        return none_found(req, w);
    if (w->found.count == 1)
        return one_found(req, w);
    if (removes_all(w))
        return remove_all(req, w);
    return andiron_fail(req, ANDIRON_E_MULTIPLE_MATCHES,
                        "several resources match the condition; it must select at most one");
}

enum andiron_step write_find(struct andiron_request *req, void *state)
{
    struct writing *w = state;

    if (removes_all(w))
        w->match.query.limit = (size_t)w->fhir->config->max_bundle_entries + 1;
    w->found = (struct andiron_rows){ .count = 0 };
    return w->fhir->store->search(w->fhir->store_self, req, &w->match.query, &w->found, found, w);
}
