/*
 * The plan of a batch or transaction: ids, what entries call each other, what the criteria of
 * conditional entries match, and conditional references.
 *
 *   plan -> matches -> names -> conditional references -> planned (transaction.c)
 */
#include "transaction.h"

#include "access.h"
#include "uuid.h"

/* ---- conditional references -------------------------------------------------------------------------- */

static enum andiron_step find_references(struct andiron_request *req, struct transaction *t);

/* Whether an entry of the transaction deletes the resource; deletions come first. */
static bool is_removed(const struct transaction *t, const struct rewrite_target *target)
{
    const struct rewrite_target *own = rewrite_map_find(
        t->identities, andiron_str_of(andiron_printf(andiron_request_arena(t->req), "%.*s/%.*s",
                                                     (int)target->type.len, target->type.data,
                                                     (int)target->id.len, target->id.data)));
    return own != NULL && t->items[own->write].entry->verb == VERB_DELETE;
}

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
        return transaction_fail_at(req, e, &err);
    }
    r->target = (struct rewrite_target){ .url = r->url,
                                         .type = r->rows.rows[0].ref.type,
                                         .id = r->rows.rows[0].ref.id };
    if (is_removed(t, &r->target)) {
        (void)andiron_error_set(&err, ANDIRON_E_PRECONDITION, "resource",
                                "a conditional reference to %s matches what another entry deletes",
                                r->type->name);
        return transaction_fail_at(req, e, &err);
    }
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
        return access_refuse_as(req, t->sub);
    if (match_compile(t->fhir, t->sub, r->type, r->url, &r->plan, &err) != 0)
        return transaction_fail_at(req, &t->bundle->entries[r->entry], &err);
    return access_types(req, r->plan.types, reference_searched, t);
}

/* Each is a search of its own, with the rights that one needs. */
static enum andiron_step find_references(struct andiron_request *req, struct transaction *t)
{
    if (t->at == t->reference_count) {
        t->at = 0;
        return transaction_planned(req, t);
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

static void collect(struct transaction *t)
{
    for (size_t i = 0; i < t->item_count; i++) {
        andiron_str raw = andiron_json_raw(t->items[i].entry->resource);
        if (raw.len > 0 && memchr(raw.data, '?', raw.len) != NULL)
            collect_references(t, t->items[i].entry, t->items[i].entry->resource);
    }
}

/* ---- plan: ids, and what entries call each other --------------------------------------------------------- */

/* Platform resources may bring their id (CL-2); all others get a new one. */
static void choose_id(struct transaction *t, struct item *item)
{
    struct entry *e = item->entry;
    andiron_str own = andiron_json_str(andiron_json_get(e->resource, "id"));

    if (e->verb == VERB_PATCH) {
        struct patch *patch = andiron_new(andiron_request_arena(t->req), struct patch);
        patch->kind = patch_kind(e->patch->content_type);
        patch->doc = e->patch->doc;
        patch->max_operations = (size_t)t->fhir->config->max_patch_operations;
        item->patch = patch;
    }
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

/*
 * What two entries of a transaction must not both write: the resource, or of one that may be made
 * by its condition, that condition, since both would be made by it.
 */
static andiron_str identity_of(const struct transaction *t, const struct item *item)
{
    struct andiron_arena *arena = andiron_request_arena(t->req);

    if (item->is_conditional && !item->if_none)
        return andiron_str_of(andiron_printf(arena, "%s?%.*s", item->type->name,
                                             (int)item->criteria->plan.self.len,
                                             item->criteria->plan.self.data));
    return andiron_str_of(
        andiron_printf(arena, "%s/%.*s", item->type->name, (int)item->id.len, item->id.data));
}

/* The earlier item with the same identity, or NULL. It may be called by both fullUrls. */
static const struct item *enter_identity(struct transaction *t, struct item *item, size_t index)
{
    item->identity = (struct rewrite_target){ .url = identity_of(t, item), .write = index };
    if (rewrite_map_add(t->identities, &item->identity))
        return NULL;
    return &t->items[rewrite_map_find(t->identities, item->identity.url)->write];
}

/* Two updates by the same criteria would make two resources, if nothing matches yet. */
static bool is_made_twice(struct transaction *t, const struct item *item, size_t index)
{
    struct andiron_arena *arena = andiron_request_arena(t->req);
    andiron_str self = item->criteria->plan.self;
    struct rewrite_target *made = andiron_new(arena, struct rewrite_target);

    *made =
        (struct rewrite_target){ .url = andiron_str_of(andiron_printf(
                                     arena, "%s?%.*s", item->type->name, (int)self.len, self.data)),
                                 .write = index };
    return !rewrite_map_add(t->identities, made);
}

/* Enters what an entry is called and what it writes; both may stand in a transaction once. */
static void enter(struct transaction *t, size_t index)
{
    struct item *item = &t->items[index];
    struct entry *e = item->entry;
    const struct item *other = enter_identity(t, item, index);

    if (other != NULL && t->bundle->is_transaction && item->is_conditional && !item->if_none) {
        item->twin = other;
        item->id = other->id;
        index = other->identity.write;
        other = NULL;
    }
    item->target = (struct rewrite_target){ .url = e->full_url,
                                            .type = item->type->str,
                                            .id = item->id,
                                            .write = index,
                                            .may_change = item->is_conditional };
    if (t->bundle->is_transaction && e->full_url.len > 0 && e->verb != VERB_DELETE &&
        !rewrite_map_add(t->map, &item->target))
        transaction_refuse(t, e, ANDIRON_E_INVALID, ".fullUrl", "stands at another entry too");
    if (other == NULL && !(item->is_new && is_made_twice(t, item, index)))
        return;
    if (!t->bundle->is_transaction)
        transaction_leave(item); /* a second write comes after the first */
    else
        transaction_refuse(t, e, ANDIRON_E_INVALID, ".request.url",
                           "another entry writes the same resource; a transaction may do so once");
}

/* What is wrong with conditions fails a transaction; an entry of a batch finds out by itself. */
static void conditions(struct transaction *t, struct item *item)
{
    static const char not_etags[] = "must be ETags such as W/\"3\", separated by commas, or *";
    struct entry *e = item->entry;
    struct andiron_error err;
    size_t issues = t->issues.count;
    uint64_t named;

    const struct entry_conditions *given = e->conditions;
    if (given->if_match.len > 0 && negotiate_if_match(given->if_match, &item->if_match) != 0)
        transaction_refuse(t, e, ANDIRON_E_INVALID, ".request.ifMatch", not_etags);
    if (given->if_none_match.len > 0 && e->verb != VERB_POST) {
        if (negotiate_if_match(given->if_none_match, &named) != 0)
            transaction_refuse(t, e, ANDIRON_E_INVALID, ".request.ifNoneMatch", not_etags);
        else if (e->verb == VERB_PUT && andiron_str_eq(given->if_none_match, ANDIRON_STR("*")))
            item->if_none = true;
        else
            item->has_none_tags = true;
    }
    if (e->if_none_exist.data != NULL && e->verb == VERB_POST) {
        item->is_conditional = true;
        item->criteria = andiron_new(andiron_request_arena(t->req), struct criteria);
        if (match_compile(t->fhir, item->judged != NULL ? item->judged : t->req, item->type,
                          e->if_none_exist, &item->criteria->plan, &err) != 0)
            transaction_refuse(t, e, err.code, ".request.ifNoneExist", err.message);
        else if (item->criteria->plan.types != NULL && !t->bundle->is_transaction)
            transaction_leave(item);
    }
    if (e->query.data != NULL) { /* a batch runs such entries by themselves */
        item->by_criteria = true;
        item->criteria = andiron_new(andiron_request_arena(t->req), struct criteria);
        if (match_compile(t->fhir, item->judged != NULL ? item->judged : t->req, item->type,
                          e->query, &item->criteria->plan, &err) != 0)
            transaction_refuse(t, e, err.code, ".request.url", err.message);
    }
    if (!t->bundle->is_transaction && t->issues.count > issues) {
        t->issues.count = issues;
        transaction_leave(item);
    }
}

/* All ids are known: what entries call each other, and what refers to others by search. */
static void name_items(void *state)
{
    struct transaction *t = state;
    struct andiron_arena *arena = andiron_request_arena(t->req);
    size_t made = 0;

    for (size_t i = 0; i < t->item_count; i++)
        made += t->items[i].is_new;
    t->map = rewrite_map_new(arena, t->item_count);
    t->identities = rewrite_map_new(arena, t->item_count + made);
    for (size_t i = 0; i < t->item_count; i++)
        if (!t->items[i].left && !t->items[i].is_void)
            enter(t, i);
    if (t->issues.count == 0 && t->bundle->is_transaction) /* those of a batch are strangers */
        collect(t);
}

static enum andiron_step items_named(struct andiron_request *req, void *state)
{
    struct transaction *t = state;

    if (t->issues.count > 0)
        return prepare_fail(req, &t->issues);
    t->conditional = rewrite_map_new(andiron_request_arena(req), t->reference_count);
    t->at = 0;
    return find_references(req, t);
}

/* ---- what criteria match --------------------------------------------------------------------------------- */

static enum andiron_step find_matches(struct andiron_request *req, void *state);

/* The rules on ids of conditional updates (http.html#cond-update). -1 and err. */
static int take_match(struct transaction *t, struct item *item, struct andiron_error *err)
{
    enum verb verb = item->entry->verb;
    const struct andiron_rows *found = item->criteria->found;
    andiron_str own = verb == VERB_PUT
                          ? andiron_json_str(andiron_json_get(item->entry->resource, "id"))
                          : (andiron_str){ NULL, 0 };

    if (found->count > 1)
        return andiron_error_set(err, ANDIRON_E_MULTIPLE_MATCHES, "request.url",
                                 "several resources match; it must select at most one");
    if (own.data != NULL && !types_is_id(own))
        return andiron_error_set(err, ANDIRON_E_INVALID, "resource.id",
                                 "an id is 1 to 64 letters, digits, '-' and '.'");
    if (found->count == 1) {
        item->id = found->rows[0].ref.id;
        if (own.len > 0 && !andiron_str_eq(own, item->id))
            return andiron_error_set(err, ANDIRON_E_INVALID, "resource.id",
                                     "is not the id of the resource that matches");
        if (item->if_none)
            return andiron_error_set(err, ANDIRON_E_PRECONDITION, "request.ifNoneMatch",
                                     "a resource matches already");
        return transaction_demands_version(t, item) ? transaction_version_needed(err) : 0;
    }
    if (found->cursor.data != NULL)
        return andiron_error_set(err, ANDIRON_E_UNPROCESSABLE, "request.url",
                                 "looking for a match takes too long; be more selective");
    if (item->if_match != 0)
        return andiron_error_set(err, ANDIRON_E_PRECONDITION, "request.ifMatch",
                                 "nothing matches, so no version can");
    if (verb == VERB_PATCH)
        return andiron_error_set(err, ANDIRON_E_NOT_FOUND, "request.url", "nothing matches");
    item->is_void = verb == VERB_DELETE;
    item->is_new = item->if_none = verb == VERB_PUT;
    item->id = own.len > 0 ? own : uuid_new(andiron_request_arena(t->req));
    return 0;
}

static enum andiron_step match_found(struct andiron_request *req, void *state)
{
    struct transaction *t = state;
    struct item *item = &t->items[t->at++];
    struct andiron_error err;

    if (item->criteria->found->error.code != ANDIRON_OK)
        return andiron_fail_with(req, &item->criteria->found->error);
    if (take_match(t, item, &err) != 0)
        return transaction_fail_at(req, item->entry, &err);
    return find_matches(req, t);
}

static enum andiron_step find_matches(struct andiron_request *req, void *state)
{
    struct transaction *t = state;

    while (t->at < t->item_count && (t->items[t->at].left || !t->items[t->at].by_criteria))
        t->at++;
    if (t->at == t->item_count)
        return transaction_work(t, name_items, items_named);
    struct item *item = &t->items[t->at];
    struct criteria *c = item->criteria;
    c->found = andiron_new(andiron_request_arena(req), struct andiron_rows);
    return t->fhir->store->search(t->fhir->store_self, req, &c->plan.query, c->found, match_found,
                                  t);
}

/* Conditions of a transaction that look into further types; in a batch they ask when they run. */
static enum andiron_step ask_conditions(struct andiron_request *req, void *state)
{
    struct transaction *t = state;

    while (t->at < t->item_count) {
        struct item *item = &t->items[t->at++];
        if (!item->left && item->criteria != NULL && item->criteria->plan.types != NULL)
            return access_types(req, item->criteria->plan.types, ask_conditions, t);
    }
    t->at = 0;
    return find_matches(req, t);
}

/* ---- the plan ---------------------------------------------------------------------------------------------- */

static void begin_item(struct item *item)
{
    *item = (struct item){
        .entry = item->entry, .type = item->type, .judged = item->judged, .left = item->left
    };
}

static void plan_items(void *state)
{
    struct transaction *t = state;

    t->issues.count = 0;
    t->reference_count = 0;
    for (size_t i = 0; i < t->item_count; i++) {
        if (t->items[i].left)
            continue;
        begin_item(&t->items[i]);
        choose_id(t, &t->items[i]);
        conditions(t, &t->items[i]);
    }
}

static enum andiron_step items_planned(struct andiron_request *req, void *state)
{
    struct transaction *t = state;

    if (t->issues.count > 0)
        return prepare_fail(req, &t->issues);
    t->at = 0;
    return ask_conditions(req, t);
}

enum andiron_step transaction_plan(struct andiron_request *req, struct transaction *t)
{
    (void)req;
    return transaction_work(t, plan_items, items_planned);
}
