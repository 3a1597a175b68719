/*
 * Whether terms satisfy a filter: the words of store.h as code, and so the reference for what
 * stores do.
 */
#include "matches.h"

#include "common/geo/sphere.h"

struct subject {
    const char *type;
    andiron_str id;
    const struct andiron_term *terms;
    size_t count;
};

/* ---- comparisons ------------------------------------------------------------- */

static bool starts(andiron_str whole, andiron_str start)
{
    return whole.len >= start.len &&
           (start.len == 0 || memcmp(whole.data, start.data, start.len) == 0);
}

static bool contains(andiron_str whole, andiron_str part)
{
    return part.len == 0 ||
           (whole.len > 0 && memmem(whole.data, whole.len, part.data, part.len) != NULL);
}

/* lower is upper or lies below it, at a slash. */
static bool is_below(andiron_str lower, andiron_str upper)
{
    return starts(lower, upper) && (lower.len == upper.len || lower.data[upper.len] == '/');
}

/* One range type for the two: half-open dates, closed numbers. */
#define WITHIN(t, q) ((q).low <= (t).low && (t).high <= (q).high)

static bool date_compares(enum andiron_compare compare, const struct andiron_term *t,
                          const struct andiron_term *q)
{
    bool is_after = t->range.date.low >= q->range.date.high;
    bool is_before = t->range.date.high <= q->range.date.low;
    bool is_within = WITHIN(t->range.date, q->range.date);

    switch (compare) {
    case ANDIRON_CMP_EQ:
        return is_within;
    case ANDIRON_CMP_NE:
        return !is_within;
    case ANDIRON_CMP_GT:
        return t->range.date.high > q->range.date.high;
    case ANDIRON_CMP_LT:
        return t->range.date.low < q->range.date.low;
    case ANDIRON_CMP_GE:
        return is_within || t->range.date.high > q->range.date.high;
    case ANDIRON_CMP_LE:
        return is_within || t->range.date.low < q->range.date.low;
    case ANDIRON_CMP_SA:
        return is_after;
    case ANDIRON_CMP_EB:
        return is_before;
    case ANDIRON_CMP_AP:
        return !is_after && !is_before;
    default:
        return false;
    }
}

static bool number_compares(enum andiron_compare compare, const struct andiron_term *t,
                            const struct andiron_term *q)
{
    bool is_after = t->range.number.low > q->range.number.high;
    bool is_before = t->range.number.high < q->range.number.low;
    bool is_within = WITHIN(t->range.number, q->range.number);

    switch (compare) {
    case ANDIRON_CMP_EQ:
        return is_within;
    case ANDIRON_CMP_NE:
        return !is_within;
    case ANDIRON_CMP_GT:
        return t->range.number.high > q->range.number.high;
    case ANDIRON_CMP_LT:
        return t->range.number.low < q->range.number.low;
    case ANDIRON_CMP_GE:
        return is_within || t->range.number.high > q->range.number.high;
    case ANDIRON_CMP_LE:
        return is_within || t->range.number.low < q->range.number.low;
    case ANDIRON_CMP_SA:
        return is_after;
    case ANDIRON_CMP_EB:
        return is_before;
    case ANDIRON_CMP_AP:
        return !is_after && !is_before;
    default:
        return false;
    }
}

static bool unit_matches(const struct andiron_term *t, const struct andiron_term *q)
{
    if (q->system.len > 0 && !andiron_str_eq(t->system, q->system))
        return false;
    if (q->text.len == 0)
        return true;
    return andiron_str_eq(t->text, q->text) ||
           (q->system.len == 0 && andiron_str_eq(t->exact, q->text));
}

/* An :of-type form is seen by OF_TYPE alone, and OF_TYPE sees nothing else. */
static bool token_compares(enum andiron_compare compare, const struct andiron_term *t,
                           const struct andiron_term *q)
{
    bool is_of_type = t->exact.data != NULL;
    if (is_of_type != (compare == ANDIRON_CMP_OF_TYPE))
        return false;
    if (compare == ANDIRON_CMP_SYSTEM)
        return andiron_str_eq(t->system, q->system);
    bool is_same_system = q->system.data == NULL || andiron_str_eq(t->system, q->system);
    if (compare == ANDIRON_CMP_STARTS)
        return is_same_system && starts(t->text, q->text);
    return is_same_system && andiron_str_eq(t->text, q->text) &&
           (!is_of_type || andiron_str_eq(t->exact, q->exact));
}

static bool string_compares(enum andiron_compare compare, const struct andiron_term *t,
                            const struct andiron_term *q)
{
    switch (compare) {
    case ANDIRON_CMP_STARTS:
        return starts(t->text, q->text);
    case ANDIRON_CMP_CONTAINS:
        return contains(t->text, q->text);
    case ANDIRON_CMP_EXACT:
        return t->exact.data != NULL && andiron_str_eq(t->exact, q->exact);
    default:
        return andiron_str_eq(t->text, q->text);
    }
}

static bool url_compares(enum andiron_compare compare, const struct andiron_term *t,
                         const struct andiron_term *q)
{
    if (compare == ANDIRON_CMP_BELOW)
        return is_below(t->text, q->text);
    if (compare == ANDIRON_CMP_ABOVE)
        return is_below(q->text, t->text);
    return andiron_str_eq(t->system, q->system) && andiron_str_eq(t->text, q->text);
}

static bool compares(enum andiron_compare compare, const struct andiron_term *t,
                     const struct andiron_term *q)
{
    if (t->kind != q->kind || t->part != q->part || strcmp(t->param, q->param) != 0)
        return false;
    switch (t->kind) {
    case ANDIRON_TERM_TOKEN:
        return token_compares(compare, t, q);
    case ANDIRON_TERM_STRING:
        return string_compares(compare, t, q);
    case ANDIRON_TERM_REFERENCE:
    case ANDIRON_TERM_URI:
        return url_compares(compare, t, q);
    case ANDIRON_TERM_DATE:
        return date_compares(compare, t, q);
    case ANDIRON_TERM_NUMBER:
        return number_compares(compare, t, q);
    case ANDIRON_TERM_QUANTITY:
        return unit_matches(t, q) && number_compares(compare, t, q);
    case ANDIRON_TERM_PRESENT:
        return true;
    default:
        return false;
    }
}

/* ---- filters ----------------------------------------------------------------- */

static bool some_term(const struct subject *s, const struct andiron_filter *f, uint32_t group)
{
    for (size_t i = 0; i < s->count; i++)
        if ((group == 0 || s->terms[i].group == group) &&
            compares(f->compare, &s->terms[i], &f->term))
            return true;
    return false;
}

static double middle(const struct andiron_filter *f)
{
    return (f->term.range.number.low + f->term.range.number.high) / 2;
}

static const struct andiron_term *part_of(const struct subject *s, uint32_t group,
                                          const struct andiron_filter *f)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->terms[i].group == group && s->terms[i].part == f->term.part &&
            strcmp(s->terms[i].param, f->term.param) == 0)
            return &s->terms[i];
    return NULL;
}

static bool is_near(const struct subject *s, const struct andiron_filter *f, uint32_t group)
{
    if (f->compare != ANDIRON_CMP_NEAR)
        return true;
    const struct andiron_term *latitude = part_of(s, group, f->args[0]);
    const struct andiron_term *longitude = part_of(s, group, f->args[1]);
    return latitude != NULL && longitude != NULL &&
           geo_kilometres(middle(f->args[0]), middle(f->args[1]), latitude->range.number.low,
                          longitude->range.number.low) <= f->term.range.number.high;
}

/* Terms of a param come group by group; each group with a term of the first part is tried. */
static bool together(const struct subject *s, const struct andiron_filter *f)
{
    for (size_t i = 0; i < s->count; i++) {
        const struct andiron_term *t = &s->terms[i];
        if (t->group == 0 || !compares(f->args[0]->compare, t, &f->args[0]->term))
            continue;
        size_t met = 1;
        while (met < f->arg_count && some_term(s, f->args[met], t->group))
            met++;
        if (met == f->arg_count && is_near(s, f, t->group))
            return true;
    }
    return false;
}

static bool satisfies(const struct subject *s, const struct andiron_filter *f)
{
    switch (f->op) {
    case ANDIRON_FILTER_AND:
        for (size_t i = 0; i < f->arg_count; i++)
            if (!satisfies(s, f->args[i]))
                return false;
        return true;
    case ANDIRON_FILTER_OR:
        for (size_t i = 0; i < f->arg_count; i++)
            if (satisfies(s, f->args[i]))
                return true;
        return false;
    case ANDIRON_FILTER_NOT:
        return !satisfies(s, f->args[0]);
    case ANDIRON_FILTER_TERM:
        return some_term(s, f, 0);
    case ANDIRON_FILTER_ID:
        return andiron_str_eq(s->id, f->term.text);
    case ANDIRON_FILTER_TOGETHER:
        return f->arg_count > 0 && together(s, f);
    case ANDIRON_FILTER_TYPE:
        return s->type != NULL && strcmp(s->type, f->type) == 0;
    default:
        return false;
    }
}

bool matches_can_judge(const struct andiron_filter *f)
{
    if (f->op == ANDIRON_FILTER_CHAIN || f->op == ANDIRON_FILTER_HAS)
        return false;
    for (size_t i = 0; i < f->arg_count; i++)
        if (!matches_can_judge(f->args[i]))
            return false;
    return true;
}

/* A chain that is not satisfied must not become a match inside of a NOT: asked first. */
bool matches_filter(const struct andiron_filter *filter, const char *type, andiron_str id,
                    const struct andiron_term *terms, size_t count)
{
    struct subject s = { .type = type, .id = id, .terms = terms, .count = count };
    return filter == NULL || (matches_can_judge(filter) && satisfies(&s, filter));
}
