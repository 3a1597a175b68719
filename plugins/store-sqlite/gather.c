/*
 * Gathered candidates; see gather.h.
 */
#include "gather.h"

#include <andiron/scan.h>

#include "common/store/keys.h"
#include "common/store/range.h"
#include "common/store/rows.h"
#include "drive.h"
#include "filter.h"
#include "iter.h"
#include "marks.h"

enum {
    RANGE_MAX = 50000,   /* entries of a range that are gathered and sorted */
    BRIEF_MAX = 2000,    /* on a loop, and before others are tried: a fraction of a millisecond */
    TARGETS_MAX = 1000,  /* targets of a chain, or referring resources, that are gathered */
    TARGETS_FEW = 128,   /* and those that are gathered whatever else there is to go by */
    GATHER_WORK = 20000, /* rows that gathering may look at */
    OTHERS_MAX = 64      /* codes that a param may have for a negation to go by the others */
};

/* Keys that are being gathered, up to a maximum. */
struct gather {
    int64_t *keys;
    size_t count, max;
    bool overflow;
};

static struct gather gather_new(struct run *run, size_t max)
{
    return (struct gather){ .keys = andiron_alloc(run->arena, max * sizeof(int64_t)), .max = max };
}

static void gather_add(struct gather *g, int64_t key)
{
    if (g->count < g->max)
        g->keys[g->count++] = key;
    else
        g->overflow = true;
}

bool gather_covers(const struct node *n, const struct node *other)
{
    return other->op == NODE_TERM && other != n && n->single && other->p == n->p &&
           other->kind == n->kind && other->hash == n->hash && other->compare != ANDIRON_CMP_NE;
}

/* Whether a row of an index of ranges satisfies n. */
static bool row_matches(const struct node *n, sqlite3_stmt *s)
{
    const struct andiron_term *t = n->term;

    if (n->kind == KEYS_DATE)
        return andiron_scan_dates(n->compare, sqlite3_column_int64(s, 0),
                                  sqlite3_column_int64(s, 1), t->range.date.low,
                                  t->range.date.high);
    return andiron_scan_numbers(n->compare, sqlite3_column_double(s, 0),
                                sqlite3_column_double(s, 1), t->range.number.low,
                                t->range.number.high);
}

static int gather_rows(struct run *run, sqlite3_stmt *s, const struct node *n,
                       const struct node *all, struct gather *g)
{
    bool string = n->kind == KEYS_STRING;
    int64_t rows = 0;
    int more;

    while ((more = db_step(run->db, s)) == 1) {
        bool matches = string || row_matches(n, s);
        rows++;
        for (size_t i = 0; all != NULL && matches && i < all->arg_count; i++)
            matches = !gather_covers(n, all->args[i]) || row_matches(all->args[i], s);
        if (matches)
            gather_add(g, iter_key(run, sqlite3_column_int64(s, string ? 0 : 2)));
    }
    if (more < 0)
        return run_fail(run);
    (void)run_spend(run, rows / 8);
    if (rows > (int64_t)g->max)
        g->overflow = true;
    return 0;
}

static int gather_dates(struct run *run, const struct node *n, const struct node *all,
                        struct gather *g)
{
    for (int64_t class = 0; class < 2 && !g->overflow; class ++) {
        sqlite3_stmt *s = db_statement(run->db, DB_RANGE_DATE);
        int64_t from = INT64_MIN, to = INT64_MAX;
        if (s == NULL)
            return run_fail(run);
        range_dates(n, class, &from, &to);
        for (size_t i = 0; all != NULL && i < all->arg_count; i++) {
            if (gather_covers(n, all->args[i]))
                range_dates(all->args[i], class, &from, &to);
        }
        sqlite3_bind_int64(s, 1, n->p);
        sqlite3_bind_int64(s, 2, class);
        sqlite3_bind_int64(s, 3, from);
        sqlite3_bind_int64(s, 4, to);
        sqlite3_bind_int64(s, 5, (int64_t)g->max + 1);
        if (gather_rows(run, s, n, all, g) != 0)
            return -1;
    }
    return 0;
}

static int gather_numbers(struct run *run, const struct node *n, const struct node *all,
                          struct gather *g)
{
    sqlite3_stmt *s = db_statement(run->db, DB_RANGE_NUMBER);
    double from = -1.0 / 0.0, to = 1.0 / 0.0;

    if (s == NULL)
        return run_fail(run);
    range_numbers(n, &from, &to);
    for (size_t i = 0; all != NULL && i < all->arg_count; i++) {
        if (gather_covers(n, all->args[i]))
            range_numbers(all->args[i], &from, &to);
    }
    sqlite3_bind_int64(s, 1, n->p);
    sqlite3_bind_int64(s, 2, (int64_t)n->hash);
    sqlite3_bind_double(s, 3, from);
    sqlite3_bind_double(s, 4, to);
    sqlite3_bind_int64(s, 5, (int64_t)g->max + 1);
    return gather_rows(run, s, n, all, g);
}

static int gather_strings(struct run *run, const struct node *n, struct gather *g)
{
    sqlite3_stmt *s = db_statement(run->db, DB_RANGE_STRING);
    andiron_str prefix = rows_string(n->text);
    char *end;
    size_t len = prefix.len;

    if (s == NULL)
        return run_fail(run);
    /* The first string behind all with this prefix: its last byte below 0xff, plus one. */
    end = andiron_copy(run->arena, prefix);
    while (len > 0 && (uint8_t)end[len - 1] == 0xff)
        len--;
    if (len > 0)
        end[len - 1] = (char)((uint8_t)end[len - 1] + 1);
    sqlite3_bind_int64(s, 1, n->p);
    db_bind_str(s, 2, prefix);
    if (len > 0)
        db_bind_str(s, 3, (andiron_str){ end, len });
    else
        sqlite3_bind_zeroblob(s, 3, 0); /* blobs come behind all texts */
    sqlite3_bind_int64(s, 4, (int64_t)g->max + 1);
    return gather_rows(run, s, n, NULL, g);
}

/*
 * Ranges of dates, numbers and strings, if they are short; beside another iterator, or an
 * index in sort order, only if they are so short as to be the better driver.
 */
struct iter *gather_range(struct run *run, const struct node *n, const struct node *all,
                          size_t most)
{
    struct gather g;
    struct iter *it;
    bool text = n->compare == ANDIRON_CMP_EQ || n->compare == ANDIRON_CMP_STARTS ||
                n->compare == ANDIRON_CMP_EXACT;
    int rc = -1;

    if (n->term->part != 0 || n->compare == ANDIRON_CMP_NE)
        return NULL;
    if (n->kind == KEYS_STRING && (!text || n->text.len == 0))
        return NULL;
    if (n->kind != KEYS_DATE && n->kind != KEYS_NUMBER && n->kind != KEYS_QUANTITY &&
        n->kind != KEYS_STRING)
        return NULL;
    bool brief = run->trying || run->place->brief;
    g = gather_new(run, run->few != 0 ? run->few
                        : most != 0   ? most
                        : brief       ? BRIEF_MAX
                                      : RANGE_MAX);
    if (n->kind == KEYS_DATE)
        rc = gather_dates(run, n, all, &g);
    else if (n->kind == KEYS_STRING)
        rc = gather_strings(run, n, &g);
    else
        rc = gather_numbers(run, n, all, &g);
    run->too_many = run->too_many || (g.overflow && run->few != 0);
    if (rc == 0 && g.overflow && most == 0 && run->few == 0) {
        run->refused = run->refused || run->trying;
        run->stopped = run->stopped || (!run->trying && run->place->brief); /* the pool has time */
    }
    if (rc != 0 || g.overflow)
        return NULL;
    it = iter_array(run, g.keys, g.count,
                    n->kind == KEYS_DATE     ? "date range"
                    : n->kind == KEYS_STRING ? "string range"
                                             : "number range");
    /* Strings are cut in the index: behind what they begin with, if that is not too long. */
    iter_set_exact(it, n->kind != KEYS_STRING || (n->compare == ANDIRON_CMP_STARTS &&
                                                  n->text.len + 4 <= ROWS_STRING_MAX));
    return it;
}

/* The resource whose current version is vid; 0: none. By the index alone. -1: failed. */
static int resource_at(struct run *run, int64_t type, int64_t vid, int64_t *ret_rid)
{
    sqlite3_stmt *s = db_statement(run->db, DB_RESOURCE_AT);

    *ret_rid = 0;
    if (s == NULL)
        return run_fail(run);
    sqlite3_bind_int64(s, 1, type);
    sqlite3_bind_int64(s, 2, vid);
    int found = db_step(run->db, s);
    if (found < 0)
        return run_fail(run);
    if (found == 1) {
        *ret_rid = sqlite3_column_int64(s, 0);
        sqlite3_reset(s);
    }
    return 0;
}

/* Adds the version at key, or its resource, if it satisfies the filter. -1: failed. */
static int gather_match(struct run *run, struct node *filter, int64_t key, bool resources,
                        struct gather *g)
{
    struct candidate c;
    int64_t rid = 0;

    if (filter->settled) {
        if (resources && resource_at(run, filter->type, iter_vid(run, key), &rid) != 0)
            return -1;
        if (!resources || rid != 0)
            gather_add(g, resources ? rid : key);
        return 0;
    }
    int found = candidate_load(run, iter_vid(run, key), &c);
    if (found < 0)
        return -1;
    if (found == 1) {
        if (filter_matches(run, filter, &c, true))
            gather_add(g, resources ? c.rid : key);
        candidate_end(run, &c);
    }
    return 0;
}

/*
 * Current versions that satisfy a filter of another type, or their resources, if they are few; for
 * _has and chains. it: candidates for it. NULL: too many, or too much work.
 */
static struct gather *gather_matches(struct run *run, struct node *filter, struct iter *it,
                                     bool resources)
{
    struct gather *g = andiron_new(run->arena, struct gather);
    int64_t max = run->few != 0 ? (int64_t)run->few : TARGETS_MAX;
    int64_t key = iter_key(run, run->ascending ? 1 : INT64_MAX - 1);
    int64_t end_work = run->work + (run->few != 0 ? 2 * max : GATHER_WORK);

    /* All of the type, or many of them, are candidates: judge from this side instead. */
    if (run->failed || run->stopped || it == NULL || !iter_may_be_few(run, it, max))
        return NULL;
    *g = gather_new(run, (size_t)max);
    for (;;) {
        key = iter_seek(run, it, key);
        if (run->failed || run->stopped || run->work > end_work)
            return NULL;
        if (key == ITER_END)
            return g;
        (void)run_spend(run, 1);
        if (gather_match(run, filter, key, resources, g) != 0 || g->overflow || run->failed)
            return NULL;
        key++;
    }
}

struct iter *gather_chain(struct run *run, struct node *n)
{
    struct iter *inner, *it;
    struct gather *g;
    size_t few = run->few;
    bool trying = run->trying && few == 0;

    run->few = few != 0 ? TARGETS_MAX : trying ? TARGETS_FEW : 0;
    run->too_many = false;
    inner = drive_filter(run, n->args[0]);
    run->few = few;
    /* Whoever judges by chain_matches() need not load targets that are not candidates. */
    n->inner = inner != NULL && !run->stopped && iter_is_array(inner) ? inner : NULL;
    if (trying && (run->too_many || (inner != NULL && !iter_may_be_few(run, inner, TARGETS_FEW)))) {
        run->refused = true;
        return NULL;
    }
    g = gather_matches(run, n->args[0], inner, true);
    if (g == NULL)
        return NULL;
    if (g->count == 0)
        return iter_array(run, NULL, 0, "chain");
    it = iter_lists(run, g->count, "chain");
    for (size_t i = 0; i < g->count; i++)
        iter_add_ref(it, n->p, g->keys[i]);
    return it;
}

/* Resources of n->type that the version refers to by n->p. */
static int gather_referred(struct run *run, const struct node *n, int64_t vid, struct gather *g)
{
    struct candidate c;
    struct keys_entry e;
    int found = candidate_load(run, vid, &c), rc = 0;

    if (found <= 0)
        return found;
    struct keys_cursor k = keys_begin(c.keys);
    while (rc == 0 && keys_next(&k, &e)) {
        int64_t type, current;
        if (e.kind != KEYS_REFERENCE || e.group != 0 || e.p != n->p || e.type != n->type)
            continue;
        rc = resource_current(run, e.rid, &type, &current, NULL);
        if (rc == 0 && current != 0)
            gather_add(g, iter_key(run, current));
    }
    candidate_end(run, &c);
    return rc;
}

struct iter *gather_has(struct run *run, struct node *n)
{
    struct iter *inner = drive_filter(run, n->args[0]);
    int64_t few = run->trying && run->few == 0 && inner != NULL ? iter_short(run, inner) : 0;
    struct gather *sources, g;

    if (few > TARGETS_FEW) {
        run->refused = true;
        run->trial = 2 * few; /* what gathering them would take */
        return NULL;
    }
    sources = gather_matches(run, n->args[0], inner, false);
    if (sources == NULL)
        return NULL;
    g = gather_new(run, RANGE_MAX);
    for (size_t i = 0; i < sources->count; i++) {
        if (gather_referred(run, n, iter_vid(run, sources->keys[i]), &g) != 0)
            return NULL;
    }
    return g.overflow ? NULL : iter_array(run, g.keys, g.count, "has");
}

/* Whether it names codes of one param, whatever their system, and nothing else. */
static bool is_codes(const struct node *n, int64_t p)
{
    bool codes = n->op == NODE_OR && n->arg_count != 0;

    for (size_t i = 0; i < n->arg_count && codes; i++)
        codes = is_codes(n->args[i], p);
    return codes || (n->op == NODE_TERM && n->kind == KEYS_TOKEN && n->any_system && n->p == p &&
                     n->compare == ANDIRON_CMP_EQ && n->term->part == 0 && n->term->group == 0);
}

static bool names_code(const struct node *n, andiron_str code)
{
    bool names = n->op == NODE_TERM && andiron_str_eq(n->text, code);

    for (size_t i = 0; n->op == NODE_OR && i < n->arg_count && !names; i++)
        names = names_code(n->args[i], code);
    return names;
}

int gather_others(struct run *run, const struct node *n, struct iter **ret)
{
    const struct node *codes = n->args[0], *first = codes->op == NODE_OR ? codes->args[0] : codes;
    sqlite3_stmt *s;
    struct iter *it;
    int values = 0, more;

    *ret = NULL;
    if (!is_codes(codes, first->p))
        return 0;
    int lacking = marks_find(run->db, first->p, MARK_LACKING);
    if (lacking != 0)
        return lacking < 0 ? run_fail(run) : 0;
    s = db_statement(run->db, DB_VALUES_UP);
    if (s == NULL)
        return run_fail(run);
    it = iter_lists(run, OTHERS_MAX, "other codes");
    sqlite3_bind_int64(s, 1, first->p);
    sqlite3_bind_int64(s, 2, ROWS_CODE);
    sqlite3_bind_text(s, 3, "", 0, SQLITE_STATIC);
    sqlite3_bind_int64(s, 4, OTHERS_MAX + 1);
    while ((more = db_step(run->db, s)) == 1 && values++ < OTHERS_MAX) {
        if (!names_code(codes, db_str(s, 0)))
            iter_add_token(it, first->p, sqlite3_column_int64(s, 1));
    }
    if (more < 0)
        return run_fail(run);
    if (more == 1)
        sqlite3_reset(s);
    else
        *ret = it;
    (void)run_spend(run, values / 8 + 1);
    return 0;
}

struct iter *gather_few(struct run *run, struct node *n)
{
    size_t before = run->few;
    struct iter *it;

    run->few = TARGETS_FEW;
    it = n->op == NODE_CHAIN ? gather_chain(run, n) : gather_has(run, n);
    run->few = before;
    return it;
}
