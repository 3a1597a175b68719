/*
 * Sorted pages; see sorting.h.
 */
#include "sorting.h"

#include <stdlib.h>

#include "common/store/rows.h"

#define GROUP_END (INT64_MAX - 2) /* key of a position behind all with the same first value */

struct hit {
    struct candidate c;
    struct cursor_value values[RUN_SORTS];
    bool is_group; /* a cursor behind a whole group */
};

struct sorting {
    bool has_from, follows, streams_ended, is_absent;
    struct hit from;

    /* all matches, or those of a group */
    struct hit *hits;
    size_t count, room, valued; /* valued: of how many the values are known */
    size_t at_plan;             /* whose scan is at hand */

    /* following */
    struct stream **streams;
    size_t stream_count;
    struct cursor_value group;
    bool in_group;
    struct hit place; /* the page has come up to here */
    bool has_place;
    struct entry last; /* taken last: a resource may have a value twice */
    bool has_last;
};

static int64_t key_of(const struct run *run, int64_t vid)
{
    return run->ascending ? vid : -vid;
}

/* ---- values ------------------------------------------------------------------------- */

static int compare_values(const struct cursor_value *x, const struct cursor_value *y,
                          bool descending)
{
    if (x->kind == VALUE_ABSENT || y->kind == VALUE_ABSENT || x->kind != y->kind) {
        if ((x->kind == VALUE_ABSENT) != (y->kind == VALUE_ABSENT))
            return x->kind == VALUE_ABSENT ? 1 : -1;
        return 0;
    }
    int c = cursor_compare(x, y);
    return descending ? -c : c;
}

static int compare_hits(const struct run *run, const struct hit *a, const struct hit *b)
{
    for (size_t i = 0; i < run->sort_count; i++) {
        int c = compare_values(&a->values[i], &b->values[i], run->query->sort[i].descending);
        if (c != 0)
            return c;
    }
    int64_t x = a->is_group ? GROUP_END : key_of(run, a->c.vid),
            y = b->is_group ? GROUP_END : key_of(run, b->c.vid);
    return x < y ? -1 : x > y;
}

static bool is_same(const struct cursor_value *a, const struct cursor_value *b)
{
    return a->kind == b->kind && (a->kind == VALUE_ABSENT || cursor_compare(a, b) == 0);
}

static bool is_of_kind(const struct keys_entry *e, enum andiron_term_kind kind)
{
    static const unsigned kinds[] = {
        [ANDIRON_TERM_TOKEN] = 1u << KEYS_TOKEN,
        [ANDIRON_TERM_STRING] = 1u << KEYS_STRING,
        [ANDIRON_TERM_REFERENCE] = 1u << KEYS_REFERENCE | 1u << KEYS_URL,
        [ANDIRON_TERM_DATE] = 1u << KEYS_DATE,
        [ANDIRON_TERM_NUMBER] = 1u << KEYS_NUMBER,
        [ANDIRON_TERM_QUANTITY] = 1u << KEYS_QUANTITY,
        [ANDIRON_TERM_URI] = 1u << KEYS_URI,
    };
    return (size_t)kind < sizeof(kinds) / sizeof(kinds[0]) && (kinds[kind] >> e->kind & 1u) != 0;
}

static int reference_value(struct run *run, const struct keys_entry *e, struct cursor_value *ret)
{
    const struct known *k = known_resource(run, e->rid, false);
    andiron_str name = names_of_type(run->store->names, e->type);

    if (k == NULL)
        return RUN_WAIT;
    ret->kind = VALUE_TEXT;
    ret->text.data = andiron_printf(run->arena, "%.*s/%.*s", (int)name.len, name.data,
                                    (int)k->now.id.len, k->now.id.data);
    ret->text.len = name.len + 1 + k->now.id.len;
    return 0;
}

static int entry_value(struct run *run, const struct keys_entry *e, struct cursor_value *ret)
{
    *ret = (struct cursor_value){ .kind = VALUE_TEXT, .text = e->text };
    switch (e->kind) {
    case KEYS_STRING:
        ret->text = rows_string(e->text);
        return 0;
    case KEYS_URI:
    case KEYS_URL:
        if (e->text.len > ROWS_STRING_MAX)
            ret->text =
                rows_url(&run->store->key, e->text, andiron_alloc(run->arena, ROWS_STRING_MAX));
        return 0;
    case KEYS_DATE:
        ret->kind = VALUE_NUMBER;
        ret->number = e->low;
        return 0;
    case KEYS_NUMBER:
    case KEYS_QUANTITY:
        ret->kind = VALUE_REAL;
        ret->real = e->number_low;
        return 0;
    case KEYS_REFERENCE:
        return reference_value(run, e, ret);
    default:
        return 0;
    }
}

static const struct run_plan *plan_of(const struct run *run, int64_t type)
{
    for (size_t i = 0; i < run->plan_count; i++) {
        if (run->plans[i].type == type)
            return &run->plans[i];
    }
    return NULL;
}

/* Of several values the least, or descending the greatest. 0, RUN_WAIT. */
static int value_of(struct run *run, const struct run_sort *sort, const struct candidate *c,
                    struct cursor_value *ret)
{
    struct keys_cursor k = keys_begin(c->keys);
    struct keys_entry e;
    int rc = 0;

    *ret = (struct cursor_value){ .kind = VALUE_ABSENT };
    if (sort->by == SORT_UPDATED)
        *ret = (struct cursor_value){ .kind = VALUE_NUMBER, .number = c->vid };
    if (sort->by == SORT_ID)
        *ret = (struct cursor_value){ .kind = VALUE_TEXT, .text = c->id };
    if (sort->by != SORT_VALUE)
        return 0;
    while (sort->p != 0 && keys_next(&k, &e)) {
        struct cursor_value value;
        if (e.p != sort->p || e.group != 0 || !is_of_kind(&e, sort->kind))
            continue;
        if (entry_value(run, &e, &value) != 0)
            rc = RUN_WAIT;
        else if (ret->kind == VALUE_ABSENT || compare_values(&value, ret, sort->descending) < 0)
            *ret = value;
    }
    return rc;
}

static int values_of(struct run *run, struct hit *h)
{
    const struct run_plan *plan = plan_of(run, h->c.type);
    int rc = 0;

    for (size_t i = 0; plan != NULL && i < run->sort_count; i++) {
        if (value_of(run, &plan->sort[i], &h->c, &h->values[i]) != 0)
            rc = RUN_WAIT;
    }
    return rc;
}

/* ---- hits --------------------------------------------------------------------------------- */

static void add_hit(struct run *run, struct sorting *s, const struct candidate *c)
{
    if (s->count == s->room) {
        size_t room = s->room * 2 + 64;
        struct hit *hits = andiron_alloc(run->arena, room * sizeof(hits[0]));
        if (s->count != 0)
            memcpy(hits, s->hits, s->count * sizeof(hits[0]));
        s->hits = hits;
        s->room = room;
    }
    s->hits[s->count++] = (struct hit){ .c = *c };
}

static int compare_for_sort(const void *a, const void *b, void *run)
{
    return compare_hits(run, a, b);
}

/* Values of all hits. 0, RUN_WAIT. */
static int value_hits(struct run *run, struct sorting *s)
{
    int rc = 0;

    for (size_t i = s->valued; i < s->count; i++) {
        if (values_of(run, &s->hits[i]) != 0)
            rc = RUN_WAIT;
        else if (rc == 0)
            s->valued = i + 1;
    }
    return rc;
}

static void set_place(struct run *run, struct sorting *s, const struct hit *h)
{
    s->place = *h;
    s->has_place = true;
    run_moved(run);
}

/* Adds hits to the page, those behind the cursor in order; true: it is full, and another follows. */
static bool take_hits(struct run *run, struct sorting *s)
{
    bool full = false;

    if (s->count > 1)
        qsort_r(s->hits, s->count, sizeof(s->hits[0]), compare_for_sort, run);
    for (size_t i = 0; i < s->count && !full; i++) {
        if (s->has_from && compare_hits(run, &s->hits[i], &s->from) <= 0)
            continue;
        full = run->page_count == run->query->limit;
        if (full)
            break;
        page_add(run, &s->hits[i].c, false);
        set_place(run, s, &s->hits[i]);
    }
    s->count = s->valued = 0;
    return full;
}

/* ---- cursors ---------------------------------------------------------------------------------- */

static int read_from(struct run *run, struct sorting *s)
{
    struct cursor c;

    if (run->query->cursor.data == NULL)
        return 0;
    if (cursor_read(&run->store->seal, run->arena, run->query->cursor, CURSOR_SORTED,
                    run->query->fingerprint, &c, run->error) != 0) {
        run->failed = true;
        return RUN_FAILED;
    }
    s->has_from = true;
    s->from.is_group = c.key == GROUP_END;
    s->from.c.vid = run->ascending ? c.key : -c.key;
    for (size_t i = 0; i < run->sort_count; i++) {
        s->from.values[i] = c.values[i];
        if (run->plans[0].sort[i].by == SORT_UPDATED && !s->from.is_group)
            s->from.values[i] =
                (struct cursor_value){ .kind = VALUE_NUMBER, .number = s->from.c.vid };
    }
    return 0;
}

static void write_cursor(struct run *run, const struct hit *h)
{
    struct cursor c = { .mode = CURSOR_SORTED,
                        .query = run->query->fingerprint,
                        .key = h->is_group ? GROUP_END : key_of(run, h->c.vid) };

    for (size_t i = 0; i < run->sort_count; i++)
        c.values[i] = h->values[i];
    run->rows->cursor = cursor_write(&run->store->seal, run->arena, &c);
}

static int finish(struct run *run, struct sorting *s, bool full)
{
    if (full)
        write_cursor(run, &s->place);
    return 0;
}

/* The budget is spent: the page ends where it has come to. */
static int stop(struct run *run, struct sorting *s)
{
    if (!s->has_place)
        return run_too_costly(run);
    write_cursor(run, &s->place);
    return 0;
}

/* ---- all of few --------------------------------------------------------------------------------- */

static bool are_few(struct run *run, bool *ret_waits)
{
    int64_t sum = 0;

    for (size_t i = 0; i < run->plan_count; i++) {
        struct source *source = run->plans[i].source;
        if (source_count(run, source) != 0)
            *ret_waits = true;
        sum += source->entries > 0 ? source->entries : 0;
    }
    return sum <= run->store->config->short_list;
}

/* 0: the page is made; 1: there are more than expected: follow; RUN_WAIT.. */
static int sort_few(struct run *run, struct sorting *s)
{
    size_t most = 4 * (size_t)run->store->config->short_list;
    struct candidate c;

    for (; s->at_plan < run->plan_count; s->at_plan++) {
        struct run_plan *plan = &run->plans[s->at_plan];
        int rc;
        if (plan->scan == NULL)
            plan->scan = scan_new(run, plan->source, plan->filter, run->ascending,
                                  source_start(run->ascending), 256, false);
        while ((rc = scan_next(run, plan->scan, &c)) == 1) {
            add_hit(run, s, &c);
            if (s->count > most)
                return 1;
        }
        if (rc == RUN_STOPPED)
            return 1;
        if (rc < 0)
            return rc;
    }
    if (value_hits(run, s) != 0)
        return RUN_WAIT;
    run->rows->total = (int64_t)s->count;
    return finish(run, s, take_hits(run, s));
}

/* ---- following the index of the first key -------------------------------------------------------- */

static void begin_streams(struct run *run, struct sorting *s)
{
    bool one = run->sort_count == 1;
    int64_t vid = one ? s->from.c.vid : s->from.is_group ? STREAM_BEHIND : STREAM_WITH;

    s->streams = andiron_alloc(run->arena, 2 * run->plan_count * sizeof(s->streams[0]));
    s->streams_ended = s->has_from && s->from.values[0].kind == VALUE_ABSENT;
    for (size_t i = 0; i < run->plan_count && !s->streams_ended; i++) {
        size_t count;
        struct stream **list =
            stream_new(run, &run->plans[i], s->has_from ? &s->from.values[0] : NULL,
                       one && s->from.is_group ? STREAM_BEHIND : vid, &count);
        for (size_t k = 0; k < count; k++)
            s->streams[s->stream_count++] = list[k];
    }
}

/* The next entry of all streams: 1, 0, RUN_WAIT, RUN_STOPPED. */
static int next_entry(struct run *run, struct sorting *s, struct stream **ret_stream,
                      struct entry *ret)
{
    bool descending = run->query->sort[0].descending, found = false;
    int waits = 0;

    for (size_t i = 0; i < s->stream_count; i++) {
        struct entry e;
        int rc = stream_peek(run, s->streams[i], &e);
        if (rc < 0)
            waits = waits == RUN_STOPPED ? waits : rc;
        if (rc != 1)
            continue;
        int c = found ? compare_values(&e.value, &ret->value, descending) : -1;
        if (c == 0)
            c = (descending ? e.vid > ret->vid : e.vid < ret->vid) ? -1 : 1;
        if (c < 0) {
            *ret = e;
            *ret_stream = s->streams[i];
            found = true;
        }
    }
    return waits != 0 ? waits : found;
}

/* What the entries at hand lack is asked for together. */
static void foresee(struct run *run, const struct sorting *s)
{
    for (size_t i = 0; i < s->stream_count; i++) {
        const struct entry *e;
        for (size_t k = 1; (e = stream_ahead(s->streams[i], k)) != NULL; k++) {
            const struct run_plan *plan = e->is_candidate ? plan_of(run, e->c.type) : NULL;
            struct cursor_value ignored;
            int matches = plan != NULL ? judging(run, plan->filter, &e->c, true) : 0;
            if (matches == 1)
                (void)value_of(run, &plan->sort[0], &e->c, &ignored);
        }
    }
}

/* Whether the entry's resource matches and is sorted by this very value: 1, 0, RUN_WAIT.. */
static int judge_entry(struct run *run, const struct sorting *s, const struct entry *e)
{
    const struct run_plan *plan = e->is_candidate ? plan_of(run, e->c.type) : NULL;
    struct cursor_value value;

    if (plan == NULL)
        return 0;
    if (s->has_last && s->last.vid == e->vid && is_same(&s->last.value, &e->value))
        return 0; /* two ranges of one resource begin at the same point */
    int matches = judging(run, plan->filter, &e->c, true);
    if (matches != 1)
        return matches;
    if (value_of(run, &plan->sort[0], &e->c, &value) != 0)
        return RUN_WAIT;
    return is_same(&value, &e->value);
}

static struct hit place_of(const struct run *run, const struct entry *e)
{
    struct hit h = { .c.vid = e->vid, .values[0] = e->value, .is_group = run->sort_count > 1 };
    return h;
}

/* One key: entries come in the order of the page. As follow(). */
static int follow_one(struct run *run, struct sorting *s)
{
    struct stream *stream;
    struct entry e;
    int rc;

    while ((rc = next_entry(run, s, &stream, &e)) == 1) {
        int matches = judge_entry(run, s, &e);
        if (matches == RUN_WAIT)
            foresee(run, s);
        if (matches < 0)
            return matches;
        if (matches == 1 && run->page_count == run->query->limit)
            return 1;
        if (matches == 1)
            page_add(run, &e.c, false);
        struct hit place = place_of(run, &e);
        set_place(run, s, &place);
        s->last = e;
        s->has_last = true;
        stream_skip(stream);
    }
    return rc;
}

/* Several keys: those with the same value of the first are gathered and sorted. */
static int follow_groups(struct run *run, struct sorting *s)
{
    for (;;) {
        struct stream *stream = NULL;
        struct entry e = { .vid = 0 };
        int rc = next_entry(run, s, &stream, &e);
        if (rc < 0)
            return rc;
        if (s->in_group && (rc == 0 || !is_same(&e.value, &s->group))) {
            if (value_hits(run, s) != 0)
                return RUN_WAIT;
            if (take_hits(run, s))
                return 1;
            struct hit place = { .values[0] = s->group, .is_group = true };
            set_place(run, s, &place);
            s->in_group = false;
        }
        if (rc == 0)
            return 0;
        int matches = judge_entry(run, s, &e);
        if (matches == RUN_WAIT)
            foresee(run, s);
        if (matches < 0)
            return matches;
        s->group = e.value;
        s->in_group = true;
        if (matches == 1)
            add_hit(run, s, &e.c);
        s->last = e;
        s->has_last = true;
        stream_skip(stream);
    }
}

/* Those without a value of the first key, which come last: 1: full, 0: all, or what waits. */
static int follow_absent(struct run *run, struct sorting *s)
{
    bool one = run->sort_count == 1,
         has_from = s->has_from && s->from.values[0].kind == VALUE_ABSENT;

    if (!s->is_absent) {
        bool required = true;
        for (size_t i = 0; i < run->plan_count; i++)
            required = required && run->plans[i].sort[0].required;
        if (required || (has_from && s->from.is_group))
            return 0;
        s->is_absent = true;
        for (size_t i = 0; i < run->plan_count; i++) {
            struct run_plan *plan = &run->plans[i];
            plan->scan = scan_new(run, plan->source, plan->filter, run->ascending,
                                  one && has_from ? s->from.c.vid : source_start(run->ascending),
                                  256, false);
        }
    }
    for (;;) {
        struct run_plan *plan;
        struct candidate c;
        struct cursor_value value;
        int rc = by_vid_next(run, &plan, &c);
        if (rc < 0)
            return rc;
        if (rc == 0)
            break;
        if (value_of(run, &plan->sort[0], &c, &value) != 0)
            return RUN_WAIT;
        if (value.kind == VALUE_ABSENT && !one)
            add_hit(run, s, &c);
        if (value.kind == VALUE_ABSENT && one) {
            if (run->page_count == run->query->limit)
                return 1;
            page_add(run, &c, false);
        }
        if (one) {
            struct hit place = { .c.vid = c.vid };
            set_place(run, s, &place);
        }
        scan_skip(plan->scan);
    }
    if (one)
        return 0;
    if (value_hits(run, s) != 0)
        return RUN_WAIT;
    return take_hits(run, s);
}

static int follow(struct run *run, struct sorting *s)
{
    int rc = 0;

    run->order_name = "by following the index of the first sort key";
    if (s->streams == NULL)
        begin_streams(run, s);
    if (!s->streams_ended) {
        rc = run->sort_count == 1 ? follow_one(run, s) : follow_groups(run, s);
        s->streams_ended = rc == 0;
    }
    if (rc == 0)
        rc = follow_absent(run, s);
    if (rc == RUN_STOPPED)
        return stop(run, s);
    return rc < 0 ? rc : finish(run, s, rc == 1);
}

int sorting_page(struct run *run)
{
    struct sorting *s = run->sorting;
    bool waits = false;

    if (s == NULL) {
        s = run->sorting = andiron_new(run->arena, struct sorting);
        if (read_from(run, s) != 0)
            return RUN_FAILED;
    }
    if (!s->follows) {
        bool few = are_few(run, &waits);
        if (waits)
            return RUN_WAIT;
        if (few) {
            run->order_name = "by sorting all matches";
            int rc = sort_few(run, s);
            if (rc != 1)
                return rc;
            s->count = s->valued = 0;
        }
        s->follows = true;
    }
    return follow(run, s);
}

bool sorting_is_single(const struct run *run)
{
    const struct sorting *s = run->sorting;
    bool single = s != NULL && s->follows && !s->streams_ended;

    for (size_t i = 0; single && i < s->stream_count; i++)
        single = stream_is_lazy(s->streams[i]);
    return single;
}
