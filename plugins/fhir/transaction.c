/*
 * Transactions and batches (http.html#transaction, #trules).
 *
 *   run -> allowed (transaction_check.c) -> planned -> conditional references (transaction_plan.c)
 *       -> within scope -> before -> prepared -> committed -> other entries -> answer
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
    andiron_request_note(req, ANSWER_WARNING, (andiron_str){ NULL, 0 });
    hooks->stored(item->type->hooks_self, req, item->id, resource);
    entries_warn(req, item->entry, andiron_request_noted(req, ANSWER_WARNING));
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
    /* What is stored already may have been stored by another node a moment ago. */
    for (size_t i = 0; i < t->item_count; i++) {
        const struct item *item = &t->items[i];
        if (t->places[i] == NOWHERE && !item->left && item->twin == NULL &&
            item->entry->verb != VERB_DELETE)
            tell_owner(req, item, t->befores.rows[item->before].body);
    }
}

static void answer_item(struct andiron_request *req, struct transaction *t, struct item *item,
                        size_t place)
{
    struct entry *e = item->entry;

    if (item->twin != NULL)
        place = t->places[item->twin - t->items];
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
    int status = w->remove ? 204 : w->created && item->twin == NULL ? 201 : 200;
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
    return item->if_match == NEGOTIATE_LOOK || item->has_none_tags;
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
        w->stamp_state = later ? (void *)&item->preparing : (void *)item->preparing.draft;
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
        if (item->preparing.same || item->left || item->twin != NULL)
            continue;
        t->places[i] = count;
        t->item_of[count] = i;
        item->preparing.writes = writes;
        item->preparing.places = t->places;
        if (item->preparing.draft != NULL) {
            item->preparing.draft->writes = writes;
            item->preparing.draft->places = t->places;
        }
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

/* Whether the item's request may write what it writes. -1 and t->error. */
static int judge_item(struct transaction *t, const struct item *item)
{
    enum andiron_access access = transaction_access(item->entry);
    const struct andiron_term *terms = item->preparing.terms;
    size_t count = item->preparing.term_count;
    int judged = -1;

    if (item->judged == NULL || !access_is_narrowed(item->judged, item->type, access))
        return 0;
    struct andiron_arena *scratch = andiron_arena_new(0); /* they are made again to be stored */
    if (!item->preparing.later ||
        prepare_terms(&item->preparing, scratch, &terms, &count, &t->error) == 0)
        judged = access_result(t->fhir, item->judged, item->type, item->id, access, scratch, terms,
                               count, &t->error);
    andiron_arena_free(scratch);
    return judged;
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
    return issues->count > 0 || item->preparing.same ? 0 : judge_item(t, item);
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
        .patch = item->patch,
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
        .later = t->later,
    };
}

/* Whether drafts and terms are made one at a time, when they are stored. */
static bool makes_later(const struct transaction *t)
{
    const struct andiron_store *store = t->fhir->store;
    size_t settled = offsetof(struct andiron_store, makes_settled) + sizeof(store->makes_settled);

    if (store->size <
            offsetof(struct andiron_store, commit_making) + sizeof(store->commit_making) ||
        store->commit_making == NULL || !t->is_large)
        return false;
    if (store->size >= settled && store->makes_settled)
        return true;
    for (size_t i = 0; i < t->item_count; i++)
        if (t->items[i].is_conditional && !t->items[i].left)
            return false;
    return !t->fhir->config->referential_integrity;
}

/* RFC 9110 sections 13.1.1 and 13.1.2. -1 and err. */
static int check_tags(const struct transaction *t, const struct item *item,
                      struct andiron_error *err)
{
    uint64_t version = is_live(t, item) ? t->befores.rows[item->before].ref.version : 0;
    const struct entry_conditions *given = item->entry->conditions;
    bool matches = item->if_match == NEGOTIATE_LOOK
                       ? version > 0 && negotiate_etag_matches(given->if_match, version)
                       : item->if_match == 0 || item->if_match == version;

    if (!matches)
        return andiron_error_set(err, ANDIRON_E_PRECONDITION, "request.ifMatch",
                                 "is not the current version");
    if (version > 0 && item->has_none_tags && negotiate_etag_matches(given->if_none_match, version))
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

/* Whether an item is judged, or its new version made, by what is stored. */
static bool needs_before(const struct transaction *t, const struct item *item)
{
    bool removes = item->entry->verb == VERB_DELETE;

    if (item->left || item->is_void || item->entry->verb == VERB_POST)
        return false;
    return item->entry->verb == VERB_PATCH || has_tags(item) ||
           (removes ? item->type->platform : prepare_needs_before(t->fhir, item->type, t->req));
}

static enum andiron_step ask_befores(struct andiron_request *req, struct transaction *t)
{
    size_t count = 0;

    for (size_t i = 0; i < t->item_count; i++) {
        t->items[i].before = needs_before(t, &t->items[i]) ? count : NOWHERE;
        count += t->items[i].before != NOWHERE ? 2 : 0;
    }
    t->refs =
        count > 0 ? andiron_alloc(andiron_request_arena(req), count * sizeof(t->refs[0])) : NULL;
    t->ref_count = count;
    for (size_t i = 0; i < t->item_count; i++) {
        const struct item *item = &t->items[i];
        if (item->before == NOWHERE)
            continue;
        struct andiron_ref *ref = &t->refs[item->before];
        ref[0] = (struct andiron_ref){ .type = item->type->str, .id = item->id };
        ref[1] = (struct andiron_ref){ .type = item->type->str, .id = item->id, .version = 1 };
    }
    return read_befores(req, t);
}

/* Whether what the item names must lie within what its request was narrowed to. */
static bool is_asked(const struct transaction *t, const struct item *item)
{
    return t->bundle->is_transaction && !item->left && !item->is_void && item->judged != NULL &&
           item->entry->verb != VERB_POST &&
           access_is_narrowed(item->judged, item->type, transaction_access(item->entry));
}

static enum andiron_step ask_within(struct andiron_request *req, void *state)
{
    struct transaction *t = state;

    while (t->at < t->item_count) {
        struct item *item = &t->items[t->at++];
        if (is_asked(t, item) && !item->seen.is_bound)
            return access_change(t->fhir, req, item->judged, item->type, item->id,
                                 transaction_access(item->entry), &item->seen, &t->asking,
                                 ask_within, t);
    }
    return ask_befores(req, t);
}

/* What does not exist needs no question, which would take more memory than an entry. */
static enum andiron_step existing_read(struct andiron_request *req, void *state)
{
    struct transaction *t = state;
    size_t at = 0;

    if (t->befores.error.code != ANDIRON_OK)
        return andiron_fail_with(req, &t->befores.error);
    for (size_t i = 0; i < t->item_count; i++) {
        if (!is_asked(t, &t->items[i]))
            continue;
        const struct andiron_row *row = &t->befores.rows[at++];
        t->items[i].seen =
            (struct access_bound){ .is_bound = row->ref.id.len == 0 || row->deleted };
    }
    return ask_within(req, t);
}

/* Existing resources must lie within what each entry's request was narrowed to. */
enum andiron_step transaction_planned(struct andiron_request *req, void *state)
{
    struct transaction *t = state;
    size_t count = 0;

    t->at = 0;
    for (size_t i = 0; i < t->item_count; i++) {
        struct item *item = &t->items[i];
        item->seen = (struct access_bound){ .is_bound = false };
        count += is_asked(t, item);
        if (!t->bundle->is_transaction && !item->left && item->judged != NULL &&
            access_is_narrowed(item->judged, item->type, transaction_access(item->entry)))
            transaction_leave(item);
    }
    if (count == 0)
        return ask_befores(req, t);
    t->refs = andiron_alloc(andiron_request_arena(req), count * sizeof(t->refs[0]));
    t->ref_count = 0;
    for (size_t i = 0; i < t->item_count; i++)
        if (is_asked(t, &t->items[i]))
            t->refs[t->ref_count++] =
                (struct andiron_ref){ .type = t->items[i].type->str, .id = t->items[i].id };
    t->befores = (struct andiron_rows){ .count = 0 };
    return t->fhir->store->read(t->fhir->store_self, req, t->refs, t->ref_count, &t->befores,
                                existing_read, t);
}
