/*
 * Scans; see scan.h. Windows grow while a scan goes on: who looks for few reads few.
 */
#include "scan.h"

enum { AT_ONCE = 128, WINDOW_MAX = 1024, LOOKED_FIRST = 4096, LOOKED_MAX = 65536 };

struct scan *scan_new(struct run *run, const struct source *source, struct node *filter,
                      bool ascending, int64_t position, size_t few, bool bodies)
{
    struct scan *s = andiron_new(run->arena, struct scan);

    *s = (struct scan){ .source = source,
                        .filter = filter,
                        .ascending = ascending,
                        .position = position,
                        .bodies = bodies,
                        .counted = -1,
                        .lazy = source->kind != SOURCE_ARRAY && condition_is_whole(run, filter),
                        .batch = few,
                        .looked = LOOKED_FIRST < run->store->config->scan_budget
                                      ? LOOKED_FIRST
                                      : run->store->config->scan_budget };
    /* All of a short list is read at once: then its end is known, too. */
    bool whole = s->lazy || source->exact;
    if (s->lazy && !source->exact && source->entries >= 0 && source->entries <= AT_ONCE) {
        s->lazy = false;
        s->batch = 2 * AT_ONCE;
    }
    if (!s->lazy && s->batch < RUN_SHORT)
        s->batch = RUN_SHORT;
    if (!whole)
        s->bodies = false; /* most would be for nothing */
    if (s->batch > WINDOW_MAX)
        s->batch = WINDOW_MAX;
    return s;
}

static void take_position(struct run *run, void *arg, const struct wire_batch *b, size_t at)
{
    struct scan *s = arg;

    s->is_asked = s->seeks_position = false;
    if (wire_rows(b, at) == 0)
        s->has_ended = true;
    else
        s->position = wire_get_int(b, at, 0, 0);
    (void)run_spend(run, s->has_ended ? 1 : s->looked);
    if (s->looked < LOOKED_MAX && s->looked * 4 <= run->store->config->scan_budget)
        s->looked *= 4;
}

static void take_window(struct run *run, void *arg, const struct wire_batch *b, size_t at)
{
    struct scan *s = arg;
    size_t rows = wire_rows(b, at);

    s->is_asked = false;
    if (s->counts_to != 0 && rows != 0)
        s->counted = wire_get_int(b, at, 0, s->bodies ? 10 : s->bodies || run->needs_id ? 9 : 8);
    s->counts_to = 0;
    s->window = andiron_alloc(run->arena, (rows + 1) * sizeof(s->window[0]));
    s->at = s->count = 0;
    for (size_t i = 0; i < rows; i++) {
        if (!wire_is_null(b, at, i, 1))
            s->window[s->count++] =
                candidate_of(b, at, i, 1, s->bodies || run->needs_id, s->bodies);
    }
    if (rows < s->batch) {
        bool all = !s->lazy || s->source->exact;
        s->has_ended = all;
        s->seeks_position = !all; /* once these are used up */
    }
    s->begin = s->position;
    if (rows != 0)
        s->position = wire_get_int(b, at, rows - 1, 0);
    (void)run_spend(run, (int64_t)rows + 1);
    if (s->batch < WINDOW_MAX && !s->lazy)
        s->batch = s->batch * 2 < WINDOW_MAX ? s->batch * 2 : WINDOW_MAX;
}

/* ---- pages of one list ----------------------------------------------------------------------- */

/*
 * What most searches ask for: the latest of one list, with bodies, and how many it has (none counted if $5
 * is 0). Those of several requests go together.
 */
#define PAGE_COLUMNS "c.vid,v.vid,v.rid,v.type,v.ver,v.ts,v.enc,v.keys,r.id,v.body,"
#define PAGE_OF(table, key)                                                                        \
    "SELECT " PAGE_COLUMNS "(SELECT count(*) FROM (SELECT 1 FROM " table " WHERE p=$1 AND " key    \
    "=$2 LIMIT $5) n) FROM (SELECT vid FROM " table " WHERE p=$1 AND " key "=$2 AND vid<$3"        \
    " ORDER BY vid DESC LIMIT $4) c LEFT JOIN version v ON v.vid=c.vid"                            \
    " LEFT JOIN resource r ON r.rid=v.rid ORDER BY c.vid DESC"
#define PAGES_OF(table, key)                                                                       \
    "SELECT k.n," PAGE_COLUMNS "x.total"                                                           \
    " FROM unnest($1,$2,$3,$4,$5) WITH ORDINALITY k(p,h,before,rows,most,n)"                       \
    " CROSS JOIN LATERAL (SELECT count(*) AS total FROM (SELECT 1 FROM " table                     \
    " i WHERE i.p=k.p AND i." key "=k.h LIMIT k.most) y) x"                                        \
    " CROSS JOIN LATERAL (SELECT i.vid FROM " table " i WHERE i.p=k.p AND i." key "=k.h"           \
    " AND i.vid<k.before ORDER BY i.vid DESC LIMIT k.rows) c"                                      \
    " LEFT JOIN version v ON v.vid=c.vid LEFT JOIN resource r ON r.rid=v.rid"                      \
    " ORDER BY k.n,c.vid DESC"
#define PAGE_TYPES                                                                                 \
    {                                                                                              \
        WIRE_INT4, WIRE_INT8, WIRE_INT8, WIRE_INT8, WIRE_INT8                                      \
    }
#define PAGES_TYPES                                                                                \
    {                                                                                              \
        WIRE_INT4_ARRAY, WIRE_INT8_ARRAY, WIRE_INT8_ARRAY, WIRE_INT8_ARRAY, WIRE_INT8_ARRAY        \
    }
static const struct wire_sql token_page = { "token_page", PAGE_OF("ix_token", "h"), PAGE_TYPES };
static const struct wire_sql token_pages = { "token_pages", PAGES_OF("ix_token", "h"),
                                             PAGES_TYPES };
static const struct wire_sql reference_page = { "reference_page", PAGE_OF("ix_ref", "tgt"),
                                                PAGE_TYPES };
static const struct wire_sql reference_pages = { "reference_pages", PAGES_OF("ix_ref", "tgt"),
                                                 PAGES_TYPES };

static bool is_page_of_list(const struct scan *s)
{
    return s->source->kind == SOURCE_LISTS && s->source->list_count == 1 && s->source->exact &&
           s->bodies && !s->ascending;
}

static struct compose *page_of_list(struct run *run, const struct scan *s)
{
    const struct list_key *key = &s->source->lists[0];
    struct compose *c = compose_fixed(run->arena, key->is_ref ? &reference_page : &token_page,
                                      key->is_ref ? &reference_pages : &token_pages);

    (void)compose_int4(c, key->p);
    (void)compose_int8(c, key->key);
    (void)compose_int8(c, s->position);
    (void)compose_int8(c, (int64_t)s->batch);
    (void)compose_int8(c, s->counts_to);
    return c;
}

/* ---- windows ---------------------------------------------------------------------------------- */

static const char *rid_of(const struct source *s)
{
    return s->kind == SOURCE_TYPE ? "t.rid" : "(SELECT rid FROM version WHERE vid=t.vid)";
}

static struct compose *window_of(struct run *run, const struct scan *s)
{
    struct compose *c = compose_new(run->arena);
    bool id = s->bodies || run->needs_id, conditions = !s->source->exact;
    const char *order = s->ascending ? "" : " DESC";

    compose_put(c, "SELECT c.vid,");
    candidate_columns(c, id, s->bodies);
    if (s->counts_to != 0) {
        compose_put(c, ",(SELECT count(*) FROM (");
        source_put(run, c, s->source, source_start(false), false, s->counts_to);
        compose_put(c, ") n)");
    }
    if (s->lazy && conditions) {
        compose_put(c, " FROM (SELECT t.vid FROM (");
        source_put(run, c, s->source, s->position, s->ascending, s->looked);
        compose_put(c, ") t");
        (void)condition_put(run, c, s->filter, s->source->by, "t.vid", rid_of(s->source),
                            " WHERE ");
        compose_put(c, " ORDER BY t.vid%s LIMIT $%d) c JOIN version v ON v.vid=c.vid", order,
                    compose_int8(c, (int64_t)s->batch));
    } else if (conditions) {
        compose_put(c, " FROM (SELECT t.vid,(true");
        (void)condition_put(run, c, s->filter, s->source->by, "t.vid", rid_of(s->source), " AND ");
        compose_put(c, ") AS ok FROM (");
        source_put(run, c, s->source, s->position, s->ascending, (int64_t)s->batch);
        compose_put(c, ") t) c LEFT JOIN version v ON v.vid=c.vid AND c.ok");
    } else {
        compose_put(c, " FROM (");
        source_put(run, c, s->source, s->position, s->ascending, (int64_t)s->batch);
        compose_put(c, ") c LEFT JOIN version v ON v.vid=c.vid");
    }
    if (id)
        compose_put(c, " LEFT JOIN resource r ON r.rid=v.rid");
    compose_put(c, " ORDER BY c.vid%s", order);
    return c;
}

static void ask_window(struct run *run, struct scan *s)
{
    run_want(run, is_page_of_list(s) ? page_of_list(run, s) : window_of(run, s), take_window, s);
    s->is_asked = true;
}

/* Where the candidates end that a lazy statement looked at without finding enough. */
static void ask_position(struct run *run, struct scan *s)
{
    struct compose *c = compose_new(run->arena);

    compose_put(c, "SELECT t.vid FROM (");
    source_put(run, c, s->source, s->begin, s->ascending, s->looked);
    compose_put(c, ") t ORDER BY t.vid%s OFFSET $%d LIMIT 1", s->ascending ? "" : " DESC",
                compose_int8(c, s->looked - 1));
    run_want(run, c, take_position, s);
    s->is_asked = true;
}

/* What judging lacks for all of the window is asked for together. */
static void foresee(struct run *run, const struct scan *s)
{
    for (size_t i = s->at + 1; i < s->count; i++) {
        if (judging(run, s->filter, &s->window[i], true) == RUN_FAILED)
            return; /* told when it is its turn */
    }
}

int scan_peek(struct run *run, struct scan *s, struct candidate *ret)
{
    for (;;) {
        for (; s->at < s->count; s->at++) {
            int matches = judging(run, s->filter, &s->window[s->at], true);
            if (matches == RUN_WAIT)
                foresee(run, s);
            if (matches < 0)
                return matches;
            if (matches == 1) {
                *ret = s->window[s->at];
                return 1;
            }
        }
        if (s->has_ended)
            return 0;
        if (run->failed)
            return RUN_FAILED;
        if (run_spend(run, 0))
            return RUN_STOPPED;
        if (!s->is_asked) {
            if (s->seeks_position)
                ask_position(run, s);
            else
                ask_window(run, s);
        }
        return RUN_WAIT;
    }
}

void scan_skip(struct scan *s)
{
    s->at++;
}

int scan_next(struct run *run, struct scan *s, struct candidate *ret)
{
    int found = scan_peek(run, s, ret);

    if (found == 1)
        scan_skip(s);
    return found;
}

int64_t scan_position(const struct scan *s)
{
    if (s->at < s->count)
        return s->ascending ? s->window[s->at].vid - 1 : s->window[s->at].vid + 1;
    return s->position;
}
