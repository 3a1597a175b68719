/*
 * Judging one resource; see filter.h.
 *
 * Conditions on the resource itself read its keys and nothing else. Chains and _has look at
 * other resources: targets of a chain are judged once per search, and whoever refers here is
 * found by leaping between the references and the inner condition's own lists.
 */
#include "filter.h"

#include <andiron/scan.h>

#include "common/store/judge.h"
#include "drive.h"
#include "iter.h"
#include "marks.h"

enum {
    WINDOW = 128,    /* entries of a list that is passed over: the first look takes half */
    PASSED_WORTH = 4 /* candidates passed over that make the next attempt worth while */
};

/* A damaged list must not look like one that lacks the value. */
static bool damaged(struct run *run)
{
    run->db->rc = SQLITE_CORRUPT;
    run_fail(run);
    return false;
}

static bool is_true(struct run *run, enum judgement judgement)
{
    return judgement == JUDGED_DAMAGED ? damaged(run) : judgement == JUDGED_TRUE;
}

/* ---- other resources ------------------------------------------------------------------- */

/* Targets that a chain has judged: open addressing, doubled when half full. */
struct memo {
    size_t mask, used;
    struct {
        int64_t rid; /* 0: free */
        bool matches;
    } * slots;
};

static size_t memo_slot(const struct memo *m, int64_t rid)
{
    size_t i = ((uint64_t)rid * 0x9e3779b97f4a7c15u >> 20) & m->mask;

    while (m->slots[i].rid != 0 && m->slots[i].rid != rid)
        i = (i + 1) & m->mask;
    return i;
}

static struct memo *memo_new(struct run *run, size_t slots)
{
    struct memo *m = andiron_new(run->arena, struct memo);

    m->mask = slots - 1;
    m->slots = andiron_alloc(run->arena, slots * sizeof(m->slots[0]));
    return m;
}

static void memo_put(struct run *run, struct memo **memo, int64_t rid, bool matches)
{
    struct memo *m = *memo;

    if (m->used * 2 > m->mask) {
        struct memo *bigger = memo_new(run, (m->mask + 1) * 2);
        for (size_t i = 0; i <= m->mask; i++) {
            if (m->slots[i].rid != 0)
                bigger->slots[memo_slot(bigger, m->slots[i].rid)] = m->slots[i];
        }
        bigger->used = m->used;
        *memo = m = bigger;
    }
    size_t i = memo_slot(m, rid);
    m->slots[i].rid = rid;
    m->slots[i].matches = matches;
    m->used++;
}

/* Whether the version vid satisfies the filter of another type. */
static bool other_matches(struct run *run, struct node *n, int64_t vid)
{
    struct candidate c;
    bool matches;

    if (n->op == NODE_TRUE)
        return true;
    if (run_spend(run, 1) || candidate_load(run, vid, &c) != 1)
        return false;
    matches = filter_matches(run, n, &c, false);
    candidate_end(run, &c);
    return matches;
}

static bool target_matches(struct run *run, struct node *n, int64_t rid)
{
    int64_t type, vid;
    bool matches;

    if (n->memo == NULL)
        n->memo = memo_new(run, 64);
    size_t i = memo_slot(n->memo, rid);
    if (n->memo->slots[i].rid == rid)
        return n->memo->slots[i].matches;
    if (run_spend(run, 1) || resource_current(run, rid, &type, &vid, NULL) != 0)
        return false;
    matches = vid != 0 && type == n->other &&
              (n->inner == NULL || iter_has(run, n->inner, iter_key(run, vid))) &&
              other_matches(run, n->args[0], vid);
    if (!run->failed && !run->stopped)
        memo_put(run, &n->memo, rid, matches);
    return matches;
}

static bool chain_matches(struct run *run, struct node *n, const struct candidate *c)
{
    struct keys_cursor k = keys_begin(c->keys);
    struct keys_entry e;
    int64_t missed = 0;

    n->judged = c->vid;
    while (keys_next(&k, &e)) {
        if (e.p != n->p || e.kind != KEYS_REFERENCE || e.group != 0 || e.type != n->other)
            continue;
        if (target_matches(run, n, e.rid))
            return true;
        missed = e.rid;
    }
    n->missed_again = missed != 0 && missed == n->missed;
    n->missed = missed;
    return k.broken ? damaged(run) : false;
}

/*
 * Resources often lie by what they refer to, all of a patient one behind the other. So if two in a
 * row refer to the same target in vain, those of its list that follow are passed over together.
 * That they refer to nothing else must be certain.
 */
static int64_t pass_over(struct run *run, struct node *n, int64_t key)
{
    if (n->references == NULL)
        n->references = iter_of_references(run, n->p);
    iter_set_target(n->references, n->missed, WINDOW);
    n->lie_together = false;
    for (unsigned passed = 1;; passed++) {
        int64_t next = iter_seek(run, run->iter, key + 1);
        if (run->failed || run->stopped || next == ITER_END)
            return key;
        int64_t listed = iter_seek(run, n->references, next);
        if (run->failed || run->stopped || listed != next)
            return key;
        key = next;
        n->lie_together = passed >= PASSED_WORTH;
        if (passed % 8 == 0 && run_spend(run, 1))
            return key;
    }
}

int64_t filter_pass_over(struct run *run, struct node *n, int64_t key)
{
    if (n->op == NODE_CHAIN && n->judged == iter_vid(run, key) &&
        (n->missed_again || (n->lie_together && n->missed != 0)) &&
        marks_find(run->db, n->p, MARK_SEVERAL_REFERENCES) == 0)
        return pass_over(run, n, key);
    for (size_t i = 0; n->op == NODE_AND && i < n->arg_count && !run->failed; i++) {
        int64_t last = filter_pass_over(run, n->args[i], key);
        if (last != key)
            return last;
    }
    return key;
}

static bool has_matches(struct run *run, struct node *n, const struct candidate *c)
{
    int64_t key = iter_key(run, run->ascending ? 1 : INT64_MAX - 1);

    if (n->references == NULL) {
        n->references = iter_of_references(run, n->p);
        n->inner = drive_filter(run, n->args[0]);
    }
    iter_set_target(n->references, c->rid, ITER_WINDOW);
    for (;;) {
        key = iter_seek(run, n->references, key);
        if (key == ITER_END || run->failed || run->stopped)
            return false;
        int64_t other = n->inner != NULL ? iter_seek(run, n->inner, key) : key;
        if (other == ITER_END || run->failed || run->stopped)
            return false;
        if (other == key) {
            if (other_matches(run, n->args[0], iter_vid(run, key)))
                return true;
            if (run->failed || run_spend(run, 1))
                return false;
            key++;
        } else {
            key = other;
        }
    }
}

static bool id_matches(struct run *run, const struct node *n, const struct candidate *c)
{
    sqlite3_stmt *s = db_statement(run->db, DB_RESOURCE);
    bool matches = false;

    if (s == NULL) {
        run_fail(run);
        return false;
    }
    sqlite3_bind_int64(s, 1, c->rid);
    int found = db_step(run->db, s);
    if (found < 0)
        run_fail(run);
    if (found == 1) {
        matches = andiron_str_eq(db_str(s, 1), n->text) != (n->compare == ANDIRON_CMP_NE);
        sqlite3_reset(s);
    }
    return matches;
}

/* ---- the tree -------------------------------------------------------------------------- */

static bool list_matches(struct run *run, struct node *n, const struct candidate *c, bool trust)
{
    bool all = n->op == NODE_AND;

    if (n->set != NULL) {
        bool matches = is_true(run, judge_tokens(n, c->keys));
        if (matches || n->set_is_all)
            return matches;
    }
    for (size_t i = 0; i < n->arg_count && !run->failed; i++) {
        if (n->args[i]->in_set)
            continue;
        bool matches = filter_matches(run, n->args[i], c, trust && all);
        if (run->failed || run->stopped)
            return false;
        if (matches != all)
            return matches;
    }
    return all;
}

bool filter_matches(struct run *run, struct node *n, const struct candidate *c, bool trust)
{
    if (trust && n->settled)
        return true;
    switch (n->op) {
    case NODE_TRUE:
        return true;
    case NODE_FALSE:
        return false;
    case NODE_AND:
    case NODE_OR:
        return list_matches(run, n, c, trust);
    case NODE_NOT: {
        bool matches = filter_matches(run, n->args[0], c, false);
        return !run->failed && !run->stopped && !matches;
    }
    case NODE_TERM:
        return is_true(run, judge_term(n, c->keys));
    case NODE_UPDATED:
        return andiron_scan_dates(n->compare, c->updated, c->updated + 1, n->term->range.date.low,
                                  n->term->range.date.high);
    case NODE_ID:
        return id_matches(run, n, c);
    case NODE_CHAIN:
        return chain_matches(run, n, c);
    case NODE_HAS:
        return has_matches(run, n, c);
    case NODE_TOGETHER:
        return is_true(run, judge_together(n, c->keys));
    }
    return false;
}
