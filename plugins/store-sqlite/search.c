/*
 * One page of a search; see search.h. Plan, candidates, page, total, includes.
 */
#include "search.h"

#include <stdlib.h>
#include <time.h>

#include "common/store/cursor.h"
#include "drive.h"
#include "filter.h"
#include "iter.h"
#include "page.h"
#include "sort.h"

/* ---- cached counts ---------------------------------------------------------------- */

enum {
    COUNTS = 128,
    COUNT_BRIEF = 20000,    /* entries that are counted on a loop, */
    CONDITIONS_BRIEF = 512, /* and conditions that are looked up there */
    LOOKS = 50              /* rows looked at for a total that nobody asked for */
};

/* Totals of recent queries, as long as the database does not change. */
struct counts {
    struct {
        uint64_t query, content;
        int64_t limit, total;
        bool is_least;
    } slots[COUNTS];
};

void search_counts_free(struct counts *counts)
{
    free(counts);
}

static bool counts_find(const struct search_place *place, const struct andiron_query *query,
                        struct andiron_rows *rows)
{
    const struct counts *counts = place->counts != NULL ? *place->counts : NULL;
    size_t i = query->fingerprint % COUNTS;

    if (counts == NULL || query->fingerprint == 0 || counts->slots[i].query != query->fingerprint ||
        counts->slots[i].content != place->content || counts->slots[i].limit != query->total_limit)
        return false;
    rows->total = counts->slots[i].total;
    rows->total_is_least = counts->slots[i].is_least;
    return true;
}

static void counts_put(struct search_place *place, const struct andiron_query *query,
                       const struct andiron_rows *rows)
{
    size_t i = query->fingerprint % COUNTS;

    if (place->counts == NULL || query->fingerprint == 0)
        return;
    if (*place->counts == NULL)
        *place->counts = calloc(1, sizeof(struct counts));
    if (*place->counts == NULL)
        return;
    struct counts *counts = *place->counts;
    counts->slots[i].query = query->fingerprint;
    counts->slots[i].content = place->content;
    counts->slots[i].limit = query->total_limit;
    counts->slots[i].total = rows->total;
    counts->slots[i].is_least = rows->total_is_least;
}

/* ---- pages by latest change ------------------------------------------------------------ */

static int64_t first_key(const struct run *run)
{
    return iter_key(run, run->ascending ? run->vid_low : run->vid_high);
}

static int64_t last_key(const struct run *run)
{
    return iter_key(run, run->ascending ? run->vid_high : run->vid_low);
}

/* Whether the version satisfies its type's filter: 1, 0, -1. Loaded if 1. */
static int judge(struct run *run, int64_t key, struct candidate *ret)
{
    int64_t vid = iter_vid(run, key);
    int found = iter_is_exact(run->iter) ? candidate_load_row(run, vid, ret)
                                         : candidate_load(run, vid, ret);
    struct plan *plan;

    if (found <= 0)
        return found;
    plan = sort_plan_of(run, ret->type);
    if (plan != NULL && filter_matches(run, plan->filter, ret, true) && !run->failed &&
        !run->stopped)
        return 1;
    candidate_end(run, ret);
    return run->failed ? -1 : 0;
}

/* Fills the page from key on. *ret_next: where the next page begins, or ITER_END. */
static int page_by_vid(struct run *run, int64_t key, struct page *page, int64_t *ret_next)
{
    int64_t end = last_key(run);
    struct candidate c;

    for (;; key++) {
        key = iter_seek(run, run->iter, key);
        if (run->failed)
            return -1;
        if (key == ITER_END || key > end) {
            *ret_next = ITER_END;
            return 0;
        }
        if (run->stopped || run_spend(run, 1))
            break;
        int is_match = judge(run, key, &c);
        if (is_match < 0)
            return -1;
        if (run->stopped)
            break;
        run_moved(run);
        if (is_match == 0) {
            if (run->plan_count == 1)
                key = filter_pass_over(run, run->plans[0].filter, key);
            continue;
        }
        int rc = page->count < run->query->limit ? page_add(run, page, &c, false) : 1;
        candidate_end(run, &c);
        if (rc < 0)
            return -1;
        if (rc == 1)
            break;
    }
    *ret_next = key;
    return 0;
}

static int too_costly(struct run *run)
{
    run->failed = true;
    return andiron_error_set(run->error, ANDIRON_E_UNPROCESSABLE, "",
                             "the search takes too long; add a parameter that selects fewer "
                             "resources");
}

/*
 * Where the page begins. The page before one is found by walking from its first key the
 * other way: then run->ascending is turned around for all that follows (the iterators go that
 * way), and *ret_back is that key.
 */
static int start_key(struct run *run, int64_t *ret_start, int64_t *ret_back)
{
    const struct andiron_query *query = run->query;
    struct cursor from = { .key = INT64_MIN };
    struct andiron_error ignored;

    *ret_back = ITER_END;
    if (query->cursor.data != NULL &&
        cursor_read(&run->store->seal, run->arena, query->cursor, CURSOR_BACK, query->fingerprint,
                    &from, &ignored) == 0) {
        run->ascending = !run->ascending;
        *ret_back = from.key;
        from.key = 1 - from.key; /* a key of the other direction is the same but for its sign */
    } else if (query->cursor.data != NULL &&
               cursor_read(&run->store->seal, run->arena, query->cursor, CURSOR_BY_VID,
                           query->fingerprint, &from, run->error) != 0) {
        run->failed = true;
        return -1;
    }
    *ret_start = from.key > first_key(run) ? from.key : first_key(run);
    return 0;
}

static void turn_around(struct page *page)
{
    for (size_t i = 0, k = page->count; i + 1 < k; i++) {
        k--;
        struct andiron_row row = page->rows[i];
        int64_t vid = page->vids[i], rid = page->rids[i];
        page->rows[i] = page->rows[k];
        page->vids[i] = page->vids[k];
        page->rids[i] = page->rids[k];
        page->rows[k] = row;
        page->vids[k] = vid;
        page->rids[k] = rid;
    }
}

static andiron_str cursor_of(struct run *run, enum cursor_mode mode, int64_t key)
{
    struct cursor c = { .mode = mode, .key = key, .query = run->query->fingerprint };
    return cursor_write(&run->store->seal, run->arena, &c);
}

/* ---- sorted pages -------------------------------------------------------------------------- */

static int add_hits(struct run *run, const struct sorted_page *sorted, struct page *page)
{
    for (size_t i = 0; i < sorted->count; i++) {
        struct candidate c;
        int found = candidate_load_row(run, sorted->hits[i].vid, &c);
        if (found < 0)
            return -1;
        if (found == 0)
            continue;
        int rc = page_add(run, page, &c, false);
        candidate_end(run, &c);
        if (rc != 0)
            return -1;
    }
    return 0;
}

static int sorted(struct run *run, struct page *page, struct andiron_rows *rows)
{
    const struct andiron_query *query = run->query;
    struct sorted_page sorted;
    struct cursor from;
    bool has_cursor = query->cursor.data != NULL;

    if (has_cursor && cursor_read(&run->store->seal, run->arena, query->cursor, CURSOR_SORTED,
                                  query->fingerprint, &from, run->error) != 0) {
        run->failed = true;
        return -1;
    }
    if (sort_page(run, has_cursor ? &from : NULL, query->limit, &sorted) != 0)
        return -1;
    if (run->stopped && run->place->brief)
        return 0;
    if (run->stopped && (sorted.position.mode == 0 || (has_cursor && !run->moved)))
        return too_costly(run);
    if (add_hits(run, &sorted, page) != 0)
        return -1;
    rows->total = sorted.total;
    if (!sorted.complete) {
        sorted.position.query = query->fingerprint;
        rows->cursor = cursor_write(&run->store->seal, run->arena, &sorted.position);
    }
    return 0;
}

/* ---- totals ----------------------------------------------------------------------------------- */

/* Counts matches one by one, up to max. */
static int count_by_vid(struct run *run, int64_t max, int64_t *ret)
{
    bool exact = iter_is_exact(run->iter);
    int64_t key = first_key(run), end = last_key(run), n = 0;

    for (; n < max; key++) {
        struct candidate c;
        key = iter_seek(run, run->iter, key);
        if (run->failed)
            return -1;
        if (run->stopped || key == ITER_END || key > end)
            break;
        if (exact) {
            n++;
            continue;
        }
        if (run_spend(run, 1))
            break;
        int is_match = judge(run, key, &c);
        if (is_match < 0)
            return -1;
        if (is_match == 1) {
            candidate_end(run, &c);
            n++;
        }
    }
    *ret = n;
    return 0;
}

/*
 * A total that nobody asked for is told if the index knows it, or after a few looks. 1: it is
 * told, or will not be; 0: it must be counted; -1.
 */
static int count_if_cheap(struct run *run, struct andiron_rows *rows)
{
    int64_t n = 0, work_max = run->work_max;
    bool done;

    if (run->query->total != ANDIRON_TOTAL_ESTIMATE ||
        (iter_is_exact(run->iter) && !iter_leaves_out(run->iter)))
        return 0;
    if (!iter_may_be_few(run, run->iter, LOOKS))
        return run->failed ? -1 : 1; /* the looks would not come to an end */
    if (work_max > run->work + LOOKS)
        run->work_max = run->work + LOOKS;
    if (count_by_vid(run, run->query->total_limit, &n) != 0)
        return -1;
    done = !run->stopped && n < run->query->total_limit;
    run->work_max = work_max;
    run->stopped = false;
    if (done) {
        rows->total = n;
        counts_put(run->place, run->query, rows);
    }
    return 1;
}

static int count_all(struct run *run, struct andiron_rows *rows)
{
    const struct andiron_query *query = run->query;
    int64_t limit = query->total_limit > 0 ? query->total_limit : INT64_MAX - 1;
    int64_t max = run->place->brief && limit >= COUNT_BRIEF ? COUNT_BRIEF : limit + 1;
    int64_t n = -1;
    bool whole = run->vid_low == 1 && run->vid_high == INT64_MAX - 1;

    if (counts_find(run->place, query, rows))
        return 0;
    int cheap = count_if_cheap(run, rows);
    if (cheap != 0)
        return cheap < 0 ? -1 : 0;
    if ((run->sort_count != 0 || run->refused) && !iter_is_exact(run->iter)) {
        run->counting = true;
        run->trying = false;
        if (drive_plans(run) != 0)
            return -1;
    }
    if (whole && iter_is_exact(run->iter)) {
        n = iter_count(run, run->iter, max);
        if (run->failed)
            return -1;
    }
    if (n < 0 && count_by_vid(run, max, &n) != 0)
        return -1;
    if (run->place->brief && (run->stopped || n == COUNT_BRIEF)) {
        run->stopped = true; /* too many to count here */
        return 0;
    }
    rows->total = n > limit ? limit : n;
    rows->total_is_least = n > limit || run->stopped;
    if (!run->stopped)
        counts_put(run->place, query, rows);
    run->stopped = false;
    return 0;
}

/* ---- the whole ----------------------------------------------------------------------------------- */

/*
 * What a long range selects is either met often, by whoever looks at the latest rows, or worth being
 * gathered. So if a long range was met, the latest rows are tried first. 1: they made the
 * page; 0: they did not, and ranges are gathered now; -1.
 */
static int try_latest(struct run *run, int64_t start, struct page *page, int64_t *ret_next)
{
    int64_t work_max = run->work_max, trial = run->store->config->loop_budget * 4 / 5;

    if (run->trial != 0 && run->trial < trial)
        trial = run->trial;

    run->trying = false;
    if (!run->refused || run->stopped)
        return 0;
    if (work_max > run->work + trial)
        run->work_max = run->work + trial;
    if (page_by_vid(run, start, page, ret_next) != 0)
        return -1;
    if (!run->stopped)
        return 1;
    run->work_max = work_max;
    run->stopped = run->work > work_max;
    page->count = 0;
    return run->stopped || drive_plans(run) == 0 ? 0 : -1;
}

/* Cursors of a page that begins at start and ends before next; back: of start_key(). */
static void end_by_vid(struct run *run, int64_t start, int64_t back, int64_t next,
                       struct page *page, struct andiron_rows *rows)
{
    bool is_first = run->query->cursor.data == NULL;

    if (back != ITER_END) {
        turn_around(page);
        rows->cursor = cursor_of(run, CURSOR_BY_VID, back);
        if (next != ITER_END)
            rows->previous = cursor_of(run, CURSOR_BACK, 1 - next);
        return;
    }
    if (next != ITER_END)
        rows->cursor = cursor_of(run, CURSOR_BY_VID, next);
    if (!is_first)
        rows->previous = cursor_of(run, CURSOR_BACK, start);
    if (next == ITER_END && is_first)
        rows->total = (int64_t)page->count;
}

static int by_vid(struct run *run, int64_t start, int64_t back, struct page *page,
                  struct andiron_rows *rows)
{
    int64_t next;
    int tried = try_latest(run, start, page, &next);

    if (tried < 0 || (run->stopped && run->place->brief))
        return tried < 0 ? -1 : 0;
    if (tried == 0) {
        if (page_by_vid(run, start, page, &next) != 0)
            return -1;
        if (run->stopped && run->place->brief)
            return 0;
        if (run->stopped && !run->moved && next == start)
            return too_costly(run);
    }
    end_by_vid(run, start, back, next, page, rows);
    return 0;
}

/* CPU time of this thread: what other work on the machine does not blur. */
static int64_t cpu_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void explain(struct run *run, const struct page *page, struct andiron_rows *rows)
{
    int64_t now_us = run_clock_us(), spent_us = cpu_us() - run->cpu_us;
    bool exact = run->plan_count != 0 && iter_is_exact(run->iter);
    const char *text = andiron_printf(
        run->arena,
        "{\"plan\":%s,\"judged\":%s,\"order\":\"%s\",\"probed\":%lld,\"rows\":%zu,\"on\":\"%s\","
        "\"microseconds\":%lld,\"cpu\":%lld}",
        run->plan_count != 0 ? iter_explain(run, run->iter) : "{\"driver\":\"nothing\"}",
        exact ? "\"by the index alone\"" : "\"one by one\"", run->order_name,
        (long long)run->place->probed, page->count, run->place->brief ? "loop" : "pool",
        (long long)(now_us - run->began_us), (long long)spent_us);
    rows->explain = andiron_str_of(text);
}

static int run_page(struct run *run, struct page *page, struct andiron_rows *rows)
{
    const struct andiron_query *query = run->query;
    int64_t start = 0, back = 0;

    if (plan_build(run) != 0)
        return -1;
    if (run->plan_count == 0) {
        rows->total = 0;
        return 0;
    }
    if (run->sort_count == 0 && start_key(run, &start, &back) != 0)
        return -1;
    run->trying = run->plan_count == 1 && query->limit != 0;
    if (drive_plans(run) != 0)
        return -1;
    if (run->stopped && run->place->brief)
        return 0;
    if (run->sort_count == 0)
        iter_expect(run->iter, query->limit + 1);
    if (query->limit != 0 && (run->sort_count != 0 ? sorted(run, page, rows)
                                                   : by_vid(run, start, back, page, rows)) != 0)
        return -1;
    if (run->stopped && run->place->brief)
        return 0;
    run->stopped = false;
    if (rows->total < 0 && query->total != ANDIRON_TOTAL_NONE) {
        run_budget(run);
        run_moved(run);
        if (count_all(run, rows) != 0)
            return -1;
    } else if (rows->total >= 0 && query->total_limit > 0 && rows->total > query->total_limit) {
        rows->total = query->total_limit;
        rows->total_is_least = true;
    }
    if (run->stopped || query->include_count == 0 || page->count == 0)
        return 0;
    run_budget(run);
    return include_rows(run, page, rows);
}

/* Conditions of a filter, counted up to a little more than `most`. */
static size_t size_of(const struct andiron_filter *filter, size_t most)
{
    size_t size = 1;

    for (size_t i = 0; i < filter->arg_count && size <= most; i++)
        size += size_of(filter->args[i], most - size + 1);
    return size;
}

int search_run(struct search_place *place, const struct andiron_query *query,
               struct andiron_rows *rows)
{
    struct run run = { .place = place,
                       .store = place->store,
                       .db = place->db,
                       .arena = place->arena,
                       .query = query,
                       .error = &rows->error,
                       .order_name = "by latest change" };
    struct page page = { .count = 0 };

    *rows = (struct andiron_rows){ .total = -1 };
    /* To look up the names and values of so many would hold the loop already. */
    if (place->brief && query->filter != NULL &&
        size_of(query->filter, CONDITIONS_BRIEF) > CONDITIONS_BRIEF) {
        place->stopped = true;
        return 0;
    }
    run.began_us = run_clock_us();
    run.cpu_us = query->explain ? cpu_us() : 0;
    run_budget(&run);
    int rc = run_page(&run, &page, rows);
    place->probed = run.spent + run.work;
    if (rc != 0) {
        struct andiron_error error = rows->error;
        *rows = (struct andiron_rows){ .error = error, .total = -1 };
        return -1;
    }
    place->stopped = place->brief && run.stopped;
    rows->rows = page.rows;
    rows->count = page.count;
    if (query->explain)
        explain(&run, &page, rows);
    return 0;
}
