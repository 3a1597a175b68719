/*
 * read and vread: the stored bytes, unparsed, or the reason why there are none.
 */
#include "access.h"
#include "answer.h"
#include "binary.h"
#include "operations.h"
#include "part.h"
#include "versions.h"

struct reading {
    const struct fhir *fhir;
    const struct resource_type *type;
    struct andiron_ref ref;
    struct andiron_rows rows;
    struct wanted wanted;
    struct parts *parts; /* _summary and _elements, or NULL */
    bool wants_content;  /* of a Binary */
};

static enum andiron_step row_read(struct andiron_request *req, void *state)
{
    struct reading *r = state;

    if (r->rows.error.code != ANDIRON_OK)
        return andiron_fail_with(req, &r->rows.error);
    const struct andiron_row *row = &r->rows.rows[0];
    if (row->ref.id.len == 0)
        return andiron_fail(req, ANDIRON_E_NOT_FOUND, "%s/%.*s is not known", r->type->name,
                            (int)r->ref.id.len, r->ref.id.data);
    if (row->deleted) {
        answer_version(req, row->ref.version, row->updated);
        return andiron_fail(req, ANDIRON_E_GONE, "%s/%.*s was deleted", r->type->name,
                            (int)r->ref.id.len, r->ref.id.data);
    }
    struct shown shown = { .type = r->type,
                           .id = r->ref.id,
                           .version = row->ref.version,
                           .updated = row->updated,
                           .body = row->body };
    if (r->wants_content)
        return binary_answer(req, &shown);
    return answer_read(r->fhir, req, &r->wanted, &shown, r->parts);
}

static enum andiron_step visible(struct andiron_request *req, void *state)
{
    struct reading *r = state;
    return r->fhir->store->read(r->fhir->store_self, req, &r->ref, 1, &r->rows, row_read, r);
}

/* One that the narrowing leaves out is as good as one that never was. */
static enum andiron_step version_kept(struct andiron_request *req, void *state)
{
    struct reading *r = state;
    static struct andiron_row none;

    if (r->rows.count == 0) {
        r->rows.rows = &none;
        r->rows.count = 1;
    }
    return row_read(req, r);
}

static enum andiron_step version_read(struct andiron_request *req, void *state)
{
    struct reading *r = state;

    if (r->rows.error.code != ANDIRON_OK)
        return andiron_fail_with(req, &r->rows.error);
    return versions_keep(r->fhir, req, ANDIRON_ACCESS_READ, &r->rows, version_kept, r);
}

/* The version in a URL; 0 for what cannot be one. */
static uint64_t version_of(andiron_str s)
{
    uint64_t version = 0;
    if (s.len == 0 || s.len > 19 || s.data[0] == '0')
        return 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] < '0' || s.data[i] > '9')
            return 0;
        version = version * 10 + (uint64_t)(s.data[i] - '0');
    }
    return version;
}

static enum andiron_step begin(struct andiron_request *req, void *self, andiron_str version)
{
    struct reading *r = andiron_new(andiron_request_arena(req), struct reading);
    struct andiron_error err;

    r->fhir = self;
    r->type = types_find(r->fhir->types, andiron_request_var(req, "type"));
    if (r->type == NULL)
        return access_unknown_type(req);
    r->wants_content = binary_is(r->type) && binary_wants_content(req);
    if (!r->wants_content && negotiate(req, &r->wanted) != 0)
        return ANDIRON_DONE;
    r->ref = (struct andiron_ref){ .type = r->type->str, .id = andiron_request_var(req, "id") };
    if (r->type->virtual)
        return operations_read(r->fhir, req, &r->wanted, r->ref.id);
    if (version.data != NULL)
        r->ref.version = version_of(version);
    if (!types_is_id(r->ref.id) || (version.data != NULL && r->ref.version == 0))
        return andiron_fail(req, ANDIRON_E_NOT_FOUND, "%s/%.*s%s%.*s is not known", r->type->name,
                            (int)r->ref.id.len, r->ref.id.data,
                            version.data != NULL ? "/_history/" : "", (int)version.len,
                            version.data != NULL ? version.data : "");
    if (parts_read(r->fhir, req, &r->parts, &err) != 0)
        return andiron_fail_with(req, &err);
    if (r->ref.version != 0)
        return r->fhir->store->read(r->fhir->store_self, req, &r->ref, 1, &r->rows, version_read,
                                    r);
    return access_see(r->fhir, req, r->type, r->ref.id, visible, r);
}

enum andiron_step fhir_read(struct andiron_request *req, void *self)
{
    return begin(req, self, (andiron_str){ NULL, 0 });
}

enum andiron_step fhir_vread(struct andiron_request *req, void *self)
{
    return begin(req, self, andiron_request_var(req, "vid"));
}
