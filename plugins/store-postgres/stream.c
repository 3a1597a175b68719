/*
 * Entries of an index in the order of their values; see sorting.h.
 *
 * Dates, numbers, strings and ids have an index of their own in that order. Codes, URLs and
 * references are hashed or numbered in theirs: ix_value lists their values in order, and each of
 * these its versions.
 */
#include "common/store/rows.h"
#include "gather.h"
#include "sorting.h"

enum { STREAM_FIRST = 64, STREAM_MAX = 1024, VALUES = 64, LOOKED_FIRST = 4096, LOOKED_MAX = 65536 };

enum stream_by { BY_NUMBER, BY_REAL, BY_TEXT, BY_ID, BY_LIST };

struct stream {
    const struct run_plan *plan;
    enum stream_by by;
    int64_t p, cls; /* cls: of dates; kind of values */
    bool descending, lazy, is_brief;
    size_t batch;
    int64_t looked;

    struct entry begin, last; /* the window is behind begin; the next one is behind last */
    bool begun, has_begin;    /* whether these say something */
    bool is_asked, has_ended, seeks_position;
    struct entry *window;
    size_t count, at;
};

/* ---- conditions ----------------------------------------------------------------------------- */

/* Whether SQL can say all of the plan's filter; what bounds the walk itself is said there. */
static bool is_whole(const struct run *run, const struct run_plan *plan)
{
    const struct node *n = plan->filter, *within = plan->sort[0].within;

    if (n == within || n->op != NODE_AND)
        return n == within || condition_is_whole(run, n);
    for (size_t i = 0; i < n->arg_count; i++) {
        const struct node *arg = n->args[i];
        if (arg != within && !(within != NULL && gather_covers(within, arg)) &&
            !condition_is_whole(run, arg))
            return false;
    }
    return true;
}

/* The vid behind, or before, all that have a value. */
static int64_t behind(const struct stream *t)
{
    return t->descending ? 0 : INT64_MAX;
}

static int64_t before(const struct stream *t)
{
    return t->descending ? INT64_MAX : 0;
}

static int put_value(struct compose *c, const struct stream *t, const struct cursor_value *v)
{
    switch (t->by) {
    case BY_NUMBER:
        return compose_int8(c, v->number);
    case BY_REAL:
        return compose_float8(c, v->real);
    case BY_ID:
        return compose_text(c, v->text);
    default:
        return compose_bytea(c, v->text);
    }
}

/* Rows (lo,vid) of a whole index behind t->last, at most limit. */
static void put_index(struct run *run, struct compose *c, const struct stream *t, int64_t limit)
{
    static const char *const tables[] = { "ix_date", "ix_num", "ix_str" };
    const char *order = t->descending ? " DESC" : "", *than = t->descending ? "<" : ">";
    const char *column = t->by == BY_TEXT ? "s" : "lo";
    const struct node *within = t->plan->sort[0].within;
    const struct node *filter = t->plan->filter;

    if (t->by == BY_ID) {
        compose_put(c, "SELECT id AS lo,vid FROM resource WHERE type=$%d AND st=0",
                    compose_int2(c, t->plan->type));
        if (t->begun)
            compose_put(c, " AND id%s%s$%d", than, t->last.vid == before(t) ? "=" : "",
                        put_value(c, t, &t->last.value));
        compose_put(c, " ORDER BY id%s LIMIT $%d", order, compose_int8(c, limit));
        return;
    }
    compose_put(c, "SELECT %s AS lo,vid FROM %s WHERE p=$%d", column, tables[t->by],
                compose_int4(c, t->p));
    if (t->by == BY_NUMBER)
        compose_put(c, " AND cls=$%d", compose_int2(c, t->cls));
    if (t->by == BY_REAL)
        compose_put(c, " AND g=0");
    if (within != NULL && t->by != BY_TEXT)
        gather_put_range(c, within, filter->op == NODE_AND ? filter : NULL, t->cls);
    if (t->begun) {
        int v = put_value(c, t, &t->last.value);
        compose_put(c, " AND (%s,vid)%s($%d,$%d)", column, than, v, compose_int8(c, t->last.vid));
    }
    compose_put(c, " ORDER BY %s%s,vid%s LIMIT $%d", column, order, order, compose_int8(c, limit));
    (void)run;
}

/* The same of listed values: each has at least one row, with vid NULL if there are no others. */
static void put_lists(struct compose *c, const struct stream *t, int64_t limit)
{
    const char *order = t->descending ? " DESC" : "", *than = t->descending ? "<" : ">";
    bool ref = t->cls == ROWS_RESOURCE;
    int p = compose_int4(c, t->p), k = compose_int2(c, t->cls), n = compose_int8(c, limit), v = 0,
        vid = 0;

    compose_put(c, "SELECT x.s AS lo,y.vid FROM (SELECT s,h FROM ix_value WHERE p=$%d AND k=$%d", p,
                k);
    if (t->begun) {
        v = put_value(c, t, &t->last.value);
        vid = compose_int8(c, t->last.vid);
        compose_put(c, " AND s%s%s$%d", than, t->last.vid == behind(t) ? "" : "=", v);
    }
    compose_put(c,
                " ORDER BY s%s LIMIT %d) x LEFT JOIN LATERAL (SELECT i.vid FROM %s i"
                " WHERE i.p=$%d AND i.%s=x.h",
                order, VALUES, ref ? "ix_ref" : "ix_token", p, ref ? "tgt" : "h");
    if (t->begun)
        compose_put(c, " AND i.vid%s CASE WHEN x.s=$%d THEN $%d ELSE %s END", than, v, vid,
                    t->descending ? "9223372036854775807" : "0");
    compose_put(c, " ORDER BY i.vid%s LIMIT $%d) y ON true ORDER BY x.s%s,y.vid%s LIMIT $%d", order,
                n, order, order, n);
}

/* ---- asking ------------------------------------------------------------------------------------ */

static struct entry entry_of(const struct stream *t, const struct wire_batch *b, size_t at,
                             size_t row)
{
    struct entry e = { .vid = wire_get_int(b, at, row, 1) };

    switch (t->by) {
    case BY_NUMBER:
        e.value.kind = VALUE_NUMBER;
        e.value.number = wire_get_int(b, at, row, 0);
        break;
    case BY_REAL:
        e.value.kind = VALUE_REAL;
        e.value.real = wire_get_float(b, at, row, 0);
        break;
    default:
        e.value.kind = VALUE_TEXT;
        e.value.text = wire_get_str(b, at, row, 0);
        break;
    }
    if (wire_is_null(b, at, row, 1))
        e.vid = behind(t); /* a value without versions */
    return e;
}

static void take_window(struct run *run, void *arg, const struct wire_batch *b, size_t at)
{
    struct stream *t = arg;
    size_t rows = wire_rows(b, at);

    t->is_asked = false;
    t->window = andiron_alloc(run->arena, (rows + 1) * sizeof(t->window[0]));
    t->at = 0;
    t->count = rows;
    for (size_t i = 0; i < rows; i++) {
        struct entry *e = &t->window[i];
        *e = entry_of(t, b, at, i);
        e->is_candidate = !wire_is_null(b, at, i, 2);
        if (e->is_candidate)
            e->c = candidate_of(b, at, i, 2, t->lazy || run->needs_id, t->lazy);
    }
    t->has_begin = t->begun;
    t->begin = t->last;
    if (t->by == BY_LIST) {
        size_t values = 0;
        for (size_t i = 0; i < rows; i++)
            values += i == 0 || cursor_compare(&t->window[i].value, &t->window[i - 1].value) != 0;
        t->has_ended = rows < t->batch && values < VALUES;
        if (rows != 0) {
            t->last = t->window[rows - 1];
            if (rows < t->batch)
                t->last.vid = behind(t);
        }
    } else if (rows < t->batch) {
        t->has_ended = !t->lazy;
        t->seeks_position = t->lazy;
    }
    if (rows != 0 && t->by != BY_LIST)
        t->last = t->window[rows - 1];
    t->begun = t->begun || rows != 0;
    (void)run_spend(run, (int64_t)rows + 1);
    if (!t->lazy && t->batch < STREAM_MAX)
        t->batch *= 2;
}

static void take_position(struct run *run, void *arg, const struct wire_batch *b, size_t at)
{
    struct stream *t = arg;

    t->is_asked = t->seeks_position = false;
    if (wire_rows(b, at) == 0) {
        t->has_ended = true;
    } else {
        t->last = entry_of(t, b, at, 0);
        t->begun = true;
    }
    (void)run_spend(run, t->has_ended ? 1 : t->looked);
    if (t->looked < LOOKED_MAX && t->looked * 4 <= run->store->config->scan_budget)
        t->looked *= 4;
}

static void ask_window(struct run *run, struct stream *t)
{
    struct compose *c = compose_new(run->arena);
    const char *order = t->descending ? " DESC" : "";
    bool id = t->lazy || run->needs_id;

    compose_put(c, "SELECT c.lo,c.vid,");
    candidate_columns(c, id, t->lazy);
    compose_put(c, t->lazy ? " FROM (SELECT t.lo,t.vid,true AS ok FROM ("
                           : " FROM (SELECT t.lo,t.vid,(true");
    if (!t->lazy) {
        (void)condition_put(run, c, t->plan->filter, t->plan->sort[0].within, "t.vid",
                            "(SELECT rid FROM version WHERE vid=t.vid)", " AND ");
        compose_put(c, ") AS ok FROM (");
    }
    if (t->by == BY_LIST)
        put_lists(c, t, (int64_t)t->batch);
    else
        put_index(run, c, t, t->lazy ? t->looked : (int64_t)t->batch);
    compose_put(c, ") t");
    if (t->lazy) {
        (void)condition_put(run, c, t->plan->filter, t->plan->sort[0].within, "t.vid",
                            "(SELECT rid FROM version WHERE vid=t.vid)", " WHERE ");
        compose_put(c, " ORDER BY t.lo%s,t.vid%s LIMIT $%d", order, order,
                    compose_int8(c, (int64_t)t->batch));
    }
    compose_put(c, ") c LEFT JOIN version v ON v.vid=c.vid AND c.ok");
    if (id)
        compose_put(c, " LEFT JOIN resource r ON r.rid=v.rid");
    compose_put(c, " ORDER BY c.lo%s,c.vid%s", order, order);
    run_want(run, c, take_window, t);
    t->is_asked = true;
}

/* Where a lazy statement ended that found less than asked for. */
static void ask_position(struct run *run, struct stream *t)
{
    struct compose *c = compose_new(run->arena);
    const char *order = t->descending ? " DESC" : "";
    struct stream from = *t;

    from.last = t->begin;
    from.begun = t->has_begin;
    compose_put(c, "SELECT t.lo,t.vid FROM (");
    put_index(run, c, &from, t->looked);
    compose_put(c, ") t ORDER BY t.lo%s,t.vid%s OFFSET $%d LIMIT 1", order, order,
                compose_int8(c, t->looked - 1));
    run_want(run, c, take_position, t);
    t->is_asked = true;
}

int stream_peek(struct run *run, struct stream *t, struct entry *ret)
{
    if (t->at < t->count) {
        *ret = t->window[t->at];
        return 1;
    }
    if (t->has_ended)
        return 0;
    if (run_spend(run, 0))
        return RUN_STOPPED;
    if (!t->is_asked) {
        if (t->seeks_position)
            ask_position(run, t);
        else
            ask_window(run, t);
    }
    return RUN_WAIT;
}

void stream_skip(struct stream *t)
{
    t->at++;
}

bool stream_is_lazy(const struct stream *t)
{
    return t->lazy || t->is_brief;
}

const struct entry *stream_ahead(const struct stream *t, size_t i)
{
    return t->at + i < t->count ? &t->window[t->at + i] : NULL;
}

/* ---- making them --------------------------------------------------------------------------------- */

static struct stream *add(struct run *run, const struct run_plan *plan, struct stream **list,
                          size_t *count, enum stream_by by, int64_t cls)
{
    struct stream *t = andiron_new(run->arena, struct stream);

    *t = (struct stream){ .plan = plan,
                          .by = by,
                          .p = plan->sort[0].p,
                          .cls = cls,
                          .descending = plan->sort[0].descending,
                          .batch = STREAM_FIRST,
                          .looked = LOOKED_FIRST < run->store->config->scan_budget
                                        ? LOOKED_FIRST
                                        : run->store->config->scan_budget };
    /* Few dates last longer than a day: that there are no more is known at once then. */
    t->is_brief = by == BY_NUMBER && cls != 0;
    t->lazy = by != BY_LIST && !t->is_brief && run->sort_count == 1 && is_whole(run, plan);
    if (t->lazy)
        t->batch = run->query->limit + 1 < STREAM_MAX ? run->query->limit + 1 : STREAM_MAX;
    list[(*count)++] = t;
    return t;
}

struct stream **stream_new(struct run *run, const struct run_plan *plan,
                           const struct cursor_value *from, int64_t vid, size_t *ret_count)
{
    const struct run_sort *sort = &plan->sort[0];
    struct stream **list = andiron_alloc(run->arena, 2 * sizeof(list[0]));

    *ret_count = 0;
    if (sort->by == SORT_ID)
        add(run, plan, list, ret_count, BY_ID, 0);
    else if (sort->p == 0)
        return list; /* no resource has a value */
    else if (sort->kind == ANDIRON_TERM_DATE)
        for (int64_t cls = 0; cls < 2; cls++)
            add(run, plan, list, ret_count, BY_NUMBER, cls);
    else if (sort->kind == ANDIRON_TERM_NUMBER || sort->kind == ANDIRON_TERM_QUANTITY)
        add(run, plan, list, ret_count, BY_REAL, 0);
    else if (sort->kind == ANDIRON_TERM_STRING)
        add(run, plan, list, ret_count, BY_TEXT, 0);
    else if (sort->kind == ANDIRON_TERM_TOKEN)
        add(run, plan, list, ret_count, BY_LIST, ROWS_CODE);
    else if (sort->kind == ANDIRON_TERM_REFERENCE || sort->kind == ANDIRON_TERM_URI) {
        add(run, plan, list, ret_count, BY_LIST, ROWS_URL);
        if (sort->kind == ANDIRON_TERM_REFERENCE)
            add(run, plan, list, ret_count, BY_LIST, ROWS_RESOURCE);
    }
    for (size_t i = 0; from != NULL && i < *ret_count; i++) {
        list[i]->last = (struct entry){ .value = *from,
                                        .vid = vid == STREAM_WITH     ? before(list[i])
                                               : vid == STREAM_BEHIND ? behind(list[i])
                                                                      : vid };
        list[i]->begun = true;
    }
    return list;
}
