/*
 * Judging one resource by a filter, as andiron/store.h words it.
 */
#include "memory.h"

static bool is_prefix(andiron_str part, andiron_str of)
{
    return part.len <= of.len && (part.len == 0 || memcmp(part.data, of.data, part.len) == 0);
}

static bool contains(andiron_str part, andiron_str of)
{
    return part.len == 0 || memmem(of.data, of.len, part.data, part.len) != NULL;
}

/* What is absent in q is not compared. */
static bool is_or_any(andiron_str t, andiron_str q)
{
    return q.data == NULL || andiron_str_eq(t, q);
}

/* q is t, or t goes on behind it with a '/'. */
static bool is_below(andiron_str t, andiron_str q)
{
    return andiron_str_eq(t, q) || (is_prefix(q, t) && q.len < t.len && t.data[q.len] == '/');
}

static bool compare_text(const struct andiron_term *t, const struct andiron_term *q,
                         enum andiron_compare op)
{
    switch (op) {
    case ANDIRON_CMP_STARTS:
        return is_prefix(q->text, t->text);
    case ANDIRON_CMP_CONTAINS:
        return contains(q->text, t->text);
    case ANDIRON_CMP_EXACT:
        return andiron_str_eq(t->exact, q->exact);
    case ANDIRON_CMP_BELOW:
        return is_below(t->text, q->text);
    case ANDIRON_CMP_ABOVE:
        return is_below(q->text, t->text);
    case ANDIRON_CMP_SYSTEM:
        return t->exact.data == NULL && andiron_str_eq(t->system, q->system);
    case ANDIRON_CMP_OF_TYPE:
        return t->exact.data != NULL && andiron_str_eq(t->system, q->system) &&
               andiron_str_eq(t->text, q->text) && andiron_str_eq(t->exact, q->exact);
    case ANDIRON_CMP_EQ:
    default:
        if (q->kind == ANDIRON_TERM_TOKEN && t->exact.data != NULL)
            return false; /* of-type */
        return andiron_str_eq(t->text, q->text) && is_or_any(t->system, q->system);
    }
}

/* Bounds of dates end before their high, those of numbers with it. */
static bool compare_bounds(double low, double high, double qlow, double qhigh, bool is_date,
                           enum andiron_compare op)
{
    bool after = is_date ? low >= qhigh : low > qhigh,
         before = is_date ? high <= qlow : high < qlow;
    bool equal = qlow <= low && high <= qhigh;
    switch (op) {
    case ANDIRON_CMP_NE:
        return !equal;
    case ANDIRON_CMP_GT:
        return high > qhigh;
    case ANDIRON_CMP_LT:
        return low < qlow;
    case ANDIRON_CMP_GE:
        return high > qhigh || equal;
    case ANDIRON_CMP_LE:
        return low < qlow || equal;
    case ANDIRON_CMP_SA:
        return after;
    case ANDIRON_CMP_EB:
        return before;
    case ANDIRON_CMP_AP:
        return !after && !before;
    default:
        return equal;
    }
}

static bool has_unit(const struct andiron_term *t, const struct andiron_term *q)
{
    if (q->system.data != NULL)
        return andiron_str_eq(t->system, q->system) && andiron_str_eq(t->text, q->text);
    return q->text.data == NULL || andiron_str_eq(t->text, q->text) ||
           andiron_str_eq(t->exact, q->text);
}

static bool compare(const struct andiron_term *t, const struct andiron_term *q,
                    enum andiron_compare op)
{
    switch (q->kind) {
    case ANDIRON_TERM_DATE: /* microseconds of our times are exact in a double */
        return compare_bounds((double)t->range.date.low, (double)t->range.date.high,
                              (double)q->range.date.low, (double)q->range.date.high, true, op);
    case ANDIRON_TERM_QUANTITY:
        if (!has_unit(t, q))
            return false;
        /* fall through */
    case ANDIRON_TERM_NUMBER:
        return compare_bounds(t->range.number.low, t->range.number.high, q->range.number.low,
                              q->range.number.high, false, op);
    case ANDIRON_TERM_PRESENT:
        return true;
    default:
        return compare_text(t, q, op);
    }
}

static bool is_of(const struct andiron_term *t, const struct andiron_term *q)
{
    return t->kind == q->kind && strcmp(t->param, q->param) == 0;
}

static bool term_matches(const struct version *v, const struct andiron_filter *f, unsigned group)
{
    struct andiron_term updated = { .param = "_lastUpdated", .kind = ANDIRON_TERM_DATE };
    updated.range.date.low = v->updated;
    updated.range.date.high = v->updated + 1;
    if (is_of(&updated, &f->term))
        return compare(&updated, &f->term, f->compare);
    for (size_t i = 0; i < v->term_count; i++) {
        const struct andiron_term *t = &v->terms[i];
        if (is_of(t, &f->term) && t->group == group && t->part == (group == 0 ? 0 : f->term.part) &&
            compare(t, &f->term, f->compare))
            return true;
    }
    return false;
}

/* All parts of a composite, met by terms of one group. */
static bool together(const struct version *v, const struct andiron_filter *f)
{
    for (size_t i = 0; i < v->term_count; i++) {
        bool all = v->terms[i].group != 0;
        for (size_t a = 0; all && a < f->arg_count; a++)
            all = term_matches(v, f->args[a], v->terms[i].group);
        if (all)
            return true;
    }
    return false;
}

static bool refers(const struct version *from, const char *param, const struct resource *to)
{
    for (size_t i = 0; i < from->term_count; i++) {
        const struct andiron_term *t = &from->terms[i];
        if (t->kind == ANDIRON_TERM_REFERENCE && strcmp(t->param, param) == 0 &&
            andiron_str_eq(t->system, to->type) && andiron_str_eq(t->text, to->id))
            return true;
    }
    return false;
}

/* Through a reference of v (CHAIN), or of another to v (HAS): some f->type there satisfies args[0]. */
static bool linked(const struct memory *m, const struct version *v, const struct andiron_filter *f)
{
    for (size_t i = 0; i < m->count; i++) {
        const struct version *other = m->versions[i];
        if (other != other->of->latest || other->deleted || !memory_is_type(other, f->type))
            continue;
        bool is_linked = f->op == ANDIRON_FILTER_CHAIN ? refers(v, f->term.param, other->of)
                                                       : refers(other, f->term.param, v->of);
        if (is_linked && (f->arg_count == 0 || memory_matches(m, other, f->args[0])))
            return true;
    }
    return false;
}

bool memory_is_type(const struct version *v, const char *type)
{
    return andiron_str_eq(v->of->type, andiron_str_of(type));
}

bool memory_matches(const struct memory *m, const struct version *v, const struct andiron_filter *f)
{
    if (f == NULL)
        return true;
    switch (f->op) {
    case ANDIRON_FILTER_AND:
    case ANDIRON_FILTER_OR:
        for (size_t i = 0; i < f->arg_count; i++)
            if (memory_matches(m, v, f->args[i]) == (f->op == ANDIRON_FILTER_OR))
                return f->op == ANDIRON_FILTER_OR;
        return f->op == ANDIRON_FILTER_AND;
    case ANDIRON_FILTER_NOT:
        return !memory_matches(m, v, f->args[0]);
    case ANDIRON_FILTER_TERM:
        return term_matches(v, f, 0);
    case ANDIRON_FILTER_ID:
        return andiron_str_eq(v->of->id, f->term.text);
    case ANDIRON_FILTER_TYPE:
        return memory_is_type(v, f->type);
    case ANDIRON_FILTER_TOGETHER:
        return together(v, f);
    case ANDIRON_FILTER_CHAIN:
    case ANDIRON_FILTER_HAS:
        return linked(m, v, f);
    default: /* what a later andiron may ask: nothing is shown that was not judged */
        return false;
    }
}
