/*
 * Judging by keys; see judge.h. Pure computation.
 */
#include "judge.h"

#include <string.h>

#include "common/geo/sphere.h"
#include "tokens.h"

bool judge_date(enum andiron_compare how, andiron_usec low, andiron_usec high, andiron_usec q_low,
                andiron_usec q_high)
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

bool judge_number(enum andiron_compare how, double low, double high, double q_low, double q_high)
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
        return judge_date(n->compare, e->low, e->high, t->range.date.low, t->range.date.high);
    case KEYS_NUMBER:
        return judge_number(n->compare, e->number_low, e->number_high, t->range.number.low,
                            t->range.number.high);
    case KEYS_QUANTITY:
        return unit_matches(n, e) && judge_number(n->compare, e->number_low, e->number_high,
                                                  t->range.number.low, t->range.number.high);
    case KEYS_PRESENT:
        return true;
    }
    return false;
}

enum judgement judge_term(const struct node *n, andiron_str keys)
{
    struct keys_cursor k = keys_begin(keys);
    struct keys_entry e;

    while (keys_next(&k, &e)) {
        if (e.p == n->p && e.kind == n->kind && e.group == 0 && entry_matches(n, &e))
            return JUDGED_TRUE;
    }
    return k.broken ? JUDGED_DAMAGED : JUDGED_FALSE;
}

enum judgement judge_tokens(const struct node *n, andiron_str keys)
{
    struct keys_cursor k = keys_begin(keys);
    struct keys_entry e;

    while (keys_next(&k, &e)) {
        if (tokens_match(n->set, &e))
            return JUDGED_TRUE;
    }
    return k.broken ? JUDGED_DAMAGED : JUDGED_FALSE;
}

/* The number that a group has for a part; false if it has none. */
static bool number_of(const struct node *arg, andiron_str keys, uint32_t group, double *ret)
{
    struct keys_cursor k = keys_begin(keys);
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
static bool is_near(const struct node *n, andiron_str keys, uint32_t group)
{
    double latitude, longitude;

    return n->arg_count == 2 && number_of(n->args[0], keys, group, &latitude) &&
           number_of(n->args[1], keys, group, &longitude) &&
           geo_kilometres(middle(n->args[0]), middle(n->args[1]), latitude, longitude) <=
               n->term->range.number.high;
}

/* Whether every part is met by an entry of that group. */
static bool group_matches(const struct node *n, andiron_str keys, uint32_t group)
{
    for (size_t i = 0; i < n->arg_count; i++) {
        const struct node *arg = n->args[i];
        struct keys_cursor k = keys_begin(keys);
        struct keys_entry e;
        bool met = false;
        while (!met && keys_next(&k, &e))
            met = e.p == arg->p && e.group == group && e.part == arg->term->part &&
                  e.kind == arg->kind && entry_matches(arg, &e);
        if (!met)
            return false;
    }
    return n->compare != ANDIRON_CMP_NEAR || is_near(n, keys, group);
}

enum judgement judge_together(const struct node *n, andiron_str keys)
{
    const struct node *first = n->args[0];
    struct keys_cursor k = keys_begin(keys);
    struct keys_entry e;

    while (keys_next(&k, &e)) {
        if (e.p == first->p && e.group != 0 && e.part == first->term->part &&
            e.kind == first->kind && entry_matches(first, &e) && group_matches(n, keys, e.group))
            return JUDGED_TRUE;
    }
    return k.broken ? JUDGED_DAMAGED : JUDGED_FALSE;
}
