/*
 * _include and _revinclude: rows that matches refer to, or that refer to matches; see stages.h. A
 * round looks at the rows that the round before added, until nothing new comes or a limit is met.
 */
#include "plan.h"
#include "stages.h"

enum { ROUNDS_MAX = 5 };

struct numbers {
    int64_t *list;
    size_t count, room;
};

/* What one include brings for the rows of a round, in order. */
struct bringing {
    bool is_begun, is_asked, is_there;
    struct numbers rids;     /* forward: targets */
    struct candidate *found; /* backward */
    size_t found_count, at;
};

struct including {
    size_t max; /* rows of the page, matches and all */
    bool suppressed, full;
    int round;
    size_t from, to, include;
    struct bringing bringing;
    struct {
        size_t mask, used;
        int64_t *rids;
    } seen;                /* resources that are on the page, or were judged */
    struct node **visible; /* filters by place in query->visible, for one type each */
};

static size_t slot_of(const struct including *n, int64_t rid)
{
    size_t i = ((uint64_t)rid * 0x9e3779b97f4a7c15u >> 20) & n->seen.mask;

    while (n->seen.rids[i] != 0 && n->seen.rids[i] != rid)
        i = (i + 1) & n->seen.mask;
    return i;
}

static bool is_seen(struct run *run, struct including *n, int64_t rid)
{
    if (n->seen.used * 2 >= n->seen.mask) {
        size_t old = n->seen.mask == 0 ? 0 : n->seen.mask + 1;
        int64_t *rids = n->seen.rids;
        n->seen.mask = (old == 0 ? 256 : old * 2) - 1;
        n->seen.rids = andiron_alloc(run->arena, (n->seen.mask + 1) * sizeof(rids[0]));
        for (size_t i = 0; i < old; i++) {
            if (rids[i] != 0)
                n->seen.rids[slot_of(n, rids[i])] = rids[i];
        }
    }
    return n->seen.rids[slot_of(n, rid)] == rid;
}

static void see(struct run *run, struct including *n, int64_t rid)
{
    if (is_seen(run, n, rid))
        return;
    n->seen.rids[slot_of(n, rid)] = rid;
    n->seen.used++;
}

static void keep(struct run *run, struct numbers *m, int64_t number)
{
    if (m->count == m->room) {
        size_t room = m->room * 2 + 32;
        int64_t *list = andiron_alloc(run->arena, room * sizeof(list[0]));
        if (m->count != 0)
            memcpy(list, m->list, m->count * sizeof(list[0]));
        m->list = list;
        m->room = room;
    }
    m->list[m->count++] = number;
}

/* Whether narrowing lets it be seen: 1, 0, RUN_WAIT.. */
static int is_visible(struct run *run, struct including *n, const struct candidate *c)
{
    const struct andiron_query *query = run->query;
    andiron_str type = names_of_type(run->store->names, c->type);
    int ret = 0;

    if (query->visible == NULL)
        return 1;
    for (size_t i = 0; i < query->visible_count; i++) {
        if (!andiron_str_eq(andiron_str_of(query->visible[i].type), type))
            continue;
        if (query->visible[i].filter == NULL)
            return 1;
        if (n->visible[i] == NULL) {
            run->plan_waits = false;
            struct node *filter = plan_filter(run, c->type, query->visible[i].filter);
            if (filter == NULL)
                return RUN_FAILED;
            if (run->plan_waits) {
                ret = RUN_WAIT;
                continue;
            }
            n->visible[i] = filter;
        }
        int matches = judging(run, n->visible[i], c, false);
        if (matches == 1 || matches == RUN_FAILED)
            return matches;
        ret = matches < 0 ? matches : ret;
    }
    return ret;
}

/* 0: done with it; RUN_WAIT.. */
static int add(struct run *run, struct including *n, const struct candidate *c)
{
    if (is_seen(run, n, c->rid))
        return 0;
    int visible = is_visible(run, n, c);
    if (visible < 0)
        return visible;
    see(run, n, c->rid);
    if (visible == 0)
        n->suppressed = true;
    else if (run->page_count >= n->max)
        n->full = true;
    else
        page_add(run, c, true);
    return 0;
}

/* Whether the include starts from a row of that type. */
static bool starts_from(const struct andiron_include *inc, andiron_str type)
{
    const char *from = inc->reverse ? inc->target : inc->source;
    return from == NULL || andiron_str_eq(andiron_str_of(from), type);
}

/* ---- forward ---------------------------------------------------------------------------------- */

static int forward_begin(struct run *run, struct including *n, const struct andiron_include *inc)
{
    struct names *names = run->store->names;
    bool any = strcmp(inc->param, "*") == 0;
    int64_t target = inc->target != NULL ? names_type(names, andiron_str_of(inc->target)) : 0;

    for (size_t row = n->from; row < n->to; row++) {
        const struct page_row *p = &run->page[row];
        struct keys_cursor k = keys_begin(p->c.keys);
        struct keys_entry e;
        uint32_t kinds = 0;
        int64_t param = any ? 0 : names_param(names, p->c.type, andiron_str_of(inc->param), &kinds);
        if (!starts_from(inc, p->type))
            continue;
        while (keys_next(&k, &e)) {
            if (e.kind == KEYS_REFERENCE && (any || e.p == param) && e.group == 0 &&
                (inc->target == NULL || e.type == target))
                keep(run, &n->bringing.rids, e.rid);
        }
        if (k.broken)
            return run_damaged(run);
    }
    return 0;
}

static int forward(struct run *run, struct including *n)
{
    struct bringing *b = &n->bringing;
    bool waits = false;

    for (size_t i = b->at; i < b->rids.count && !n->full; i++) {
        const struct known *k = NULL;
        if (!is_seen(run, n, b->rids.list[i])) {
            k = known_resource(run, b->rids.list[i], true);
            if (k == NULL)
                waits = true;
        }
        if (waits)
            continue; /* what else is not there is asked for as well */
        if (k != NULL && k->now.vid != 0) {
            int rc = add(run, n, &k->now);
            if (rc == RUN_FAILED || rc == RUN_STOPPED)
                return rc;
            waits = rc == RUN_WAIT;
        }
        if (!waits)
            b->at = i + 1;
    }
    return waits ? RUN_WAIT : 0;
}

/* ---- backward ----------------------------------------------------------------------------------- */

static void take_referring(struct run *run, void *arg, const struct wire_batch *b, size_t at)
{
    struct bringing *bringing = arg;
    size_t rows = wire_rows(b, at);

    bringing->is_there = true;
    bringing->found = andiron_alloc(run->arena, (rows + 1) * sizeof(bringing->found[0]));
    bringing->found_count = rows;
    for (size_t i = 0; i < rows; i++)
        bringing->found[i] = candidate_of(b, at, i, 0, true, true);
    (void)run_spend(run, (int64_t)rows + 1);
}

/* Versions of the include's type that refer to the rows, newest first for each. */
static void backward_begin(struct run *run, struct including *n, const struct andiron_include *inc)
{
    struct names *names = run->store->names;
    struct bringing *b = &n->bringing;
    struct numbers rids = { .count = 0 }, params = { .count = 0 };
    int64_t type = names_type(names, andiron_str_of(inc->source));
    uint32_t kinds = 0;

    if (strcmp(inc->param, "*") != 0) {
        int64_t p = names_param(names, type, andiron_str_of(inc->param), &kinds);
        if (p != 0)
            keep(run, &params, p);
    }
    for (size_t row = n->from; row < n->to; row++) {
        if (starts_from(inc, run->page[row].type))
            keep(run, &rids, run->page[row].c.rid);
    }
    b->is_there =
        rids.count == 0 || type == 0 || (params.count == 0 && strcmp(inc->param, "*") != 0);
    if (b->is_there)
        return;
    struct compose *c = compose_new(run->arena);
    int64_t left = (int64_t)(n->max - run->page_count) + 1 + (int64_t)n->seen.used;
    compose_put(c, "SELECT ");
    candidate_columns(c, true, true);
    compose_put(c, " FROM (SELECT t.n,x.m,s.vid FROM unnest($%d) WITH ORDINALITY t(rid,n),",
                compose_ints(c, WIRE_INT8_ARRAY, rids.list, rids.count));
    if (params.count != 0)
        compose_put(c, " unnest($%d) WITH ORDINALITY x(p,m),",
                    compose_ints(c, WIRE_INT4_ARRAY, params.list, params.count));
    else
        compose_put(c, " (SELECT p,p AS m FROM param WHERE type=$%d AND kind&%d<>0) x,",
                    compose_int2(c, type), 1 << ANDIRON_TERM_REFERENCE);
    compose_put(c,
                " LATERAL (SELECT f.vid FROM ix_ref f WHERE f.p=x.p AND f.tgt=t.rid"
                " ORDER BY f.vid DESC LIMIT $%d) s ORDER BY t.n,x.m,s.vid DESC LIMIT $%d) y"
                " JOIN version v ON v.vid=y.vid JOIN resource r ON r.rid=v.rid"
                " ORDER BY y.n,y.m,y.vid DESC",
                compose_int8(c, left), compose_int8(c, left));
    run_want(run, c, take_referring, b);
}

static int backward(struct run *run, struct including *n)
{
    struct bringing *b = &n->bringing;
    bool waits = false;

    if (!b->is_there)
        return RUN_WAIT;
    for (size_t i = b->at; i < b->found_count && !n->full; i++) {
        if (waits) { /* what judging the others lacks is asked for as well */
            if (!is_seen(run, n, b->found[i].rid))
                (void)is_visible(run, n, &b->found[i]);
            continue;
        }
        int rc = add(run, n, &b->found[i]);
        if (rc == RUN_FAILED || rc == RUN_STOPPED)
            return rc;
        waits = rc == RUN_WAIT;
        if (!waits)
            b->at = i + 1;
    }
    return waits ? RUN_WAIT : 0;
}

/* ---- rounds ------------------------------------------------------------------------------------- */

static struct including *begin(struct run *run)
{
    struct including *n = andiron_new(run->arena, struct including);

    n->max = run->page_count + (size_t)run->store->config->max_includes;
    n->visible = andiron_alloc(run->arena, (run->query->visible_count + 1) * sizeof(n->visible[0]));
    n->to = run->page_count;
    for (size_t i = 0; i < run->page_count; i++)
        see(run, n, run->page[i].c.rid);
    return n;
}

static int bring(struct run *run, struct including *n)
{
    const struct andiron_include *inc = &run->query->includes[n->include];
    int rc = 0;

    if (!n->bringing.is_begun) {
        n->bringing = (struct bringing){ .is_begun = true };
        if (inc->reverse)
            backward_begin(run, n, inc);
        else
            rc = forward_begin(run, n, inc);
    }
    if (rc == 0)
        rc = inc->reverse ? backward(run, n) : forward(run, n);
    return rc;
}

int including(struct run *run)
{
    const struct andiron_query *query = run->query;
    struct including *n = run->including;

    if (query->include_count == 0 || run->page_count == 0)
        return 0;
    if (n == NULL)
        n = run->including = begin(run);
    bool stopped = false;
    while (n->round <= ROUNDS_MAX && n->from < n->to && !n->full && !stopped) {
        if (n->round == ROUNDS_MAX)
            n->max = n->to; /* only whether there is more */
        for (; n->include < query->include_count && !n->full && !stopped; n->include++) {
            if (n->round > 0 && !query->includes[n->include].iterate)
                continue;
            int rc = bring(run, n);
            if (rc == RUN_WAIT && run_spend(run, 0))
                rc = RUN_STOPPED;
            if (rc == RUN_FAILED || rc == RUN_WAIT)
                return rc;
            stopped = rc == RUN_STOPPED;
            n->bringing.is_begun = false;
        }
        n->include = 0;
        n->round++;
        n->from = n->to;
        n->to = run->page_count;
    }
    run->rows->suppressed = n->suppressed;
    run->rows->includes_cut = n->full || stopped;
    return 0;
}
