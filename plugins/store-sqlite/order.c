/*
 * Reading an index in the order of its values; see order.h. Dates lie in two classes, which
 * are merged.
 */
#include "order.h"

#include "iter.h"

enum { BATCH_FIRST = 16, BATCH_MAX = 256 };

struct entry {
    struct cursor_value value;
    int64_t vid;
};

struct stream {
    int64_t class;
    struct entry *entries;
    size_t count, at;
    struct entry last; /* where the next batch begins; vid 0: at the very start */
    bool started, ended;
};

struct order {
    int statement;
    enum { BY_NUMBER, BY_REAL, BY_TEXT, BY_ID } by;
    bool descending;
    int64_t p;
    size_t batch;
    size_t stream_count;
    struct stream streams[2];
};

bool order_exists(const struct plan_sort *sort)
{
    if (sort->by == SORT_ID)
        return true;
    return sort->by == SORT_VALUE && sort->p != 0 &&
           (sort->kind == ANDIRON_TERM_DATE || sort->kind == ANDIRON_TERM_NUMBER ||
            sort->kind == ANDIRON_TERM_QUANTITY || sort->kind == ANDIRON_TERM_STRING);
}

struct order *order_new(struct run *run, const struct plan_sort *sort, int64_t type,
                        const struct cursor *from)
{
    struct order *o = andiron_new(run->arena, struct order);
    bool down = sort->descending;

    o->descending = down;
    o->p = sort->p;
    o->batch = BATCH_FIRST;
    o->stream_count = 1;
    if (sort->by == SORT_ID) {
        o->by = BY_ID;
        o->statement = down ? DB_ORDER_ID_DOWN : DB_ORDER_ID_UP;
        o->p = type;
    } else if (sort->kind == ANDIRON_TERM_DATE) {
        o->by = BY_NUMBER;
        o->statement = down ? DB_ORDER_DATE_DOWN : DB_ORDER_DATE_UP;
        o->stream_count = 2;
        o->streams[1].class = 1;
    } else if (sort->kind == ANDIRON_TERM_STRING) {
        o->by = BY_TEXT;
        o->statement = down ? DB_ORDER_STRING_DOWN : DB_ORDER_STRING_UP;
    } else {
        o->by = BY_REAL;
        o->statement = down ? DB_ORDER_NUMBER_DOWN : DB_ORDER_NUMBER_UP;
    }
    for (size_t i = 0; from != NULL && i < o->stream_count; i++) {
        o->streams[i].last = (struct entry){ from->values[0], iter_vid(run, from->key) };
        o->streams[i].started = true;
    }
    return o;
}

/* Binds where to begin: behind the last entry, or before all there could be. */
static void bind_start(sqlite3_stmt *s, const struct order *o, const struct stream *t)
{
    const struct cursor_value *v = &t->last.value;

    sqlite3_bind_int64(s, 4, t->started ? t->last.vid : o->descending ? INT64_MAX : 0);
    switch (o->by) {
    case BY_NUMBER:
        sqlite3_bind_int64(s, 3, t->started ? v->number : o->descending ? INT64_MAX : INT64_MIN);
        break;
    case BY_REAL:
        sqlite3_bind_double(s, 3, t->started ? v->real : o->descending ? 1.0 / 0.0 : -1.0 / 0.0);
        break;
    case BY_TEXT:
    case BY_ID:
        if (t->started)
            db_bind_str(s, 3, v->text);
        else if (o->descending)
            sqlite3_bind_zeroblob(s, 3, 0); /* blobs come behind all texts */
        else
            sqlite3_bind_text(s, 3, "", 0, SQLITE_STATIC);
        break;
    }
}

static struct entry entry_of(struct run *run, const struct order *o, sqlite3_stmt *s)
{
    struct entry e = { .vid = sqlite3_column_int64(s, 1) };

    switch (o->by) {
    case BY_NUMBER:
        e.value.kind = VALUE_NUMBER;
        e.value.number = sqlite3_column_int64(s, 0);
        break;
    case BY_REAL:
        e.value.kind = VALUE_REAL;
        e.value.real = sqlite3_column_double(s, 0);
        break;
    case BY_TEXT:
    case BY_ID:
        e.value.kind = VALUE_TEXT;
        e.value.text = db_str(s, 0);
        e.value.text.data = andiron_copy(run->arena, e.value.text);
        break;
    }
    return e;
}

static int refill(struct run *run, struct order *o, struct stream *t)
{
    sqlite3_stmt *s = db_statement(run->db, o->statement);
    int more = 0;

    if (s == NULL)
        return run_fail(run);
    if (t->entries == NULL)
        t->entries = andiron_alloc(run->arena, BATCH_MAX * sizeof(t->entries[0]));
    sqlite3_bind_int64(s, 1, o->p);
    sqlite3_bind_int64(s, 2, o->by == BY_NUMBER ? t->class : 0);
    bind_start(s, o, t);
    sqlite3_bind_int64(s, 5, (int64_t)o->batch);
    t->count = t->at = 0;
    while (t->count < o->batch && (more = db_step(run->db, s)) == 1)
        t->entries[t->count++] = entry_of(run, o, s);
    if (more < 0)
        return run_fail(run);
    if (t->count == o->batch)
        sqlite3_reset(s);
    else
        t->ended = true;
    if (t->count != 0) {
        t->last = t->entries[t->count - 1];
        t->started = true;
    }
    if (o->batch < BATCH_MAX)
        o->batch *= 2;
    return 0;
}

static bool comes_first(const struct order *o, const struct entry *a, const struct entry *b)
{
    int c = a->value.number < b->value.number ? -1 : a->value.number > b->value.number;

    if (c == 0)
        c = a->vid < b->vid ? -1 : 1;
    return o->descending ? c > 0 : c < 0;
}

int order_next(struct run *run, struct order *o, struct cursor_value *ret, int64_t *ret_vid)
{
    struct stream *first = NULL;

    for (size_t i = 0; i < o->stream_count; i++) {
        struct stream *t = &o->streams[i];
        if (t->at == t->count && !t->ended && refill(run, o, t) != 0)
            return -1;
        if (t->at == t->count)
            continue;
        if (first == NULL || comes_first(o, &t->entries[t->at], &first->entries[first->at]))
            first = t;
    }
    if (first == NULL)
        return 0;
    *ret = first->entries[first->at].value;
    *ret_vid = first->entries[first->at].vid;
    first->at++;
    return 1;
}
