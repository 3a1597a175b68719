/*
 * Walks; see walk.h. Version numbers are the order of the walk, and its horizon is one of them:
 * with a single writer at a time no change can appear before one that was seen.
 */
#include "walk.h"

#include "commit.h"
#include "common/store/body.h"
#include "common/store/cursor.h"
#include "lookup.h"
#include "page.h"

enum { BATCH = 128 };

/* Versions of one type (or resource, or all) in walking order, a batch at a time. */
struct stream {
    int statement;
    int64_t key; /* type or rid */
    int64_t vids[BATCH];
    size_t count, at;
    bool ended;
};

struct walking {
    struct run run; /* for its rows and its failure */
    const struct andiron_walk *walk;
    int64_t low, high; /* vids in [low, high] */
    int64_t horizon;
    struct stream *streams;
    size_t stream_count;
    int64_t seen;      /* versions looked at */
    int64_t *row_vids; /* of the rows of a page */
};

static int fail(struct walking *w)
{
    return run_fail(&w->run);
}

static int last_version(struct walking *w, int64_t at, int64_t *ret_vid, andiron_usec *ret_time)
{
    sqlite3_stmt *s = db_statement(w->run.db, DB_VID_LAST);

    *ret_vid = 0;
    *ret_time = 0;
    if (s == NULL)
        return fail(w);
    sqlite3_bind_int64(s, 1, at);
    int found = db_step(w->run.db, s);
    if (found < 0)
        return fail(w);
    if (found == 1) {
        *ret_vid = sqlite3_column_int64(s, 0);
        *ret_time = sqlite3_column_int64(s, 1);
        sqlite3_reset(s);
    }
    return 0;
}

static int take_cursor(struct walking *w, andiron_str text, enum cursor_mode mode,
                       struct cursor *ret)
{
    if (cursor_read(&w->run.store->seal, w->run.arena, text, mode, 0, ret, w->run.error) == 0)
        return 0;
    w->run.failed = true;
    return -1;
}

/* Horizon and bounds of the walk. */
static int set_bounds(struct walking *w, struct andiron_rows *rows)
{
    const struct andiron_walk *walk = w->walk;
    struct cursor c = { .mode = CURSOR_HORIZON, .key = INT64_MAX };
    int64_t vid;

    if (walk->horizon.data != NULL && take_cursor(w, walk->horizon, CURSOR_HORIZON, &c) != 0)
        return -1;
    w->horizon = c.key;
    w->low = 1;
    if (walk->cursor.data != NULL) {
        if (take_cursor(w, walk->cursor, CURSOR_WALK, &c) != 0)
            return -1;
        w->horizon = c.high < w->horizon ? c.high : w->horizon;
    }
    if (last_version(w, w->horizon, &vid, &rows->horizon_time) != 0)
        return -1;
    if (w->horizon == INT64_MAX)
        w->horizon = vid;
    w->high = w->horizon;
    if (walk->until != 0) {
        if (vid_since(w->run.db, walk->until + 1, &vid) != 0)
            return fail(w);
        w->high = vid - 1 < w->high ? vid - 1 : w->high;
    }
    if (walk->since != 0) {
        if (vid_since(w->run.db, walk->since, &vid) != 0)
            return fail(w);
        w->low = vid;
    }
    struct cursor horizon = { .mode = CURSOR_HORIZON, .key = w->horizon };
    rows->horizon = cursor_write(&w->run.store->seal, w->run.arena, &horizon);
    return 0;
}

static int find_rid(struct walking *w, int64_t type, int64_t *ret)
{
    sqlite3_stmt *s = db_statement(w->run.db, DB_FIND);

    *ret = 0;
    if (s == NULL)
        return fail(w);
    sqlite3_bind_int64(s, 1, type);
    db_bind_str(s, 2, w->walk->id);
    int found = db_step(w->run.db, s);
    if (found < 0)
        return fail(w);
    if (found == 1) {
        *ret = sqlite3_column_int64(s, 0);
        sqlite3_reset(s);
    }
    return 0;
}

static void add_stream(struct walking *w, int down, int up, int64_t key)
{
    struct stream *t = &w->streams[w->stream_count++];

    t->statement = w->walk->oldest_first ? up : down;
    t->key = key;
}

static int open_streams(struct walking *w)
{
    const struct andiron_walk *walk = w->walk;
    struct run *run = &w->run;
    size_t count = 1;

    while (walk->types != NULL && walk->types[count - 1] != NULL)
        count++;
    w->streams = andiron_alloc(run->arena, count * sizeof(w->streams[0]));
    if (walk->types == NULL) {
        add_stream(w, DB_WALK_ALL_DOWN, DB_WALK_ALL_UP, 0);
        return 0;
    }
    for (size_t i = 0; walk->types[i] != NULL; i++) {
        int64_t type, rid;
        if (names_find_type(run->store->names, run->db, andiron_str_of(walk->types[i]), &type) != 0)
            return fail(w);
        if (type == 0)
            continue;
        if (walk->id.data == NULL) {
            add_stream(w, DB_WALK_TYPE_DOWN, DB_WALK_TYPE_UP, type);
            continue;
        }
        if (find_rid(w, type, &rid) != 0)
            return -1;
        if (rid != 0)
            add_stream(w, DB_WALK_ONE_DOWN, DB_WALK_ONE_UP, rid);
        break;
    }
    return 0;
}

/* Start of the next batch: from the last vid on, or from the end of the range. */
static int refill(struct walking *w, struct stream *t, int64_t from)
{
    sqlite3_stmt *s = db_statement(w->run.db, t->statement);
    bool up = w->walk->oldest_first;
    size_t batch = w->walk->limit + 1 < BATCH ? w->walk->limit + 1 : BATCH;
    int more = 0;

    if (s == NULL)
        return fail(w);
    sqlite3_bind_int64(s, 1, t->key);
    sqlite3_bind_null(s, 2);
    sqlite3_bind_int64(s, 3, up ? from : w->low);
    sqlite3_bind_int64(s, 4, up ? w->high : from);
    sqlite3_bind_int64(s, 5, (int64_t)batch);
    t->at = t->count = 0;
    while (t->count < batch && (more = db_step(w->run.db, s)) == 1)
        t->vids[t->count++] = sqlite3_column_int64(s, 0);
    if (more < 0)
        return fail(w);
    if (t->count == batch)
        sqlite3_reset(s);
    else
        t->ended = true;
    return 0;
}

/* The next version in order, looking from `from` on; 0 at the end; -1. Not taken yet. */
static int peek(struct walking *w, int64_t from, struct stream **ret)
{
    struct stream *first = NULL;
    bool up = w->walk->oldest_first;

    for (size_t i = 0; i < w->stream_count; i++) {
        struct stream *t = &w->streams[i];
        if (t->at == t->count && !t->ended && refill(w, t, from) != 0)
            return -1;
        if (t->at == t->count)
            continue;
        if (first == NULL || (up ? t->vids[t->at] < first->vids[first->at]
                                 : t->vids[t->at] > first->vids[first->at]))
            first = t;
    }
    *ret = first;
    return first != NULL;
}

/* Whether the resource has a later version within the walk. -1: failed. */
static int has_later(struct walking *w, const struct candidate *c)
{
    sqlite3_stmt *s = db_statement(w->run.db, DB_WALK_LATER);

    if (s == NULL)
        return fail(w);
    sqlite3_bind_int64(s, 1, c->rid);
    sqlite3_bind_int64(s, 2, c->vid);
    sqlite3_bind_int64(s, 3, w->high);
    int found = db_step(w->run.db, s);
    if (found < 0)
        return fail(w);
    sqlite3_reset(s);
    return found;
}

static int add_row(struct walking *w, const struct candidate *c, struct andiron_row *row)
{
    struct run *run = &w->run;
    int64_t type, vid;

    *row = (struct andiron_row){ .updated = c->updated, .deleted = c->op == OP_DELETE };
    row->ref.version = (uint64_t)c->version;
    if (resource_current(run, c->rid, &type, &vid, &row->ref.id) != 0)
        return -1;
    if (names_find_of_type(run->store->names, run->db, c->type, &row->ref.type) != 0)
        return fail(w);
    if (row->deleted)
        return 0;
    if (page_body(run->arena, c->encoding, c->statement, 7, &row->body, run->error) == 0)
        return 0;
    run->failed = true;
    return -1;
}

/* 1: the version makes a row; 0: it does not; -1. */
static int take(struct walking *w, int64_t vid, struct andiron_row *row)
{
    struct candidate c;
    int ret = candidate_load(&w->run, vid, &c);

    if (ret != 1)
        return ret;
    if (w->walk->latest_only) {
        int later = has_later(w, &c);
        ret = later < 0 ? -1 : !later;
    }
    if (ret == 1 && add_row(w, &c, row) != 0)
        ret = -1;
    candidate_end(&w->run, &c);
    return ret;
}

static andiron_str cursor_at(struct walking *w, int64_t vid)
{
    struct cursor c = { .mode = CURSOR_WALK, .key = vid, .high = w->horizon };
    return cursor_write(&w->run.store->seal, w->run.arena, &c);
}

static int walk_page(struct walking *w, struct andiron_rows *rows)
{
    const struct andiron_walk *walk = w->walk;
    bool up = walk->oldest_first;
    int64_t at = up ? w->low : w->high;
    int64_t most = w->run.store->config->scan_budget;
    struct stream *next;
    int more;

    if (walk->cursor.data != NULL) {
        struct cursor c;
        if (take_cursor(w, walk->cursor, CURSOR_WALK, &c) != 0)
            return -1;
        if (up ? c.key > at : c.key < at)
            at = c.key;
    }
    rows->rows = andiron_alloc(w->run.arena, (walk->limit + 1) * sizeof(rows->rows[0]));
    w->row_vids = andiron_alloc(w->run.arena, (walk->limit + 1) * sizeof(w->row_vids[0]));
    while ((more = peek(w, at, &next)) == 1) {
        int64_t vid = next->vids[next->at];
        if (rows->count == walk->limit || w->seen++ == most) {
            rows->cursor = cursor_at(w, vid);
            return 0;
        }
        w->row_vids[rows->count] = vid;
        int is_row = take(w, vid, &rows->rows[rows->count]);
        if (is_row < 0)
            return -1;
        rows->count += is_row == 1;
        next->at++;
        at = up ? vid + 1 : vid - 1;
    }
    return more;
}

/* ---- visits ------------------------------------------------------------------------------ */

struct visit {
    struct walking walking;
    const struct andiron_visitor *visitor;
    andiron_str type;
    int64_t key; /* of the type */
};

/*
 * Columns of DB_VISIT. Most versions are their resource's current one, which tells without a
 * further look that they are the latest. 1: it is; 0: it is not; -1.
 */
static int is_latest(struct walking *w, sqlite3_stmt *s, int64_t vid)
{
    bool is_known = sqlite3_column_type(s, 8) != SQLITE_NULL;
    int64_t current = sqlite3_column_int64(s, 8);
    struct candidate c = { .vid = vid, .rid = sqlite3_column_int64(s, 1) };

    if (is_known && current <= w->high)
        return current == vid;
    int later = has_later(w, &c);
    return later < 0 ? -1 : !later;
}

/* 1: shown, and the visitor wants more; 2: shown, and it does not; 0: nothing to show; -1. */
static int show(struct visit *v, sqlite3_stmt *s, int64_t vid)
{
    struct walking *w = &v->walking;
    int latest = is_latest(w, s, vid);
    struct andiron_row row = { .ref = { v->type, db_str(s, 7),
                                        (uint64_t)sqlite3_column_int64(s, 2) },
                               .updated = sqlite3_column_int64(s, 3),
                               .deleted = sqlite3_column_int64(s, 4) == OP_DELETE };

    if (latest != 1)
        return latest;
    if (!row.deleted) {
        row.body = db_str(s, 6);
        if (body_check(sqlite3_column_int64(s, 5), row.body, NULL) != 0)
            row.body = (andiron_str){ NULL, 0 }; /* the visitor sees that it is damaged */
    }
    return v->visitor->row(v->visitor->state, &row) ? 1 : 2;
}

/* Upwards through one type, each resource once: what exports ask for. One statement does it. */
static int visit_type(struct visit *v, struct andiron_rows *rows)
{
    struct walking *w = &v->walking;
    sqlite3_stmt *s = db_statement(w->run.db, DB_VISIT);
    int64_t at = w->low;
    size_t seen = 0;
    int more, shown = 0;

    if (s == NULL)
        return fail(w);
    if (w->walk->cursor.data != NULL) {
        struct cursor c;
        if (take_cursor(w, w->walk->cursor, CURSOR_WALK, &c) != 0)
            return -1;
        at = c.key > at ? c.key : at;
    }
    sqlite3_bind_int64(s, 1, v->key);
    sqlite3_bind_int64(s, 2, at);
    sqlite3_bind_int64(s, 3, w->high);
    while ((more = db_step(w->run.db, s)) == 1) {
        int64_t vid = sqlite3_column_int64(s, 0);
        if (seen++ == w->walk->limit || shown == 2) {
            rows->cursor = cursor_at(w, vid);
            break;
        }
        shown = show(v, s, vid);
        if (shown < 0)
            break;
    }
    if (more == 1)
        sqlite3_reset(s);
    if (more < 0)
        return fail(w);
    return shown < 0 ? -1 : 0;
}

/* Any other walk: its rows, a page at a time. */
static int visit_page(struct visit *v, struct andiron_rows *rows)
{
    struct walking *w = &v->walking;

    if (open_streams(w) != 0 || walk_page(w, rows) != 0)
        return -1;
    for (size_t i = 0; i < rows->count; i++) {
        if (v->visitor->row(v->visitor->state, &rows->rows[i]))
            continue;
        if (i + 1 < rows->count)
            rows->cursor = cursor_at(w, w->row_vids[i + 1]);
        break;
    }
    rows->count = 0;
    rows->rows = NULL;
    return 0;
}

static int visit_rows(struct visit *v, struct andiron_rows *rows)
{
    struct walking *w = &v->walking;
    const struct andiron_walk *walk = w->walk;
    bool is_plain = walk->types != NULL && walk->types[0] != NULL && walk->types[1] == NULL &&
                    walk->id.data == NULL && walk->oldest_first && walk->latest_only;

    if (!is_plain)
        return visit_page(v, rows);
    v->type = andiron_str_of(walk->types[0]);
    if (names_find_type(w->run.store->names, w->run.db, v->type, &v->key) != 0)
        return fail(w);
    return v->key == 0 ? 0 : visit_type(v, rows);
}

/* ---- both ---------------------------------------------------------------------------------- */

static struct walking walking_of(struct search_place *place, const struct andiron_walk *walk,
                                 const struct andiron_query *query, struct andiron_rows *rows)
{
    *rows = (struct andiron_rows){ .total = -1 };
    return (struct walking){ .run = { .place = place,
                                      .store = place->store,
                                      .db = place->db,
                                      .arena = place->arena,
                                      .query = query,
                                      .error = &rows->error },
                             .walk = walk };
}

static int ended(struct andiron_rows *rows, int rc)
{
    struct andiron_error error = rows->error;

    if (rc != 0)
        *rows = (struct andiron_rows){ .error = error, .total = -1 };
    return rc;
}

int walk_run(struct search_place *place, const struct andiron_walk *walk, struct andiron_rows *rows)
{
    struct andiron_query query = { .type = NULL };
    struct walking w = walking_of(place, walk, &query, rows);
    int rc;

    run_budget(&w.run);
    rc = set_bounds(&w, rows);
    if (rc == 0 && walk->limit != 0)
        rc = open_streams(&w) != 0 ? -1 : walk_page(&w, rows);
    return ended(rows, rc);
}

int walk_visit(struct search_place *place, const struct andiron_walk *walk,
               const struct andiron_visitor *visitor, struct andiron_rows *rows)
{
    struct andiron_query query = { .type = NULL };
    struct visit v = { .walking = walking_of(place, walk, &query, rows), .visitor = visitor };
    int rc;

    run_budget(&v.walking.run);
    rc = set_bounds(&v.walking, rows);
    if (rc == 0 && walk->limit != 0)
        rc = visit_rows(&v, rows);
    return ended(rows, rc);
}
