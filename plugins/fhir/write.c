/*
 * create, update and delete of one resource. A row of small steps:
 *
 *   begin -> changeable -> before_read -> prepared -> committed -> answer
 *
 * Platform types, and all types for the init bundle, are compared with what is stored
 * first; their commits are bound to that version, and begin again if it changed meanwhile.
 */
#include <andiron/auth.h>

#include "access.h"
#include "answer.h"
#include "match.h"
#include "prepare.h"
#include "uuid.h"

enum { TRIES = 4 };

struct writing {
    const struct fhir *fhir;
    const struct resource_type *type;
    struct wanted wanted;
    andiron_str id;
    bool is_update, is_delete;
    bool id_is_new; /* made here: nothing can be stored under it */

    /* conditions of the client */
    uint64_t if_match; /* 0: none */
    bool if_none;      /* If-None-Match: *, or a create under the client's id */
    bool if_none_exist;
    struct andiron_search_plan match;

    /* what is stored now */
    bool needs_before;
    struct andiron_ref refs[2]; /* the current version, and the first */
    struct andiron_rows before;
    unsigned tries;

    andiron_json body;
    struct andiron_error parse_error;
    bool parsed;
    struct preparing preparing;
    struct andiron_write write;
    struct andiron_commit commit;
    struct andiron_rows matched; /* what if_none_exist found */
};

static enum andiron_step changeable(struct andiron_request *req, void *state);

/* ---- answer ------------------------------------------------------------------------------ */

static void tell_owner(struct andiron_request *req, const struct resource_type *type,
                       andiron_str id, andiron_str body)
{
    if (type->hooks == NULL || type->hooks->stored == NULL)
        return;
    andiron_json resource = { NULL, 0 };
    struct andiron_error err;
    if (body.data != NULL &&
        andiron_json_parse(andiron_request_arena(req), body, &resource, &err) != 0)
        andiron_request_log(req, ANDIRON_LOG_ERROR, "fhir.stored",
                            "stored text of a %s is no JSON: %s", type->name, err.message);
    type->hooks->stored(type->hooks_self, req, id, resource);
}

static enum andiron_step matched_read(struct andiron_request *req, void *state)
{
    struct writing *w = state;

    if (w->matched.error.code != ANDIRON_OK)
        return andiron_fail_with(req, &w->matched.error);
    const struct andiron_row *row = &w->matched.rows[0];
    if (row->ref.id.len == 0 || row->deleted)
        return andiron_fail(req, ANDIRON_E_CONFLICT,
                            "the resource that matched has just been deleted");
    struct shown shown = { .type = w->type,
                           .id = row->ref.id,
                           .version = row->ref.version,
                           .updated = row->updated,
                           .body = row->body };
    return answer_write(w->fhir, req, &w->wanted, 200, &shown);
}

/* If-None-Exist found a resource: that one is the answer (http.html#ccreate). */
static enum andiron_step answer_matched(struct andiron_request *req, struct writing *w)
{
    w->refs[0] = (struct andiron_ref){ .type = w->type->str, .id = w->write.ref.id };
    return w->fhir->store->read(w->fhir->store_self, req, w->refs, 1, &w->matched, matched_read, w);
}

static enum andiron_step answer_deleted(struct andiron_request *req, struct writing *w)
{
    if (w->write.ref.version > 0)
        answer_version(req, w->write.ref.version, w->write.updated);
    return andiron_reply(req, 204, NULL, (andiron_str){ NULL, 0 });
}

static enum andiron_step answer_unchanged(struct andiron_request *req, struct writing *w)
{
    const struct andiron_row *row = &w->before.rows[0];
    struct shown shown = { .type = w->type,
                           .id = w->id,
                           .version = row->ref.version,
                           .updated = row->updated,
                           .body = row->body };
    return answer_write(w->fhir, req, &w->wanted, 200, &shown);
}

/* ---- commit ------------------------------------------------------------------------------ */

static enum andiron_step refused(struct andiron_request *req, struct writing *w)
{
    enum andiron_code code = w->commit.error.code;
    bool raced = code == ANDIRON_E_PRECONDITION || code == ANDIRON_E_CONFLICT;

    if (w->is_delete && (code == ANDIRON_E_NOT_FOUND || code == ANDIRON_E_GONE))
        return andiron_reply(req, 204, NULL, (andiron_str){ NULL, 0 });
    /* Somebody wrote between our read and our commit; only our own condition failed. */
    if (raced && w->needs_before && !w->if_match && !w->if_none && ++w->tries < TRIES)
        return changeable(req, w);
    if (w->if_none && !w->is_update && code == ANDIRON_E_PRECONDITION)
        return andiron_fail(req, ANDIRON_E_CONFLICT, "%s/%.*s exists already", w->type->name,
                            (int)w->id.len, w->id.data);
    return andiron_fail_with(req, &w->commit.error);
}

static enum andiron_step committed(struct andiron_request *req, void *state)
{
    struct writing *w = state;

    if (w->commit.error.code != ANDIRON_OK)
        return refused(req, w);
    if (w->is_delete) {
        tell_owner(req, w->type, w->id, (andiron_str){ NULL, 0 });
        return answer_deleted(req, w);
    }
    if (w->if_none_exist && !w->write.created)
        return answer_matched(req, w);
    tell_owner(req, w->type, w->write.ref.id, w->write.body);
    struct shown shown = { .type = w->type,
                           .id = w->write.ref.id,
                           .version = w->write.ref.version,
                           .updated = w->write.updated,
                           .body = w->write.body };
    return answer_write(w->fhir, req, &w->wanted, w->write.created ? 201 : 200, &shown);
}

static enum andiron_step commit(struct andiron_request *req, struct writing *w)
{
    w->commit = (struct andiron_commit){
        .writes = &w->write, .count = 1, .check_references = w->fhir->config->referential_integrity
    };
    return w->fhir->store->commit(w->fhir->store_self, req, &w->commit, committed, w);
}

/* ---- preparation -------------------------------------------------------------------------- */

/* Binds a commit to the version that was looked at, so that nothing is lost in between. */
static void bind_to_before(struct writing *w)
{
    const struct andiron_row *row = &w->before.rows[0];
    if (!w->type->platform)
        return;
    if (row->ref.id.len == 0 || row->deleted)
        w->write.if_absent = true;
    else
        w->write.if_version = row->ref.version;
}

static enum andiron_step prepared(struct andiron_request *req, void *state)
{
    struct writing *w = state;
    struct andiron_error err;

    if (!w->parsed)
        return andiron_fail_with(req, &w->parse_error);
    if (w->preparing.issues.count > 0)
        return prepare_fail(req, &w->preparing.issues);
    if (w->preparing.same)
        return answer_unchanged(req, w);
    if (access_result(w->fhir, req, w->type, w->id, w->preparing.terms, w->preparing.term_count,
                      &err) != 0)
        return andiron_fail_with(req, &err);
    w->write = (struct andiron_write){
        .ref = { .type = w->type->str, .id = w->id },
        .terms = w->preparing.terms,
        .term_count = w->preparing.term_count,
        .if_version = w->if_match,
        .if_absent = w->if_none,
        .match = w->if_none_exist ? &w->match.query : NULL,
        .if_none_exist = w->if_none_exist,
        .stamp = compose_stamp,
        .stamp_state = &w->preparing.draft,
    };
    if (w->needs_before && !w->if_none && w->if_match == 0 && !w->if_none_exist)
        bind_to_before(w);
    return commit(req, w);
}

/* On the loop for small bodies, else on the pool, where parsing belongs too. */
static void work(void *state)
{
    struct writing *w = state;
    struct andiron_request *req = w->preparing.req;

    if (!w->parsed)
        w->parsed = andiron_json_parse(andiron_request_arena(req), andiron_request_body(req),
                                       &w->body, &w->parse_error) == 0;
    if (!w->parsed)
        return;
    w->preparing.root = w->body;
    prepare(&w->preparing);
}

static enum andiron_step prepare_write(struct andiron_request *req, struct writing *w)
{
    const struct andiron_row *now = w->needs_before ? &w->before.rows[0] : NULL;
    bool exists = now != NULL && now->ref.id.len > 0 && !now->deleted;
    bool first_known = w->needs_before && w->before.count > 1 && w->before.rows[1].ref.id.len > 0;

    w->preparing = (struct preparing){
        .fhir = w->fhir,
        .req = req,
        .type = w->type,
        .id = w->id,
        .id_in_body = w->is_update,
        .same_is_kept = w->is_update && (w->type->platform ||
                                         andiron_request_principal(req)->kind == ANDIRON_SYSTEM),
        .before = exists ? now->body : (andiron_str){ NULL, 0 },
        .created = first_known ? w->before.rows[1].updated : 0,
    };
    bool slow = andiron_request_body(req).len > FHIR_OFFLOAD_ABOVE ||
                (w->type->hooks != NULL && w->type->hooks->accept != NULL);
    if (slow)
        return andiron_offload(req, work, prepared, w);
    if (!w->parsed) {
        if (andiron_request_json(req, &w->body) != 0)
            return ANDIRON_DONE;
        w->parsed = true;
    }
    work(w);
    return prepared(req, w);
}

/* The owner of a platform type is told of a deletion only if there was something to delete. */
static enum andiron_step remove_bound(struct andiron_request *req, struct writing *w)
{
    const struct andiron_row *row = &w->before.rows[0];

    if (row->ref.id.len == 0 || row->deleted)
        return andiron_reply(req, 204, NULL, (andiron_str){ NULL, 0 });
    w->write = (struct andiron_write){ .ref = { .type = w->type->str, .id = w->id },
                                       .remove = true,
                                       .if_version = row->ref.version };
    return commit(req, w);
}

static enum andiron_step before_read(struct andiron_request *req, void *state)
{
    struct writing *w = state;

    if (w->before.error.code != ANDIRON_OK)
        return andiron_fail_with(req, &w->before.error);
    const struct andiron_row *row = &w->before.rows[0];
    bool exists = row->ref.id.len > 0 && !row->deleted;
    /* Equal content must not hide a failed condition. */
    if (w->if_match != 0 && (!exists || row->ref.version != w->if_match))
        return andiron_fail(
            req, ANDIRON_E_PRECONDITION, "If-Match names version %llu, current is %llu",
            (unsigned long long)w->if_match, (unsigned long long)(exists ? row->ref.version : 0));
    if (w->is_delete)
        return remove_bound(req, w);
    if (w->if_none && exists)
        return andiron_fail(req, w->is_update ? ANDIRON_E_PRECONDITION : ANDIRON_E_CONFLICT,
                            "%s/%.*s exists already", w->type->name, (int)w->id.len, w->id.data);
    return prepare_write(req, w);
}

/* The write is within what the request may change. */
static enum andiron_step changeable(struct andiron_request *req, void *state)
{
    struct writing *w = state;

    if (w->is_delete && !w->needs_before) {
        w->write = (struct andiron_write){ .ref = { .type = w->type->str, .id = w->id },
                                           .remove = true,
                                           .if_version = w->if_match };
        return commit(req, w);
    }
    if (!w->needs_before)
        return prepare_write(req, w);
    w->refs[0] = (struct andiron_ref){ .type = w->type->str, .id = w->id };
    w->refs[1] = (struct andiron_ref){ .type = w->type->str, .id = w->id, .version = 1 };
    w->before = (struct andiron_rows){ .count = 0 };
    return w->fhir->store->read(w->fhir->store_self, req, w->refs, 2, &w->before, before_read, w);
}

/* ---- beginnings ---------------------------------------------------------------------------- */

static int conditions(struct andiron_request *req, struct writing *w)
{
    andiron_str match = andiron_request_header(req, "if-match");
    andiron_str none = andiron_request_header(req, "if-none-match");

    if (match.len > 0 && negotiate_if_match(match, &w->if_match) != 0) {
        (void)andiron_fail(req, ANDIRON_E_INVALID, "If-Match must be one ETag such as W/\"3\"");
        return -1;
    }
    if (none.len > 0 && !w->is_delete) {
        if (!andiron_str_eq(none, ANDIRON_STR("*"))) {
            (void)andiron_fail(req, ANDIRON_E_INVALID, "If-None-Match of a write must be *");
            return -1;
        }
        w->if_none = w->is_update;
    }
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

static int check_body(struct andiron_request *req)
{
    andiron_str type = andiron_request_header(req, "content-type");
    if (!negotiate_is_json(type)) {
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

enum andiron_step fhir_update(struct andiron_request *req, void *self)
{
    struct writing *w = begin(req, self);

    if (w == NULL || check_body(req) != 0)
        return ANDIRON_DONE;
    w->is_update = true;
    w->id = andiron_request_var(req, "id");
    if (!types_is_id(w->id))
        return andiron_fail(req, ANDIRON_E_INVALID,
                            "an id is 1 to 64 letters, digits, '-' and '.'");
    if (conditions(req, w) != 0)
        return ANDIRON_DONE;
    w->needs_before = prepare_needs_before(w->fhir, w->type, req);
    return access_change(w->fhir, req, req, w->type, w->id, changeable, w);
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

static int if_none_exist(struct andiron_request *req, struct writing *w)
{
    andiron_str criteria = andiron_request_header(req, "if-none-exist");
    if (criteria.data == NULL)
        return 0;
    struct andiron_error err;
    if (match_compile(w->fhir, req, w->type, criteria, &w->match, &err) != 0) {
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

    if (w == NULL || check_body(req) != 0 || own_id(req, w) != 0 || if_none_exist(req, w) != 0)
        return ANDIRON_DONE;
    if (w->id.len == 0)
        w->id = uuid_new(andiron_request_arena(req));
    return access_types(req, w->match.types, changeable, w);
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
    w->needs_before = w->type->platform;
    return access_change(w->fhir, req, req, w->type, w->id, changeable, w);
}
