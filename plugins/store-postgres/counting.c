/*
 * Totals; see stages.h. Counted in one statement where SQL can say all of the filter, else one by one.
 */
#include <stdlib.h>
#include <time.h>

#include "stages.h"

enum { TOTALS = 256, FRESH_S = 10, LISTS_MAX = 32, TOGETHER_MAX = 5000 };

/* Queries that have more matches than their limit: that stays so for a while. */
struct totals {
    struct {
        uint64_t query;
        int64_t limit;
        time_t until;
    } slots[TOTALS];
};

struct counting {
    bool is_asked, is_there, is_least, one_by_one, is_along;
    int64_t total, max;
    size_t at_plan;
    struct scan *scan;
    size_t left; /* statements that have not been answered */
};

static time_t now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return t.tv_sec;
}

static int64_t limit_of(const struct run *run)
{
    return run->query->total_limit > 0 ? run->query->total_limit : INT64_MAX - 1;
}

static bool is_known_large(const struct run *run)
{
    const struct totals *totals = run->place.local->totals;
    uint64_t query = run->query->fingerprint;
    size_t i = query % TOTALS;

    return totals != NULL && query != 0 && totals->slots[i].query == query &&
           totals->slots[i].limit == run->query->total_limit && totals->slots[i].until > now_s();
}

static void note_large(struct run *run)
{
    struct local *local = run->place.local;
    uint64_t query = run->query->fingerprint;
    size_t i = query % TOTALS;

    if (query == 0 || run->query->total_limit == 0)
        return;
    if (local->totals == NULL)
        local->totals = calloc(1, sizeof(struct totals));
    if (local->totals == NULL)
        return;
    local->totals->slots[i].query = query;
    local->totals->slots[i].limit = run->query->total_limit;
    local->totals->slots[i].until = now_s() + FRESH_S;
}

static void take_count(struct run *run, void *arg, const struct wire_batch *b, size_t at)
{
    struct counting *n = arg;

    n->total += wire_rows(b, at) == 1 ? wire_get_int(b, at, 0, 0) : 0;
    n->left--;
    n->is_there = n->left == 0;
    (void)run;
}

static void ask_count(struct run *run, struct counting *n, const struct run_plan *plan)
{
    struct compose *c = compose_new(run->arena);
    const struct source *s = plan->source;
    int64_t max = n->max;

    compose_put(c, "SELECT count(*) FROM (");
    if (s->exact) {
        source_put(run, c, s, source_start(false), false, max);
    } else {
        compose_put(c, "SELECT 1 FROM (");
        source_put(run, c, s, source_start(false), false, INT64_MAX);
        compose_put(c, ") t");
        (void)condition_put(run, c, plan->filter, s->by, "t.vid",
                            s->kind == SOURCE_TYPE ? "t.rid"
                                                   : "(SELECT rid FROM version WHERE vid=t.vid)",
                            " WHERE ");
        compose_put(c, " LIMIT $%d", compose_int8(c, max));
    }
    compose_put(c, ") n");
    run_want(run, c, take_count, n);
    n->left++;
}

static bool counts_at_once(const struct run *run)
{
    for (size_t i = 0; i < run->plan_count; i++) {
        const struct source *s = run->plans[i].source;
        if (s->kind == SOURCE_LISTS && s->list_count > 1 &&
            (!s->exact || s->list_count > LISTS_MAX || limit_of(run) > TOGETHER_MAX))
            return false; /* each in full, to have each resource once */
        if (!(s->exact || condition_is_put(run, run->plans[i].filter)))
            return false;
    }
    return true;
}

void counting_begin(struct run *run)
{
    struct counting *n = run->counting;

    if (n != NULL)
        return;
    run->counting = n = andiron_new(run->arena, struct counting);
    if (run->query->total == ANDIRON_TOTAL_NONE)
        return;
    n->max = limit_of(run) + 1;
    if (is_known_large(run)) {
        n->is_asked = n->is_there = n->is_least = true;
        n->total = limit_of(run);
        return;
    }
    if (!counts_at_once(run)) {
        n->one_by_one = true;
        return;
    }
    /* A total that nobody asked for, of a filter that would have to be probed for each. */
    for (size_t i = 0; i < run->plan_count && run->query->total == ANDIRON_TOTAL_ESTIMATE; i++) {
        const struct source *s = run->plans[i].source;
        if (!s->exact && !(s->entries >= 0 && s->entries <= run->store->config->short_list))
            return;
    }
    const struct source *only = run->plan_count == 1 ? run->plans[0].source : NULL;
    if (only != NULL && only->exact && only->kind == SOURCE_LISTS && run->sort_count == 0 &&
        run->query->limit != 0) {
        run->counts_along = n->max; /* by the statement of the page */
        n->is_along = true;
        return;
    }
    for (size_t i = 0; i < run->plan_count; i++) {
        const struct source *s = run->plans[i].source;
        if (s->exact && s->kind == SOURCE_ARRAY)
            n->total += (int64_t)s->vid_count;
        else
            ask_count(run, n, &run->plans[i]);
    }
    n->is_asked = true;
    n->is_there = n->left == 0;
}

/* What the page's statement counted; else it is asked for now. */
static void take_along(struct run *run, struct counting *n)
{
    const struct scan *scan = run->plan_count == 1 ? run->plans[0].scan : NULL;

    if (!n->is_along || n->is_asked)
        return;
    n->is_asked = true;
    if (scan != NULL && scan->counted >= 0) {
        n->total = scan->counted;
        n->is_there = true;
    } else {
        ask_count(run, n, &run->plans[0]);
    }
}

bool counting_is_asked(const struct run *run)
{
    const struct counting *n = run->counting;

    return n != NULL && n->is_asked;
}

/* One by one, within the budget. */
static int count_one_by_one(struct run *run, struct counting *n)
{
    struct candidate c;
    bool estimate = run->query->total == ANDIRON_TOTAL_ESTIMATE;
    int rc = 0;

    for (; n->at_plan < run->plan_count; n->at_plan++, n->scan = NULL) {
        struct run_plan *plan = &run->plans[n->at_plan];
        if (estimate && source_count(run, plan->source) != 0)
            return RUN_WAIT;
        if (estimate && plan->source->entries > run->store->config->short_list)
            return 1; /* nobody asked for it */
        if (n->scan == NULL)
            n->scan = scan_new(run, plan->source, plan->filter, false, INT64_MAX, 256, false);
        while (n->total < n->max && (rc = scan_next(run, n->scan, &c)) == 1)
            n->total++;
        if (rc == RUN_STOPPED)
            break;
        if (rc < 0)
            return rc;
        if (n->total >= n->max)
            break;
    }
    n->is_least = rc == RUN_STOPPED;
    n->is_there = true;
    return 0;
}

int counting_total(struct run *run)
{
    struct counting *n = run->counting;
    struct andiron_rows *rows = run->rows;
    int64_t limit = limit_of(run);

    if (rows->total < 0 && run->query->total != ANDIRON_TOTAL_NONE) {
        if (n == NULL)
            counting_begin(run);
        n = run->counting;
        take_along(run, n);
        if (n->one_by_one && !n->is_there) {
            int rc = count_one_by_one(run, n);
            if (rc != 0)
                return rc < 0 ? rc : 0;
        }
        if (n->is_asked && !n->is_there)
            return RUN_WAIT;
        if (n->is_there) {
            rows->total = n->total;
            rows->total_is_least = n->is_least;
        }
    }
    if (rows->total > limit) {
        rows->total = limit;
        rows->total_is_least = true;
        note_large(run);
    }
    return 0;
}
