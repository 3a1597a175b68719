/*
 * Judging by keys; see judge.h. Pure computation.
 */
#include "judge.h"

#include <string.h>

#include <andiron/scan.h>

#include "common/geo/sphere.h"
#include "tokens.h"

/* ---- one entry ------------------------------------------------------------------- */

static bool contains(andiron_str text, andiron_str part)
{
    return part.len == 0 || memmem(text.data, text.len, part.data, part.len) != NULL;
}

static bool compares_text(const struct node *n, andiron_str text)
{
    switch (n->compare) {
    case ANDIRON_CMP_NE:
        return !andiron_str_eq(text, n->text);
    case ANDIRON_CMP_STARTS:
        return andiron_scan_starts(text, n->text);
    case ANDIRON_CMP_CONTAINS:
        return contains(text, n->text);
    case ANDIRON_CMP_BELOW:
        return andiron_scan_below(text, n->text);
    case ANDIRON_CMP_ABOVE:
        return andiron_scan_below(n->text, text);
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
        return andiron_scan_dates(n->compare, e->low, e->high, t->range.date.low,
                                  t->range.date.high);
    case KEYS_NUMBER:
        return andiron_scan_numbers(n->compare, e->number_low, e->number_high, t->range.number.low,
                                    t->range.number.high);
    case KEYS_QUANTITY:
        return unit_matches(n, e) &&
               andiron_scan_numbers(n->compare, e->number_low, e->number_high, t->range.number.low,
                                    t->range.number.high);
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
