/*
 * Judging candidates; see run.h. Conditions on the resource itself read its keys and nothing else
 * (common/store/judge.h). Chains and _has look at other resources, which are asked for, for all
 * candidates that are at hand together.
 */
#include "judging.h"

#include <andiron/scan.h>

#include "common/store/judge.h"

enum { REFERRING_FIRST = 8, REFERRING_MAX = 512 };

/* Who refers to one resource, for one _has: as far as they have been looked at. */
struct referring {
    int64_t rid, below; /* vids from here on are known */
    bool is_asked, has_ended, is_found;
    struct candidate *list;
    size_t count, at, limit;
    struct referring *next; /* of those that are asked for */
};

struct note *note_of(struct run *run, struct node *n)
{
    if (n->note == NULL)
        n->note = andiron_new(run->arena, struct note);
    return n->note;
}

static int ended(struct run *run, enum judgement judgement)
{
    return judgement == JUDGED_DAMAGED ? run_damaged(run) : judgement == JUDGED_TRUE ? 1 : 0;
}

static bool is_among(const int64_t *sorted, size_t count, int64_t number)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (sorted[middle] < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && sorted[low] == number;
}

/* ---- chains -------------------------------------------------------------------------------- */

static int target_matches(struct run *run, struct node *n, int64_t rid)
{
    const struct note *note = n->note;

    if (note != NULL && note->is_gathered)
        return is_among(note->numbers, note->count, rid);
    struct known *k = known_resource(run, rid, false);
    if (k == NULL)
        return RUN_WAIT;
    if (k->now.vid == 0 || k->now.type != n->other)
        return 0;
    return judging(run, n->args[0], &k->now, false);
}

static int chain_matches(struct run *run, struct node *n, const struct candidate *c)
{
    struct keys_cursor k = keys_begin(c->keys);
    struct keys_entry e;
    int ret = 0;

    while (keys_next(&k, &e)) {
        if (e.p != n->p || e.kind != KEYS_REFERENCE || e.group != 0 || e.type != n->other)
            continue;
        int matches = target_matches(run, n, e.rid);
        if (matches == 1 || matches == RUN_FAILED)
            return matches;
        if (matches == RUN_WAIT)
            ret = RUN_WAIT;
    }
    return k.broken ? run_damaged(run) : ret;
}

/* ---- _has ------------------------------------------------------------------------------------ */

static size_t slot_of(const struct note *note, int64_t rid)
{
    size_t i = ((uint64_t)rid * 0x9e3779b97f4a7c15u >> 20) & note->mask;

    while (note->slots[i] != NULL && note->slots[i]->rid != rid)
        i = (i + 1) & note->mask;
    return i;
}

static struct referring *referring_to(struct run *run, struct note *note, int64_t rid)
{
    size_t old = note->slots == NULL ? 0 : note->mask + 1;

    if (note->used * 2 >= old) {
        struct referring **slots = note->slots;
        note->mask = (old == 0 ? 64 : old * 2) - 1;
        note->slots = andiron_alloc(run->arena, (note->mask + 1) * sizeof(note->slots[0]));
        for (size_t i = 0; i < old; i++) {
            if (slots[i] != NULL)
                note->slots[slot_of(note, slots[i]->rid)] = slots[i];
        }
    }
    size_t i = slot_of(note, rid);
    if (note->slots[i] == NULL) {
        struct referring *r = andiron_new(run->arena, struct referring);
        *r = (struct referring){ .rid = rid, .below = INT64_MAX, .limit = REFERRING_FIRST };
        note->slots[i] = r;
        note->used++;
    }
    return note->slots[i];
}

static int has_matches(struct run *run, struct node *n, const struct candidate *c)
{
    struct note *note = note_of(run, n);

    if (note->is_gathered)
        return is_among(note->numbers, note->count, c->vid);
    struct referring *r = referring_to(run, note, c->rid);
    while (!r->is_found && r->at < r->count) {
        int matches = judging(run, n->args[0], &r->list[r->at], true);
        if (matches < 0)
            return matches;
        r->is_found = matches == 1;
        r->at++;
    }
    if (r->is_found || r->has_ended)
        return r->is_found;
    if (!r->is_asked) {
        r->is_asked = true;
        r->next = note->asked;
        note->asked = r;
        note->asked_count++;
        if (!note->is_listed) {
            note->is_listed = true;
            note->node = n;
            note->next = run->notes;
            run->notes = note;
        }
    }
    return RUN_WAIT;
}

struct asked_referring {
    struct referring **list;
    size_t count;
};

static void take_referring(struct run *run, void *arg, const struct wire_batch *b, size_t at)
{
    const struct asked_referring *asked = arg;
    size_t rows = wire_rows(b, at), row = 0;

    /* In the order in which they were asked for. */
    for (size_t i = 0; i < asked->count; i++) {
        struct referring *r = asked->list[i];
        size_t from = row;
        r->is_asked = false;
        while (row < rows && (size_t)wire_get_int(b, at, row, 0) == i + 1)
            row++;
        r->count = row - from;
        r->at = 0;
        r->has_ended = r->count < r->limit;
        r->list = andiron_alloc(run->arena, (r->count + 1) * sizeof(r->list[0]));
        for (size_t k = 0; k < r->count; k++)
            r->list[k] = candidate_of(b, at, from + k, 1, run->needs_id, false);
        if (r->count != 0)
            r->below = r->list[r->count - 1].vid;
        if (r->limit < REFERRING_MAX)
            r->limit *= 4;
    }
    (void)run_spend(run, (int64_t)(rows + asked->count));
}

static void ask_referring(struct run *run, struct note *note)
{
    struct asked_referring *asked = andiron_new(run->arena, struct asked_referring);
    struct compose *c = compose_new(run->arena);
    size_t count = note->asked_count, i = 0;
    int64_t *rids = andiron_alloc(run->arena, count * sizeof(rids[0])),
            *belows = andiron_alloc(run->arena, count * sizeof(belows[0])),
            *limits = andiron_alloc(run->arena, count * sizeof(limits[0]));

    asked->list = andiron_alloc(run->arena, count * sizeof(asked->list[0]));
    asked->count = count;
    for (struct referring *r = note->asked; r != NULL; r = r->next, i++) {
        asked->list[i] = r;
        rids[i] = r->rid;
        belows[i] = r->below;
        limits[i] = (int64_t)r->limit;
    }
    int a = compose_ints(c, WIRE_INT8_ARRAY, rids, count),
        b = compose_ints(c, WIRE_INT8_ARRAY, belows, count),
        l = compose_ints(c, WIRE_INT8_ARRAY, limits, count), p = compose_int4(c, note->node->p);
    compose_put(c, "SELECT t.n,");
    candidate_columns(c, run->needs_id, false);
    compose_put(c,
                " FROM unnest($%d,$%d,$%d) WITH ORDINALITY t(rid,below,lim,n),"
                " LATERAL (SELECT f.vid FROM ix_ref f WHERE f.p=$%d AND f.tgt=t.rid"
                " AND f.vid<t.below",
                a, b, l, p);
    (void)condition_put(run, c, note->node->args[0], NULL, "f.vid",
                        "(SELECT rid FROM version WHERE vid=f.vid)", " AND ");
    compose_put(c,
                " ORDER BY f.vid DESC LIMIT t.lim) s JOIN version v ON v.vid=s.vid%s"
                " ORDER BY t.n,s.vid DESC",
                run->needs_id ? " JOIN resource r ON r.rid=v.rid" : "");
    run_want(run, c, take_referring, asked);
    note->asked = NULL;
    note->asked_count = 0;
    note->is_listed = false;
}

void judging_ask(struct run *run)
{
    for (struct note *note = run->notes; note != NULL; note = note->next)
        ask_referring(run, note);
    run->notes = NULL;
}

/* ---- the tree ------------------------------------------------------------------------------------ */

static bool has_links(const struct node *n)
{
    bool has = n->op == NODE_CHAIN || n->op == NODE_HAS;

    for (size_t i = 0; i < n->arg_count && !has; i++)
        has = has_links(n->args[i]);
    return has;
}

static int list_matches(struct run *run, struct node *n, const struct candidate *c, bool trust)
{
    bool all = n->op == NODE_AND, waits = false;

    if (n->set != NULL) {
        int matches = ended(run, judge_tokens(n, c->keys));
        if (matches != 0 || n->set_is_all)
            return matches;
    }
    /* What the keys answer comes first: others need not be asked for then. */
    for (int links = 0; links < 2; links++) {
        for (size_t i = 0; i < n->arg_count; i++) {
            enum node_op op = n->args[i]->op;
            bool is_own = op == NODE_TERM || op == NODE_TOGETHER || op == NODE_UPDATED;
            if (is_own == (links == 1) || n->args[i]->in_set)
                continue;
            int matches = judging(run, n->args[i], c, trust && all);
            if (matches == RUN_FAILED)
                return RUN_FAILED;
            if (matches == RUN_WAIT)
                waits = true;
            else if ((matches == 1) != all)
                return matches;
        }
    }
    return waits ? RUN_WAIT : all;
}

int judging(struct run *run, struct node *n, const struct candidate *c, bool trust)
{
    if (trust && n->settled && has_links(n))
        return 1; /* lists name hashes, but who refers to whom is certain */
    switch (n->op) {
    case NODE_TRUE:
        return 1;
    case NODE_FALSE:
        return 0;
    case NODE_AND:
    case NODE_OR:
        return list_matches(run, n, c, trust);
    case NODE_NOT: {
        int matches = judging(run, n->args[0], c, false);
        return matches < 0 ? matches : matches == 0;
    }
    case NODE_TERM:
        return ended(run, judge_term(n, c->keys));
    case NODE_UPDATED:
        return andiron_scan_dates(n->compare, c->updated, c->updated + 1, n->term->range.date.low,
                                  n->term->range.date.high);
    case NODE_ID:
        return andiron_str_eq(c->id, n->text) != (n->compare == ANDIRON_CMP_NE);
    case NODE_CHAIN:
        return chain_matches(run, n, c);
    case NODE_HAS:
        return has_matches(run, n, c);
    case NODE_TOGETHER:
        return ended(run, judge_together(n, c->keys));
    }
    return 0;
}
