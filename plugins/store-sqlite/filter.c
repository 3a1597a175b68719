/*
 * Judging one resource; see filter.h.
 *
 * Conditions on the resource itself read its keys and nothing else. Chains and _has look at
 * other resources: targets of a chain are judged once per search, and whoever refers here is
 * found by leaping between the references and the inner condition's own lists.
 */
#include "filter.h"

#include "common/geo/sphere.h"
#include "drive.h"
#include "iter.h"

bool filter_compares_date(enum andiron_compare how, andiron_usec low, andiron_usec high,
                          andiron_usec q_low, andiron_usec q_high)
{
    bool within = q_low <= low && high <= q_high;

    switch (how) {
    case ANDIRON_CMP_EQ:
        return within;
    case ANDIRON_CMP_NE:
        return !within;
    case ANDIRON_CMP_GT:
        return high > q_high;
    case ANDIRON_CMP_LT:
        return low < q_low;
    case ANDIRON_CMP_GE:
        return high > q_high || within;
    case ANDIRON_CMP_LE:
        return low < q_low || within;
    case ANDIRON_CMP_SA:
        return low >= q_high;
    case ANDIRON_CMP_EB:
        return high <= q_low;
    case ANDIRON_CMP_AP:
        return low < q_high && high > q_low;
    default:
        return false;
    }
}

bool filter_compares_number(enum andiron_compare how, double low, double high, double q_low,
                            double q_high)
{
    bool within = q_low <= low && high <= q_high;

    switch (how) {
    case ANDIRON_CMP_EQ:
        return within;
    case ANDIRON_CMP_NE:
        return !within;
    case ANDIRON_CMP_GT:
        return high > q_high;
    case ANDIRON_CMP_LT:
        return low < q_low;
    case ANDIRON_CMP_GE:
        return high > q_high || within;
    case ANDIRON_CMP_LE:
        return low < q_low || within;
    case ANDIRON_CMP_SA:
        return low > q_high;
    case ANDIRON_CMP_EB:
        return high < q_low;
    case ANDIRON_CMP_AP:
        return low <= q_high && high >= q_low;
    default:
        return false;
    }
}

/* ---- one entry ------------------------------------------------------------------- */

static bool starts(andiron_str text, andiron_str prefix)
{
    return text.len >= prefix.len &&
           (prefix.len == 0 || memcmp(text.data, prefix.data, prefix.len) == 0);
}

static bool contains(andiron_str text, andiron_str part)
{
    return part.len == 0 || memmem(text.data, text.len, part.data, part.len) != NULL;
}

/* Whether text is base or lies below it, as paths of URLs do. */
static bool is_below(andiron_str text, andiron_str base)
{
    if (base.len == 0 || !starts(text, base))
        return false;
    return text.len == base.len || base.data[base.len - 1] == '/' || text.data[base.len] == '/';
}

static bool compares_text(const struct node *n, andiron_str text)
{
    switch (n->compare) {
    case ANDIRON_CMP_NE:
        return !andiron_str_eq(text, n->text);
    case ANDIRON_CMP_STARTS:
        return starts(text, n->text);
    case ANDIRON_CMP_CONTAINS:
        return contains(text, n->text);
    case ANDIRON_CMP_BELOW:
        return is_below(text, n->text);
    case ANDIRON_CMP_ABOVE:
        return is_below(n->text, text);
    default:
        return andiron_str_eq(text, n->text);
    }
}

static bool token_matches(const struct node *n, const struct keys_entry *e)
{
    bool has_system = (e->flags & KEYS_HAS_1) != 0;
    bool system =
        n->any_system || (n->no_system ? !has_system : has_system && e->hash[0] == n->hash);

    switch (n->compare) {
    case ANDIRON_CMP_SYSTEM:
        return system;
    case ANDIRON_CMP_NE:
        return !(system && andiron_str_eq(e->text, n->text));
    case ANDIRON_CMP_STARTS:
    case ANDIRON_CMP_CONTAINS:
        return system && compares_text(n, e->text);
    default: /* hierarchies of codes are spelled out by the caller */
        return system && andiron_str_eq(e->text, n->text);
    }
}

static bool reference_matches(const struct node *n, const struct keys_entry *e)
{
    bool found = false;

    if (n->compare == ANDIRON_CMP_SYSTEM)
        return e->type == n->other;
    for (size_t i = 0; !found && i < n->rid_count; i++)
        found = n->rids[i] == e->rid;
    return found != (n->compare == ANDIRON_CMP_NE);
}

static bool unit_matches(const struct node *n, const struct keys_entry *e)
{
    const struct andiron_term *t = n->term;

    if (t->text.len == 0)
        return true;
    if (t->system.len != 0)
        return (e->flags & KEYS_HAS_1) != 0 && e->hash[0] == n->hash;
    return ((e->flags & KEYS_HAS_2) != 0 && e->hash[1] == n->hash) ||
           ((e->flags & KEYS_HAS_3) != 0 && e->hash[2] == n->hash);
}

static bool entry_matches(const struct node *n, const struct keys_entry *e)
{
    const struct andiron_term *t = n->term;

    switch (e->kind) {
    case KEYS_TOKEN:
        return token_matches(n, e);
    case KEYS_OF_TYPE:
        return memcmp(e->text.data, n->wide.bytes, sizeof(n->wide.bytes)) == 0;
    case KEYS_STRING:
        if (n->compare == ANDIRON_CMP_EXACT)
            return (e->flags & KEYS_HAS_1) != 0 && e->hash[0] == n->hash;
        return compares_text(n, e->text);
    case KEYS_REFERENCE:
        return reference_matches(n, e);
    case KEYS_URL:
    case KEYS_URI:
        return compares_text(n, e->text);
    case KEYS_DATE:
        return filter_compares_date(n->compare, e->low, e->high, t->range.date.low,
                                    t->range.date.high);
    case KEYS_NUMBER:
        return filter_compares_number(n->compare, e->number_low, e->number_high,
                                      t->range.number.low, t->range.number.high);
    case KEYS_QUANTITY:
        return unit_matches(n, e) &&
               filter_compares_number(n->compare, e->number_low, e->number_high,
                                      t->range.number.low, t->range.number.high);
    case KEYS_PRESENT:
        return true;
    }
    return false;
}

/* A damaged list must not look like one that lacks the value. */
static bool no_match(struct run *run, const struct keys_cursor *k)
{
    if (k->broken) {
        run->db->rc = SQLITE_CORRUPT;
        run_fail(run);
    }
    return false;
}

static bool term_matches(struct run *run, const struct node *n, const struct candidate *c)
{
    struct keys_cursor k = keys_begin(c->keys);
    struct keys_entry e;

    while (keys_next(&k, &e)) {
        if (e.p == n->p && e.kind == n->kind && e.group == 0 && entry_matches(n, &e))
            return true;
    }
    return no_match(run, &k);
}

/* The number that a group has for a part; false if it has none. */
static bool number_of(const struct node *arg, const struct candidate *c, uint32_t group,
                      double *ret)
{
    struct keys_cursor k = keys_begin(c->keys);
    struct keys_entry e;

    while (keys_next(&k, &e)) {
        if (e.p == arg->p && e.group == group && e.part == arg->term->part &&
            e.kind == KEYS_NUMBER) {
            *ret = e.number_low;
            return true;
        }
    }
    return false;
}

static double middle(const struct node *arg)
{
    return (arg->term->range.number.low + arg->term->range.number.high) / 2;
}

/* CMP_NEAR: the box is met, but its corners are further away than the circle reaches. */
static bool is_near(const struct node *n, const struct candidate *c, uint32_t group)
{
    double latitude, longitude;

    return n->arg_count == 2 && number_of(n->args[0], c, group, &latitude) &&
           number_of(n->args[1], c, group, &longitude) &&
           geo_kilometres(middle(n->args[0]), middle(n->args[1]), latitude, longitude) <=
               n->term->range.number.high;
}

/* Whether every part is met by an entry of that group. */
static bool group_matches(const struct node *n, const struct candidate *c, uint32_t group)
{
    for (size_t i = 0; i < n->arg_count; i++) {
        const struct node *arg = n->args[i];
        struct keys_cursor k = keys_begin(c->keys);
        struct keys_entry e;
        bool met = false;
        while (!met && keys_next(&k, &e))
            met = e.p == arg->p && e.group == group && e.part == arg->term->part &&
                  e.kind == arg->kind && entry_matches(arg, &e);
        if (!met)
            return false;
    }
    return n->compare != ANDIRON_CMP_NEAR || is_near(n, c, group);
}

static bool together_matches(struct run *run, const struct node *n, const struct candidate *c)
{
    const struct node *first = n->args[0];
    struct keys_cursor k = keys_begin(c->keys);
    struct keys_entry e;

    while (keys_next(&k, &e)) {
        if (e.p == first->p && e.group != 0 && e.part == first->term->part &&
            e.kind == first->kind && entry_matches(first, &e) && group_matches(n, c, e.group))
            return true;
    }
    return no_match(run, &k);
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

    while (keys_next(&k, &e)) {
        if (e.p == n->p && e.kind == KEYS_REFERENCE && e.group == 0 && e.type == n->other &&
            target_matches(run, n, e.rid))
            return true;
    }
    return no_match(run, &k);
}

static bool has_matches(struct run *run, struct node *n, const struct candidate *c)
{
    int64_t key = iter_key(run, run->ascending ? 1 : INT64_MAX - 1);

    if (n->references == NULL) {
        n->references = iter_of_references(run, n->p);
        n->inner = drive_filter(run, n->args[0]);
    }
    iter_set_target(n->references, c->rid);
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

    for (size_t i = 0; i < n->arg_count; i++) {
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
        return term_matches(run, n, c);
    case NODE_UPDATED:
        return filter_compares_date(n->compare, c->updated, c->updated + 1, n->term->range.date.low,
                                    n->term->range.date.high);
    case NODE_ID:
        return id_matches(run, n, c);
    case NODE_CHAIN:
        return chain_matches(run, n, c);
    case NODE_HAS:
        return has_matches(run, n, c);
    case NODE_TOGETHER:
        return together_matches(run, n, c);
    }
    return false;
}
