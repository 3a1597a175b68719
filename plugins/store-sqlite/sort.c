/*
 * Sorting; see sort.h. Order: the sort keys, absent ones last in either direction, then vid in
 * the direction of the first key. Both ways of making a page follow this order exactly, so pages
 * may be made in different ways and still fit together.
 */
#include "sort.h"

#include "filter.h"
#include "iter.h"
#include "order.h"
#include "rows.h"

struct plan *sort_plan_of(struct run *run, int64_t type)
{
    for (size_t i = 0; i < run->plan_count; i++) {
        if (run->plans[i].type == type)
            return &run->plans[i];
    }
    return NULL;
}

/* ---- values ------------------------------------------------------------------------- */

static int compare_texts(andiron_str a, andiron_str b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int c = len != 0 ? memcmp(a.data, b.data, len) : 0;

    return c != 0 ? c : a.len < b.len ? -1 : a.len > b.len;
}

/* Of two that are there. */
static int compare_values(const struct cursor_value *a, const struct cursor_value *b)
{
    switch (a->kind) {
    case VALUE_NUMBER:
        return a->number < b->number ? -1 : a->number > b->number;
    case VALUE_REAL:
        return a->real < b->real ? -1 : a->real > b->real;
    case VALUE_TEXT:
        return compare_texts(a->text, b->text);
    case VALUE_ABSENT:
        break;
    }
    return 0;
}

static int compare_hits(const struct run *run, const struct hit *a, const struct hit *b)
{
    for (size_t i = 0; i < run->sort_count; i++) {
        const struct cursor_value *x = &a->values[i], *y = &b->values[i];
        if (x->kind == VALUE_ABSENT || y->kind == VALUE_ABSENT || x->kind != y->kind) {
            if ((x->kind == VALUE_ABSENT) != (y->kind == VALUE_ABSENT))
                return x->kind == VALUE_ABSENT ? 1 : -1;
            continue;
        }
        int c = compare_values(x, y);
        if (c != 0)
            return run->query->sort[i].descending ? -c : c;
    }
    int64_t x = iter_key(run, a->vid), y = iter_key(run, b->vid);
    return x < y ? -1 : x > y;
}

/* Takes the value if it comes before the one held: least ascending, greatest descending. */
static void take(struct cursor_value *held, const struct cursor_value *value, bool descending)
{
    if (held->kind == VALUE_ABSENT) {
        *held = *value;
        return;
    }
    int c = compare_values(value, held);
    if (descending ? c > 0 : c < 0)
        *held = *value;
}

static int reference_value(struct run *run, const struct keys_entry *e, struct cursor_value *ret)
{
    int64_t type, vid;
    andiron_str id = { NULL, 0 }, name;

    if (resource_current(run, e->rid, &type, &vid, &id) != 0)
        return -1;
    if (names_find_of_type(run->store->names, run->db, e->type, &name) != 0)
        return run_fail(run);
    ret->kind = VALUE_TEXT;
    ret->text.data =
        andiron_printf(run->arena, "%.*s/%.*s", (int)name.len, name.data, (int)id.len, id.data);
    ret->text.len = name.len + 1 + id.len;
    return 0;
}

static int entry_value(struct run *run, const struct keys_entry *e, struct cursor_value *ret)
{
    *ret = (struct cursor_value){ .kind = VALUE_TEXT, .text = e->text };
    switch (e->kind) {
    case KEYS_TOKEN:
        return 0;
    case KEYS_STRING:
    case KEYS_URI:
    case KEYS_URL:
        ret->text = rows_string(e->text);
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
        ret->kind = VALUE_ABSENT;
        return 0;
    }
}

static bool is_of_kind(const struct keys_entry *e, enum andiron_term_kind kind)
{
    switch (kind) {
    case ANDIRON_TERM_TOKEN:
        return e->kind == KEYS_TOKEN;
    case ANDIRON_TERM_STRING:
        return e->kind == KEYS_STRING;
    case ANDIRON_TERM_REFERENCE:
        return e->kind == KEYS_REFERENCE || e->kind == KEYS_URL;
    case ANDIRON_TERM_DATE:
        return e->kind == KEYS_DATE;
    case ANDIRON_TERM_NUMBER:
        return e->kind == KEYS_NUMBER;
    case ANDIRON_TERM_QUANTITY:
        return e->kind == KEYS_QUANTITY;
    case ANDIRON_TERM_URI:
        return e->kind == KEYS_URI;
    default:
        return false;
    }
}

static int value_of(struct run *run, const struct plan_sort *sort, const struct candidate *c,
                    struct cursor_value *ret)
{
    struct keys_cursor k = keys_begin(c->keys);
    struct keys_entry e;

    *ret = (struct cursor_value){ .kind = VALUE_ABSENT };
    if (sort->by == SORT_UPDATED) {
        *ret = (struct cursor_value){ .kind = VALUE_NUMBER, .number = c->vid };
        return 0;
    }
    if (sort->by == SORT_ID) {
        int64_t type, vid;
        ret->kind = VALUE_TEXT;
        return resource_current(run, c->rid, &type, &vid, &ret->text);
    }
    while (sort->p != 0 && keys_next(&k, &e)) {
        struct cursor_value value;
        if (e.p != sort->p || e.group != 0 || !is_of_kind(&e, sort->kind))
            continue;
        if (entry_value(run, &e, &value) != 0)
            return -1;
        if (value.kind != VALUE_ABSENT)
            take(ret, &value, sort->descending);
    }
    return 0;
}

static int hit_of(struct run *run, const struct plan *plan, const struct candidate *c,
                  struct hit *ret)
{
    *ret = (struct hit){ .vid = c->vid };
    for (size_t i = 0; i < run->sort_count; i++) {
        if (value_of(run, &plan->sort[i], c, &ret->values[i]) != 0)
            return -1;
    }
    return 0;
}

/* The texts of a hit, to stay when its row is gone. */
static void keep_texts(struct run *run, struct hit *h)
{
    for (size_t i = 0; i < run->sort_count; i++) {
        if (h->values[i].kind == VALUE_TEXT)
            h->values[i].text.data = andiron_copy(run->arena, h->values[i].text);
    }
}

static struct hit hit_of_cursor(const struct run *run, const struct cursor *cursor)
{
    struct hit h = { .vid = iter_vid(run, cursor->key) };

    for (size_t i = 0; i < run->sort_count; i++)
        h.values[i] = cursor->values[i];
    return h;
}

static struct cursor cursor_at(const struct run *run, const struct hit *h)
{
    struct cursor c = { .mode = CURSOR_SORTED, .key = iter_key(run, h->vid) };

    for (size_t i = 0; i < run->sort_count; i++)
        c.values[i] = h->values[i];
    return c;
}

/* ---- sorting the few ------------------------------------------------------------------- */

/* The best `max` hits, as a heap whose root is the worst of them. */
struct best {
    struct hit *hits;
    size_t count, max;
};

static void sink(const struct run *run, struct best *b, size_t i)
{
    for (;;) {
        size_t worst = i, left = 2 * i + 1;
        for (size_t child = left; child < left + 2 && child < b->count; child++) {
            if (compare_hits(run, &b->hits[child], &b->hits[worst]) > 0)
                worst = child;
        }
        if (worst == i)
            return;
        struct hit t = b->hits[i];
        b->hits[i] = b->hits[worst];
        b->hits[worst] = t;
        i = worst;
    }
}

static void best_add(struct run *run, struct best *b, struct hit *h)
{
    if (b->count < b->max) {
        keep_texts(run, h);
        size_t i = b->count++;
        b->hits[i] = *h;
        while (i > 0 && compare_hits(run, &b->hits[i], &b->hits[(i - 1) / 2]) > 0) {
            struct hit t = b->hits[i];
            b->hits[i] = b->hits[(i - 1) / 2];
            b->hits[(i - 1) / 2] = t;
            i = (i - 1) / 2;
        }
        return;
    }
    if (b->max == 0 || compare_hits(run, h, &b->hits[0]) >= 0)
        return;
    keep_texts(run, h);
    b->hits[0] = *h;
    sink(run, b, 0);
}

/* Best first; the heap is used up. */
static void best_sort(const struct run *run, struct best *b)
{
    size_t count = b->count;

    while (b->count > 1) {
        struct hit t = b->hits[0];
        b->hits[0] = b->hits[--b->count];
        b->hits[b->count] = t;
        sink(run, b, 0);
    }
    b->count = count;
}

/* The next candidate that matches; 1, 0 at the end, -1. The candidate is loaded. */
static int next_match(struct run *run, int64_t *key, struct candidate *ret)
{
    int64_t end = iter_key(run, run->ascending ? run->vid_high : run->vid_low);

    for (;;) {
        *key = iter_seek(run, run->iter, *key);
        if (run->failed)
            return -1;
        if (run->stopped || *key == ITER_END || *key > end)
            return 0;
        if (run_spend(run, 1))
            return 0;
        int found = candidate_load(run, iter_vid(run, *key), ret);
        if (found < 0)
            return -1;
        if (found == 1) {
            struct plan *plan = sort_plan_of(run, ret->type);
            bool matches = plan != NULL && filter_matches(run, plan->filter, ret, true);
            if (matches && !run->stopped && !run->failed)
                return 1;
            candidate_end(run, ret);
            if (run->failed)
                return -1;
            if (run->stopped)
                return 0;
        }
        ++*key;
    }
}

/*
 * Looks at all matches, at most `most`. 1: done; 0: there are more, or the budget was spent.
 */
static int sort_few(struct run *run, const struct cursor *from, size_t limit, size_t most,
                    struct sorted_page *ret)
{
    struct best best = { .max = limit + 1 };
    struct hit start;
    struct candidate c;
    int64_t key = iter_key(run, run->ascending ? run->vid_low : run->vid_high);
    size_t seen = 0;
    int more;

    best.hits = andiron_alloc(run->arena, best.max * sizeof(best.hits[0]));
    if (from != NULL)
        start = hit_of_cursor(run, from);
    while ((more = next_match(run, &key, &c)) == 1) {
        struct hit h;
        int rc = hit_of(run, sort_plan_of(run, c.type), &c, &h);
        if (rc == 0 && (from == NULL || compare_hits(run, &h, &start) > 0))
            best_add(run, &best, &h);
        candidate_end(run, &c);
        if (rc != 0)
            return -1;
        if (++seen > most)
            return 0;
        key++;
    }
    if (more < 0 || run->stopped)
        return more;
    best_sort(run, &best);
    ret->total = (int64_t)seen;
    ret->complete = best.count <= limit;
    ret->hits = best.hits;
    ret->count = best.count < limit ? best.count : limit;
    if (!ret->complete)
        ret->position = cursor_at(run, &best.hits[limit - 1]);
    return 1;
}

/* ---- following the index of the key --------------------------------------------------------- */

/*
 * Judges what the index of the sort key names next. 1: a hit; 0: not; -1. A resource with
 * several values is met several times; only the value it is sorted by counts.
 */
static int judge(struct run *run, struct plan *plan, struct hit *entry, bool absent)
{
    struct candidate c;
    struct hit h;
    bool brought = !absent; /* entries of the second half come from the iterator */
    int ret = 0;

    if (entry->vid < run->vid_low || entry->vid > run->vid_high)
        return 0;
    if (brought && run->sifted && !iter_has(run, plan->iter, iter_key(run, entry->vid)))
        return run->failed ? -1 : 0;
    int found = candidate_load(run, entry->vid, &c);
    if (found <= 0)
        return found;
    if (hit_of(run, plan, &c, &h) != 0)
        ret = -1;
    else if (absent ? h.values[0].kind == VALUE_ABSENT
                    : h.values[0].kind == entry->values[0].kind &&
                          compare_values(&h.values[0], &entry->values[0]) == 0)
        ret = filter_matches(run, plan->filter, &c, absent || run->sifted);
    candidate_end(run, &c);
    return run->failed ? -1 : ret;
}

/* Adds hits to the page; 1: full, and another one is known to follow. */
static int add_hit(const struct hit *entry, size_t limit, struct sorted_page *ret)
{
    if (ret->count == limit)
        return 1;
    ret->hits[ret->count++] = *entry;
    return 0;
}

/* Those with a value. 1: the page is full; 0: there are no more; -1. */
static int follow_values(struct run *run, struct order *order, size_t limit,
                         struct sorted_page *ret)
{
    struct plan *plan = &run->plans[0];
    struct hit entry = { .vid = 0 }, last = { .vid = 0 };
    int more;

    while ((more = order_next(run, order, &entry.values[0], &entry.vid)) == 1) {
        /* Two ranges of one resource may begin at the same point. */
        if (entry.vid == last.vid && compare_values(&entry.values[0], &last.values[0]) == 0)
            continue;
        last = entry;
        int is_hit = judge(run, plan, &entry, false);
        if (is_hit < 0)
            return -1;
        if (run->stopped)
            return 0;
        if (is_hit == 1 && add_hit(&entry, limit, ret) == 1)
            return 1;
        ret->position = cursor_at(run, &entry);
        run_moved(run);
        if (run_spend(run, 1))
            return 0;
    }
    return more;
}

/* Those without a value, by vid behind `key`. */
static int follow_absent(struct run *run, int64_t key, size_t limit, struct sorted_page *ret)
{
    struct plan *plan = &run->plans[0];
    int64_t end = iter_key(run, run->ascending ? run->vid_high : run->vid_low);
    struct hit entry = { .vid = 0 };

    for (;; key++) {
        key = iter_seek(run, plan->iter, key);
        if (run->failed)
            return -1;
        if (key == ITER_END || key > end)
            return 0;
        if (run->stopped) {
            entry.vid = iter_vid(run, key - 1);
            ret->position = cursor_at(run, &entry);
            return 0;
        }
        entry.vid = iter_vid(run, key);
        int is_hit = judge(run, plan, &entry, true);
        if (is_hit < 0)
            return -1;
        if (run->stopped)
            return 0;
        if (is_hit == 1 && add_hit(&entry, limit, ret) == 1)
            return 1;
        ret->position = cursor_at(run, &entry);
        run_moved(run);
        if (run_spend(run, 1))
            return 0;
    }
}

static int follow(struct run *run, const struct cursor *from, size_t limit, struct sorted_page *ret)
{
    int64_t start = iter_key(run, run->ascending ? 1 : INT64_MAX - 1);
    int rc = 0;

    ret->hits = andiron_alloc(run->arena, (limit + 1) * sizeof(ret->hits[0]));
    ret->count = 0;
    if (from != NULL)
        ret->position = *from;
    run->sifted = strcmp(iter_name(run->plans[0].iter), "type") != 0;
    if (from == NULL || from->values[0].kind != VALUE_ABSENT) {
        struct order *order = order_new(run, &run->plans[0].sort[0], run->plans[0].type, from);
        rc = follow_values(run, order, limit, ret);
    } else {
        start = from->key + 1;
    }
    if (rc == 0 && !run->stopped)
        rc = follow_absent(run, start, limit, ret);
    if (rc < 0)
        return -1;
    ret->complete = rc == 0 && !run->stopped;
    return 0;
}

/*
 * Follows the index for a short while: where many match, that soon fills the page. 1: it did;
 * 0: better look at all matches first, if they are few; -1.
 */
static int try_follow(struct run *run, const struct cursor *from, size_t limit,
                      struct sorted_page *ret)
{
    int64_t work_max = run->work_max;
    int rc;

    if (iter_is_short(run, run->iter))
        return run->failed ? -1 : 0;
    run->work_max = run->work + (int64_t)limit + run->store->config->short_list;
    if (run->work_max > work_max)
        run->work_max = work_max;
    rc = follow(run, from, limit, ret);
    run->work_max = work_max;
    if (rc != 0 || !run->stopped)
        return rc != 0 ? -1 : 1;
    run->stopped = run->work > work_max;
    *ret = (struct sorted_page){ .total = -1 };
    return 0;
}

int sort_page(struct run *run, const struct cursor *from, size_t limit, struct sorted_page *ret)
{
    bool can_follow =
        run->sort_count == 1 && run->plan_count == 1 && order_exists(&run->plans[0].sort[0]);
    size_t few = (size_t)run->store->config->short_list;
    int rc = 0;

    *ret = (struct sorted_page){ .total = -1 };
    /* If all matches must be seen before the first can be shown, the budget is the larger one. */
    if (can_follow) {
        run_moved(run);
        rc = try_follow(run, from, limit, ret);
    }
    if (rc == 0)
        rc = sort_few(run, from, limit, can_follow ? few : SIZE_MAX - 1, ret);
    if (rc != 0)
        return rc < 0 ? -1 : 0;
    if (run->place->brief && run->stopped)
        return 0;
    if (can_follow) {
        run_budget(run);
        return follow(run, from, limit, ret);
    }
    run->failed = true;
    return andiron_error_set(run->error, ANDIRON_E_UNPROCESSABLE, "_sort",
                             "too many resources match to sort them by this; narrow the search, "
                             "or sort by _lastUpdated or one date or string");
}
