#include "drive.h"

#include <stdlib.h>

#include "gzip.h"

enum {
    FEW = 20000, /* matches: more are walked to */
    PART = 8,    /* of the type: fewer than one in so many, or walking is no slower */
    PAGE = 500,
    CHANGES_MAX = 100000,
    MARGIN_US = 10000000 /* a commit may be older than the horizon, and seen behind it */
};

static const char cursor_prefix[] = "id:";

struct drive {
    struct bulk *bulk;
    const char *type, *types[2];
    andiron_usec since;
    andiron_str after;
    enum drive_phase phase;
    struct andiron_arena *arena; /* of ids */
    andiron_str *ids;            /* malloc */
    size_t count, room, at, changes;
    struct bytes cursor; /* of the next page; empty: the first */
};

/* One step. */
struct gathering {
    struct drive *d;
    struct andiron_query query, all;
    struct andiron_walk walk;
    struct andiron_rows rows, of_all;
    struct andiron_visitor visitor;
    struct andiron_error *ret_error;
    andiron_step_fn then;
    void *state;
};

/* ---- life ---------------------------------------------------------------------------------------- */

struct drive *drive_new(struct bulk *bulk, const char *type, andiron_usec horizon_time,
                        andiron_str after)
{
    struct drive *d = calloc(1, sizeof(*d));

    if (d == NULL)
        abort(); /* as everywhere: out of memory ends the worker */
    *d = (struct drive){ .bulk = bulk,
                         .type = type,
                         .types = { type, NULL },
                         .since = horizon_time - MARGIN_US,
                         .arena = andiron_arena_new(0) };
    /* What was begun so goes on so: there is nothing to decide. */
    d->phase = after.data != NULL ? DRIVE_SEARCHING : DRIVE_COUNTING;
    if (after.data != NULL)
        d->after = (andiron_str){ andiron_copy(d->arena, after), after.len };
    return d;
}

void drive_free(struct drive *d)
{
    if (d == NULL)
        return;
    andiron_arena_free(d->arena);
    free(d->ids);
    bytes_free(&d->cursor);
    free(d);
}

enum drive_phase drive_phase(const struct drive *d)
{
    return d->phase;
}

void drive_refuse(struct drive *d)
{
    d->phase = DRIVE_REFUSED;
}

/* ---- ids ------------------------------------------------------------------------------------------ */

static void add_id(struct drive *d, andiron_str id)
{
    if (d->count == d->room) {
        size_t room = d->room > 0 ? d->room * 2 : 256;
        andiron_str *ids = realloc(d->ids, room * sizeof(ids[0]));
        if (ids == NULL)
            abort();
        d->ids = ids;
        d->room = room;
    }
    d->ids[d->count++] = (andiron_str){ andiron_copy(d->arena, id), id.len };
}

static int compare(const void *a, const void *b)
{
    const andiron_str *x = a, *y = b;
    size_t len = x->len < y->len ? x->len : y->len;
    int by_text = len > 0 ? memcmp(x->data, y->data, len) : 0;

    return by_text != 0 ? by_text : (x->len > y->len) - (x->len < y->len);
}

/* Each once, in order; behind what was done before. */
static void settle_ids(struct drive *d)
{
    size_t kept = 0;

    if (d->count > 1)
        qsort(d->ids, d->count, sizeof(d->ids[0]), compare);
    for (size_t i = 0; i < d->count; i++)
        if (kept == 0 || compare(&d->ids[kept - 1], &d->ids[i]) != 0)
            d->ids[kept++] = d->ids[i];
    d->count = kept;
    while (d->after.data != NULL && d->at < d->count && compare(&d->ids[d->at], &d->after) <= 0)
        d->at++;
    d->phase = DRIVE_READY;
}

andiron_str drive_next(struct drive *d)
{
    return d->at < d->count ? d->ids[d->at++] : (andiron_str){ NULL, 0 };
}

void drive_progress(const struct drive *d, uint64_t *ret_seen, uint64_t *ret_total)
{
    *ret_seen = d->at;
    *ret_total = d->count;
}

const char *drive_cursor(struct andiron_arena *arena, andiron_str last)
{
    return andiron_printf(arena, "%s%.*s", cursor_prefix, (int)last.len,
                          last.len > 0 ? last.data : "");
}

bool drive_is_cursor(andiron_str cursor, andiron_str *ret_id)
{
    size_t len = sizeof(cursor_prefix) - 1;

    if (cursor.len < len || memcmp(cursor.data, cursor_prefix, len) != 0)
        return false;
    *ret_id = (andiron_str){ cursor.data + len, cursor.len - len };
    return true;
}

/* ---- steps ----------------------------------------------------------------------------------------- */

static void keep_cursor(struct drive *d, andiron_str cursor)
{
    d->cursor.len = 0;
    bytes_add(&d->cursor, cursor.data, cursor.len);
}

static enum andiron_step failed(struct andiron_request *req, struct gathering *g)
{
    *g->ret_error = g->rows.error;
    return g->then(req, g->state);
}

/* A search that is too much for the store is no reason to fail: there is another way. */
static enum andiron_step all_counted(struct andiron_request *req, void *arg)
{
    struct gathering *g = arg;

    if (g->of_all.error.code != ANDIRON_OK || g->of_all.total < 0 ||
        (!g->of_all.total_is_least && g->of_all.total < g->rows.total * PART))
        g->d->phase = DRIVE_REFUSED;
    else
        g->d->phase = DRIVE_SEARCHING;
    return g->then(req, g->state);
}

static enum andiron_step counted(struct andiron_request *req, void *arg)
{
    struct gathering *g = arg;
    struct bulk *bulk = g->d->bulk;

    if (g->rows.error.code != ANDIRON_OK || g->rows.total < 0 || g->rows.total_is_least ||
        g->rows.total > FEW) {
        g->d->phase = DRIVE_REFUSED;
        return g->then(req, g->state);
    }
    g->all = (struct andiron_query){ .type = g->d->type,
                                     .total = ANDIRON_TOTAL_ACCURATE,
                                     .total_limit = g->rows.total * PART + 1 };
    return bulk->store->search(bulk->store_self, req, &g->all, &g->of_all, all_counted, g);
}

static enum andiron_step found(struct andiron_request *req, void *arg)
{
    struct gathering *g = arg;
    struct drive *d = g->d;

    if (g->rows.error.code != ANDIRON_OK)
        return failed(req, g);
    for (size_t i = 0; i < g->rows.count; i++)
        if (!g->rows.rows[i].included)
            add_id(d, g->rows.rows[i].ref.id);
    keep_cursor(d, g->rows.cursor);
    if (g->rows.cursor.data == NULL)
        d->phase = DRIVE_CHANGED;
    return g->then(req, g->state);
}

static enum andiron_step walked(struct andiron_request *req, void *arg)
{
    struct gathering *g = arg;
    struct drive *d = g->d;

    if (g->rows.error.code != ANDIRON_OK)
        return failed(req, g);
    for (size_t i = 0; i < g->rows.count; i++)
        add_id(d, g->rows.rows[i].ref.id);
    d->changes += g->rows.count;
    keep_cursor(d, g->rows.cursor);
    if (g->rows.cursor.data == NULL)
        settle_ids(d);
    else if (d->changes > CHANGES_MAX && d->after.data == NULL)
        d->phase = DRIVE_REFUSED; /* they write faster than it reads */
    return g->then(req, g->state);
}

enum andiron_step drive_gather(struct andiron_request *req, struct drive *d,
                               const struct andiron_filter *filter, struct andiron_error *ret_error,
                               andiron_step_fn then, void *state)
{
    struct gathering *g = andiron_new(andiron_request_arena(req), struct gathering);
    struct bulk *bulk = d->bulk;
    andiron_str cursor = { d->cursor.len > 0 ? d->cursor.data : NULL, d->cursor.len };

    *g = (struct gathering){ .d = d, .ret_error = ret_error, .then = then, .state = state };
    if (d->phase == DRIVE_CHANGED) {
        g->walk = (struct andiron_walk){ .types = d->types,
                                         .since = d->since,
                                         .oldest_first = true,
                                         .latest_only = true,
                                         .limit = PAGE,
                                         .cursor = cursor };
        return bulk->store->walk(bulk->store_self, req, &g->walk, &g->rows, walked, g);
    }
    g->query = (struct andiron_query){ .type = d->type, .filter = filter };
    if (d->phase == DRIVE_COUNTING) {
        g->query.total = ANDIRON_TOTAL_ACCURATE;
        g->query.total_limit = FEW + 1;
        return bulk->store->search(bulk->store_self, req, &g->query, &g->rows, counted, g);
    }
    g->query.limit = PAGE;
    g->query.cursor = cursor;
    return bulk->store->search(bulk->store_self, req, &g->query, &g->rows, found, g);
}
