/*
 * The steps of a write; see write.h. Platform types, and all types for the init bundle, are
 * compared with what is stored first; their commits, and those of patches, are bound to that
 * version, and begin again if it changed meanwhile.
 */
#include "write.h"

#include <andiron/auth.h>

#include "access.h"
#include "answer.h"
#include "binary.h"
#include "match.h"
#include "meta.h"

/* ---- answer ------------------------------------------------------------------------------ */

void write_tell_owner(struct andiron_request *req, const struct resource_type *type, andiron_str id,
                      andiron_str body)
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

/*
 * The owner is told as of a write: another node may have stored it a moment ago, and what is
 * answered with 200 here must be in force for the next request here.
 */
static enum andiron_step answer_unchanged(struct andiron_request *req, struct writing *w)
{
    const struct andiron_row *row = &w->before.rows[0];

    write_tell_owner(req, w->type, w->id, row->body);
    struct shown shown = { .type = w->type,
                           .id = w->id,
                           .version = row->ref.version,
                           .updated = row->updated,
                           .body = row->body };
    return answer_write(w->fhir, req, &w->wanted, 200, &shown);
}

/* ---- commit ------------------------------------------------------------------------------ */

/* Whether the commit was bound to the version that was looked at by nobody but ourselves. */
static bool is_free(const struct writing *w)
{
    return (w->needs_before || w->bound.is_bound) && !w->if_none &&
           (w->if_match == 0 || w->if_match == NEGOTIATE_LOOK);
}

static enum andiron_step refused(struct andiron_request *req, struct writing *w)
{
    enum andiron_code code = w->commit.error.code;
    bool raced = code == ANDIRON_E_PRECONDITION || code == ANDIRON_E_CONFLICT;

    bool moved = code == ANDIRON_E_PRECONDITION && is_free(w);

    /* The condition of the client led to another resource meanwhile: it is looked for again. */
    if (raced && w->is_conditional && (moved || w->repeats < WRITE_REPEATS) &&
        ++w->tries < WRITE_TRIES)
        return write_find(req, w);
    if (w->demands_version && code == ANDIRON_E_PRECONDITION)
        return write_demand_version(req, w);
    if (w->is_delete && (code == ANDIRON_E_NOT_FOUND || code == ANDIRON_E_GONE))
        return andiron_reply(req, 204, NULL, (andiron_str){ NULL, 0 });
    /* Somebody wrote between our read and our commit; only our own condition failed. */
    if (moved && ++w->tries < WRITE_TRIES)
        return write_begun(req, w);
    if (moved)
        return andiron_fail(req, ANDIRON_E_CONFLICT,
                            "others change %s/%.*s all the time; try again later", w->type->name,
                            (int)w->id.len, w->id.data);
    if (w->if_none && (!w->is_update || w->is_conditional) && code == ANDIRON_E_PRECONDITION)
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
        if (w->write.ref.version > 0)
            write_tell_owner(req, w->type, w->write.ref.id, (andiron_str){ NULL, 0 });
        return answer_deleted(req, w);
    }
    if (w->if_none_exist && !w->write.created)
        return answer_matched(req, w);
    write_tell_owner(req, w->type, w->write.ref.id, w->write.body);
    struct shown shown = { .type = w->type,
                           .id = w->write.ref.id,
                           .version = w->write.ref.version,
                           .updated = w->write.updated,
                           .body = w->write.body };
    if (w->answers_meta)
        return meta_answer(req, &w->wanted, w->write.body);
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
    if (!w->type->platform && w->patch.kind == PATCH_NONE && w->match_tags.len == 0 &&
        w->none_tags.len == 0)
        return;
    if (row->ref.id.len == 0 || row->deleted)
        w->write.if_absent = true;
    else
        w->write.if_version = row->ref.version;
}

static enum andiron_access access_of(const struct writing *w)
{
    return w->is_delete   ? ANDIRON_ACCESS_DELETE
           : w->is_update ? ANDIRON_ACCESS_UPDATE
                          : ANDIRON_ACCESS_CREATE;
}

/* What the store finds at the commit must be what the narrowing was compared with. */
static void bind_to_seen(struct writing *w)
{
    if (!w->bound.is_bound || (w->if_match != 0 && w->if_match != NEGOTIATE_LOOK))
        return;
    w->write.if_version = w->bound.version;
    w->write.if_absent |= w->bound.version == 0 && !w->write.remove;
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
    if (access_result(w->fhir, req, w->type, w->id, access_of(w), andiron_request_arena(req),
                      w->preparing.terms, w->preparing.term_count, &err) != 0)
        return andiron_fail_with(req, &err);
    w->write = (struct andiron_write){
        .ref = { .type = w->type->str, .id = w->id },
        .terms = w->preparing.terms,
        .term_count = w->preparing.term_count,
        .if_version = w->if_match != NEGOTIATE_LOOK ? w->if_match : 0,
        .if_absent = w->if_none || w->demands_version,
        .match = w->if_none_exist || w->is_conditional ? &w->match.query : NULL,
        .if_none_exist = w->if_none_exist,
        .match_is_ref = w->is_conditional,
        .stamp = compose_stamp,
        .stamp_state = w->preparing.draft,
    };
    if (w->needs_before && is_free(w) && !w->if_none_exist && !w->demands_version)
        bind_to_before(w);
    bind_to_seen(w);
    return commit(req, w);
}

/* On the loop for small bodies, else on the pool, where parsing belongs too. */
static void work(void *state)
{
    struct writing *w = state;
    struct andiron_request *req = w->preparing.req;

    if (!w->parsed) {
        struct andiron_arena *arena = andiron_request_arena(req);
        andiron_str text = andiron_request_body(req);
        if (w->raw_type.data != NULL)
            text = binary_resource(arena, w->id, w->raw_type, w->raw_context, text);
        w->parsed = andiron_json_parse(arena, text, &w->body, &w->parse_error) == 0;
    }
    if (!w->parsed)
        return;
    w->preparing.root = w->patch.doc = w->body;
    prepare(&w->preparing);
}

/* What a patch changes is what its sender can read: without secrets, references in that form. */
static andiron_str shown_before(struct andiron_request *req, const struct writing *w)
{
    return answer_text(w->fhir, req, w->type, fhir_base_of(req), w->before.rows[0].body);
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
        .id_in_body = w->is_update && !w->id_is_chosen,
        .patch = w->patch.kind != PATCH_NONE ? &w->patch : NULL,
        .patch_target =
            w->patch.kind != PATCH_NONE ? shown_before(req, w) : (andiron_str){ NULL, 0 },
        .same_is_kept = w->is_update && (w->type->platform ||
                                         andiron_request_principal(req)->kind == ANDIRON_SYSTEM),
        .before = exists ? now->body : (andiron_str){ NULL, 0 },
        .created = first_known ? w->before.rows[1].updated : 0,
    };
    bool slow =
        andiron_request_body(req).len + w->preparing.patch_target.len > FHIR_OFFLOAD_ABOVE ||
        prepare_is_slow(w->type);
    if (slow)
        return andiron_offload(req, work, prepared, w);
    if (!w->parsed && w->raw_type.data == NULL) {
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

    bool came_since = w->bound.is_bound && w->bound.version == 0;
    if (row->ref.id.len == 0 || row->deleted || came_since)
        return andiron_reply(req, 204, NULL, (andiron_str){ NULL, 0 });
    w->write = (struct andiron_write){ .ref = { .type = w->type->str, .id = w->id },
                                       .remove = true,
                                       .if_version = row->ref.version,
                                       .match = w->is_conditional ? &w->match.query : NULL,
                                       .match_is_ref = w->is_conditional };
    bind_to_seen(w);
    return commit(req, w);
}

/* RFC 9110 sections 13.1.1 and 13.1.2; version 0: nothing is stored. */
static bool tags_allow(const struct writing *w, uint64_t version)
{
    if (w->match_tags.len > 0 && (version == 0 || !negotiate_etag_matches(w->match_tags, version)))
        return false;
    return version == 0 || w->none_tags.len == 0 || !negotiate_etag_matches(w->none_tags, version);
}

static enum andiron_step before_read(struct andiron_request *req, void *state)
{
    struct writing *w = state;

    if (w->before.error.code != ANDIRON_OK)
        return andiron_fail_with(req, &w->before.error);
    const struct andiron_row *row = &w->before.rows[0];
    bool exists = row->ref.id.len > 0 && !row->deleted;
    /* Equal content must not hide a failed condition. */
    if (w->if_match == NEGOTIATE_FOREIGN)
        return andiron_fail(req, ANDIRON_E_PRECONDITION, "If-Match names no version of it");
    if (!tags_allow(w, exists ? row->ref.version : 0))
        return andiron_fail(req, ANDIRON_E_PRECONDITION,
                            exists ? "%s/%.*s exists in a version that the ETags do not allow"
                                   : "%s/%.*s does not exist, so no version can match If-Match",
                            w->type->name, (int)w->id.len, w->id.data);
    if (w->if_match != 0 && w->if_match != NEGOTIATE_LOOK &&
        (!exists || row->ref.version != w->if_match))
        return andiron_fail(
            req, ANDIRON_E_PRECONDITION, "If-Match names version %llu, current is %llu",
            (unsigned long long)w->if_match, (unsigned long long)(exists ? row->ref.version : 0));
    if (w->is_delete)
        return remove_bound(req, w);
    if (w->patch.kind != PATCH_NONE && !exists)
        return andiron_fail(req, row->deleted ? ANDIRON_E_GONE : ANDIRON_E_NOT_FOUND,
                            row->deleted ? "%s/%.*s was deleted" : "%s/%.*s is not known",
                            w->type->name, (int)w->id.len, w->id.data);
    if (w->demands_version && exists)
        return write_demand_version(req, w);
    if (w->if_none && exists)
        return andiron_fail(
            req, w->is_update && !w->is_conditional ? ANDIRON_E_PRECONDITION : ANDIRON_E_CONFLICT,
            "%s/%.*s exists already", w->type->name, (int)w->id.len, w->id.data);
    return prepare_write(req, w);
}

enum andiron_step write_demand_version(struct andiron_request *req, const struct writing *w)
{
    return andiron_fail(req, ANDIRON_E_VERSION_NEEDED,
                        "an update of %s/%.*s must name the version it changes in If-Match",
                        w->type->name, (int)w->id.len, w->id.data);
}

enum andiron_step write_begun(struct andiron_request *req, struct writing *w)
{
    return access_change(w->fhir, req, req, w->type, w->id, access_of(w), &w->bound, NULL,
                         write_changeable, w);
}

enum andiron_step write_changeable(struct andiron_request *req, void *state)
{
    struct writing *w = state;

    /* There was nothing when it was judged; what comes meanwhile may lie outside. */
    if (w->is_delete && w->bound.is_bound && w->bound.version == 0 && w->if_match == 0 &&
        !w->needs_before)
        return andiron_reply(req, 204, NULL, (andiron_str){ NULL, 0 });
    if (w->is_delete && !w->needs_before) {
        w->write = (struct andiron_write){ .ref = { .type = w->type->str, .id = w->id },
                                           .remove = true,
                                           .if_version = w->if_match,
                                           .match = w->is_conditional ? &w->match.query : NULL,
                                           .match_is_ref = w->is_conditional };
        bind_to_seen(w);
        return commit(req, w);
    }
    if (!w->needs_before)
        return prepare_write(req, w);
    w->refs[0] = (struct andiron_ref){ .type = w->type->str, .id = w->id };
    w->refs[1] = (struct andiron_ref){ .type = w->type->str, .id = w->id, .version = 1 };
    w->before = (struct andiron_rows){ .count = 0 };
    return w->fhir->store->read(w->fhir->store_self, req, w->refs, 2, &w->before, before_read, w);
}
