/*
 * From a query to the plans of its types; see run.h. Names come from the store's table of them; that
 * it is up to date is asked of the snapshot where that matters.
 */
#include "plan.h"

#include "naming.h"

/* ---- filters ------------------------------------------------------------------------ */

static int find_type(void *arg, andiron_str name, int64_t *ret)
{
    struct run *run = arg;

    *ret = names_type(run->store->names, name);
    run->lacks_names = run->lacks_names || *ret == 0;
    return 0;
}

static int find_param(void *arg, int64_t type, andiron_str param, int64_t *ret)
{
    struct run *run = arg;
    uint32_t kinds = 0;

    *ret = type != 0 ? names_param(run->store->names, type, param, &kinds) : 0;
    run->lacks_names = run->lacks_names || *ret == 0;
    return 0;
}

static int find_single(void *arg, int64_t type, andiron_str param, bool *ret)
{
    struct run *run = arg;
    uint32_t kinds = 0;

    *ret = names_param(run->store->names, type, param, &kinds) != 0 && (kinds & NAMES_SEVERAL) == 0;
    run->needs_names = true; /* another node may have stored the first one with several */
    return 0;
}

/* By type and id, or by id alone in every type. */
static int find_targets(void *arg, struct node *n)
{
    struct run *run = arg;
    const struct andiron_term *t = n->term;
    int64_t type = 0, last = names_last_type(run->store->names);
    int64_t *rids = andiron_alloc(run->arena, (size_t)(last + 1) * sizeof(*rids));

    n->rids = rids;
    if (t->system.len != 0 && (find_type(run, t->system, &type) != 0 || type == 0))
        return 0;
    for (int64_t i = type != 0 ? type : 1; i <= (type != 0 ? type : last); i++) {
        struct known_id *id = known_id(run, i, t->text);
        if (id == NULL)
            run->plan_waits = true;
        else if (id->rid != 0)
            rids[n->rid_count++] = id->rid;
    }
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

static bool looks_at_ids(const struct node *n)
{
    bool looks = n->op == NODE_ID;

    for (size_t i = 0; i < n->arg_count && !looks; i++)
        looks = looks_at_ids(n->args[i]);
    return looks;
}

static size_t depth_of(const struct node *n)
{
    size_t depth = 0;

    for (size_t i = 0; i < n->arg_count; i++) {
        size_t d = depth_of(n->args[i]);
        depth = d > depth ? d : depth;
    }
    return depth + (n->op == NODE_CHAIN || n->op == NODE_HAS ? 1 : 0);
}

/* ---- whole plans ----------------------------------------------------------------------- */

static void build_sorts(struct run *run, struct run_plan *plan)
{
    const struct andiron_query *query = run->query;

    for (size_t i = 0; i < run->sort_count; i++) {
        struct run_sort *s = &plan->sort[i];
        s->kind = query->sort[i].kind;
        s->descending = query->sort[i].descending;
        s->by = SORT_VALUE;
        if (strcmp(query->sort[i].param, "_id") == 0)
            s->by = SORT_ID;
        else if (strcmp(query->sort[i].param, "_lastUpdated") == 0)
            s->by = SORT_UPDATED;
        else
            (void)find_param(run, plan->type, andiron_str_of(query->sort[i].param), &s->p);
        run->needs_id = run->needs_id || s->by == SORT_ID;
    }
}

/* What a condition that every match satisfies says of the values to sort by. */
static void note_condition(struct run_plan *plan, struct node *n)
{
    if (n->op == NODE_AND) {
        for (size_t i = 0; i < n->arg_count; i++)
            note_condition(plan, n->args[i]);
        return;
    }
    if (n->op != NODE_TERM || n->term->part != 0 || n->compare == ANDIRON_CMP_OF_TYPE)
        return;
    for (size_t i = 0; i < RUN_SORTS; i++) {
        struct run_sort *s = &plan->sort[i];
        if (s->by != SORT_VALUE || s->p == 0 || s->p != n->p || s->kind != n->term->kind)
            continue;
        s->required = true;
        if (i == 0 && n->single && s->within == NULL &&
            (n->kind == KEYS_DATE || n->kind == KEYS_NUMBER))
            s->within = n;
        n->walked = n->walked || s->within == n;
    }
}

static int build_type(struct run *run, andiron_str name)
{
    struct run_plan *plan = &run->plans[run->plan_count];
    int64_t type;

    (void)find_type(run, name, &type);
    if (type == 0)
        return 0; /* nothing of it was ever stored */
    *plan = (struct run_plan){ .type = type, .name = name };
    plan->filter = plan_filter(run, type, run->query->filter);
    if (plan->filter == NULL)
        return RUN_FAILED;
    if (depth_of(plan->filter) > RUN_DEPTH)
        return run_fail(run, ANDIRON_E_INVALID, "chains and _has are nested more than 5 deep");
    build_sorts(run, plan);
    note_condition(plan, plan->filter);
    run->needs_id = run->needs_id || looks_at_ids(plan->filter);
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
                return RUN_FAILED;
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
            return RUN_FAILED;
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

    if (query->sort_count > RUN_SORTS) {
        run->failed = true;
        return andiron_error_set(run->error, ANDIRON_E_INVALID, "",
                                 "_sort has %zu keys; at most %d are supported", query->sort_count,
                                 RUN_SORTS);
    }
    run->sort_count = run->plan_count = 0;
    run->plan_waits = false;
    /* Numbers of versions stand for instants, and of one type no two have the same id. */
    while (run->sort_count < query->sort_count && !is_unique(query, run->sort_count))
        run->sort_count++;
    if (run->sort_count < query->sort_count)
        run->sort_count++;
    if (run->sort_count > 0)
        run->ascending = !query->sort[run->sort_count - 1].descending;
    if (run->sort_count == 1 && strcmp(query->sort[0].param, "_lastUpdated") == 0)
        run->sort_count = 0;
    if (build_types(run) != 0)
        return RUN_FAILED;
    /* What is not known here may have been stored by another node: then nothing is certain yet. */
    if (run->lacks_names && !run->names_asked) {
        run->needs_names = true;
        return RUN_WAIT;
    }
    return run->plan_waits ? RUN_WAIT : 0;
}
