/*
 * Transactions and batches (http.html#transaction, #trules).
 *
 *   run -> allowed -> planned -> conditional references -> within scope -> before -> prepared
 *       -> committed -> other entries -> answer
 *
 * Every entry passes AUTHORIZE as a request of its own. All writes of a transaction are one
 * commit. So are the plain writes of a batch, for one flush of the disk instead of hundreds;
 * there an entry that is refused or fails is taken out, and answers for itself. What is no
 * plain write (GET; in a batch also platform types and whatever was taken out for a second
 * look) is run as an inner request.
 */
#include "transaction.h"

#include <stddef.h>
#include <stdio.h>

#include <andiron/auth.h>

#include "access.h"
#include "text.h"

void transaction_refuse(struct transaction *t, const struct entry *e, enum andiron_code code,
                        const char *member, const char *message)
{
    char where[64];
    (void)snprintf(where, sizeof(where), ".entry[%zu]%s", e->index, member);
    issues_add(&t->issues, code, where, "%s", message);
}

enum andiron_step transaction_fail_at(struct andiron_request *req, const struct entry *e,
                                      const struct andiron_error *err)
{
    struct andiron_error placed = *err;
    (void)snprintf(placed.where, sizeof(placed.where), "Bundle.entry[%zu]%s%.80s", e->index,
                   err->where[0] != '\0' ? "." : "", err->where);
    if (err->code == ANDIRON_E_FORBIDDEN) /* what the entry writes lies outside of the scopes */
        access_challenge(req);
    return andiron_fail_with(req, &placed);
}

/* ---- answer ----------------------------------------------------------------------------------- */

enum andiron_step transaction_work(struct transaction *t, void (*work)(void *state),
                                   andiron_step_fn then)
{
    if (t->is_large)
        return andiron_offload(t->req, work, then, t);
    work(t);
    return then(t->req, t);
}

static enum andiron_step run_others(struct andiron_request *req, struct transaction *t);

static void compose_answer(void *state)
{
    struct transaction *t = state;
    if (t->answer.data == NULL)
        t->answer = entries_compose(t->req, t->bundle);
}

static enum andiron_step send_answer(struct andiron_request *req, void *state)
{
    const struct transaction *t = state;
    return answer_json(req, &t->bundle->wanted, 200, t->answer);
}

static enum andiron_step other_done(struct andiron_request *req, void *state)
{
    struct transaction *t = state;
    entries_take(req, t->bundle, t->order[t->at++], t->sub);
    return run_others(req, t);
}

/* Entries without an answer so far. In a transaction: GET, which sees what has been made. */
static enum andiron_step run_others(struct andiron_request *req, struct transaction *t)
{
    while (t->at < t->order_count && t->order[t->at]->status != 0)
        t->at++;
    if (t->at == t->order_count)
        return transaction_work(t, compose_answer, send_answer);
    struct andiron_inner inner =
        entries_inner(t->bundle, t->order[t->at], andiron_request_arena(req));
    return andiron_request_run(req, &inner, &t->sub, other_done, t);
}

static void tell_owner(struct andiron_request *req, const struct item *item, andiron_str body)
{
    const struct andiron_resource_type *hooks = item->type->hooks;
    andiron_json resource = { NULL, 0 };
    struct andiron_error err;

    if (hooks == NULL || hooks->stored == NULL)
        return;
    if (body.data != NULL &&
        andiron_json_parse(andiron_request_arena(req), body, &resource, &err) != 0)
        andiron_request_log(req, ANDIRON_LOG_ERROR, "fhir.stored",
                            "stored text of a %s is no JSON: %s", item->type->name, err.message);
    hooks->stored(item->type->hooks_self, req, item->id, resource);
}

/* It exists already; the transaction did not touch it. */
static bool is_skipped(const struct andiron_write *w)
{
    return w->if_none_exist && !w->created;
}

static void tell_owners(struct andiron_request *req, struct transaction *t)
{
    for (size_t i = 0; i < t->commit.count; i++) {
        const struct andiron_write *w = &t->commit.writes[i];
        const struct item *item =
            t->item_of[i] < t->item_count ? &t->items[t->item_of[i]] : NULL; /* or a guard */
        if (item != NULL && !item->left && !is_skipped(w))
            tell_owner(req, item, w->remove ? (andiron_str){ NULL, 0 } : w->body);
    }
}

static void answer_item(struct andiron_request *req, struct transaction *t, struct item *item,
                        size_t place)
{
    struct entry *e = item->entry;

    if (place == NOWHERE && e->verb == VERB_DELETE) {
        e->status = 204; /* there was nothing to delete, and the owner is not told */
        return;
    }
    if (place == NOWHERE) {
        const struct andiron_row *row = &t->befores.rows[item->before];
        entries_version(e, 200, item->type, item->id, row->ref.version, row->updated);
        if (t->bundle->wanted.give == RETURN_REPRESENTATION)
            e->answer = answer_text(t->fhir, req, item->type, BASE_FHIR, row->body);
        return;
    }
    const struct andiron_write *w = &t->commit.writes[place];
    int status = w->remove ? 204 : w->created ? 201 : 200;
    entries_version(e, status, item->type, w->ref.id, w->ref.version, w->updated);
    if (!w->remove && !is_skipped(w) && t->bundle->wanted.give == RETURN_REPRESENTATION)
        e->answer = answer_text(t->fhir, req, item->type, BASE_FHIR, w->body);
}

static void make_answers(void *state)
{
    struct transaction *t = state;
    bool all = true;

    for (size_t i = 0; i < t->item_count; i++)
        if (!t->items[i].left)
            answer_item(t->req, t, &t->items[i], t->places[i]);
    for (size_t i = 0; i < t->order_count; i++)
        all &= t->order[i]->status != 0;
    if (all)
        compose_answer(t);
}

static enum andiron_step answers_made(struct andiron_request *req, void *state)
{
    struct transaction *t = state;
    if (t->answer.data != NULL)
        return send_answer(req, t);
    t->at = 0;
    return run_others(req, t);
}

static enum andiron_step answer_items(struct andiron_request *req, struct transaction *t)
{
    if (t->has_owners)
        tell_owners(req, t);
    return transaction_work(t, make_answers, answers_made);
}

/* ---- commit ------------------------------------------------------------------------------------ */

bool transaction_demands_version(const struct transaction *t, const struct item *item)
{
    return t->fhir->config->versioned_updates == VERSIONED_REQUIRED && !item->type->platform &&
           item->if_match == 0 && !item->if_none &&
           andiron_request_principal(t->req)->kind != ANDIRON_SYSTEM &&
           (item->entry->verb == VERB_PUT || item->entry->verb == VERB_PATCH);
}

int transaction_version_needed(struct andiron_error *err)
{
    return andiron_error_set(err, ANDIRON_E_VERSION_NEEDED, "request.ifMatch",
                             "an update must name the version it changes");
}

static void fill_commit(void *state);
static enum andiron_step submit(struct andiron_request *req, void *state);

/* A batch goes on without the entry that failed; after some of them each runs by itself. */
static enum andiron_step commit_without(struct transaction *t)
{
    bool known = t->commit.failed < t->commit.count && ++t->tries < TRIES;

    for (size_t i = 0; i < t->item_count; i++)
        if (!known || i == t->item_of[t->commit.failed])
            transaction_leave(&t->items[i]);
    return transaction_work(t, fill_commit, submit);
}

bool transaction_tries_again(struct transaction *t)
{
    return ++t->tries < (t->is_large ? TRIES : TRIES_SMALL);
}

static enum andiron_step busy(struct andiron_request *req, const struct entry *e)
{
    struct andiron_error err;
    (void)andiron_error_set(&err, ANDIRON_E_CONFLICT, "request.url",
                            "others change the resource all the time; try again later");
    return transaction_fail_at(req, e, &err);
}

/* What a conditional reference matched is not that, or not as it was, at the time of the commit. */
static enum andiron_step reference_moved(struct andiron_request *req, struct transaction *t)
{
    const struct reference *r = t->references[t->item_of[t->commit.failed] - t->item_count];
    if (transaction_tries_again(t))
        return transaction_plan(req, t);
    return busy(req, &t->bundle->entries[r->entry]);
}

static enum andiron_step committed(struct andiron_request *req, void *state)
{
    struct transaction *t = state;
    const struct andiron_error *err = &t->commit.error;
    struct andiron_error needed;

    if (err->code == ANDIRON_OK)
        return answer_items(req, t);
    if (!t->bundle->is_transaction)
        return commit_without(t);
    if (t->commit.failed >= t->commit.count)
        return andiron_fail_with(req, err);
    if (t->item_of[t->commit.failed] >= t->item_count)
        return reference_moved(req, t);
    struct item *item = &t->items[t->item_of[t->commit.failed]];
    bool raced = err->code == ANDIRON_E_PRECONDITION || err->code == ANDIRON_E_CONFLICT;
    if (raced && item->by_criteria &&
        (item->bound ? transaction_tries_again(t) : ++t->tries < TRIES))
        return transaction_plan(req, t); /* the criteria match another resource now */
    bool moved = item->bound && err->code == ANDIRON_E_PRECONDITION;
    if (moved && transaction_tries_again(t)) {
        t->at = 0;
        return transaction_planned(req, t);
    }
    if (moved)
        return busy(req, item->entry);
    if (raced && transaction_demands_version(t, item)) {
        (void)transaction_version_needed(&needed);
        return transaction_fail_at(req, item->entry, &needed);
    }
    if (raced && item->is_new) {
        (void)andiron_error_set(&needed, ANDIRON_E_CONFLICT, "resource.id",
                                "is that of a resource that does not match the condition");
        return transaction_fail_at(req, item->entry, &needed);
    }
    return transaction_fail_at(req, item->entry, err);
}

/* Whether the resource existed when it was looked at. */
static bool is_live(const struct transaction *t, const struct item *item)
{
    const struct andiron_row *row = &t->befores.rows[item->before];
    return row->ref.id.len > 0 && !row->deleted;
}

static bool has_tags(const struct item *item)
{
    return item->match_tags.len > 0 || item->none_tags.len > 0;
}

/*
 * What a conditional reference matched must be its match still, when all is written: a removal
 * that is skipped where it matches changes nothing, and fails the commit where it does not.
 */
static void guard_reference(const struct reference *r, struct andiron_write *w)
{
    const struct andiron_row *row = &r->rows.rows[0];
    *w = (struct andiron_write){ .ref = { .type = row->ref.type, .id = row->ref.id },
                                 .remove = true,
                                 .if_version = row->ref.version,
                                 .match = &r->plan.query,
                                 .match_is_ref = true,
                                 .if_none_exist = true };
}

static void fill_write(const struct transaction *t, struct item *item, struct andiron_write *w)
{
    *w = (struct andiron_write){
        .ref = { .type = item->type->str, .id = item->id },
        .remove = item->entry->verb == VERB_DELETE,
        .if_version = item->if_match != NEGOTIATE_LOOK ? item->if_match : 0,
        .if_absent =
            (item->if_none && !item->is_conditional) || transaction_demands_version(t, item),
        .match = item->criteria != NULL ? &item->criteria->plan.query : NULL,
        .if_none_exist = item->is_conditional,
        .match_is_ref = item->by_criteria,
    };
    if (!w->remove) {
        bool later = item->preparing.later;
        w->terms = item->preparing.terms;
        w->term_count = item->preparing.term_count;
        w->stamp = later ? prepare_stamp : compose_stamp;
        w->stamp_state = later ? (void *)&item->preparing : (void *)&item->preparing.draft;
    }
    item->bound = false;
    bool looked = item->type->platform || item->entry->verb == VERB_PATCH || has_tags(item);
    if (looked && item->before != NOWHERE && w->if_version == 0 && !item->if_none &&
        !item->is_conditional) {
        w->if_absent = !is_live(t, item);
        w->if_version = w->if_absent ? 0 : t->befores.rows[item->before].ref.version;
        item->bound = true;
    }
    bool is_free = item->if_match == 0 || item->if_match == NEGOTIATE_LOOK;
    if (item->seen.is_bound && is_free && !item->if_none) {
        w->if_version = item->seen.version;
        w->if_absent |= item->seen.version == 0 && !w->remove;
        item->bound = true;
    }
}

/* Terms of a write that has none of its own; see `later` of struct preparing. */
static int make_terms(void *state, size_t which, struct andiron_arena *arena,
                      const struct andiron_term **ret_terms, size_t *ret_count,
                      struct andiron_error *err)
{
    const struct transaction *t = state;
    const struct item *item = &t->items[t->item_of[which]];

    if (!item->preparing.later)
        return 0; /* it has none */
    return prepare_terms(&item->preparing, arena, ret_terms, ret_count, err);
}

static void fill_commit(void *state)
{
    struct transaction *t = state;
    struct andiron_arena *arena = andiron_request_arena(t->req);
    size_t most = t->item_count + t->reference_count, count = 0;
    struct andiron_write *writes = andiron_alloc(arena, (most + 1) * sizeof(writes[0]));

    /* What is looked at once more stays in memory for all entries at once. */
    bool shows = t->bundle->wanted.give == RETURN_REPRESENTATION;

    t->has_owners = false;
    t->places = andiron_alloc(arena, (t->item_count + 1) * sizeof(t->places[0]));
    t->item_of = andiron_alloc(arena, (most + 1) * sizeof(t->item_of[0]));
    for (size_t i = 0; i < t->item_count; i++) {
        struct item *item = &t->items[i];
        t->places[i] = NOWHERE;
        t->has_owners |= item->type->hooks != NULL;
        if (item->preparing.same || item->left)
            continue;
        t->places[i] = count;
        t->item_of[count] = i;
        item->preparing.draft.writes = writes;
        item->preparing.draft.places = t->places;
        fill_write(t, item, &writes[count++]);
    }
    for (size_t i = 0; count > 0 && i < t->reference_count; i++) {
        t->item_of[count] = t->item_count + i;
        guard_reference(t->references[i], &writes[count++]);
    }
    t->commit = (struct andiron_commit){ .writes = writes,
                                         .count = count,
                                         .check_references = t->fhir->config->referential_integrity,
                                         .bodies_are_brief = !t->has_owners && !shows };
    t->maker = (struct andiron_term_maker){ make_terms, t };
}

static enum andiron_step submit(struct andiron_request *req, void *state)
{
    struct transaction *t = state;

    if (t->commit.count == 0)
        return answer_items(req, t);
    if (t->later)
        return t->fhir->store->commit_making(t->fhir->store_self, req, &t->commit, &t->maker,
                                             committed, t);
    return t->fhir->store->commit(t->fhir->store_self, req, &t->commit, committed, t);
}

/* ---- preparation ---------------------------------------------------------------------------------- */

static enum andiron_access access_of(const struct entry *e)
{
    static const enum andiron_access accesses[] = { [VERB_DELETE] = ANDIRON_ACCESS_DELETE,
                                                    [VERB_POST] = ANDIRON_ACCESS_CREATE,
                                                    [VERB_PUT] = ANDIRON_ACCESS_UPDATE,
                                                    [VERB_PATCH] = ANDIRON_ACCESS_UPDATE };
    return accesses[e->verb]; /* items are writes */
}

/* What became of an item. -1 and t->error. */
static int item_prepared(struct transaction *t, struct item *item)
{
    const struct issues *issues = &item->preparing.issues;

    if (issues->count > 0 && !t->bundle->is_transaction) {
        entries_fail(t->req, item->entry, issues->list, issues->count);
        transaction_leave(item);
        return 0;
    }
    for (size_t i = 0; i < issues->count; i++)
        issues_add_error(&t->issues, &issues->list[i]);
    if (issues->count > 0 || item->preparing.same || item->judged == NULL ||
        access_result(t->fhir, item->judged, item->type, item->id, access_of(item->entry),
                      item->preparing.terms, item->preparing.term_count, &t->error) == 0)
        return 0;
    return -1;
}

static void plan_item(struct transaction *t, size_t index, bool is_system)
{
    struct item *item = &t->items[index];
    struct entry *e = item->entry;
    const struct andiron_row *row = item->before != NOWHERE ? &t->befores.rows[item->before] : NULL;

    item->rewrites = (struct rewrites){ .map = t->map,
                                        .base = rewrite_base(e->full_url),
                                        .conditional = t->conditional };
    item->preparing = (struct preparing){
        .fhir = t->fhir,
        .req = t->req,
        .type = item->type,
        .root = e->resource,
        .id = item->id,
        .patch = e->verb == VERB_PATCH ? &item->patch : NULL,
        .patch_target = e->verb == VERB_PATCH
                            ? answer_text(t->fhir, t->req, item->type, BASE_FHIR, row->body)
                            : (andiron_str){ NULL, 0 },
        .id_in_body = e->verb == VERB_PATCH || (e->verb == VERB_PUT && !item->by_criteria),
        .same_is_kept = e->verb != VERB_POST && (item->type->platform || is_system),
        .before = row != NULL && is_live(t, item) ? row->body : (andiron_str){ NULL, 0 },
        .created = row != NULL && row[1].ref.id.len > 0 ? row[1].updated : 0,
        .rewrites = item->type->platform || !t->bundle->is_transaction ? NULL : &item->rewrites,
        .id_is_hole = item->is_conditional,
        .write = index,
        .later = t->later && item->judged == NULL, /* who is narrowed is judged by the terms */
    };
}

/* Whether drafts and terms are made one at a time, when they are stored. */
static bool makes_later(const struct transaction *t)
{
    const struct andiron_store *store = t->fhir->store;

    if (store->size <
            offsetof(struct andiron_store, commit_making) + sizeof(store->commit_making) ||
        store->commit_making == NULL || t->fhir->config->referential_integrity || !t->is_large)
        return false;
    for (size_t i = 0; i < t->item_count; i++)
        if (t->items[i].is_conditional && !t->items[i].left)
            return false;
    return true;
}

/* RFC 9110 sections 13.1.1 and 13.1.2. -1 and err. */
static int check_tags(const struct transaction *t, const struct item *item,
                      struct andiron_error *err)
{
    uint64_t version = is_live(t, item) ? t->befores.rows[item->before].ref.version : 0;
    bool matches = item->match_tags.len > 0
                       ? version > 0 && negotiate_etag_matches(item->match_tags, version)
                       : item->if_match == 0 || item->if_match == version;

    if (!matches)
        return andiron_error_set(err, ANDIRON_E_PRECONDITION, "request.ifMatch",
                                 "is not the current version");
    if (version > 0 && item->none_tags.len > 0 && negotiate_etag_matches(item->none_tags, version))
        return andiron_error_set(err, ANDIRON_E_PRECONDITION, "request.ifNoneMatch",
                                 "is the current version");
    return 0;
}

/* Whether what is stored can be patched. -1 and err. */
static int check_before(const struct transaction *t, const struct item *item,
                        struct andiron_error *err)
{
    if (item->entry->verb != VERB_PATCH)
        return 0;
    if (!is_live(t, item))
        return andiron_error_set(
            err, t->befores.rows[item->before].deleted ? ANDIRON_E_GONE : ANDIRON_E_NOT_FOUND,
            "request.url", "does not name a resource that is stored");
    return transaction_demands_version(t, item) ? transaction_version_needed(err) : 0;
}

/* Whether the item can be done, and how. -1 and t->error. */
static int ready_item(struct transaction *t, size_t index, bool is_system)
{
    struct item *item = &t->items[index];

    if (item->before != NOWHERE && check_tags(t, item, &t->error) != 0) {
        if (t->bundle->is_transaction)
            return -1;
        transaction_leave(item);
        return 0;
    }
    if (item->entry->verb == VERB_DELETE) {
        item->preparing.same = item->is_void || (item->before != NOWHERE && !is_live(t, item)) ||
                               (item->seen.is_bound && item->seen.version == 0);
        return 0;
    }
    if (check_before(t, item, &t->error) != 0)
        return -1;
    plan_item(t, index, is_system);
    return 0;
}

static void prepare_items(void *state)
{
    struct transaction *t = state;
    bool is_system = andiron_request_principal(t->req)->kind == ANDIRON_SYSTEM;

    t->later = makes_later(t);
    t->failed = NULL;
    for (size_t i = 0; i < t->item_count; i++) {
        struct item *item = &t->items[i];
        if (!item->left && ready_item(t, i, is_system) != 0) {
            t->failed = item->entry;
            return;
        }
    }
    for (size_t i = 0; i < t->item_count; i++) {
        struct item *item = &t->items[i];
        if (item->entry->verb == VERB_DELETE || item->left)
            continue;
        char root[64]; /* goes into each issue as it is added */
        int len = snprintf(root, sizeof(root), "Bundle.entry[%zu].resource", item->entry->index);
        item->preparing.issues.root = (andiron_str){ root, (size_t)len };
        prepare(&item->preparing);
        item->preparing.issues.root = (andiron_str){ NULL, 0 };
        if (item_prepared(t, item) != 0) {
            t->failed = item->entry;
            return;
        }
    }
    if (t->issues.count == 0)
        fill_commit(t);
}

static enum andiron_step prepared(struct andiron_request *req, void *state)
{
    struct transaction *t = state;

    if (t->failed != NULL)
        return transaction_fail_at(req, t->failed, &t->error);
    if (t->issues.count > 0)
        return prepare_fail(req, &t->issues);
    return submit(req, t);
}

static enum andiron_step befores_read(struct andiron_request *req, void *state)
{
    struct transaction *t = state;
    bool slow = t->is_large;

    if (t->befores.error.code != ANDIRON_OK)
        return andiron_fail_with(req, &t->befores.error);
    for (size_t i = 0; i < t->item_count && !slow; i++) {
        const struct item *item = &t->items[i];
        bool patches = item->entry->verb == VERB_PATCH && item->before != NOWHERE;
        slow |= patches && t->befores.rows[item->before].body.len > FHIR_OFFLOAD_ABOVE;
        slow |= prepare_is_slow(item->type);
    }
    if (slow)
        return andiron_offload(req, prepare_items, prepared, t);
    prepare_items(t);
    return prepared(req, t);
}

static enum andiron_step read_befores(struct andiron_request *req, struct transaction *t)
{
    if (t->ref_count == 0)
        return befores_read(req, t);
    t->befores = (struct andiron_rows){ .count = 0 };
    return t->fhir->store->read(t->fhir->store_self, req, t->refs, t->ref_count, &t->befores,
                                befores_read, t);
}

static enum andiron_step ask_befores(struct andiron_request *req, struct transaction *t)
{
    t->refs =
        andiron_alloc(andiron_request_arena(req), (t->item_count * 2 + 1) * sizeof(t->refs[0]));
    t->ref_count = 0;
    for (size_t i = 0; i < t->item_count; i++) {
        struct item *item = &t->items[i];
        item->before = NOWHERE;
        bool removes = item->entry->verb == VERB_DELETE;
        bool needed =
            item->entry->verb == VERB_PATCH || has_tags(item) ||
            (removes ? item->type->platform : prepare_needs_before(t->fhir, item->type, req));
        if (item->left || item->is_void || item->entry->verb == VERB_POST || !needed)
            continue;
        item->before = t->ref_count;
        t->refs[t->ref_count++] = (struct andiron_ref){ .type = item->type->str, .id = item->id };
        t->refs[t->ref_count++] =
            (struct andiron_ref){ .type = item->type->str, .id = item->id, .version = 1 };
    }
    return read_befores(req, t);
}

/* Existing resources must lie within what each entry's request was narrowed to. */
enum andiron_step transaction_planned(struct andiron_request *req, void *state)
{
    struct transaction *t = state;

    while (t->at < t->item_count) {
        struct item *item = &t->items[t->at++];
        enum andiron_access access = access_of(item->entry);
        if (item->left || item->is_void || item->judged == NULL ||
            !access_is_narrowed(item->judged, item->type, access))
            continue;
        if (!t->bundle->is_transaction)
            transaction_leave(item);
        else if (item->entry->verb != VERB_POST)
            return access_change(t->fhir, req, item->judged, item->type, item->id, access,
                                 &item->seen, transaction_planned, t);
    }
    return ask_befores(req, t);
}

/* ---- may they? ---------------------------------------------------------------------------------------------- */

static enum andiron_step check_next(struct andiron_request *req, struct transaction *t);

static void drop_arena(void *arena)
{
    andiron_arena_free(arena);
}

static void drop_checking(void *state)
{
    struct transaction *t = state;
    andiron_arena_free(t->checking);
    t->checking = NULL;
}

/* Whether anything of the request that was allowed is asked for later. */
static bool is_judged_later(const struct transaction *t, const struct item *item)
{
    return item->entry->query.data != NULL || item->entry->if_none_exist.data != NULL ||
           access_is_narrowed(t->sub, item->type, access_of(item->entry));
}

static void keep_judged(struct transaction *t, struct item *item)
{
    item->judged = t->sub;
    andiron_at_release(andiron_request_arena(t->req), drop_arena, t->checking);
    t->checking = NULL;
}

static enum andiron_step checked(struct andiron_request *req, void *state)
{
    struct transaction *t = state;
    struct entry *e = t->order[t->at];
    int status = andiron_reply_status(t->sub);
    struct andiron_error err;

    if (status >= 400 && !t->bundle->is_transaction) {
        entries_take(req, t->bundle, e, t->sub);
        keep_judged(t, &t->items[t->at]);
        transaction_leave(&t->items[t->at++]);
        return check_next(req, t);
    }
    if (status == 401)
        return andiron_fail(req, ANDIRON_E_UNAUTHENTICATED, "Unauthorized");
    if (status == 403)
        return access_refuse_as(req, t->sub);
    if (status >= 400) {
        (void)andiron_error_set(&err, ANDIRON_E_INVALID, "request.url",
                                "%.*s is answered with %d here", (int)e->method.len, e->method.data,
                                status);
        return transaction_fail_at(req, e, &err);
    }
    if (t->at < t->item_count && is_judged_later(t, &t->items[t->at]))
        keep_judged(t, &t->items[t->at]);
    drop_checking(t);
    t->at++;
    return check_next(req, t);
}

/* Items are the first of `order`, in the same order. Other entries of a batch ask when they run. */
static enum andiron_step check_next(struct andiron_request *req, struct transaction *t)
{
    size_t end = t->bundle->is_transaction ? t->order_count : t->item_count;
    if (t->at == end || andiron_request_principal(req)->kind == ANDIRON_SYSTEM)
        return transaction_plan(req, t);
    t->checking = andiron_arena_new(0); /* thousands of them would not fit */
    struct andiron_inner inner = entries_inner(t->bundle, t->order[t->at], t->checking);
    inner.check_only = true;
    inner.arena = t->checking;
    return andiron_request_run(req, &inner, &t->sub, checked, t);
}

/* ---- beginning ------------------------------------------------------------------------------------------------ */

static void check_entry(struct transaction *t, struct item *item)
{
    struct entry *e = item->entry;
    bool is_post = e->verb == VERB_POST, by_criteria = e->query.data != NULL;

    if (item->type == NULL)
        transaction_refuse(t, e, ANDIRON_E_NOT_FOUND, ".request.url",
                           "does not name a resource type of this server");
    else if (item->type->virtual)
        transaction_refuse(t, e, ANDIRON_E_METHOD, ".request.url",
                           "is made by the server and cannot be written");
    else if (e->verb == VERB_PATCH && item->type->platform &&
             patch_kind(e->content_type) == PATCH_FHIRPATH)
        transaction_refuse(t, e, ANDIRON_E_MEDIA_TYPE, ".resource",
                           "of this type is patched by JSON Patch or JSON Merge Patch");
    else if (is_post && (e->id.data != NULL || by_criteria))
        transaction_refuse(t, e, ANDIRON_E_INVALID, ".request.url",
                           "of a POST must be a resource type");
    else if (!is_post && by_criteria && e->id.data != NULL)
        transaction_refuse(t, e, ANDIRON_E_INVALID, ".request.url",
                           "must name a resource or criteria, not both");
    else if (!is_post && !by_criteria && !types_is_id(e->id))
        transaction_refuse(t, e, ANDIRON_E_INVALID, ".request.url",
                           "must name a resource, such as Patient/1");
}

/* Whether an entry of a batch can be part of a common commit. */
static bool is_plain(const struct transaction *t, const struct entry *e)
{
    const struct resource_type *type = types_find(t->fhir->types, e->type);
    bool needs_id = e->verb == VERB_PUT || e->verb == VERB_DELETE;

    return e->verb <= VERB_PUT && type != NULL && !type->platform && e->query.data == NULL &&
           (needs_id ? types_is_id(e->id) : e->id.data == NULL);
}

static bool is_item(const struct transaction *t, const struct entry *e)
{
    return e->status == 0 && (t->bundle->is_transaction ? e->verb <= VERB_PATCH : is_plain(t, e));
}

/* Items by their verbs, and behind them the other entries that have no answer yet. */
static void sort_entries(struct transaction *t, struct andiron_arena *arena)
{
    struct bundle *b = t->bundle;

    t->order = andiron_alloc(arena, (b->count + 1) * sizeof(t->order[0]));
    for (int verb = VERB_DELETE; verb <= VERB_PUT; verb++)
        for (size_t i = 0; i < b->count; i++) {
            int own = b->entries[i].verb == VERB_PATCH ? VERB_PUT : (int)b->entries[i].verb;
            if (own == verb && is_item(t, &b->entries[i]))
                t->order[t->order_count++] = &b->entries[i];
        }
    t->item_count = t->order_count;
    for (size_t i = 0; i < b->count; i++)
        if (b->entries[i].status == 0 && !is_item(t, &b->entries[i]))
            t->order[t->order_count++] = &b->entries[i];
    t->items = andiron_alloc(arena, (t->item_count + 1) * sizeof(t->items[0]));
    for (size_t i = 0; i < t->item_count; i++) {
        t->items[i].entry = t->order[i];
        t->items[i].type = types_find(t->fhir->types, t->order[i]->type);
    }
}

static void arrange(void *state)
{
    struct transaction *t = state;

    sort_entries(t, andiron_request_arena(t->req));
    for (size_t i = 0; i < t->item_count && t->bundle->is_transaction; i++)
        check_entry(t, &t->items[i]);
}

static enum andiron_step arranged(struct andiron_request *req, void *state)
{
    struct transaction *t = state;

    if (t->issues.count > 0)
        return prepare_fail(req, &t->issues);
    return check_next(req, t);
}

enum andiron_step transaction_run(struct andiron_request *req, struct bundle *bundle)
{
    struct andiron_arena *arena = andiron_request_arena(req);
    struct transaction *t = andiron_new(arena, struct transaction);

    t->bundle = bundle;
    t->fhir = bundle->fhir;
    t->req = req;
    t->is_large = andiron_request_body(req).len > FHIR_OFFLOAD_ABOVE;
    andiron_at_release(arena, drop_checking, t);
    issues_init(&t->issues, arena, ANDIRON_STR("Bundle"));
    return transaction_work(t, arrange, arranged);
}
