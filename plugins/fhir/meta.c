/*
 * The operations $meta and $versions; $meta-add and $meta-delete are writes (write_begin.c) that
 * answer as $meta does.
 */
#include "meta.h"

#include "access.h"
#include "operation.h"
#include "text.h"

struct showing {
    const struct fhir *fhir;
    const struct resource_type *type;
    struct wanted wanted;
    struct andiron_ref ref;
    struct andiron_rows rows;
};

enum andiron_step meta_answer(struct andiron_request *req, const struct wanted *wanted,
                              andiron_str stored)
{
    andiron_json resource;
    struct andiron_error err;
    struct text t;

    if (andiron_json_parse(andiron_request_arena(req), stored, &resource, &err) != 0)
        return andiron_fail(req, ANDIRON_E_INTERNAL, "stored text is no JSON: %s", err.message);
    andiron_str meta = andiron_json_raw(andiron_json_get(resource, "meta"));
    text_init(&t, andiron_request_arena(req), meta.len + 96);
    TEXT_LIT(&t, "{\"resourceType\":\"Parameters\",\"parameter\":[{\"name\":\"return\","
                 "\"valueMeta\":");
    text_str(&t, meta);
    TEXT_LIT(&t, "}]}");
    return answer_json(req, wanted, 200, text_view(&t));
}

static enum andiron_step row_read(struct andiron_request *req, void *state)
{
    struct showing *s = state;

    if (s->rows.error.code != ANDIRON_OK)
        return andiron_fail_with(req, &s->rows.error);
    const struct andiron_row *row = &s->rows.rows[0];
    bool is_known = row->ref.id.len > 0;
    if (!is_known || row->deleted)
        return andiron_fail(req, is_known ? ANDIRON_E_GONE : ANDIRON_E_NOT_FOUND,
                            is_known ? "%s/%.*s was deleted" : "%s/%.*s is not known",
                            s->type->name, (int)s->ref.id.len, s->ref.id.data);
    answer_version(req, row->ref.version, row->updated);
    return meta_answer(req, &s->wanted, row->body);
}

static enum andiron_step visible(struct andiron_request *req, void *state)
{
    struct showing *s = state;
    return s->fhir->store->read(s->fhir->store_self, req, &s->ref, 1, &s->rows, row_read, s);
}

enum andiron_step fhir_operation_meta(struct andiron_request *req, void *self)
{
    struct showing *s = andiron_new(andiron_request_arena(req), struct showing);
    struct operation given; /* it has no parameters, and takes them as sent */

    s->fhir = self;
    s->type = types_find(s->fhir->types, andiron_request_var(req, "type"));
    if (s->type == NULL || s->type->platform)
        return access_unknown_type(req);
    if (negotiate(req, &s->wanted) != 0 || operation_begin(req, &given) != 0)
        return ANDIRON_DONE;
    s->ref = (struct andiron_ref){ .type = s->type->str, .id = andiron_request_var(req, "id") };
    if (!types_is_id(s->ref.id))
        return andiron_fail(req, ANDIRON_E_NOT_FOUND, "%s/%.*s is not known", s->type->name,
                            (int)s->ref.id.len, s->ref.id.data);
    return access_see(s->fhir, req, s->type, s->ref.id, visible, s);
}

/* CapabilityStatement-versions: which versions of FHIR are served here. */
enum andiron_step fhir_operation_versions(struct andiron_request *req, void *self)
{
    struct wanted wanted;
    struct operation given;

    (void)self;
    if (negotiate(req, &wanted) != 0 || operation_begin(req, &given) != 0)
        return ANDIRON_DONE;
    return answer_json(req, &wanted, 200,
                       ANDIRON_STR("{\"resourceType\":\"Parameters\",\"parameter\":["
                                   "{\"name\":\"version\",\"valueString\":\"4.0\"},"
                                   "{\"name\":\"default\",\"valueString\":\"4.0\"}]}"));
}
