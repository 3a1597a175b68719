/*
 * The beginning of a transaction or batch: its entries in the order in which they are done, and
 * whether each of them may be, asked as a request of its own.
 *
 *   run -> arranged -> checked, for each entry -> plan (transaction_plan.c)
 */
#include "transaction.h"

#include <andiron/auth.h>

enum andiron_access transaction_access(const struct entry *e)
{
    static const enum andiron_access accesses[] = { [VERB_DELETE] = ANDIRON_ACCESS_DELETE,
                                                    [VERB_POST] = ANDIRON_ACCESS_CREATE,
                                                    [VERB_PUT] = ANDIRON_ACCESS_UPDATE,
                                                    [VERB_PATCH] = ANDIRON_ACCESS_UPDATE };
    return accesses[e->verb]; /* items are writes */
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
           access_is_narrowed(t->sub, item->type, transaction_access(item->entry));
}

/* Whether both are narrowed by the same, as all requests of a token are by its scopes. */
static bool has_limits_of(const struct andiron_request *a, const struct andiron_request *b,
                          andiron_str type, enum andiron_access access)
{
    const struct andiron_limit *x, *y;
    size_t at = 0, too = 0;

    do {
        x = andiron_request_limit(a, &at, type, access);
        y = andiron_request_limit(b, &too, type, access);
    } while (x == y && x != NULL);
    return x == y;
}

/* Whether a request that was kept tells all that will be asked about the item's. */
static bool stands_for(const struct transaction *t, const struct andiron_request *kept,
                       const struct item *item)
{
    const struct resource_type *type;

    if (!has_limits_of(kept, t->sub, item->type->str, transaction_access(item->entry)))
        return false;
    if (item->entry->query.data == NULL && item->entry->if_none_exist.data == NULL)
        return true;
    for (size_t i = 0; (type = types_at(t->fhir->types, i)) != NULL; i++) /* criteria may chain */
        if (!has_limits_of(kept, t->sub, type->str, ANDIRON_ACCESS_SEARCH) ||
            !has_limits_of(kept, t->sub, type->str, ANDIRON_ACCESS_SEE))
            return false;
    return true;
}

/* Most often one stands for all: each takes more memory than its entry. */
static void keep_judged(struct transaction *t, struct item *item)
{
    if (t->kept != NULL && stands_for(t, t->kept, item)) {
        item->judged = t->kept;
        return;
    }
    item->judged = t->kept = t->sub;
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
        andiron_at_release(andiron_request_arena(req), drop_arena, t->checking);
        t->checking = NULL; /* the answer lies there */
        transaction_leave(&t->items[t->at++]);
        return check_next(req, t);
    }
    if (status == 401)
        return andiron_fail(req, ANDIRON_E_UNAUTHENTICATED, "Unauthorized");
    if (status == 403)
        return access_refuse_as(req, t->sub);
    if (status >= 400) {
        (void)andiron_error_set(&err, access_passed_on(req, t->sub), "request.url",
                                "%s is answered with %d here", entries_method(e).data, status);
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
             patch_kind(e->patch->content_type) == PATCH_FHIRPATH)
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
