/*
 * Sorting; see sort.h. Order: the sort keys, absent ones last in either direction, then vid in
 * the direction of the last key. All ways of making a page follow this order exactly, so pages
 * may be made in different ways and still fit together.
 */
#include "sort.h"

#include "common/store/rows.h"
#include "drive.h"
#include "filter.h"
#include "iter.h"
#include "lookup.h"
#include "order.h"

struct plan *sort_plan_of(struct run *run, int64_t type)
{
    for (size_t i = 0; i < run->plan_count; i++) {
        if (run->plans[i].type == type)
            return &run->plans[i];
    }
    return NULL;
}

enum { FOLLOW_FEW = 64 }; /* matches that are sorted at once */

/* ---- values ------------------------------------------------------------------------- */

static int compare_hits(const struct run *run, const struct hit *a, const struct hit *b)
{
    for (size_t i = 0; i < run->sort_count; i++) {
        const struct cursor_value *x = &a->values[i], *y = &b->values[i];
        if (x->kind == VALUE_ABSENT || y->kind == VALUE_ABSENT || x->kind != y->kind) {
            if ((x->kind == VALUE_ABSENT) != (y->kind == VALUE_ABSENT))
                return x->kind == VALUE_ABSENT ? 1 : -1;
            continue;
        }
        int c = cursor_compare(x, y);
        if (c != 0)
            return run->query->sort[i].descending ? -c : c;
    }
    int64_t x = iter_key(run, a->vid), y = iter_key(run, b->vid);
    return x < y ? -1 : x > y;
}

static bool is_same(const struct cursor_value *a, const struct cursor_value *b)
{
    return a->kind == b->kind && cursor_compare(a, b) == 0;
}

/* Takes the value if it comes before the one held: least ascending, greatest descending. */
static void take(struct cursor_value *held, const struct cursor_value *value, bool descending)
{
    if (held->kind == VALUE_ABSENT) {
        *held = *value;
        return;
    }
    int c = cursor_compare(value, held);
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

    for (size_t i = 0; i < run->sort_count; i++) {
        h.values[i] = cursor->values[i];
        if (run->plans[0].sort[i].by == SORT_UPDATED)
            h.values[i] = (struct cursor_value){ .kind = VALUE_NUMBER, .number = h.vid };
    }
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

/* ---- following the indexes of the keys ------------------------------------------------------ */

/*
 * The resources in the order of the first key make groups of one value each. A short group is
 * sorted; within a long one the index of the next key is followed, and so on; of equal keys the
 * vid decides. Nothing of this needs to see all matches, or more memory than a page.
 */
struct following {
    struct run *run;
    struct sorted_page *page;
    size_t limit;
};

#define GROUP_END (ITER_END - 2) /* key of a position behind all of a group */

/* Where the page has come: the first `depth` values of at are fixed, the others behind all. */
static void set_position(struct following *f, const struct hit *at, size_t depth, int64_t key)
{
    struct cursor *c = &f->page->position;

    *c = (struct cursor){ .mode = CURSOR_SORTED, .key = key };
    for (size_t i = 0; i < depth; i++)
        c->values[i] = at->values[i];
    run_moved(f->run);
}

/*
 * Judges the version at->vid, which is the next in order if it has the first `depth` values
 * of at. A resource with several values is met several times; only the value it is sorted by
 * counts. 1: a hit; 0: not; -1.
 */
static int judge(struct run *run, const struct hit *at, size_t depth, bool is_listed,
                 struct hit *ret)
{
    struct candidate c;
    bool trust = is_listed || run->sifted_wholly;
    int rc = 1;

    if (at->vid < run->vid_low || at->vid > run->vid_high)
        return 0;
    if (!is_listed && run->sifted && !iter_has(run, run->iter, iter_key(run, at->vid)))
        return run->failed ? -1 : 0;
    int found = candidate_load(run, at->vid, &c);
    if (found <= 0)
        return found;
    struct plan *plan = sort_plan_of(run, c.type);
    if (plan == NULL)
        rc = 0;
    else if (hit_of(run, plan, &c, ret) != 0)
        rc = -1;
    for (size_t i = 0; i < depth && rc == 1; i++)
        rc = is_same(&ret->values[i], &at->values[i]);
    if (rc == 1)
        rc = filter_matches(run, plan->filter, &c, trust);
    if (rc == 1)
        keep_texts(run, ret);
    candidate_end(run, &c);
    return run->failed ? -1 : rc;
}

/* Judges one and adds it. 1: the page is full; 0: it is not, or run->stopped; -1. */
static int take_next(struct following *f, const struct hit *at, size_t depth, bool is_listed)
{
    struct run *run = f->run;
    struct hit h;
    int is_hit = judge(run, at, depth, is_listed, &h);

    if (is_hit < 0)
        return -1;
    if (run->stopped)
        return 0;
    if (is_hit == 1) {
        if (f->page->count == f->limit)
            return 1;
        f->page->hits[f->page->count++] = h;
    }
    set_position(f, at, depth, iter_key(run, at->vid));
    (void)run_spend(run, 1);
    return 0;
}

/* By vid from key on, those with the first `depth` values. As take_next(). */
static int follow_vids(struct following *f, struct hit *at, size_t depth, int64_t key)
{
    struct run *run = f->run;
    int64_t end = iter_key(run, run->ascending ? run->vid_high : run->vid_low), start = key;

    for (;; key++) {
        key = iter_seek(run, run->iter, key);
        if (run->failed)
            return -1;
        if (key == ITER_END || key > end)
            return 0;
        if (run->stopped) {
            if (key > start)
                set_position(f, at, depth, key - 1);
            return 0;
        }
        at->vid = iter_vid(run, key);
        int rc = take_next(f, at, depth, true);
        if (rc != 0 || run->stopped)
            return rc;
    }
}

/* Those that have a value of the last key. */
static int follow_last(struct following *f, size_t key, struct hit *at, const struct hit *from)
{
    struct run *run = f->run;
    struct order *order =
        order_new(run, key, from != NULL ? &from->values[key] : NULL, from != NULL ? from->vid : 0);
    struct hit last = { .vid = 0 };
    int more;

    while ((more = order_next(run, order, &at->values[key], &at->vid)) == 1) {
        /* Two ranges of one resource may begin at the same point. */
        if (at->vid == last.vid && is_same(&at->values[key], &last.values[key]))
            continue;
        last = *at;
        int rc = take_next(f, at, key + 1, false);
        if (rc != 0 || run->stopped)
            return rc;
    }
    return more;
}

static int follow_key(struct following *f, size_t key, struct hit *at, const struct hit *from);

/* Sorts the hits among `count` vids, all of one group, and adds those behind *from. */
static int sort_group(struct following *f, const struct hit *at, size_t depth, const int64_t *vids,
                      size_t count, bool are_listed, const struct hit *from)
{
    struct run *run = f->run;
    struct best best = { .max = f->limit + 1 - f->page->count };
    struct hit member = *at, h;

    best.hits = andiron_alloc(run->arena, best.max * sizeof(best.hits[0]));
    for (size_t i = 0; i < count; i++) {
        member.vid = vids[i];
        int is_hit = judge(run, &member, depth, are_listed, &h);
        if (is_hit < 0)
            return -1;
        if (run->stopped || run_spend(run, 1))
            return 0;
        if (is_hit == 1 && (from == NULL || compare_hits(run, &h, from) > 0))
            best_add(run, &best, &h);
    }
    best_sort(run, &best);
    for (size_t i = 0; i < best.count; i++) {
        if (f->page->count == f->limit)
            return 1;
        f->page->hits[f->page->count++] = best.hits[i];
        set_position(f, &best.hits[i], run->sort_count, iter_key(run, best.hits[i].vid));
    }
    return 0;
}

/* One group: those whose key number `key` has the value that order has next. */
static int follow_group(struct following *f, size_t key, struct hit *at, struct order *order,
                        const struct hit *from)
{
    struct run *run = f->run;
    size_t max = (size_t)run->store->config->short_list, count = 0;
    int64_t *vids = andiron_alloc(run->arena, (max + 1) * sizeof(vids[0]));
    struct cursor_value value, next = at->values[key];
    int64_t vid;
    int more, rc;

    while ((more = order_peek(run, order, &value, &vid)) == 1 && is_same(&value, &next)) {
        if (count == max)
            break;
        if (count == 0 || vids[count - 1] != vid)
            vids[count++] = vid;
        (void)order_next(run, order, &value, &vid); /* what was just seen */
    }
    if (more < 0 || run->stopped)
        return more < 0 ? -1 : 0;
    if (more == 1 && is_same(&value, &next)) {
        order_skip(order, &next);
        rc = follow_key(f, key + 1, at, from);
    } else {
        rc = sort_group(f, at, key + 1, vids, count, false, from);
    }
    at->values[key] = next;
    if (rc == 0 && !run->stopped)
        set_position(f, at, key + 1, GROUP_END);
    return rc;
}

/* The group without a value of key number `key`, which comes last. */
static int follow_absent(struct following *f, size_t key, struct hit *at, const struct hit *from)
{
    struct run *run = f->run;
    size_t max = (size_t)run->store->config->short_list, count = 0;
    int64_t next = iter_key(run, run->ascending ? 1 : INT64_MAX - 1);
    bool is_last = key + 1 == run->sort_count, required = true;

    for (size_t i = 0; i < run->plan_count; i++)
        required = required && run->plans[i].sort[key].required;
    if (required)
        return 0;
    at->values[key] = (struct cursor_value){ .kind = VALUE_ABSENT };
    if (is_last)
        return follow_vids(f, at, key + 1, from != NULL ? iter_key(run, from->vid) + 1 : next);
    if (!iter_is_short(run, run->iter))
        return run->failed ? -1 : follow_key(f, key + 1, at, from);
    int64_t *vids = andiron_alloc(run->arena, (max + 1) * sizeof(vids[0]));
    for (; count <= max; next++) {
        next = iter_seek(run, run->iter, next);
        if (run->failed)
            return -1;
        if (run->stopped || next == ITER_END)
            break;
        vids[count++] = iter_vid(run, next);
    }
    if (run->stopped)
        return 0;
    return count > max ? follow_key(f, key + 1, at, from)
                       : sort_group(f, at, key + 1, vids, count, true, from);
}

/* Whether a position is the end of the group that its value of that key makes. */
static bool ends_group(const struct run *run, const struct hit *from, size_t key)
{
    for (size_t i = key + 1; i < run->sort_count; i++) {
        if (from->values[i].kind != VALUE_ABSENT && run->plans[0].sort[i].by != SORT_UPDATED)
            return false;
    }
    return iter_key(run, from->vid) == GROUP_END;
}

/* By groups: those that have a value of key number `key`, which is not the last one. */
static int follow_groups(struct following *f, size_t key, struct hit *at, const struct hit *from)
{
    struct run *run = f->run;
    bool is_over = from != NULL && ends_group(run, from, key);
    struct order *order = order_new(run, key, from != NULL ? &from->values[key] : NULL,
                                    is_over ? ORDER_BEHIND : ORDER_WITH);
    int more;

    while ((more = order_peek(run, order, &at->values[key], &at->vid)) == 1) {
        bool is_begun = from != NULL && is_same(&at->values[key], &from->values[key]);
        int rc = follow_group(f, key, at, order, is_begun ? from : NULL);
        if (rc != 0 || run->stopped)
            return rc;
    }
    return more;
}

/*
 * All with the first `key` values of at, in the order of the following keys, behind *from.
 * 1: the page is full, and another one is known to follow; 0: there are no more, or
 * run->stopped; -1.
 */
static int follow_key(struct following *f, size_t key, struct hit *at, const struct hit *from)
{
    struct run *run = f->run;
    bool is_last = key + 1 == run->sort_count;

    if (run->plans[0].sort[key].by == SORT_UPDATED)
        return follow_vids(f, at, key,
                           from != NULL ? iter_key(run, from->vid) + 1
                                        : iter_key(run, run->ascending ? 1 : INT64_MAX - 1));
    if (from == NULL || from->values[key].kind != VALUE_ABSENT) {
        int rc = is_last ? follow_last(f, key, at, from) : follow_groups(f, key, at, from);
        if (rc != 0 || run->stopped)
            return rc;
        from = NULL;
    }
    return follow_absent(f, key, at, from);
}

static int follow(struct run *run, const struct cursor *from, size_t limit, struct sorted_page *ret)
{
    struct following f = { .run = run, .page = ret, .limit = limit };
    struct hit at = { .vid = 0 }, start;

    ret->hits = andiron_alloc(run->arena, (limit + 1) * sizeof(ret->hits[0]));
    ret->count = 0;
    if (from != NULL) {
        ret->position = *from;
        start = hit_of_cursor(run, from);
    }
    run->sifted = false;
    for (size_t i = 0; i < run->plan_count; i++)
        run->sifted = run->sifted || strcmp(iter_name(run->plans[i].iter), "type") != 0;
    run->sifted_wholly = run->sifted && iter_can_probe(run->iter);
    int rc = follow_key(&f, 0, &at, from != NULL ? &start : NULL);
    if (rc < 0)
        return -1;
    ret->complete = rc == 0 && !run->stopped;
    return 0;
}

/*
 * How much work the index of the first key is followed for, before all matches are looked at: where many
 * of all that there are match, or all between the bounds of the walk are few, that soon fills the page. 0:
 * none; -1: failed.
 */
static int64_t worth_following(struct run *run, size_t limit)
{
    int64_t most = run->store->config->short_list, last = 0;
    int64_t matches = iter_short(run, run->iter);

    if (run->failed)
        return -1;
    if (matches < 0)
        return most;
    if (matches <= FOLLOW_FEW)
        return 0;
    /* To look into memory for what the index brings costs far less than to load all that match. */
    if (iter_is_array(run->iter))
        return matches;
    if (run->plan_count == 1 && run->plans[0].sort[0].within[0] != NULL)
        return matches;
    if (vid_last(run->db, &last) != 0)
        return run_fail(run);
    /* Each entry is met and looked up; half of the matches are loaded in that time. */
    return 2 * ((int64_t)limit + 1) <= matches * matches / (last + 1) ? 2 * matches : 0;
}

/*
 * Follows the index for a short while. 1: that made the page; 0: better look at all matches first, if
 * they are few; -1.
 */
static int try_follow(struct run *run, const struct cursor *from, size_t limit,
                      struct sorted_page *ret)
{
    int64_t work_max = run->work_max, most = worth_following(run, limit);
    int rc;

    if (most <= 0)
        return most < 0 ? -1 : 0;
    run->work_max = run->work + (int64_t)limit + most;
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
    size_t few = (size_t)run->store->config->short_list;
    int rc;

    *ret = (struct sorted_page){ .total = -1 };
    run_moved(run);
    run->order_name = "by following the indexes of the sort keys";
    rc = try_follow(run, from, limit, ret);
    if (rc == 0 && run->refused && !run->stopped) {
        run->trying = run->refused = false;
        if (drive_plans(run) != 0)
            return -1;
    }
    /* A walk between bounds is short enough, or at least shorter than a look at all matches. */
    bool is_bounded = run->plan_count == 1 && run->plans[0].sort[0].within[0] != NULL &&
                      !iter_is_short(run, run->iter);
    if (rc == 0 && !is_bounded) {
        run->order_name = "by sorting all matches";
        rc = sort_few(run, from, limit, few, ret);
    }
    if (rc != 0)
        return rc < 0 ? -1 : 0;
    if (run->place->brief && run->stopped)
        return 0;
    run->trying = false;
    run->order_name = "by following the indexes of the sort keys";
    run_budget(run);
    return follow(run, from, limit, ret);
}
