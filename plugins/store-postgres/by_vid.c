/*
 * Pages by latest change; see sorting.h. A cursor is the key of the next version to look at, or, to
 * go back, of the first one of the page behind.
 */
#include <stdlib.h>

#include "sorting.h"

enum { TRIAL = 1200 /* rows looked at before a long range is gathered */ };

#define NO_KEY INT64_MAX

static int64_t key_of(const struct run *run, int64_t vid)
{
    return run->ascending ? vid : -vid;
}

int by_vid_next(struct run *run, struct run_plan **ret_plan, struct candidate *ret)
{
    int waits = 0;

    *ret_plan = NULL;
    for (size_t i = 0; i < run->plan_count; i++) {
        struct candidate c;
        int rc = scan_peek(run, run->plans[i].scan, &c);
        if (rc == RUN_FAILED)
            return rc;
        if (rc < 0)
            waits = waits == RUN_STOPPED ? waits : rc;
        if (rc != 1)
            continue;
        if (*ret_plan == NULL || key_of(run, c.vid) < key_of(run, ret->vid)) {
            *ret = c;
            *ret_plan = &run->plans[i];
        }
    }
    return waits != 0 ? waits : *ret_plan != NULL;
}

/* ---- cursors ---------------------------------------------------------------------------------- */

struct paging {
    int64_t start, back, next; /* keys; back: NO_KEY unless the page is the one before back */
    bool is_begun;
};

/*
 * The page before one is found by walking from its first key the other way: then run->ascending
 * is turned around for all that follows.
 */
static int begin(struct run *run, struct paging *p)
{
    const struct andiron_query *query = run->query;
    struct cursor from = { .key = INT64_MIN };
    struct andiron_error ignored;

    p->back = NO_KEY;
    if (query->cursor.data != NULL &&
        cursor_read(&run->store->seal, run->arena, query->cursor, CURSOR_BACK, query->fingerprint,
                    &from, &ignored) == 0) {
        run->ascending = !run->ascending;
        p->back = from.key;
        from.key = 1 - from.key; /* a key of the other direction is the same but for its sign */
    } else if (query->cursor.data != NULL &&
               cursor_read(&run->store->seal, run->arena, query->cursor, CURSOR_BY_VID,
                           query->fingerprint, &from, run->error) != 0) {
        run->failed = true;
        return RUN_FAILED;
    }
    p->start = from.key;
    return 0;
}

static int64_t position_of(const struct run *run, int64_t key)
{
    if (key <= -INT64_MAX) /* the first of all */
        return source_start(run->ascending);
    return run->ascending ? key - 1 : -key + 1;
}

static void begin_scans(struct run *run, int64_t key)
{
    for (size_t i = 0; i < run->plan_count; i++) {
        struct run_plan *plan = &run->plans[i];
        plan->scan = scan_new(run, plan->source, plan->filter, run->ascending,
                              position_of(run, key), run->query->limit + 1, !run->place.refs_only);
        plan->scan->counts_to = run->counts_along;
        run->counts_along = 0;
    }
}

/* Nothing before it is left: the least of what the scans have come to. */
static int64_t reached(const struct run *run)
{
    int64_t least = NO_KEY;

    for (size_t i = 0; i < run->plan_count; i++) {
        const struct scan *s = run->plans[i].scan;
        int64_t position = scan_position(s);
        int64_t key = run->ascending          ? position + 1
                      : position == INT64_MAX ? -INT64_MAX
                                              : -(position - 1);
        if (s->has_ended && s->at == s->count)
            continue;
        if (key < least)
            least = key;
    }
    return least;
}

static andiron_str cursor_of(struct run *run, enum cursor_mode mode, int64_t key)
{
    struct cursor c = { .mode = mode, .key = key, .query = run->query->fingerprint };
    return cursor_write(&run->store->seal, run->arena, &c);
}

static void turn_around(struct run *run)
{
    for (size_t i = 0, k = run->page_count; i + 1 < k; i++) {
        k--;
        struct page_row row = run->page[i];
        run->page[i] = run->page[k];
        run->page[k] = row;
    }
}

static int end(struct run *run, const struct paging *p)
{
    bool is_first = run->query->cursor.data == NULL;

    if (p->back != NO_KEY) {
        turn_around(run);
        run->rows->cursor = cursor_of(run, CURSOR_BY_VID, p->back);
        if (p->next != NO_KEY)
            run->rows->previous = cursor_of(run, CURSOR_BACK, 1 - p->next);
        return 0;
    }
    if (p->next != NO_KEY)
        run->rows->cursor = cursor_of(run, CURSOR_BY_VID, p->next);
    if (!is_first && p->start != INT64_MIN)
        run->rows->previous = cursor_of(run, CURSOR_BACK, p->start);
    if (p->next == NO_KEY && is_first)
        run->rows->total = (int64_t)run->page_count;
    return 0;
}

/* ---- pages ------------------------------------------------------------------------------------ */

/* The latest ones did not make the page: what long ranges select is gathered now. */
static int gather_ranges(struct run *run)
{
    int64_t key = reached(run);

    run->ranges_wanted = true;
    run->refused = false;
    for (size_t i = 0; i < run->plan_count; i++) {
        int rc = source_find(run, run->plans[i].filter, &run->plans[i].source);
        if (rc == RUN_WAIT)
            run->refused = true; /* again, with what has come */
        if (rc != 0)
            return rc;
    }
    begin_scans(run, key);
    return 0;
}

int by_vid_page(struct run *run)
{
    struct paging *p = run->sorting;
    struct run_plan *plan;
    struct candidate c;
    int rc;

    if (p == NULL) {
        p = run->sorting = andiron_new(run->arena, struct paging);
        if (begin(run, p) != 0)
            return RUN_FAILED;
        begin_scans(run, p->start);
    }
    p->next = NO_KEY;
    for (;;) {
        if (run->refused && run->work >= TRIAL) {
            rc = gather_ranges(run);
            if (rc != 0)
                break;
        }
        rc = by_vid_next(run, &plan, &c);
        if (rc != 1)
            break;
        if (run->page_count == run->query->limit) {
            p->next = key_of(run, c.vid);
            break;
        }
        page_add(run, &c, false);
        scan_skip(plan->scan);
        run_moved(run);
    }
    if (rc == RUN_STOPPED) {
        p->next = reached(run);
        if (run->page_count == 0 && p->next <= p->start)
            return run_too_costly(run);
        return p->next == NO_KEY && run->page_count == 0 ? run_too_costly(run) : end(run, p);
    }
    return rc < 0 ? rc : end(run, p);
}

bool by_vid_is_single(const struct run *run)
{
    bool single = !run->refused;

    for (size_t i = 0; single && i < run->plan_count; i++)
        single = run->plans[i].scan->bodies;
    return single;
}
