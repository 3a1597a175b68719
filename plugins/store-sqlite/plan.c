/*
 * From a query to its plan; see plan.h.
 */
#include "plan.h"

#include <assert.h>
#include <time.h>

#include "filter.h"
#include "iter.h"
#include "lookup.h"
#include "rows.h"

enum { THOROUGH = 20, LOOP_US = 1000, MS = 1000 };

int run_fail(struct run *run)
{
    if (!run->failed) {
        run->failed = true;
        db_error(run->db, run->error);
    }
    return -1;
}

int64_t run_clock_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

void run_budget(struct run *run)
{
    const struct config *config = run->store->config;

    run->stopped = run->moved = false;
    run->spent += run->work;
    run->work = 0;
    run->work_max = config->scan_budget * THOROUGH;
    run->until_us = run_clock_us() + config->timeout * MS;
    if (run->place->brief) { /* one for all that is done on the loop */
        run->work_max = config->loop_budget - run->spent;
        run->until_us = run->began_us + LOOP_US;
    } else if (run->place->hurried) {
        run_moved(run);
    }
}

void run_moved(struct run *run)
{
    const struct config *config = run->store->config;

    if (run->moved || run->place->brief)
        return;
    run->moved = true;
    if (run->work_max > run->work + config->scan_budget)
        run->work_max = run->work + config->scan_budget;
    int64_t until = run_clock_us() + config->scan_time * MS;
    if (until < run->until_us)
        run->until_us = until;
}

bool run_spend(struct run *run, int64_t rows)
{
    int64_t before = run->work;

    run->work += rows;
    if (run->work > run->work_max)
        run->stopped = true;
    else if (before / 64 != run->work / 64 && run_clock_us() > run->until_us)
        run->stopped = true;
    return run->stopped;
}

/* ---- rows ------------------------------------------------------------------------ */

/* Steps to the row of a version, and begins a candidate with it. As candidate_load(). */
static int load(struct run *run, sqlite3_stmt *s, int64_t vid, struct candidate *ret)
{
    if (s == NULL)
        return run_fail(run);
    sqlite3_bind_int64(s, 1, vid);
    int found = db_step(run->db, s);
    if (found < 0)
        return run_fail(run);
    if (found == 0) {
        store_count(run->store->metrics.mismatches, 1);
        return 0;
    }
    *ret = (struct candidate){ .vid = vid,
                               .rid = sqlite3_column_int64(s, 0),
                               .type = sqlite3_column_int64(s, 1),
                               .version = sqlite3_column_int64(s, 2),
                               .updated = sqlite3_column_int64(s, 3),
                               .op = sqlite3_column_int64(s, 4),
                               .encoding = sqlite3_column_int64(s, 5),
                               .keys = db_str(s, 6),
                               .statement = s };
    run->depth++;
    return 1;
}

int candidate_load(struct run *run, int64_t vid, struct candidate *ret)
{
    if (run->depth >= DB_DEPTH) {
        if (!run->failed)
            andiron_error_set(run->error, ANDIRON_E_INVALID, "",
                              "chains and _has are nested more than %d deep", DB_DEPTH - 1);
        run->failed = true;
        return -1;
    }
    return load(run, db_statement(run->db, DB_VERSION + run->depth), vid, ret);
}

int candidate_load_row(struct run *run, int64_t vid, struct candidate *ret)
{
    int found;

    assert(run->depth == 0);
    found = load(run, db_statement(run->db, DB_VERSION_ROW), vid, ret);
    if (found == 1) {
        ret->id = db_str(ret->statement, 8);
        ret->current = sqlite3_column_int64(ret->statement, 9);
    }
    return found;
}

void candidate_end(struct run *run, const struct candidate *c)
{
    sqlite3_reset(c->statement);
    run->depth--;
}

int resource_current(struct run *run, int64_t rid, int64_t *ret_type, int64_t *ret_vid,
                     andiron_str *ret_id)
{
    sqlite3_stmt *s = db_statement(run->db, DB_RESOURCE);

    *ret_vid = 0;
    *ret_type = 0;
    if (s == NULL)
        return run_fail(run);
    sqlite3_bind_int64(s, 1, rid);
    int found = db_step(run->db, s);
    if (found < 0)
        return run_fail(run);
    if (found == 1) {
        *ret_type = sqlite3_column_int64(s, 0);
        if (sqlite3_column_int64(s, 4) == 0)
            *ret_vid = sqlite3_column_int64(s, 2);
        if (ret_id != NULL) {
            andiron_str id = db_str(s, 1);
            *ret_id = (andiron_str){ andiron_copy(run->arena, id), id.len };
        }
        sqlite3_reset(s);
    }
    return 0;
}

static int version_near(struct db *db, int which, int64_t at, int64_t *ret_vid,
                        andiron_usec *ret_ts)
{
    sqlite3_stmt *s = db_statement(db, which);

    if (s == NULL)
        return -1;
    sqlite3_bind_int64(s, 1, at);
    int found = db_step(db, s);
    if (found == 1) {
        *ret_vid = sqlite3_column_int64(s, 0);
        *ret_ts = sqlite3_column_int64(s, 1);
        sqlite3_reset(s);
    }
    return found;
}

int vid_last(struct db *db, int64_t *ret)
{
    andiron_usec ts;

    *ret = 0;
    return version_near(db, DB_VID_LAST, INT64_MAX, ret, &ts) < 0 ? -1 : 0;
}

int vid_since(struct db *db, andiron_usec instant, int64_t *ret)
{
    int64_t low = 1, high = 0, vid = 0;
    andiron_usec ts = 0;

    *ret = INT64_MAX;
    int found = version_near(db, DB_VID_LAST, INT64_MAX, &high, &ts);
    if (found <= 0 || ts < instant)
        return found < 0 ? -1 : 0;
    /* Instants never decrease over vid: halve the range that holds the first one. */
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        found = version_near(db, DB_VID_SINCE, middle, &vid, &ts);
        if (found <= 0)
            return -1;
        if (ts >= instant)
            high = middle;
        else
            low = vid + 1;
    }
    *ret = low;
    return 0;
}

/* ---- filters ------------------------------------------------------------------------ */

static int find_type(void *arg, andiron_str name, int64_t *ret)
{
    struct run *run = arg;

    if (names_find_type(run->store->names, run->db, name, ret) != 0)
        return run_fail(run);
    return 0;
}

static int find_param(void *arg, int64_t type, andiron_str param, int64_t *ret)
{
    struct run *run = arg;
    uint32_t kinds;

    *ret = 0;
    if (type == 0)
        return 0;
    if (names_find_param(run->store->names, run->db, type, param, ret, &kinds) != 0)
        return run_fail(run);
    return 0;
}

/*
 * Whether no resource has several values of a param. Asked of the snapshot itself: another
 * process may have stored the first one that has.
 */
static int find_single(void *arg, int64_t type, andiron_str param, bool *ret)
{
    struct run *run = arg;
    sqlite3_stmt *s = db_statement(run->db, DB_PARAM_FIND);

    if (s == NULL)
        return run_fail(run);
    sqlite3_bind_int64(s, 1, type);
    db_bind_str(s, 2, param);
    int found = db_step(run->db, s);
    if (found < 0)
        return run_fail(run);
    *ret = found == 1 && (sqlite3_column_int64(s, 1) & NAMES_SEVERAL) == 0;
    sqlite3_reset(s);
    return 0;
}

static int find_resource(struct run *run, int64_t type, andiron_str id, int64_t *ret)
{
    sqlite3_stmt *s = db_statement(run->db, DB_FIND);

    if (s == NULL)
        return run_fail(run);
    sqlite3_bind_int64(s, 1, type);
    db_bind_str(s, 2, id);
    int found = db_step(run->db, s);
    if (found < 0)
        return run_fail(run);
    *ret = found == 1 ? sqlite3_column_int64(s, 0) : 0;
    sqlite3_reset(s);
    return 0;
}

/* A reference's targets by type and id, or by id alone in every type. */
static int find_targets(void *arg, struct node *n)
{
    struct run *run = arg;
    const struct andiron_term *t = n->term;
    int64_t type = 0, rid = 0;
    int64_t last = names_last_type(run->store->names);
    int64_t *rids;

    if (t->system.len != 0) {
        if (names_find_type(run->store->names, run->db, t->system, &type) != 0)
            return run_fail(run);
        if (type == 0)
            return 0;
        if (find_resource(run, type, t->text, &rid) != 0)
            return -1;
    }
    if (rid != 0) {
        rids = andiron_alloc(run->arena, sizeof(*rids));
        rids[n->rid_count++] = rid;
        n->rids = rids;
    }
    if (t->system.len != 0)
        return 0;
    rids = andiron_alloc(run->arena, (size_t)(last + 1) * sizeof(*rids));
    for (type = 1; type <= last; type++) {
        if (find_resource(run, type, t->text, &rid) != 0)
            return -1;
        if (rid != 0)
            rids[n->rid_count++] = rid;
    }
    n->rids = rids;
    return 0;
}

struct node *plan_filter(struct run *run, int64_t type, const struct andiron_filter *filter)
{
    struct node_source source = { .key = &run->store->key,
                                  .arena = run->arena,
                                  .type = find_type,
                                  .param = find_param,
                                  .single = find_single,
                                  .targets = find_targets,
                                  .arg = run,
                                  .err = run->error };
    struct node *n = node_build(&source, type, filter);

    if (n == NULL)
        run->failed = true; /* the error says it */
    return n;
}

/* ---- whole plans ----------------------------------------------------------------------- */

static int build_sorts(struct run *run, struct plan *plan)
{
    const struct andiron_query *query = run->query;

    for (size_t i = 0; i < run->sort_count; i++) {
        struct plan_sort *s = &plan->sort[i];
        s->kind = query->sort[i].kind;
        s->descending = query->sort[i].descending;
        s->by = SORT_VALUE;
        if (strcmp(query->sort[i].param, "_id") == 0)
            s->by = SORT_ID;
        else if (strcmp(query->sort[i].param, "_lastUpdated") == 0)
            s->by = SORT_UPDATED;
        else if (find_param(run, plan->type, andiron_str_of(query->sort[i].param), &s->p) != 0)
            return -1;
    }
    return 0;
}

/* What a condition that every match satisfies says of the values to sort by. */
static void note_condition(struct plan *plan, struct node *n)
{
    if (n->op == NODE_AND) {
        for (size_t i = 0; i < n->arg_count; i++)
            note_condition(plan, n->args[i]);
        return;
    }
    if (n->op != NODE_TERM || n->term->part != 0 || n->compare == ANDIRON_CMP_OF_TYPE)
        return;
    for (size_t i = 0; i < PLAN_SORTS; i++) {
        struct plan_sort *s = &plan->sort[i];
        if (s->by != SORT_VALUE || s->p == 0 || s->p != n->p || s->kind != n->term->kind)
            continue;
        s->required = true;
        n->walked = n->walked || (i == 0 && n->single && s->within[1] == NULL);
        if (n->single && s->within[0] == NULL)
            s->within[0] = n;
        else if (n->single && s->within[1] == NULL)
            s->within[1] = n;
    }
}

static int build_type(struct run *run, andiron_str name)
{
    struct plan *plan = &run->plans[run->plan_count];
    int64_t type = 0;

    if (names_find_type(run->store->names, run->db, name, &type) != 0)
        return run_fail(run);
    if (type == 0)
        return 0; /* nothing of it was ever stored */
    *plan = (struct plan){ .type = type, .name = name };
    plan->filter = plan_filter(run, type, run->query->filter);
    if (plan->filter == NULL || build_sorts(run, plan) != 0)
        return -1;
    note_condition(plan, plan->filter);
    if (plan->filter->op != NODE_FALSE)
        run->plan_count++;
    return 0;
}

static int build_types(struct run *run)
{
    const struct andiron_query *query = run->query;
    int64_t last = names_last_type(run->store->names);
    size_t count = 1;

    if (query->type == NULL && query->types == NULL) {
        run->plans = andiron_alloc(run->arena, (size_t)(last + 1) * sizeof(run->plans[0]));
        for (int64_t type = 1; type <= last; type++) {
            andiron_str name = names_of_type(run->store->names, type);
            if (name.len != 0 && build_type(run, name) != 0)
                return -1;
        }
        return 0;
    }
    while (query->type == NULL && query->types[count - 1] != NULL)
        count++;
    run->plans = andiron_alloc(run->arena, count * sizeof(run->plans[0]));
    if (query->type != NULL)
        return build_type(run, andiron_str_of(query->type));
    for (size_t i = 0; query->types[i] != NULL; i++) {
        if (build_type(run, andiron_str_of(query->types[i])) != 0)
            return -1;
    }
    return 0;
}

/* Narrows the bounds by what one _lastUpdated condition implies. */
static int bound_by(struct run *run, const struct node *n)
{
    andiron_usec low = n->term->range.date.low, high = n->term->range.date.high;
    andiron_usec from = INT64_MIN, to = INT64_MAX; /* instants in [from, to) */
    int64_t vid;

    switch (n->compare) {
    case ANDIRON_CMP_EQ:
    case ANDIRON_CMP_AP:
        from = low;
        to = high;
        break;
    case ANDIRON_CMP_GT:
    case ANDIRON_CMP_SA:
        from = high;
        break;
    case ANDIRON_CMP_GE:
        from = low < high ? low : high;
        break;
    case ANDIRON_CMP_LT:
    case ANDIRON_CMP_EB:
        to = low;
        break;
    case ANDIRON_CMP_LE:
        to = low > high ? low : high;
        break;
    default:
        return 0;
    }
    if (from != INT64_MIN) {
        if (vid_since(run->db, from, &vid) != 0)
            return run_fail(run);
        if (vid > run->vid_low)
            run->vid_low = vid;
    }
    if (to != INT64_MAX) {
        if (vid_since(run->db, to, &vid) != 0)
            return run_fail(run);
        if (vid - 1 < run->vid_high)
            run->vid_high = vid - 1;
    }
    return 0;
}

static int bound(struct run *run, const struct node *n)
{
    if (n->op == NODE_UPDATED)
        return bound_by(run, n);
    if (n->op != NODE_AND)
        return 0;
    for (size_t i = 0; i < n->arg_count; i++) {
        if (bound(run, n->args[i]) != 0)
            return -1;
    }
    return 0;
}

static bool is_unique(const struct andiron_query *query, size_t key)
{
    const char *param = query->sort[key].param;

    return strcmp(param, "_lastUpdated") == 0 || (strcmp(param, "_id") == 0 && query->type != NULL);
}

int plan_build(struct run *run)
{
    const struct andiron_query *query = run->query;

    if (query->sort_count > PLAN_SORTS) {
        run->failed = true;
        return andiron_error_set(run->error, ANDIRON_E_INVALID, "",
                                 "_sort has %zu keys; at most %d are supported", query->sort_count,
                                 PLAN_SORTS);
    }
    /* No two resources have the same instant, and of one type no two the same id. */
    while (run->sort_count < query->sort_count && !is_unique(query, run->sort_count))
        run->sort_count++;
    if (run->sort_count < query->sort_count)
        run->sort_count++;
    if (run->sort_count > 0)
        run->ascending = !query->sort[run->sort_count - 1].descending;
    /* A version's number says all about its instant. */
    if (run->sort_count == 1 && strcmp(query->sort[0].param, "_lastUpdated") == 0)
        run->sort_count = 0;
    run->vid_low = 1;
    run->vid_high = INT64_MAX - 1;
    if (build_types(run) != 0)
        return -1;
    /* All types have the same conditions on _lastUpdated: those of the first do for all. */
    if (run->plan_count != 0 && bound(run, run->plans[0].filter) != 0)
        return -1;
    return 0;
}
