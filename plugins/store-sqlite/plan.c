/*
 * From a query to its plan; see plan.h.
 */
#include "plan.h"

#include <time.h>

#include "filter.h"
#include "iter.h"
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

int candidate_load(struct run *run, int64_t vid, struct candidate *ret)
{
    sqlite3_stmt *s;

    if (run->depth >= DB_DEPTH) {
        if (!run->failed)
            andiron_error_set(run->error, ANDIRON_E_INVALID, "",
                              "chains and _has are nested more than %d deep", DB_DEPTH - 1);
        run->failed = true;
        return -1;
    }
    s = db_statement(run->db, DB_VERSION + run->depth);
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

static struct node *node_new(struct run *run, enum node_op op, int64_t type)
{
    struct node *n = andiron_new(run->arena, struct node);

    n->op = op;
    n->type = type;
    return n;
}

static int find_param(struct run *run, int64_t type, const char *param, int64_t *ret)
{
    uint32_t kinds;

    *ret = 0;
    if (type == 0)
        return 0;
    if (names_find_param(run->store->names, run->db, type, andiron_str_of(param), ret, &kinds) != 0)
        return run_fail(run);
    return 0;
}

/*
 * Whether no resource has several values of a param. Asked of the snapshot itself: another
 * process may have stored the first one that has.
 */
static int find_single(struct run *run, int64_t type, const char *param, bool *ret)
{
    sqlite3_stmt *s = db_statement(run->db, DB_PARAM_FIND);

    if (s == NULL)
        return run_fail(run);
    sqlite3_bind_int64(s, 1, type);
    db_bind_str(s, 2, andiron_str_of(param));
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
static int find_targets(struct run *run, struct node *n)
{
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

static bool is_url(andiron_str text)
{
    return text.len != 0 && memchr(text.data, ':', text.len) != NULL;
}

static void prepare_token(struct run *run, struct node *n)
{
    const struct hash_key *key = &run->store->key;
    const struct andiron_term *t = n->term;

    n->kind = KEYS_TOKEN;
    n->any_system = t->system.data == NULL;
    n->no_system = t->system.data != NULL && t->system.len == 0;
    if (t->system.len != 0)
        n->hash = keys_hash_system(key, t->system);
    if (t->text.data == NULL && n->compare == ANDIRON_CMP_EQ)
        n->compare = ANDIRON_CMP_SYSTEM;
    n->text = keys_text(key, run->arena, t->text, KEYS_CODE_MAX);
    if (n->compare == ANDIRON_CMP_OF_TYPE) {
        n->kind = KEYS_OF_TYPE;
        n->wide = keys_hash_of_type(key, t->system, t->text, t->exact);
    }
}

static int prepare_reference(struct run *run, struct node *n)
{
    const struct andiron_term *t = n->term;

    n->kind = KEYS_REFERENCE;
    if (n->compare == ANDIRON_CMP_SYSTEM || t->text.data == NULL) {
        n->compare = ANDIRON_CMP_SYSTEM;
        if (names_find_type(run->store->names, run->db, t->system, &n->other) != 0)
            return run_fail(run);
        return 0;
    }
    if (t->system.len == 0 && is_url(t->text)) {
        n->kind = KEYS_URL;
        n->text = keys_text(&run->store->key, run->arena, t->text, KEYS_TEXT_MAX);
        return 0;
    }
    return find_targets(run, n);
}

static int prepare_term(struct run *run, struct node *n)
{
    const struct hash_key *key = &run->store->key;
    const struct andiron_term *t = n->term;

    switch (t->kind) {
    case ANDIRON_TERM_TOKEN:
        prepare_token(run, n);
        return 0;
    case ANDIRON_TERM_STRING:
        n->kind = KEYS_STRING;
        n->text = keys_text(key, run->arena, t->text, KEYS_STRING_MAX);
        if (n->compare == ANDIRON_CMP_EXACT)
            n->hash = keys_hash_exact(key, t->exact.data != NULL ? t->exact : t->text);
        return 0;
    case ANDIRON_TERM_REFERENCE:
        return prepare_reference(run, n);
    case ANDIRON_TERM_DATE:
        n->kind = KEYS_DATE;
        return 0;
    case ANDIRON_TERM_NUMBER:
        n->kind = KEYS_NUMBER;
        return 0;
    case ANDIRON_TERM_QUANTITY:
        n->kind = KEYS_QUANTITY;
        if (t->system.len != 0 && t->text.len != 0)
            n->hash = keys_hash_coded_unit(key, t->system, t->text);
        else if (t->text.len != 0)
            n->hash = keys_hash_unit(key, t->text);
        return 0;
    case ANDIRON_TERM_URI:
        n->kind = KEYS_URI;
        n->text = keys_text(key, run->arena, t->text, KEYS_TEXT_MAX);
        return 0;
    case ANDIRON_TERM_PRESENT:
        n->kind = KEYS_PRESENT;
        return 0;
    default:
        n->op = NODE_FALSE;
        return 0;
    }
}

static struct node *build_term(struct run *run, int64_t type, const struct andiron_filter *filter)
{
    struct node *n = node_new(run, NODE_TERM, type);

    n->term = &filter->term;
    n->compare = filter->compare;
    n->text = filter->term.text;
    if (strcmp(filter->term.param, "_id") == 0) {
        n->op = filter->term.kind == ANDIRON_TERM_PRESENT ? NODE_TRUE : NODE_ID;
        return n;
    }
    if (strcmp(filter->term.param, "_lastUpdated") == 0) {
        n->op = filter->term.kind == ANDIRON_TERM_PRESENT ? NODE_TRUE : NODE_UPDATED;
        return n;
    }
    if (find_param(run, type, filter->term.param, &n->p) != 0)
        return NULL;
    if (n->p == 0) {
        n->op = NODE_FALSE; /* no resource has a value */
        return n;
    }
    if (prepare_term(run, n) != 0)
        return NULL;
    if ((n->kind == KEYS_DATE || n->kind == KEYS_NUMBER || n->kind == KEYS_QUANTITY) &&
        n->term->part == 0 && find_single(run, type, filter->term.param, &n->single) != 0)
        return NULL;
    if (n->kind == KEYS_REFERENCE && n->compare == ANDIRON_CMP_EQ && n->rid_count == 0)
        n->op = NODE_FALSE;
    return n;
}

/* CHAIN and HAS: the other side is compiled for its own type. */
static struct node *build_link(struct run *run, int64_t type, const struct andiron_filter *filter)
{
    bool chain = filter->op == ANDIRON_FILTER_CHAIN;
    struct node *n = node_new(run, chain ? NODE_CHAIN : NODE_HAS, type);

    if (names_find_type(run->store->names, run->db, andiron_str_of(filter->type), &n->other) != 0) {
        run_fail(run);
        return NULL;
    }
    if (find_param(run, chain ? type : n->other, filter->term.param, &n->p) != 0)
        return NULL;
    if (n->p == 0 || n->other == 0) {
        n->op = NODE_FALSE;
        return n;
    }
    n->args = andiron_alloc(run->arena, sizeof(n->args[0]));
    n->arg_count = 1;
    n->args[0] = filter->arg_count != 0 ? plan_filter(run, n->other, filter->args[0])
                                        : node_new(run, NODE_TRUE, n->other);
    if (n->args[0] == NULL)
        return NULL;
    if (n->args[0]->op == NODE_FALSE)
        n->op = NODE_FALSE;
    return n;
}

/* AND and OR, without the arguments that decide nothing. */
static struct node *build_list(struct run *run, int64_t type, const struct andiron_filter *filter)
{
    bool all = filter->op == ANDIRON_FILTER_AND;
    struct node *n = node_new(run, all ? NODE_AND : NODE_OR, type);

    n->args = andiron_alloc(run->arena, (filter->arg_count + 1) * sizeof(n->args[0]));
    for (size_t i = 0; i < filter->arg_count; i++) {
        struct node *arg = plan_filter(run, type, filter->args[i]);
        if (arg == NULL)
            return NULL;
        if (arg->op == (all ? NODE_FALSE : NODE_TRUE))
            return arg;
        if (arg->op != (all ? NODE_TRUE : NODE_FALSE))
            n->args[n->arg_count++] = arg;
    }
    if (n->arg_count == 1)
        return n->args[0];
    if (n->arg_count == 0)
        n->op = all ? NODE_TRUE : NODE_FALSE;
    return n;
}

static struct node *build_not(struct run *run, int64_t type, const struct andiron_filter *filter)
{
    struct node *n = node_new(run, NODE_NOT, type);
    struct node *arg = filter->arg_count != 0 ? plan_filter(run, type, filter->args[0])
                                              : node_new(run, NODE_TRUE, type);

    if (arg == NULL)
        return NULL;
    if (arg->op == NODE_TRUE || arg->op == NODE_FALSE) {
        n->op = arg->op == NODE_TRUE ? NODE_FALSE : NODE_TRUE;
        return n;
    }
    n->args = andiron_alloc(run->arena, sizeof(n->args[0]));
    n->args[0] = arg;
    n->arg_count = 1;
    return n;
}

static struct node *build_together(struct run *run, int64_t type,
                                   const struct andiron_filter *filter)
{
    struct node *n = node_new(run, NODE_TOGETHER, type);

    n->args = andiron_alloc(run->arena, (filter->arg_count + 1) * sizeof(n->args[0]));
    for (size_t i = 0; i < filter->arg_count; i++) {
        struct node *arg = filter->args[i]->op == ANDIRON_FILTER_TERM
                               ? build_term(run, type, filter->args[i])
                               : node_new(run, NODE_FALSE, type);
        if (arg == NULL || arg->op == NODE_FALSE)
            return arg;
        n->args[n->arg_count++] = arg;
    }
    if (n->arg_count == 0)
        n->op = NODE_FALSE;
    else
        n->p = n->args[0]->p;
    n->compare = filter->compare;
    n->term = &filter->term;
    return n;
}

struct node *plan_filter(struct run *run, int64_t type, const struct andiron_filter *filter)
{
    struct node *n;

    if (filter == NULL)
        return node_new(run, NODE_TRUE, type);
    switch (filter->op) {
    case ANDIRON_FILTER_AND:
    case ANDIRON_FILTER_OR:
        return build_list(run, type, filter);
    case ANDIRON_FILTER_NOT:
        return build_not(run, type, filter);
    case ANDIRON_FILTER_TERM:
        return build_term(run, type, filter);
    case ANDIRON_FILTER_ID:
        n = node_new(run, NODE_ID, type);
        n->term = &filter->term;
        n->text = filter->term.text;
        return n;
    case ANDIRON_FILTER_CHAIN:
    case ANDIRON_FILTER_HAS:
        return build_link(run, type, filter);
    case ANDIRON_FILTER_TOGETHER:
        return build_together(run, type, filter);
    case ANDIRON_FILTER_TYPE: {
        int64_t wanted;
        if (names_find_type(run->store->names, run->db, andiron_str_of(filter->type), &wanted) !=
            0) {
            run_fail(run);
            return NULL;
        }
        return node_new(run, wanted == type ? NODE_TRUE : NODE_FALSE, type);
    }
    default:
        run->failed = true;
        andiron_error_set(run->error, ANDIRON_E_NOT_IMPLEMENTED, "",
                          "this store does not know a filter of the kind asked for");
        return NULL;
    }
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
        else if (find_param(run, plan->type, query->sort[i].param, &s->p) != 0)
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
