/*
 * Reading indexes in the order of their values; see order.h.
 *
 * Dates, numbers, strings and ids have an index of their own in that order. Codes, URLs and
 * references are hashed or numbered in theirs: ix_value lists their values in order, and each of
 * these its versions. Dates lie in two classes, references are resources or URLs: such streams
 * are merged, like those of several types.
 */
#include "order.h"

#include "common/store/range.h"
#include "common/store/rows.h"

enum { BATCH_FIRST = 16, BATCH_MAX = 256, VALUES_MAX = 64 };

struct entry {
    struct cursor_value value;
    int64_t vid;
};

/* A value of ix_value, and the key of its list. */
struct listed {
    andiron_str text;
    int64_t h;
};

enum stream_by { BY_NUMBER, BY_REAL, BY_TEXT, BY_ID, BY_LIST };

struct stream {
    int statement;
    enum stream_by by;
    int64_t p, class; /* class: of dates; kind of values */
    struct entry *entries;
    size_t count, at, batch, room;
    struct entry last; /* where the next batch begins */
    bool started, ended;

    /* BY_NUMBER, BY_REAL: values are within these */
    int64_t low, high;
    double real_low, real_high;

    /* BY_LIST: values from `at_value` on are to be read */
    int list; /* statement */
    struct listed *values;
    size_t value_count, at_value;
    bool values_ended;
};

struct order {
    bool descending;
    size_t stream_count;
    struct stream *streams;
};

/* The vid that lies before, or behind, all that have a value. */
static int64_t order_before(const struct order *o)
{
    return o->descending ? INT64_MAX : 0;
}

static int64_t order_behind(const struct order *o)
{
    return o->descending ? 0 : INT64_MAX;
}

/* ---- making one ------------------------------------------------------------------------ */

static struct stream *add(struct order *o, int down, int up, enum stream_by by, int64_t p,
                          int64_t class)
{
    struct stream *t = &o->streams[o->stream_count++];

    *t = (struct stream){ .statement = o->descending ? down : up,
                          .by = by,
                          .p = p,
                          .class = class,
                          .batch = BATCH_FIRST,
                          .low = INT64_MIN,
                          .high = INT64_MAX,
                          .real_low = -1.0 / 0.0,
                          .real_high = 1.0 / 0.0 };
    return t;
}

/* Leaves out what cannot match, where the plan knows the values of matches. */
static void bound(struct stream *t, const struct plan_sort *sort)
{
    for (size_t i = 0; i < 2 && sort->within[i] != NULL; i++) {
        if (t->by == BY_NUMBER)
            range_dates(sort->within[i], t->class, &t->low, &t->high);
        else
            range_numbers(sort->within[i], &t->real_low, &t->real_high);
    }
}

static void add_list(struct order *o, int64_t p, enum rows_value_kind kind)
{
    struct stream *t = add(o, DB_VALUES_DOWN, DB_VALUES_UP, BY_LIST, p, kind);

    if (kind == ROWS_RESOURCE)
        t->list = o->descending ? DB_POSTING_REF_DOWN : DB_POSTING_REF_UP;
    else
        t->list = o->descending ? DB_POSTING_TOKEN_DOWN : DB_POSTING_TOKEN_UP;
}

/* The streams of one plan: two at most. */
static void add_plan(struct order *o, const struct plan *plan, const struct plan_sort *sort)
{
    if (sort->by == SORT_ID) {
        add(o, DB_ORDER_ID_DOWN, DB_ORDER_ID_UP, BY_ID, plan->type, 0);
        return;
    }
    if (sort->p == 0)
        return; /* no resource has a value */
    switch (sort->kind) {
    case ANDIRON_TERM_DATE:
        for (int64_t class = 0; class < 2; class ++)
            bound(add(o, DB_ORDER_DATE_DOWN, DB_ORDER_DATE_UP, BY_NUMBER, sort->p, class), sort);
        break;
    case ANDIRON_TERM_NUMBER:
    case ANDIRON_TERM_QUANTITY:
        bound(add(o, DB_ORDER_NUMBER_DOWN, DB_ORDER_NUMBER_UP, BY_REAL, sort->p, 0), sort);
        break;
    case ANDIRON_TERM_STRING:
        add(o, DB_ORDER_STRING_DOWN, DB_ORDER_STRING_UP, BY_TEXT, sort->p, 0);
        break;
    case ANDIRON_TERM_TOKEN:
        add_list(o, sort->p, ROWS_CODE);
        break;
    case ANDIRON_TERM_REFERENCE:
        add_list(o, sort->p, ROWS_RESOURCE);
        add_list(o, sort->p, ROWS_URL);
        break;
    case ANDIRON_TERM_URI:
        add_list(o, sort->p, ROWS_URL);
        break;
    default:
        break;
    }
}

struct order *order_new(struct run *run, size_t key, const struct cursor_value *from, int64_t vid)
{
    struct order *o = andiron_new(run->arena, struct order);

    o->descending = run->query->sort[key].descending;
    o->streams = andiron_alloc(run->arena, (2 * run->plan_count + 1) * sizeof(o->streams[0]));
    for (size_t i = 0; i < run->plan_count; i++)
        add_plan(o, &run->plans[i], &run->plans[i].sort[key]);
    if (vid == ORDER_WITH || vid == ORDER_BEHIND)
        vid = vid == ORDER_WITH ? order_before(o) : order_behind(o);
    for (size_t i = 0; from != NULL && i < o->stream_count; i++) {
        o->streams[i].last = (struct entry){ *from, vid };
        o->streams[i].started = true;
    }
    return o;
}

void order_skip(struct order *o, const struct cursor_value *value)
{
    for (size_t i = 0; i < o->stream_count; i++) {
        struct stream *t = &o->streams[i];
        while (t->at < t->count && cursor_compare(&t->entries[t->at].value, value) == 0)
            t->at++;
        if (t->at < t->count || t->ended)
            continue; /* it has come further already */
        t->last = (struct entry){ *value, order_behind(o) };
        t->started = true;
    }
}

/* ---- one index in order ---------------------------------------------------------------- */

/* Binds where to begin: behind the last entry, or before all there could be. */
static void bind_start(sqlite3_stmt *s, const struct order *o, const struct stream *t)
{
    const struct cursor_value *v = &t->last.value;

    sqlite3_bind_int64(s, 4, t->started ? t->last.vid : order_before(o));
    switch (t->by) {
    case BY_NUMBER:
        sqlite3_bind_int64(s, 3, t->started ? v->number : o->descending ? t->high : t->low);
        break;
    case BY_REAL:
        sqlite3_bind_double(s, 3,
                            t->started      ? v->real
                            : o->descending ? t->real_high
                                            : t->real_low);
        break;
    default:
        if (t->started)
            db_bind_str(s, 3, v->text);
        else if (o->descending)
            sqlite3_bind_zeroblob(s, 3, 0); /* blobs come behind all texts */
        else
            sqlite3_bind_text(s, 3, "", 0, SQLITE_STATIC);
        break;
    }
}

static struct entry entry_of(struct run *run, const struct stream *t, sqlite3_stmt *s)
{
    struct entry e = { .vid = sqlite3_column_int64(s, 1) };

    switch (t->by) {
    case BY_NUMBER:
        e.value.kind = VALUE_NUMBER;
        e.value.number = sqlite3_column_int64(s, 0);
        break;
    case BY_REAL:
        e.value.kind = VALUE_REAL;
        e.value.real = sqlite3_column_double(s, 0);
        break;
    default:
        e.value.kind = VALUE_TEXT;
        e.value.text = db_str(s, 0);
        e.value.text.data = andiron_copy(run->arena, e.value.text);
        break;
    }
    return e;
}

static bool is_outside(const struct order *o, const struct stream *t, const struct entry *e)
{
    if (t->by == BY_NUMBER)
        return o->descending ? e->value.number < t->low : e->value.number > t->high;
    if (t->by == BY_REAL)
        return o->descending ? e->value.real < t->real_low : e->value.real > t->real_high;
    return false;
}

static int fill_by_index(struct run *run, const struct order *o, struct stream *t)
{
    sqlite3_stmt *s = db_statement(run->db, t->statement);
    int more = 0;

    if (s == NULL)
        return run_fail(run);
    sqlite3_bind_int64(s, 1, t->p);
    sqlite3_bind_int64(s, 2, t->class);
    bind_start(s, o, t);
    sqlite3_bind_int64(s, 5, (int64_t)t->batch);
    while (t->count < t->batch && (more = db_step(run->db, s)) == 1) {
        t->entries[t->count] = entry_of(run, t, s);
        if (is_outside(o, t, &t->entries[t->count]))
            break;
        t->count++;
    }
    if (more < 0)
        return run_fail(run);
    if (more == 1)
        sqlite3_reset(s);
    t->ended = t->count < t->batch;
    return 0;
}

/* ---- lists of values in order ---------------------------------------------------------- */

/* The values from the last one on; that one may have more entries. */
static int fill_values(struct run *run, const struct order *o, struct stream *t)
{
    sqlite3_stmt *s = db_statement(run->db, t->statement);
    int more = 0;

    if (s == NULL)
        return run_fail(run);
    if (t->values == NULL)
        t->values = andiron_alloc(run->arena, VALUES_MAX * sizeof(t->values[0]));
    sqlite3_bind_int64(s, 1, t->p);
    sqlite3_bind_int64(s, 2, t->class);
    bind_start(s, o, t); /* binds the limit's place, too */
    sqlite3_bind_int64(s, 4, (int64_t)t->batch < VALUES_MAX ? (int64_t)t->batch : VALUES_MAX);
    t->at_value = t->value_count = 0;
    while (t->value_count < t->batch && t->value_count < VALUES_MAX &&
           (more = db_step(run->db, s)) == 1) {
        andiron_str text = db_str(s, 0);
        t->values[t->value_count++] = (struct listed){ { andiron_copy(run->arena, text), text.len },
                                                       sqlite3_column_int64(s, 1) };
    }
    if (more < 0)
        return run_fail(run);
    if (t->value_count == t->batch || t->value_count == VALUES_MAX)
        sqlite3_reset(s);
    else
        t->values_ended = true;
    (void)run_spend(run, (int64_t)(t->value_count / 8) + 1);
    return 0;
}

/* Entries of one value behind `vid`; *ret_whole: there are no more of them. */
static int fill_list(struct run *run, const struct order *o, struct stream *t,
                     const struct listed *value, int64_t vid, bool *ret_whole)
{
    sqlite3_stmt *s = db_statement(run->db, t->list);
    size_t from = t->count;
    int more = 0;

    *ret_whole = true;
    if (vid == order_behind(o))
        return 0;
    if (s == NULL)
        return run_fail(run);
    sqlite3_bind_int64(s, 1, t->p);
    sqlite3_bind_int64(s, 2, value->h);
    sqlite3_bind_int64(s, 3, vid == order_before(o) ? vid : o->descending ? vid - 1 : vid + 1);
    sqlite3_bind_int64(s, 4, (int64_t)(t->batch - t->count));
    while (t->count < t->batch && (more = db_step(run->db, s)) == 1)
        t->entries[t->count++] = (struct entry){ { .kind = VALUE_TEXT, .text = value->text },
                                                 sqlite3_column_int64(s, 0) };
    if (more < 0)
        return run_fail(run);
    if (t->count == t->batch) {
        sqlite3_reset(s);
        *ret_whole = false;
    }
    (void)run_spend(run, (int64_t)((t->count - from) / 8) + 1);
    return 0;
}

static int fill_by_list(struct run *run, const struct order *o, struct stream *t)
{
    while (t->count < t->batch && !run->stopped) {
        if (t->at_value == t->value_count) {
            if (t->values_ended) {
                t->ended = true;
                return 0;
            }
            if (fill_values(run, o, t) != 0)
                return -1;
            continue;
        }
        const struct listed *value = &t->values[t->at_value];
        bool is_same = t->started && andiron_str_eq(value->text, t->last.value.text);
        bool whole;
        if (fill_list(run, o, t, value, is_same ? t->last.vid : order_before(o), &whole) != 0)
            return -1;
        /* Where the next look at this value, or at the next ones, begins. */
        t->last.value = (struct cursor_value){ .kind = VALUE_TEXT, .text = value->text };
        t->last.vid = whole ? order_behind(o) : t->entries[t->count - 1].vid;
        t->started = true;
        if (whole)
            t->at_value++;
    }
    return 0;
}

/* ---- merging ----------------------------------------------------------------------------- */

static int refill(struct run *run, struct order *o, struct stream *t)
{
    if (t->room < t->batch) {
        t->room = t->batch;
        t->entries = andiron_alloc(run->arena, t->room * sizeof(t->entries[0]));
    }
    t->count = t->at = 0;
    if ((t->by == BY_LIST ? fill_by_list(run, o, t) : fill_by_index(run, o, t)) != 0)
        return -1;
    if (t->count != 0 && t->by != BY_LIST) {
        t->last = t->entries[t->count - 1];
        t->started = true;
    }
    if (t->batch < BATCH_MAX)
        t->batch *= 2;
    return 0;
}

static bool comes_first(const struct order *o, const struct entry *a, const struct entry *b)
{
    int c = cursor_compare(&a->value, &b->value);

    if (c == 0)
        c = a->vid < b->vid ? -1 : 1;
    return o->descending ? c > 0 : c < 0;
}

/* The stream whose next entry comes first; NULL in *ret at the end. */
static int first_stream(struct run *run, struct order *o, struct stream **ret)
{
    *ret = NULL;
    for (size_t i = 0; i < o->stream_count; i++) {
        struct stream *t = &o->streams[i];
        if (t->at == t->count && !t->ended && refill(run, o, t) != 0)
            return -1;
        if (t->at == t->count && run->stopped) {
            *ret = NULL; /* what it has next is not known */
            return 0;
        }
        if (t->at == t->count)
            continue;
        if (*ret == NULL || comes_first(o, &t->entries[t->at], &(*ret)->entries[(*ret)->at]))
            *ret = t;
    }
    return 0;
}

int order_peek(struct run *run, struct order *o, struct cursor_value *ret, int64_t *ret_vid)
{
    struct stream *first;

    if (first_stream(run, o, &first) != 0)
        return -1;
    if (first == NULL)
        return 0;
    *ret = first->entries[first->at].value;
    *ret_vid = first->entries[first->at].vid;
    return 1;
}

int order_next(struct run *run, struct order *o, struct cursor_value *ret, int64_t *ret_vid)
{
    struct stream *first;

    if (first_stream(run, o, &first) != 0)
        return -1;
    if (first == NULL)
        return 0;
    *ret = first->entries[first->at].value;
    *ret_vid = first->entries[first->at].vid;
    first->at++;
    return 1;
}
