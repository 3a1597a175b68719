/*
 * How writes begin: what the request says, and under which conditions. See write.h.
 */
#include "write.h"

#include <andiron/auth.h>

#include "access.h"
#include "binary.h"
#include "match.h"
#include "uuid.h"

static int conditions(struct andiron_request *req, struct writing *w)
{
    andiron_str match = andiron_request_header(req, "if-match");
    andiron_str none = andiron_request_header(req, "if-none-match");
    uint64_t named;

    if (match.len > 0 && negotiate_if_match(match, &w->if_match) != 0) {
        (void)andiron_fail(req, ANDIRON_E_INVALID,
                           "If-Match must be ETags such as W/\"3\", separated by commas, or *");
        return -1;
    }
    if (w->if_match == NEGOTIATE_LOOK)
        w->match_tags = match;
    if (none.len > 0 && negotiate_if_match(none, &named) != 0) {
        (void)andiron_fail(
            req, ANDIRON_E_INVALID,
            "If-None-Match must be ETags such as W/\"3\", separated by commas, or *");
        return -1;
    }
    if (andiron_str_eq(none, ANDIRON_STR("*")) && w->is_update)
        w->if_none = true;
    else if (none.len > 0)
        w->none_tags = none;
    w->needs_before |= w->match_tags.len > 0 || w->none_tags.len > 0;
    bool names_version = w->if_match != 0 && !andiron_str_eq(match, ANDIRON_STR("*"));
    w->demands_version = w->is_update && !w->if_none && !names_version &&
                         w->fhir->config->versioned_updates == VERSIONED_REQUIRED &&
                         !w->type->platform &&
                         andiron_request_principal(req)->kind != ANDIRON_SYSTEM;
    return 0;
}

/* What all writes begin with; NULL: the request has been answered. */
static struct writing *begin(struct andiron_request *req, const struct fhir *fhir)
{
    struct writing *w = andiron_new(andiron_request_arena(req), struct writing);

    w->fhir = fhir;
    w->type = types_find(fhir->types, andiron_request_var(req, "type"));
    if (w->type == NULL) {
        (void)access_unknown_type(req);
        return NULL;
    }
    if (w->type->virtual) {
        (void)andiron_fail(req, ANDIRON_E_METHOD, "%s is made by the server and cannot be written",
                           w->type->name);
        return NULL;
    }
    return negotiate(req, &w->wanted) == 0 ? w : NULL;
}

/* A Binary may be sent as it is where its id is in the URL, or new. -1: the request has been failed. */
static int check_body(struct andiron_request *req, struct writing *w, bool takes_content)
{
    andiron_str type = andiron_request_header(req, "content-type");
    bool is_json = negotiate_is_json(type);
    if (!is_json && binary_is(w->type) && takes_content) {
        w->raw_type = type;
        w->raw_context = andiron_request_header(req, "x-security-context");
    } else if (!is_json) {
        (void)andiron_fail(req, ANDIRON_E_MEDIA_TYPE,
                           "Content-Type must be application/fhir+json or application/json");
        return -1;
    }
    if (andiron_request_body(req).len == 0) {
        (void)andiron_fail(req, ANDIRON_E_INVALID, "a resource is needed as the body");
        return -1;
    }
    return 0;
}

static int needs_id(struct andiron_request *req, struct writing *w)
{
    w->id = andiron_request_var(req, "id");
    if (types_is_id(w->id))
        return 0;
    (void)andiron_fail(req, ANDIRON_E_INVALID, "an id is 1 to 64 letters, digits, '-' and '.'");
    return -1;
}

enum andiron_step fhir_update(struct andiron_request *req, void *self)
{
    struct writing *w = begin(req, self);

    if (w == NULL || check_body(req, w, true) != 0)
        return ANDIRON_DONE;
    w->is_update = true;
    if (needs_id(req, w) != 0 || conditions(req, w) != 0)
        return ANDIRON_DONE;
    w->needs_before |= prepare_needs_before(w->fhir, w->type, req);
    return write_begun(req, w);
}

/* POST to a platform type honours the id in the body (CL-2). */
static int own_id(struct andiron_request *req, struct writing *w)
{
    if (!w->type->platform)
        return 0;
    if (andiron_request_json(req, &w->body) != 0)
        return -1;
    w->parsed = true;
    andiron_json id = andiron_json_get(w->body, "id");
    if (andiron_json_type(id) == ANDIRON_JSON_MISSING)
        return 0;
    w->id = andiron_json_str(id);
    if (!types_is_id(w->id)) {
        (void)andiron_fail(req, ANDIRON_E_INVALID, "an id is 1 to 64 letters, digits, '-' and '.'");
        return -1;
    }
    w->if_none = true;
    w->needs_before = true;
    return 0;
}

/* The types that the criteria look into may be searched. */
static enum andiron_step criteria_allowed(struct andiron_request *req, void *state)
{
    struct writing *w = state;
    return match_complete(w->fhir, req, &w->match, w->go_on, w);
}

/* Goes on once the criteria may be used. */
static enum andiron_step by_criteria(struct andiron_request *req, struct writing *w,
                                     andiron_step_fn go_on)
{
    w->go_on = go_on;
    return access_types(req, w->match.types, criteria_allowed, w);
}

static int if_none_exist(struct andiron_request *req, struct writing *w)
{
    andiron_str criteria = andiron_request_header(req, "if-none-exist");
    if (criteria.data == NULL)
        return 0;
    struct andiron_error err;
    if (match_begin(w->fhir, req, w->type, criteria, &w->match, &err) != 0) {
        (void)andiron_fail_with(req, &err);
        return -1;
    }
    w->if_none_exist = true;
    w->if_none = false;
    return 0;
}

enum andiron_step fhir_create(struct andiron_request *req, void *self)
{
    struct writing *w = begin(req, self);

    if (w == NULL || check_body(req, w, true) != 0 || own_id(req, w) != 0 ||
        if_none_exist(req, w) != 0)
        return ANDIRON_DONE;
    if (w->id.len == 0)
        w->id = uuid_new(andiron_request_arena(req));
    return by_criteria(req, w, write_changeable);
}

enum andiron_step fhir_delete(struct andiron_request *req, void *self)
{
    struct writing *w = begin(req, self);

    if (w == NULL)
        return ANDIRON_DONE;
    w->is_delete = true;
    w->id = andiron_request_var(req, "id");
    if (conditions(req, w) != 0)
        return ANDIRON_DONE;
    if (!types_is_id(w->id))
        return andiron_reply(req, 204, NULL, (andiron_str){ NULL, 0 });
    w->needs_before |= w->type->platform;
    return write_begun(req, w);
}

/* ---- patch ---------------------------------------------------------------------------------- */

/* What a PATCH begins with, by id or by criteria. -1: the request has been answered. */
static int begin_patch(struct andiron_request *req, struct writing *w)
{
    andiron_str type = andiron_request_header(req, "content-type");

    w->is_update = true;
    w->needs_before = true;
    w->patch.kind = patch_kind(type);
    w->patch.max_operations = (size_t)w->fhir->config->max_patch_operations;
    if (w->patch.kind == PATCH_NONE || (w->patch.kind == PATCH_FHIRPATH && w->type->platform)) {
        (void)andiron_fail(req, ANDIRON_E_MEDIA_TYPE, "Content-Type of a PATCH must be %s",
                           w->type->platform
                               ? "application/json-patch+json or application/merge-patch+json"
                               : PATCH_TYPES);
        return -1;
    }
    if (andiron_request_body(req).len == 0) {
        (void)andiron_fail(req, ANDIRON_E_INVALID, "a patch is needed as the body");
        return -1;
    }
    return conditions(req, w);
}

enum andiron_step fhir_patch(struct andiron_request *req, void *self)
{
    struct writing *w = begin(req, self);

    if (w == NULL || begin_patch(req, w) != 0)
        return ANDIRON_DONE;
    w->id = andiron_request_var(req, "id");
    if (!types_is_id(w->id))
        return andiron_fail(req, ANDIRON_E_NOT_FOUND, "%s/%.*s is not known", w->type->name,
                            (int)w->id.len, w->id.data);
    return write_begun(req, w);
}

/* POST of Parameters with the parameter meta: a patch of that one element. */
static enum andiron_step change_meta(struct andiron_request *req, const struct fhir *fhir,
                                     enum patch_kind kind)
{
    struct writing *w = begin(req, fhir);

    if (w == NULL || check_body(req, w, false) != 0)
        return ANDIRON_DONE;
    if (w->type->platform)
        return access_unknown_type(req);
    w->is_update = w->needs_before = w->answers_meta = true;
    w->patch.kind = kind;
    w->patch.max_operations = (size_t)fhir->config->max_patch_operations;
    if (needs_id(req, w) != 0 || conditions(req, w) != 0)
        return ANDIRON_DONE;
    return write_begun(req, w);
}

enum andiron_step fhir_operation_meta_add(struct andiron_request *req, void *self)
{
    return change_meta(req, self, PATCH_META_ADD);
}

enum andiron_step fhir_operation_meta_delete(struct andiron_request *req, void *self)
{
    return change_meta(req, self, PATCH_META_DELETE);
}

/* ---- by criteria ------------------------------------------------------------------------------ */

static int take_criteria(struct andiron_request *req, struct writing *w)
{
    struct andiron_error err;

    if (match_begin(w->fhir, req, w->type, andiron_request_query(req), &w->match, &err) != 0) {
        (void)andiron_fail_with(req, &err);
        return -1;
    }
    w->is_conditional = true;
    w->only_new = w->if_none;
    return 0;
}

/* The id in the body of a conditional update, which need not have one. */
static int take_body_id(struct andiron_request *req, struct writing *w)
{
    if (andiron_request_json(req, &w->body) != 0)
        return -1;
    w->parsed = true;
    andiron_json id = andiron_json_get(w->body, "id");
    if (andiron_json_type(id) == ANDIRON_JSON_MISSING)
        return 0;
    w->body_id = andiron_json_str(id);
    if (types_is_id(w->body_id))
        return 0;
    (void)andiron_fail(req, ANDIRON_E_INVALID, "an id is 1 to 64 letters, digits, '-' and '.'");
    return -1;
}

enum andiron_step fhir_conditional_update(struct andiron_request *req, void *self)
{
    struct writing *w = begin(req, self);

    if (w == NULL || check_body(req, w, false) != 0)
        return ANDIRON_DONE;
    w->is_update = w->id_is_chosen = true;
    if (conditions(req, w) != 0 || take_criteria(req, w) != 0 || take_body_id(req, w) != 0)
        return ANDIRON_DONE;
    w->needs_before |= prepare_needs_before(w->fhir, w->type, req);
    return by_criteria(req, w, write_find);
}

enum andiron_step fhir_conditional_patch(struct andiron_request *req, void *self)
{
    struct writing *w = begin(req, self);

    if (w == NULL || begin_patch(req, w) != 0 || take_criteria(req, w) != 0)
        return ANDIRON_DONE;
    return by_criteria(req, w, write_find);
}

enum andiron_step fhir_conditional_delete(struct andiron_request *req, void *self)
{
    struct writing *w = begin(req, self);

    if (w == NULL)
        return ANDIRON_DONE;
    w->is_delete = true;
    if (conditions(req, w) != 0 || take_criteria(req, w) != 0)
        return ANDIRON_DONE;
    w->needs_before |= w->type->platform;
    return by_criteria(req, w, write_find);
}
