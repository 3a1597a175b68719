/*
 * _include and _revinclude: rows that matches refer to, or that refer to matches. A round
 * looks at the rows that the round before added, until nothing new comes or a limit is met.
 */
#include "filter.h"
#include "iter.h"
#include "lookup.h"
#include "page.h"

enum { ROUNDS_MAX = 5 };

/* Numbers gathered from one statement before others are run. */
struct numbers {
    int64_t *list;
    size_t count, room;
};

struct including {
    struct run *run;
    struct page *page;
    size_t max; /* rows of the page, matches and all */
    bool suppressed, full;
    struct {
        size_t mask, used;
        int64_t *rids;
    } known;                 /* resources that are on the page, or were judged */
    struct node **visible;   /* filters by place in query->visible; built on first use */
    struct numbers **params; /* of reverse includes by place in query->includes; likewise */
};

static size_t slot_of(const struct including *n, int64_t rid)
{
    size_t i = ((uint64_t)rid * 0x9e3779b97f4a7c15u >> 20) & n->known.mask;

    while (n->known.rids[i] != 0 && n->known.rids[i] != rid)
        i = (i + 1) & n->known.mask;
    return i;
}

/* Whether the resource is met for the first time. */
static bool is_new(struct including *n, int64_t rid)
{
    if (n->known.used * 2 >= n->known.mask) {
        size_t old = n->known.mask == 0 ? 0 : n->known.mask + 1;
        int64_t *rids = n->known.rids;
        n->known.mask = (old == 0 ? 256 : old * 2) - 1;
        n->known.rids = andiron_alloc(n->run->arena, (n->known.mask + 1) * sizeof(rids[0]));
        for (size_t i = 0; i < old; i++) {
            if (rids[i] != 0)
                n->known.rids[slot_of(n, rids[i])] = rids[i];
        }
    }
    size_t i = slot_of(n, rid);
    if (n->known.rids[i] == rid)
        return false;
    n->known.rids[i] = rid;
    n->known.used++;
    return true;
}

/* Whether narrowing lets a candidate of that type be seen. 2: not known; -1: failed. */
static int is_visible(struct including *n, andiron_str type, const struct candidate *c)
{
    const struct andiron_query *query = n->run->query;

    if (query->visible == NULL)
        return 1;
    for (size_t i = 0; i < query->visible_count; i++) {
        if (!andiron_str_eq(andiron_str_of(query->visible[i].type), type))
            continue;
        if (query->visible[i].filter == NULL)
            return 1;
        if (n->visible[i] == NULL)
            n->visible[i] = plan_filter(n->run, c->type, query->visible[i].filter);
        if (n->visible[i] == NULL)
            return -1;
        if (filter_matches(n->run, n->visible[i], c, false))
            return 1;
        if (n->run->failed)
            return -1;
        if (n->run->stopped)
            return 2;
    }
    return 0;
}

static int add_version(struct including *n, int64_t vid)
{
    struct run *run = n->run;
    struct candidate c;
    andiron_str type;
    if (run_spend(run, 1))
        return 0;
    int found = candidate_load(run, vid, &c);
    int rc = 0;

    if (found <= 0)
        return found;
    if (!is_new(n, c.rid)) {
        candidate_end(run, &c);
        return 0;
    }
    if (names_find_of_type(run->store->names, run->db, c.type, &type) != 0)
        rc = run_fail(run);
    int seen = rc == 0 ? is_visible(n, type, &c) : -1;
    if (seen == 0)
        n->suppressed = true;
    else if (seen == 1 && n->page->count >= n->max)
        n->full = true;
    else if (seen == 1)
        rc = page_add(run, n->page, &c, true);
    candidate_end(run, &c);
    return seen < 0 ? -1 : rc;
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

/* What the row refers to by the include's parameter. */
static int forward(struct including *n, const struct andiron_include *inc, size_t row)
{
    struct run *run = n->run;
    struct numbers targets = { .count = 0 };
    struct candidate c;
    struct keys_cursor k;
    struct keys_entry e;
    int64_t p = 0, target = 0;
    uint32_t kinds;
    bool any = strcmp(inc->param, "*") == 0;
    int found = candidate_load(run, n->page->vids[row], &c);

    if (found <= 0)
        return found;
    if ((!any && names_find_param(run->store->names, run->db, c.type, andiron_str_of(inc->param),
                                  &p, &kinds) != 0) ||
        (inc->target != NULL &&
         names_find_type(run->store->names, run->db, andiron_str_of(inc->target), &target) != 0)) {
        candidate_end(run, &c);
        return run_fail(run);
    }
    k = keys_begin(c.keys);
    while (keys_next(&k, &e)) {
        if (e.kind == KEYS_REFERENCE && (any || e.p == p) && e.group == 0 &&
            (inc->target == NULL || e.type == target))
            keep(run, &targets, e.rid);
    }
    candidate_end(run, &c);
    for (size_t i = 0; i < targets.count && !n->full; i++) {
        int64_t type, vid;
        if (resource_current(run, targets.list[i], &type, &vid, NULL) != 0)
            return -1;
        if (vid != 0 && add_version(n, vid) != 0)
            return -1;
    }
    return 0;
}

/* Versions of the include's type that refer to the row, newest first. */
static int backward_by(struct including *n, int64_t p, size_t row)
{
    struct run *run = n->run;
    struct iter *it = iter_of_references(run, p);
    int64_t key = iter_key(run, run->ascending ? 1 : INT64_MAX - 1);

    iter_set_target(it, n->page->rids[row], ITER_WINDOW);
    for (; !n->full; key++) {
        key = iter_seek(run, it, key);
        if (run->failed)
            return -1;
        if (key == ITER_END || run->stopped)
            return 0;
        if (add_version(n, iter_vid(run, key)) != 0)
            return -1;
    }
    return 0;
}

/* Every reference parameter of a type. */
static int params_of(struct including *n, int64_t type, struct numbers *ret)
{
    sqlite3_stmt *s = db_statement(n->run->db, DB_PARAMS_OF_KIND);
    int more;

    if (s == NULL)
        return run_fail(n->run);
    sqlite3_bind_int64(s, 1, 1 << ANDIRON_TERM_REFERENCE);
    while ((more = db_step(n->run->db, s)) == 1) {
        if (sqlite3_column_int64(s, 1) == type)
            keep(n->run, ret, sqlite3_column_int64(s, 0));
    }
    return more < 0 ? run_fail(n->run) : 0;
}

/* The parameters by which an include looks backward: looked up once for all rows. */
static int find_params(struct including *n, const struct andiron_include *inc, struct numbers *ret)
{
    struct run *run = n->run;
    int64_t type = 0, p = 0;
    uint32_t kinds;

    if (names_find_type(run->store->names, run->db, andiron_str_of(inc->source), &type) != 0)
        return run_fail(run);
    if (type == 0)
        return 0;
    if (strcmp(inc->param, "*") == 0)
        return params_of(n, type, ret);
    if (names_find_param(run->store->names, run->db, type, andiron_str_of(inc->param), &p,
                         &kinds) != 0)
        return run_fail(run);
    if (p != 0)
        keep(run, ret, p);
    return 0;
}

static int backward(struct including *n, const struct andiron_include *inc, size_t row)
{
    struct numbers **params = &n->params[inc - n->run->query->includes];

    if (*params == NULL) {
        *params = andiron_new(n->run->arena, struct numbers);
        if (find_params(n, inc, *params) != 0)
            return -1;
    }
    for (size_t i = 0; i < (*params)->count && !n->full; i++) {
        if (backward_by(n, (*params)->list[i], row) != 0)
            return -1;
    }
    return 0;
}

/* Whether the include starts from a row of that type. */
static bool starts_from(const struct andiron_include *inc, andiron_str type)
{
    const char *from = inc->reverse ? inc->target : inc->source;
    return from == NULL || andiron_str_eq(andiron_str_of(from), type);
}

int include_rows(struct run *run, struct page *page, struct andiron_rows *rows)
{
    const struct andiron_query *query = run->query;
    struct including n = { .run = run, .page = page };
    size_t from = 0, to = page->count;

    n.max = page->count + (size_t)run->store->config->max_includes;
    n.visible = andiron_alloc(run->arena, (query->visible_count + 1) * sizeof(n.visible[0]));
    n.params = andiron_alloc(run->arena, query->include_count * sizeof(n.params[0]));
    for (size_t i = 0; i < page->count; i++)
        (void)is_new(&n, page->rids[i]);
    for (int round = 0; round <= ROUNDS_MAX && from < to && !n.full && !run->stopped; round++) {
        if (round == ROUNDS_MAX)
            n.max = page->count; /* only whether there is more */
        for (size_t i = 0; i < query->include_count; i++) {
            const struct andiron_include *inc = &query->includes[i];
            if (round > 0 && !inc->iterate)
                continue;
            for (size_t row = from; row < to && !n.full && !run->stopped; row++) {
                if (!starts_from(inc, page->rows[row].ref.type))
                    continue;
                if ((inc->reverse ? backward(&n, inc, row) : forward(&n, inc, row)) != 0)
                    return -1;
            }
        }
        from = to;
        to = page->count;
    }
    rows->suppressed = n.suppressed;
    rows->includes_cut = n.full || run->stopped;
    return 0;
}
