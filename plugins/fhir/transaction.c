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
#include <stdio.h>

#include <andiron/auth.h>

#include "access.h"
#include "bundle.h"
#include "match.h"
#include "prepare.h"
#include "text.h"
#include "uuid.h"

enum { TRIES = 4 };
#define NOWHERE SIZE_MAX

/* A writing entry. */
struct item {
    struct entry *entry;
    const struct resource_type *type;
    struct andiron_request *judged; /* inner request that was allowed */
    andiron_str id;
    uint64_t if_match;
    bool if_none, is_conditional;
    struct andiron_search_plan match;
    struct rewrite_target target, identity;
    struct rewrites rewrites;
    struct preparing preparing;
    size_t before; /* in befores: current version, then the first; NOWHERE: not asked */
    bool bound;    /* the commit fails if the current version is no longer the one looked at */
    bool left;     /* of a batch: taken out of the commit */
};

/* A reference by search, "Patient?identifier=x", wherever it stands. */
struct reference {
    andiron_str url;
    const struct resource_type *type;
    struct andiron_search_plan plan;
    struct andiron_rows rows;
    struct rewrite_target target;
    size_t entry;
};

struct transaction {
    struct bundle *bundle;
    const struct fhir *fhir;
    struct andiron_request *req;
    struct entry **order; /* as they are processed: items first */
    size_t order_count;
    size_t at; /* step of a loop over order, items or references */
    struct andiron_request *sub;

    struct item *items;
    size_t item_count;
    struct rewrite_map *map, *identities, *conditional;
    struct reference **references;
    size_t reference_count, reference_cap;
    struct issues issues;

    struct andiron_ref *refs;
    size_t ref_count;
    struct andiron_rows befores;
    unsigned tries;

    struct andiron_commit commit;
    size_t *places;  /* of each item in the commit; NOWHERE: unchanged, or not in it */
    size_t *item_of; /* of each write */
};

static enum andiron_step read_befores(struct andiron_request *req, struct transaction *t);

static void refuse(struct transaction *t, const struct entry *e, enum andiron_code code,
                   const char *member, const char *message)
{
    char where[64];
    (void)snprintf(where, sizeof(where), ".entry[%zu]%s", e->index, member);
    issues_add(&t->issues, code, where, "%s", message);
}

/* Fails the whole with an error that concerns one entry. */
static enum andiron_step fail_at(struct andiron_request *req, const struct entry *e,
                                 const struct andiron_error *err)
{
    struct andiron_error placed = *err;
    (void)snprintf(placed.where, sizeof(placed.where), "Bundle.entry[%zu]%s%.80s", e->index,
                   err->where[0] != '\0' ? "." : "", err->where);
    return andiron_fail_with(req, &placed);
}

/* Takes an item of a batch out. Its entry has its answer, or is run by itself in the end. */
static void leave(struct item *item)
{
    item->left = true;
}

/* ---- answer ----------------------------------------------------------------------------------- */

static enum andiron_step run_others(struct andiron_request *req, struct transaction *t);

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
        return entries_answer(req, t->bundle);
    struct andiron_inner inner = entries_inner(t->bundle, t->order[t->at]);
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
        entries_version(req, e, 200, item->type, item->id, row->ref.version, row->updated);
        if (t->bundle->wanted.give == RETURN_REPRESENTATION)
            e->body = answer_text(t->fhir, req, item->type, BASE_FHIR, row->body);
        return;
    }
    const struct andiron_write *w = &t->commit.writes[place];
    int status = w->remove ? 204 : w->created ? 201 : 200;
    bool skipped = w->if_none_exist && !w->created;
    entries_version(req, e, status, item->type, w->ref.id, w->ref.version, w->updated);
    if (skipped)
        return; /* it exists already; the transaction did not touch it */
    tell_owner(req, item, w->remove ? (andiron_str){ NULL, 0 } : w->body);
    if (!w->remove && t->bundle->wanted.give == RETURN_REPRESENTATION)
        e->body = answer_text(t->fhir, req, item->type, BASE_FHIR, w->body);
}

static enum andiron_step answer_items(struct andiron_request *req, struct transaction *t)
{
    for (size_t i = 0; i < t->item_count; i++)
        if (!t->items[i].left)
            answer_item(req, t, &t->items[i], t->places[i]);
    t->at = 0;
    return run_others(req, t);
}

/* ---- commit ------------------------------------------------------------------------------------ */

static enum andiron_step commit(struct andiron_request *req, struct transaction *t);

/* A batch goes on without the entry that failed; after some of them each runs by itself. */
static enum andiron_step commit_without(struct andiron_request *req, struct transaction *t)
{
    bool known = t->commit.failed < t->commit.count && ++t->tries < TRIES;

    for (size_t i = 0; i < t->item_count; i++)
        if (!known || i == t->item_of[t->commit.failed])
            leave(&t->items[i]);
    return commit(req, t);
}

static enum andiron_step committed(struct andiron_request *req, void *state)
{
    struct transaction *t = state;
    const struct andiron_error *err = &t->commit.error;

    if (err->code == ANDIRON_OK)
        return answer_items(req, t);
    if (!t->bundle->is_transaction)
        return commit_without(req, t);
    if (t->commit.failed >= t->commit.count)
        return andiron_fail_with(req, err);
    struct item *item = &t->items[t->item_of[t->commit.failed]];
    bool raced = err->code == ANDIRON_E_PRECONDITION || err->code == ANDIRON_E_CONFLICT;
    if (raced && item->bound && ++t->tries < TRIES)
        return read_befores(req, t);
    return fail_at(req, item->entry, err);
}

/* Whether the resource existed when it was looked at. */
static bool is_live(const struct transaction *t, const struct item *item)
{
    const struct andiron_row *row = &t->befores.rows[item->before];
    return row->ref.id.len > 0 && !row->deleted;
}

static void fill_write(const struct transaction *t, struct item *item, struct andiron_write *w)
{
    *w = (struct andiron_write){
        .ref = { .type = item->type->str, .id = item->id },
        .remove = item->entry->verb == VERB_DELETE,
        .if_version = item->if_match,
        .if_absent = item->if_none && !item->is_conditional,
        .match = item->is_conditional ? &item->match.query : NULL,
        .if_none_exist = item->is_conditional,
    };
    if (!w->remove) {
        w->terms = item->preparing.terms;
        w->term_count = item->preparing.term_count;
        w->stamp = compose_stamp;
        w->stamp_state = &item->preparing.draft;
    }
    item->bound = false;
    if (item->type->platform && item->before != NOWHERE && item->if_match == 0 && !item->if_none &&
        !item->is_conditional) {
        w->if_absent = !is_live(t, item);
        w->if_version = w->if_absent ? 0 : t->befores.rows[item->before].ref.version;
        item->bound = true;
    }
}

static enum andiron_step commit(struct andiron_request *req, struct transaction *t)
{
    struct andiron_arena *arena = andiron_request_arena(req);
    struct andiron_write *writes = andiron_alloc(arena, (t->item_count + 1) * sizeof(writes[0]));
    size_t count = 0;

    t->places = andiron_alloc(arena, (t->item_count + 1) * sizeof(t->places[0]));
    t->item_of = andiron_alloc(arena, (t->item_count + 1) * sizeof(t->item_of[0]));
    for (size_t i = 0; i < t->item_count; i++) {
        struct item *item = &t->items[i];
        t->places[i] = NOWHERE;
        if (item->preparing.same || item->left)
            continue;
        t->places[i] = count;
        t->item_of[count] = i;
        item->preparing.draft.writes = writes;
        item->preparing.draft.places = t->places;
        fill_write(t, item, &writes[count++]);
    }
    t->commit = (struct andiron_commit){
        .writes = writes, .count = count, .check_references = t->fhir->config->referential_integrity
    };
    if (count == 0)
        return answer_items(req, t);
    return t->fhir->store->commit(t->fhir->store_self, req, &t->commit, committed, t);
}

/* ---- preparation ---------------------------------------------------------------------------------- */

/* What became of an item; -1: the transaction has been failed. */
static int item_prepared(struct andiron_request *req, struct transaction *t, struct item *item)
{
    const struct issues *issues = &item->preparing.issues;
    struct andiron_error err;

    if (issues->count > 0 && !t->bundle->is_transaction) {
        entries_fail(req, item->entry, issues->list, issues->count);
        leave(item);
        return 0;
    }
    for (size_t i = 0; i < issues->count; i++)
        issues_add_error(&t->issues, &issues->list[i]);
    if (issues->count > 0 || item->preparing.same || item->judged == NULL ||
        access_result(t->fhir, item->judged, item->type, item->id, item->preparing.terms,
                      item->preparing.term_count, &err) == 0)
        return 0;
    (void)fail_at(req, item->entry, &err);
    return -1;
}

static enum andiron_step prepared(struct andiron_request *req, void *state)
{
    struct transaction *t = state;

    for (size_t i = 0; i < t->item_count; i++)
        if (!t->items[i].left && t->items[i].entry->verb != VERB_DELETE &&
            item_prepared(req, t, &t->items[i]) != 0)
            return ANDIRON_DONE;
    if (t->issues.count > 0)
        return prepare_fail(req, &t->issues);
    return commit(req, t);
}

static void prepare_items(void *state)
{
    struct transaction *t = state;
    for (size_t i = 0; i < t->item_count; i++)
        if (t->items[i].entry->verb != VERB_DELETE && !t->items[i].left)
            prepare(&t->items[i].preparing);
}

static void plan_item(struct transaction *t, size_t index, bool is_system)
{
    struct item *item = &t->items[index];
    struct entry *e = item->entry;
    const struct andiron_row *row = item->before != NOWHERE ? &t->befores.rows[item->before] : NULL;
    struct andiron_arena *arena = andiron_request_arena(t->req);

    item->rewrites = (struct rewrites){ .map = t->map,
                                        .base = rewrite_base(e->full_url),
                                        .conditional = t->conditional };
    item->preparing = (struct preparing){
        .fhir = t->fhir,
        .req = t->req,
        .type = item->type,
        .root = e->resource,
        .id = item->id,
        .id_in_body = e->verb == VERB_PUT,
        .same_is_kept = e->verb == VERB_PUT && (item->type->platform || is_system),
        .before = row != NULL && is_live(t, item) ? row->body : (andiron_str){ NULL, 0 },
        .created = row != NULL && row[1].ref.id.len > 0 ? row[1].updated : 0,
        .rewrites = item->type->platform || !t->bundle->is_transaction ? NULL : &item->rewrites,
        .id_is_hole = item->is_conditional,
        .write = index,
    };
    item->preparing.issues.root =
        andiron_str_of(andiron_printf(arena, "Bundle.entry[%zu].resource", e->index));
}

static enum andiron_step befores_read(struct andiron_request *req, void *state)
{
    struct transaction *t = state;
    bool is_system = andiron_request_principal(req)->kind == ANDIRON_SYSTEM;
    bool slow = andiron_request_body(req).len > FHIR_OFFLOAD_ABOVE;

    if (t->befores.error.code != ANDIRON_OK)
        return andiron_fail_with(req, &t->befores.error);
    for (size_t i = 0; i < t->item_count; i++) {
        struct item *item = &t->items[i];
        if (item->left)
            continue;
        if (item->before != NOWHERE && item->if_match != 0 &&
            t->befores.rows[item->before].ref.version != item->if_match) {
            struct andiron_error err;
            (void)andiron_error_set(&err, ANDIRON_E_PRECONDITION, "request.ifMatch",
                                    "is not the current version");
            if (t->bundle->is_transaction)
                return fail_at(req, item->entry, &err);
            leave(item);
            continue;
        }
        if (item->entry->verb == VERB_DELETE) {
            item->preparing.same = item->before != NOWHERE && !is_live(t, item);
            continue;
        }
        plan_item(t, i, is_system);
        slow |= item->type->hooks != NULL && item->type->hooks->accept != NULL;
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
        if (item->left || item->entry->verb == VERB_POST ||
            (removes ? !item->type->platform : !prepare_needs_before(t->fhir, item->type, req)))
            continue;
        item->before = t->ref_count;
        t->refs[t->ref_count++] = (struct andiron_ref){ .type = item->type->str, .id = item->id };
        t->refs[t->ref_count++] =
            (struct andiron_ref){ .type = item->type->str, .id = item->id, .version = 1 };
    }
    return read_befores(req, t);
}

/* Existing resources must lie within what each entry's request was narrowed to. */
static enum andiron_step within_scope(struct andiron_request *req, void *state)
{
    struct transaction *t = state;

    while (t->at < t->item_count) {
        struct item *item = &t->items[t->at++];
        if (item->left || item->judged == NULL || !access_is_narrowed(item->judged, item->type))
            continue;
        if (!t->bundle->is_transaction)
            leave(item);
        else if (item->entry->verb != VERB_POST)
            return access_change(t->fhir, req, item->judged, item->type, item->id, within_scope, t);
    }
    return ask_befores(req, t);
}

/* ---- conditional references -------------------------------------------------------------------------- */

static enum andiron_step find_references(struct andiron_request *req, struct transaction *t);

static enum andiron_step reference_found(struct andiron_request *req, void *state)
{
    struct transaction *t = state;
    struct reference *r = t->references[t->at];
    const struct entry *e = &t->bundle->entries[r->entry];
    struct andiron_error err;

    if (r->rows.error.code != ANDIRON_OK)
        return andiron_fail_with(req, &r->rows.error);
    if (r->rows.count != 1) {
        (void)andiron_error_set(
            &err, r->rows.count == 0 ? ANDIRON_E_PRECONDITION : ANDIRON_E_MULTIPLE_MATCHES,
            "resource",
            "a conditional reference to %s must match exactly one, "
            "and matches %s",
            r->type->name, r->rows.count == 0 ? "none" : "several");
        return fail_at(req, e, &err);
    }
    r->target = (struct rewrite_target){ .url = r->url,
                                         .type = r->rows.rows[0].ref.type,
                                         .id = r->rows.rows[0].ref.id };
    (void)rewrite_map_add(t->conditional, &r->target);
    t->at++;
    return find_references(req, t);
}

static enum andiron_step reference_searched(struct andiron_request *req, void *state)
{
    struct transaction *t = state;
    struct reference *r = t->references[t->at];
    return t->fhir->store->search(t->fhir->store_self, req, &r->plan.query, &r->rows,
                                  reference_found, t);
}

static enum andiron_step reference_allowed(struct andiron_request *req, void *state)
{
    struct transaction *t = state;
    struct reference *r = t->references[t->at];
    struct andiron_error err;

    if (andiron_reply_status(t->sub) >= 400)
        return andiron_fail(req, ANDIRON_E_FORBIDDEN, "Forbidden");
    if (match_compile(t->fhir, t->sub, r->type, r->url, &r->plan, &err) != 0)
        return fail_at(req, &t->bundle->entries[r->entry], &err);
    return access_types(req, r->plan.types, reference_searched, t);
}

/* Each is a search of its own, with the rights that one needs. */
static enum andiron_step find_references(struct andiron_request *req, struct transaction *t)
{
    if (t->at == t->reference_count) {
        t->at = 0;
        return within_scope(req, t);
    }
    return access_type(req, t->references[t->at]->type->name, &t->sub, reference_allowed, t);
}

static void add_reference(struct transaction *t, const struct entry *e, andiron_str url)
{
    const char *mark = memchr(url.data, '?', url.len);
    if (mark == NULL)
        return;
    const struct resource_type *type =
        types_find(t->fhir->types, (andiron_str){ url.data, (size_t)(mark - url.data) });
    if (type == NULL || type->platform)
        return; /* some other URL with a query */
    for (size_t i = 0; i < t->reference_count; i++)
        if (andiron_str_eq(t->references[i]->url, url))
            return;
    if (t->reference_count == t->reference_cap) {
        size_t cap = t->reference_cap > 0 ? t->reference_cap * 2 : 16;
        struct reference **more =
            andiron_alloc(andiron_request_arena(t->req), cap * sizeof(more[0]));
        if (t->reference_count > 0)
            memcpy(more, t->references, t->reference_count * sizeof(more[0]));
        t->references = more;
        t->reference_cap = cap;
    }
    struct reference *r = andiron_new(andiron_request_arena(t->req), struct reference);
    *r = (struct reference){ .url = url, .type = type, .entry = e->index };
    t->references[t->reference_count++] = r;
}

static void collect_references(struct transaction *t, const struct entry *e, andiron_json v)
{
    struct andiron_json_iter it = { .of = v };
    enum andiron_json_type type = andiron_json_type(v);

    if (type != ANDIRON_JSON_OBJECT && type != ANDIRON_JSON_ARRAY)
        return;
    while (andiron_json_next(&it)) {
        andiron_str url = andiron_str_eq(it.name, ANDIRON_STR("reference"))
                              ? andiron_json_str(it.value)
                              : (andiron_str){ NULL, 0 };
        if (url.len > 0)
            add_reference(t, e, url);
        else
            collect_references(t, e, it.value);
    }
}

static void collect(void *state)
{
    struct transaction *t = state;
    for (size_t i = 0; i < t->item_count; i++) {
        andiron_str raw = andiron_json_raw(t->items[i].entry->resource);
        if (raw.len > 0 && memchr(raw.data, '?', raw.len) != NULL)
            collect_references(t, t->items[i].entry, t->items[i].entry->resource);
    }
}

/* Conditions of a transaction that look into further types; in a batch they ask when they run. */
static enum andiron_step ask_conditions(struct andiron_request *req, void *state)
{
    struct transaction *t = state;

    while (t->at < t->item_count) {
        struct item *item = &t->items[t->at++];
        if (!item->left && item->is_conditional && item->match.types != NULL)
            return access_types(req, item->match.types, ask_conditions, t);
    }
    t->at = 0;
    return find_references(req, t);
}

static enum andiron_step collected(struct andiron_request *req, void *state)
{
    struct transaction *t = state;
    t->conditional = rewrite_map_new(andiron_request_arena(req), t->reference_count);
    t->at = 0;
    return ask_conditions(req, t);
}

/* ---- plan: ids, and what entries call each other --------------------------------------------------------- */

/* Platform resources may bring their id (CL-2); all others get a new one. */
static void choose_id(struct transaction *t, struct item *item)
{
    struct entry *e = item->entry;
    andiron_str own = andiron_json_str(andiron_json_get(e->resource, "id"));

    if (e->verb != VERB_POST) {
        item->id = e->id;
        return;
    }
    if (item->type->platform && types_is_id(own)) {
        item->id = own;
        item->if_none = true;
    } else {
        item->id = uuid_new(andiron_request_arena(t->req));
    }
}

/* Enters what an entry is called and what it writes; both may stand in a transaction once. */
static void enter(struct transaction *t, size_t index)
{
    struct item *item = &t->items[index];
    struct entry *e = item->entry;

    item->target = (struct rewrite_target){ .url = e->full_url,
                                            .type = item->type->str,
                                            .id = item->id,
                                            .write = index,
                                            .may_change = item->is_conditional };
    if (t->bundle->is_transaction && e->full_url.len > 0 && e->verb != VERB_DELETE &&
        !rewrite_map_add(t->map, &item->target))
        refuse(t, e, ANDIRON_E_INVALID, ".fullUrl", "stands at another entry too");
    item->identity = item->target;
    item->identity.url =
        andiron_str_of(andiron_printf(andiron_request_arena(t->req), "%s/%.*s", item->type->name,
                                      (int)item->id.len, item->id.data));
    if (rewrite_map_add(t->identities, &item->identity))
        return;
    if (!t->bundle->is_transaction)
        leave(item); /* a second write comes after the first */
    else
        refuse(t, e, ANDIRON_E_INVALID, ".request.url",
               "another entry writes the same resource; a transaction may do so once");
}

/* What is wrong with conditions fails a transaction; an entry of a batch finds out by itself. */
static void conditions(struct transaction *t, struct item *item)
{
    struct entry *e = item->entry;
    struct andiron_error err;
    size_t issues = t->issues.count;

    if (e->if_match.len > 0 && negotiate_if_match(e->if_match, &item->if_match) != 0)
        refuse(t, e, ANDIRON_E_INVALID, ".request.ifMatch", "must be an ETag such as W/\"3\"");
    if (e->if_none_match.len > 0 && e->verb == VERB_PUT) {
        item->if_none = andiron_str_eq(e->if_none_match, ANDIRON_STR("*"));
        if (!item->if_none)
            refuse(t, e, ANDIRON_E_INVALID, ".request.ifNoneMatch", "of a write must be *");
    }
    if (e->if_none_exist.data != NULL && e->verb == VERB_POST) {
        item->is_conditional = true;
        if (match_compile(t->fhir, item->judged != NULL ? item->judged : t->req, item->type,
                          e->if_none_exist, &item->match, &err) != 0)
            refuse(t, e, err.code, ".request.ifNoneExist", err.message);
        else if (item->match.types != NULL && !t->bundle->is_transaction)
            leave(item);
    }
    if (!t->bundle->is_transaction && t->issues.count > issues) {
        t->issues.count = issues;
        leave(item);
    }
}

static enum andiron_step plan(struct andiron_request *req, struct transaction *t)
{
    struct andiron_arena *arena = andiron_request_arena(req);

    t->map = rewrite_map_new(arena, t->item_count);
    t->identities = rewrite_map_new(arena, t->item_count);
    for (size_t i = 0; i < t->item_count; i++) {
        if (t->items[i].left)
            continue;
        choose_id(t, &t->items[i]);
        conditions(t, &t->items[i]);
        if (!t->items[i].left)
            enter(t, i);
    }
    if (t->issues.count > 0)
        return prepare_fail(req, &t->issues);
    if (!t->bundle->is_transaction) /* entries of a batch do not know each other */
        return collected(req, t);
    if (andiron_request_body(req).len > FHIR_OFFLOAD_ABOVE)
        return andiron_offload(req, collect, collected, t);
    collect(t);
    return collected(req, t);
}

/* ---- may they? ---------------------------------------------------------------------------------------------- */

static enum andiron_step check_next(struct andiron_request *req, struct transaction *t);

static enum andiron_step checked(struct andiron_request *req, void *state)
{
    struct transaction *t = state;
    struct entry *e = t->order[t->at];
    int status = andiron_reply_status(t->sub);
    struct andiron_error err;

    if (status >= 400 && !t->bundle->is_transaction) {
        entries_take(req, t->bundle, e, t->sub);
        leave(&t->items[t->at++]);
        return check_next(req, t);
    }
    if (status == 401 || status == 403)
        return andiron_fail(req, status == 401 ? ANDIRON_E_UNAUTHENTICATED : ANDIRON_E_FORBIDDEN,
                            status == 401 ? "Unauthorized" : "Forbidden");
    if (status >= 400) {
        (void)andiron_error_set(&err, ANDIRON_E_INVALID, "request.url",
                                "%.*s is answered with %d here", (int)e->method.len, e->method.data,
                                status);
        return fail_at(req, e, &err);
    }
    if (t->at < t->item_count)
        t->items[t->at].judged = t->sub;
    t->at++;
    return check_next(req, t);
}

/* Items are the first of `order`, in the same order. Other entries of a batch ask when they run. */
static enum andiron_step check_next(struct andiron_request *req, struct transaction *t)
{
    size_t end = t->bundle->is_transaction ? t->order_count : t->item_count;
    if (t->at == end || andiron_request_principal(req)->kind == ANDIRON_SYSTEM)
        return plan(req, t);
    struct andiron_inner inner = entries_inner(t->bundle, t->order[t->at]);
    inner.check_only = true;
    return andiron_request_run(req, &inner, &t->sub, checked, t);
}

/* ---- beginning ------------------------------------------------------------------------------------------------ */

static void check_entry(struct transaction *t, struct item *item)
{
    struct entry *e = item->entry;
    bool needs_id = e->verb == VERB_PUT || e->verb == VERB_DELETE;

    if (e->verb == VERB_PATCH)
        refuse(t, e, ANDIRON_E_INVALID, ".request.method",
               "PATCH is not supported in a transaction");
    else if (item->type == NULL)
        refuse(t, e, ANDIRON_E_NOT_FOUND, ".request.url",
               "does not name a resource type of this server");
    else if (item->type->virtual)
        refuse(t, e, ANDIRON_E_METHOD, ".request.url",
               "is made by the server and cannot be written");
    else if (e->query.data != NULL)
        refuse(t, e, ANDIRON_E_INVALID, ".request.url",
               "conditional updates and deletes are not supported in a transaction");
    else if (needs_id && !types_is_id(e->id))
        refuse(t, e, ANDIRON_E_INVALID, ".request.url", "must name a resource, such as Patient/1");
    else if (!needs_id && e->id.data != NULL)
        refuse(t, e, ANDIRON_E_INVALID, ".request.url", "of a POST must be a resource type");
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

enum andiron_step transaction_run(struct andiron_request *req, struct bundle *bundle)
{
    struct andiron_arena *arena = andiron_request_arena(req);
    struct transaction *t = andiron_new(arena, struct transaction);

    t->bundle = bundle;
    t->fhir = bundle->fhir;
    t->req = req;
    issues_init(&t->issues, arena, ANDIRON_STR("Bundle"));
    sort_entries(t, arena);
    for (size_t i = 0; i < t->item_count && bundle->is_transaction; i++)
        check_entry(t, &t->items[i]);
    if (t->issues.count > 0)
        return prepare_fail(req, &t->issues);
    return check_next(req, t);
}
