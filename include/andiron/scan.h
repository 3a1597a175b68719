/*
 * andiron/scan.h - for authors of stores: searches, walks and conditions by looking at every version.
 *
 * What store.h says in words about filters, order, pages, includes, walks and conditional writes, as
 * code over an array of versions. Enough for a store that keeps everything in memory; one that has
 * indexes can judge candidates with it, and be tested against it.
 *
 * Nothing here is part of the ABI: the functions are inline and become part of the plugin that uses
 * them. They take no lock: hold yours. Any thread. Link with -lm.
 */
#ifndef ANDIRON_SCAN_H
#define ANDIRON_SCAN_H

#include <andiron/store.h>
#include <math.h>
#include <stdlib.h>

struct andiron_scan_version {
    struct andiron_row row;
    const struct andiron_term *terms;
    size_t term_count;
    const struct andiron_scan_version *later; /* of the same resource; NULL: this one is current */
};

/* Versions are only added, so that cursors, which are places in the array, go on where they were. */
struct andiron_scan {
    struct andiron_scan_version **versions; /* in the order of commits: updated ascends */
    size_t count;
};

/* ---- comparing one term ------------------------------------------------------------------- */

static inline bool andiron_scan_dates(enum andiron_compare op, andiron_usec low, andiron_usec high,
                                      andiron_usec q_low, andiron_usec q_high)
{
    bool within = q_low <= low && high <= q_high;
    switch (op) {
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

static inline bool andiron_scan_numbers(enum andiron_compare op, double low, double high,
                                        double q_low, double q_high)
{
    bool within = q_low <= low && high <= q_high;
    switch (op) {
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

static inline bool andiron_scan_starts(andiron_str text, andiron_str prefix)
{
    return text.len >= prefix.len &&
           (prefix.len == 0 || memcmp(text.data, prefix.data, prefix.len) == 0);
}

static inline bool andiron_scan_contains(andiron_str text, andiron_str part)
{
    for (; text.len >= part.len && text.len > 0; text.data++, text.len--)
        if (andiron_scan_starts(text, part))
            return true;
    return part.len == 0;
}

/* Whether text is base or lies below it, as paths of URLs do. */
static inline bool andiron_scan_below(andiron_str text, andiron_str base)
{
    if (base.len == 0 || !andiron_scan_starts(text, base))
        return false;
    return text.len == base.len || base.data[base.len - 1] == '/' || text.data[base.len] == '/';
}

/* A system that is absent in the question is any, an empty one is none. */
static inline bool andiron_scan_system(andiron_str system, andiron_str asked)
{
    return asked.data == NULL || andiron_str_eq(system, asked);
}

static inline bool andiron_scan_texts(const struct andiron_term *t, const struct andiron_term *q,
                                      enum andiron_compare op)
{
    bool of_type = t->kind == ANDIRON_TERM_TOKEN && t->exact.data != NULL;
    if (of_type != (op == ANDIRON_CMP_OF_TYPE))
        return false;
    switch (op) {
    case ANDIRON_CMP_EXACT:
        return andiron_str_eq(t->exact, q->exact);
    case ANDIRON_CMP_SYSTEM:
        return andiron_scan_system(t->system, q->system);
    case ANDIRON_CMP_OF_TYPE:
        return andiron_str_eq(t->system, q->system) && andiron_str_eq(t->text, q->text) &&
               andiron_str_eq(t->exact, q->exact);
    case ANDIRON_CMP_STARTS:
        return andiron_scan_system(t->system, q->system) && andiron_scan_starts(t->text, q->text);
    case ANDIRON_CMP_CONTAINS:
        return andiron_scan_system(t->system, q->system) && andiron_scan_contains(t->text, q->text);
    case ANDIRON_CMP_BELOW:
        return andiron_scan_below(t->text, q->text);
    case ANDIRON_CMP_ABOVE:
        return andiron_scan_below(q->text, t->text);
    default: {
        bool equal = andiron_scan_system(t->system, q->system) && andiron_str_eq(t->text, q->text);
        return equal != (op == ANDIRON_CMP_NE);
    }
    }
}

static inline bool andiron_scan_unit(const struct andiron_term *t, const struct andiron_term *q)
{
    if (q->text.data == NULL)
        return true;
    if (q->system.data != NULL)
        return andiron_str_eq(t->system, q->system) && andiron_str_eq(t->text, q->text);
    return andiron_str_eq(t->text, q->text) || andiron_str_eq(t->exact, q->text);
}

/* Whether t compares with q, as enum andiron_compare says. */
static inline bool andiron_scan_compare(const struct andiron_term *t, const struct andiron_term *q,
                                        enum andiron_compare op)
{
    if (t->kind != q->kind || strcmp(t->param, q->param) != 0)
        return false;
    switch (q->kind) {
    case ANDIRON_TERM_DATE:
        return andiron_scan_dates(op, t->range.date.low, t->range.date.high, q->range.date.low,
                                  q->range.date.high);
    case ANDIRON_TERM_NUMBER:
    case ANDIRON_TERM_QUANTITY:
        return (q->kind == ANDIRON_TERM_NUMBER || andiron_scan_unit(t, q)) &&
               andiron_scan_numbers(op, t->range.number.low, t->range.number.high,
                                    q->range.number.low, q->range.number.high);
    case ANDIRON_TERM_PRESENT:
        return true;
    default:
        return andiron_scan_texts(t, q, op);
    }
}

/* ---- judging one resource ---------------------------------------------------------------------- */

static inline bool andiron_scan_is_type(const struct andiron_scan_version *v, const char *type)
{
    return andiron_str_eq(v->row.ref.type, andiron_str_of(type));
}

/* A current version that is no deletion. */
static inline bool andiron_scan_lives(const struct andiron_scan_version *v)
{
    return v->later == NULL && !v->row.deleted;
}

static inline bool andiron_scan_term(const struct andiron_scan_version *v,
                                     const struct andiron_filter *f)
{
    if (strcmp(f->term.param, "_lastUpdated") == 0 && f->term.kind == ANDIRON_TERM_DATE)
        return andiron_scan_dates(f->compare, v->row.updated, v->row.updated + 1,
                                  f->term.range.date.low, f->term.range.date.high);
    for (size_t i = 0; i < v->term_count; i++)
        if (v->terms[i].group == 0 && andiron_scan_compare(&v->terms[i], &f->term, f->compare))
            return true;
    return false;
}

/* The term of a group by which a part of a composite is met, or NULL. */
static inline const struct andiron_term *andiron_scan_part(const struct andiron_scan_version *v,
                                                           const struct andiron_filter *part,
                                                           uint32_t group)
{
    for (size_t i = 0; i < v->term_count; i++)
        if (v->terms[i].group == group && v->terms[i].part == part->term.part &&
            andiron_scan_compare(&v->terms[i], &part->term, part->compare))
            return &v->terms[i];
    return NULL;
}

/* Whether a place is as near to the middle of the box asked for as CMP_NEAR wants (haversine). */
static inline bool andiron_scan_near(const struct andiron_filter *f,
                                     const struct andiron_term *latitude,
                                     const struct andiron_term *longitude)
{
    const double radians = 3.14159265358979323846 / 180;
    const struct andiron_term *box[2] = { &f->args[0]->term, &f->args[1]->term };
    double north = (box[0]->range.number.low + box[0]->range.number.high) / 2 * radians;
    double east = (box[1]->range.number.low + box[1]->range.number.high) / 2 * radians;
    double other = latitude->range.number.low * radians;
    double up = sin((other - north) / 2);
    double along = sin((longitude->range.number.low * radians - east) / 2);
    double h = up * up + cos(north) * cos(other) * along * along;
    return 2 * 6371.0088 * asin(sqrt(h < 1 ? h : 1)) <= f->term.range.number.high;
}

/* A composite: all parts met by terms of one group. */
static inline bool andiron_scan_together(const struct andiron_scan_version *v,
                                         const struct andiron_filter *f)
{
    const struct andiron_term *met[2] = { NULL, NULL };
    for (size_t i = 0; i < v->term_count; i++) {
        uint32_t group = v->terms[i].group;
        size_t a = 0;
        for (; group != 0 && a < f->arg_count; a++) {
            const struct andiron_term *t = andiron_scan_part(v, f->args[a], group);
            if (t == NULL)
                break;
            if (a < 2)
                met[a] = t;
        }
        if (group == 0 || a < f->arg_count)
            continue;
        if (f->compare != ANDIRON_CMP_NEAR || (a == 2 && andiron_scan_near(f, met[0], met[1])))
            return true;
    }
    return false;
}

/* Whether a reference of from points to `to`; param "*": any. */
static inline bool andiron_scan_refers(const struct andiron_scan_version *from, const char *param,
                                       const struct andiron_scan_version *to)
{
    for (size_t i = 0; i < from->term_count; i++) {
        const struct andiron_term *t = &from->terms[i];
        if (t->kind == ANDIRON_TERM_REFERENCE && t->group == 0 &&
            (strcmp(param, "*") == 0 || strcmp(t->param, param) == 0) &&
            andiron_str_eq(t->system, to->row.ref.type) && andiron_str_eq(t->text, to->row.ref.id))
            return true;
    }
    return false;
}

/* Whether the filter (NULL: all) holds for v, a current version. */
static inline bool andiron_scan_matches(const struct andiron_scan *scan,
                                        const struct andiron_scan_version *v,
                                        const struct andiron_filter *f);

/* Through a reference of v (CHAIN), or of another to v (HAS). */
static inline bool andiron_scan_linked(const struct andiron_scan *scan,
                                       const struct andiron_scan_version *v,
                                       const struct andiron_filter *f)
{
    for (size_t i = 0; i < scan->count; i++) {
        const struct andiron_scan_version *other = scan->versions[i];
        bool chain = f->op == ANDIRON_FILTER_CHAIN;
        if (andiron_scan_lives(other) && andiron_scan_is_type(other, f->type) &&
            andiron_scan_refers(chain ? v : other, f->term.param, chain ? other : v) &&
            (f->arg_count == 0 || andiron_scan_matches(scan, other, f->args[0])))
            return true;
    }
    return false;
}

static inline bool andiron_scan_matches(const struct andiron_scan *scan,
                                        const struct andiron_scan_version *v,
                                        const struct andiron_filter *f)
{
    if (f == NULL)
        return true;
    switch (f->op) {
    case ANDIRON_FILTER_AND:
    case ANDIRON_FILTER_OR:
        for (size_t i = 0; i < f->arg_count; i++)
            if (andiron_scan_matches(scan, v, f->args[i]) == (f->op == ANDIRON_FILTER_OR))
                return f->op == ANDIRON_FILTER_OR;
        return f->op == ANDIRON_FILTER_AND;
    case ANDIRON_FILTER_NOT:
        return !andiron_scan_matches(scan, v, f->args[0]);
    case ANDIRON_FILTER_TERM:
        return andiron_scan_term(v, f);
    case ANDIRON_FILTER_ID:
        return andiron_str_eq(v->row.ref.id, f->term.text);
    case ANDIRON_FILTER_TYPE:
        return andiron_scan_is_type(v, f->type);
    case ANDIRON_FILTER_TOGETHER:
        return andiron_scan_together(v, f);
    case ANDIRON_FILTER_CHAIN:
    case ANDIRON_FILTER_HAS:
        return andiron_scan_linked(scan, v, f);
    default: /* what a later andiron may ask: nothing is shown that was not judged */
        return false;
    }
}

static inline bool andiron_scan_is_one_of(const struct andiron_scan_version *v,
                                          const char *const *types)
{
    bool is_one = types == NULL;
    for (size_t i = 0; types != NULL && types[i] != NULL; i++)
        is_one = is_one || andiron_scan_is_type(v, types[i]);
    return is_one;
}

/* Whether a search finds v. */
static inline bool andiron_scan_found(const struct andiron_scan *scan,
                                      const struct andiron_scan_version *v,
                                      const struct andiron_query *q)
{
    return andiron_scan_lives(v) &&
           (q->type != NULL ? andiron_scan_is_type(v, q->type)
                            : andiron_scan_is_one_of(v, q->types)) &&
           andiron_scan_matches(scan, v, q->filter);
}

/* ---- order ------------------------------------------------------------------------------------ */

/* What a resource is sorted by: head and tail, as if written together, or a number. */
struct andiron_scan_key {
    bool is_there;
    andiron_str head, tail;
    andiron_usec date;
    double number;
};

static inline int andiron_scan_compare_texts(const struct andiron_scan_key *a,
                                             const struct andiron_scan_key *b)
{
    size_t a_len = a->head.len + a->tail.len, b_len = b->head.len + b->tail.len;
    for (size_t i = 0; i < a_len && i < b_len; i++) {
        unsigned char x =
            (unsigned char)(i < a->head.len ? a->head.data[i] : a->tail.data[i - a->head.len]);
        unsigned char y =
            (unsigned char)(i < b->head.len ? b->head.data[i] : b->tail.data[i - b->head.len]);
        if (x != y)
            return x < y ? -1 : 1;
    }
    return (a_len > b_len) - (a_len < b_len);
}

/* Of two keys of one kind; what does not count for the kind is equal. */
static inline int andiron_scan_compare_keys(const struct andiron_scan_key *a,
                                            const struct andiron_scan_key *b)
{
    if (a->date != b->date)
        return a->date < b->date ? -1 : 1;
    if (a->number < b->number || a->number > b->number)
        return a->number < b->number ? -1 : 1;
    return andiron_scan_compare_texts(a, b);
}

static inline struct andiron_scan_key andiron_scan_key_of(const struct andiron_term *t)
{
    struct andiron_scan_key key = { true, { NULL, 0 }, { NULL, 0 }, 0, 0 };
    if (t->kind == ANDIRON_TERM_DATE)
        key.date = t->range.date.low;
    else if (t->kind == ANDIRON_TERM_NUMBER || t->kind == ANDIRON_TERM_QUANTITY)
        key.number = t->range.number.low;
    else
        key.tail = t->text;
    if (t->kind == ANDIRON_TERM_REFERENCE) /* types are letters, and '/' comes before those */
        key.head = t->system;
    return key;
}

static inline struct andiron_scan_key andiron_scan_key_for(const struct andiron_scan_version *v,
                                                           const struct andiron_sort *sort)
{
    struct andiron_scan_key best = { false, { NULL, 0 }, { NULL, 0 }, 0, 0 };
    if (strcmp(sort->param, "_id") == 0 || strcmp(sort->param, "_lastUpdated") == 0) {
        best.is_there = true;
        best.date = sort->param[1] == 'l' ? v->row.updated : 0;
        best.tail = sort->param[1] == 'i' ? v->row.ref.id : best.tail;
        return best;
    }
    for (size_t i = 0; i < v->term_count; i++) {
        const struct andiron_term *t = &v->terms[i];
        if (t->kind != sort->kind || t->group != 0 || strcmp(t->param, sort->param) != 0 ||
            (t->kind == ANDIRON_TERM_TOKEN && t->exact.data != NULL))
            continue;
        struct andiron_scan_key key = andiron_scan_key_of(t);
        int order = andiron_scan_compare_keys(&key, &best);
        if (!best.is_there || (sort->descending ? order > 0 : order < 0))
            best = key;
    }
    return best;
}

/*
 * In which order two resources are shown: below 0 if a comes first. Ties: in the direction of the last
 * key, or without one the latest change first.
 */
static inline int andiron_scan_order(const struct andiron_query *q,
                                     const struct andiron_scan_version *a,
                                     const struct andiron_scan_version *b)
{
    for (size_t i = 0; i < q->sort_count; i++) {
        struct andiron_scan_key x = andiron_scan_key_for(a, &q->sort[i]);
        struct andiron_scan_key y = andiron_scan_key_for(b, &q->sort[i]);
        if (x.is_there != y.is_there)
            return x.is_there ? -1 : 1;
        int order = andiron_scan_compare_keys(&x, &y);
        if (order != 0)
            return q->sort[i].descending ? -order : order;
    }
    int newer = (a->row.updated < b->row.updated) - (a->row.updated > b->row.updated);
    return q->sort_count == 0 || q->sort[q->sort_count - 1].descending ? newer : -newer;
}

struct andiron_scan_hit {
    const struct andiron_query *query;
    const struct andiron_scan_version *version;
    size_t place;
};

static inline int andiron_scan_order_hits(const void *a, const void *b)
{
    const struct andiron_scan_hit *x = (const struct andiron_scan_hit *)a;
    const struct andiron_scan_hit *y = (const struct andiron_scan_hit *)b;
    return andiron_scan_order(x->query, x->version, y->version);
}

/* ---- searches ---------------------------------------------------------------------------------- */

enum { ANDIRON_SCAN_INCLUDES_MAX = 1000 };

/* A cursor: a place in the array, and the query that it belongs to. false: it is none of this scan. */
static inline bool andiron_scan_read_cursor(const struct andiron_scan *scan, andiron_str cursor,
                                            uint64_t query, size_t *ret_place)
{
    char text[48] = "", *end = text;
    if (cursor.data == NULL || cursor.len >= sizeof(text))
        return false;
    memcpy(text, cursor.data, cursor.len);
    *ret_place = (size_t)strtoull(text, &end, 10);
    return *ret_place <= scan->count && *end == '.' && strtoull(end + 1, NULL, 16) == query;
}

static inline andiron_str andiron_scan_write_cursor(struct andiron_arena *arena, size_t place,
                                                    uint64_t query)
{
    return andiron_str_of(andiron_printf(arena, "%zu.%llx", place, (unsigned long long)query));
}

static inline int andiron_scan_bad_cursor(struct andiron_rows *ret)
{
    return andiron_error_set(&ret->error, ANDIRON_E_INVALID, "_cursor",
                             "the cursor does not belong to this search");
}

static inline bool andiron_scan_is_visible(const struct andiron_scan *scan,
                                           const struct andiron_scan_version *v,
                                           const struct andiron_query *q)
{
    for (size_t i = 0; q->visible != NULL && i < q->visible_count; i++)
        if (andiron_scan_is_type(v, q->visible[i].type))
            return andiron_scan_matches(scan, v, q->visible[i].filter);
    return q->visible == NULL;
}

/* Whether the include adds v for a row that is there already. */
static inline bool andiron_scan_is_asked_for(const struct andiron_include *inc,
                                             const struct andiron_scan_version *row,
                                             const struct andiron_scan_version *v)
{
    const struct andiron_scan_version *from = inc->reverse ? v : row, *to = inc->reverse ? row : v;
    return andiron_scan_is_type(from, inc->source) &&
           (inc->target == NULL || andiron_scan_is_type(to, inc->target)) &&
           andiron_scan_refers(from, inc->param, to);
}

/* Adds what includes ask for, round by round: the first ones for matches, the iterating ones for all. */
static inline void andiron_scan_include(const struct andiron_scan *scan,
                                        const struct andiron_query *q,
                                        const struct andiron_scan_version **shown,
                                        struct andiron_rows *ret)
{
    size_t matches = ret->count;
    for (size_t r = 0; r < ret->count; r++) {
        for (size_t i = 0; i < scan->count; i++) {
            const struct andiron_scan_version *v = scan->versions[i];
            bool wanted = false, is_there = false;
            for (size_t k = 0; andiron_scan_lives(v) && k < q->include_count; k++)
                wanted = wanted || ((r < matches || q->includes[k].iterate) &&
                                    andiron_scan_is_asked_for(&q->includes[k], shown[r], v));
            for (size_t k = 0; wanted && k < ret->count; k++)
                is_there = is_there || shown[k] == v;
            if (!wanted || is_there)
                continue;
            if (!andiron_scan_is_visible(scan, v, q)) {
                ret->suppressed = true;
            } else if (ret->count - matches == ANDIRON_SCAN_INCLUDES_MAX) {
                ret->includes_cut = true;
                return;
            } else {
                shown[ret->count] = v;
                ret->rows[ret->count] = v->row;
                ret->rows[ret->count++].included = true;
            }
        }
    }
}

/*
 * One page as q asks, in arena, into *ret: search() of struct andiron_store. The total is always
 * exact. 0, or -1 with ret->error.
 */
static inline int andiron_scan_search(const struct andiron_scan *scan, struct andiron_arena *arena,
                                      const struct andiron_query *q, struct andiron_rows *ret)
{
    struct andiron_scan_hit *hits =
        (struct andiron_scan_hit *)andiron_alloc(arena, (scan->count + 1) * sizeof(*hits));
    size_t count = 0, first = 0, last = 0, limit = q->limit < scan->count ? q->limit : scan->count;
    memset(ret, 0, sizeof(*ret));
    if (q->cursor.data != NULL &&
        (!andiron_scan_read_cursor(scan, q->cursor, q->fingerprint, &last) || last == scan->count))
        return andiron_scan_bad_cursor(ret);
    for (size_t i = 0; i < scan->count; i++) {
        struct andiron_scan_hit hit = { q, scan->versions[i], i };
        if (andiron_scan_found(scan, hit.version, q))
            hits[count++] = hit;
    }
    qsort(hits, count, sizeof(*hits), andiron_scan_order_hits);
    while (q->cursor.data != NULL && first < count &&
           andiron_scan_order(q, scan->versions[last], hits[first].version) >= 0)
        first++; /* shown on pages before */
    size_t room = limit + (q->include_count > 0 ? ANDIRON_SCAN_INCLUDES_MAX : 0) + 1;
    const struct andiron_scan_version **shown =
        (const struct andiron_scan_version **)andiron_alloc(arena, room * sizeof(*shown));
    ret->rows = (struct andiron_row *)andiron_alloc(arena, room * sizeof(*ret->rows));
    ret->total = (int64_t)count;
    for (; first < count && ret->count < limit; first++) {
        shown[ret->count] = hits[first].version;
        ret->rows[ret->count++] = hits[first].version->row;
    }
    if (first < count && limit > 0)
        ret->cursor = andiron_scan_write_cursor(arena, hits[first - 1].place, q->fingerprint);
    andiron_scan_include(scan, q, shown, ret);
    return 0;
}

/* ---- walks ------------------------------------------------------------------------------------- */

/* Whether a walk that ends before versions[end] shows v. */
static inline bool andiron_scan_is_walked(const struct andiron_scan *scan,
                                          const struct andiron_walk *w, size_t end,
                                          const struct andiron_scan_version *v)
{
    if (!andiron_scan_is_one_of(v, w->types) ||
        (w->id.data != NULL && !andiron_str_eq(v->row.ref.id, w->id)) ||
        v->row.updated < w->since || (w->until != 0 && v->row.updated > w->until))
        return false;
    return !w->latest_only || v->later == NULL ||
           (w->until != 0 && v->later->row.updated > w->until) ||
           v->later->row.updated > scan->versions[end - 1]->row.updated;
}

/* Where a walk goes on, and before which version it ends: its cursor says both, of the first page. */
static inline bool andiron_scan_read_walk(const struct andiron_scan *scan, andiron_str cursor,
                                          size_t *ret_place, size_t *ret_end)
{
    const char *dot = cursor.len > 0 ? (const char *)memchr(cursor.data, '.', cursor.len) : NULL;
    char text[48] = "";
    size_t len = dot != NULL ? (size_t)(cursor.data + cursor.len - dot - 1) : sizeof(text);
    if (len >= sizeof(text))
        return false;
    memcpy(text, dot + 1, len);
    uint64_t end = strtoull(text, NULL, 16);
    *ret_end = (size_t)end;
    return end <= scan->count && andiron_scan_read_cursor(scan, cursor, end, ret_place);
}

/* Versions as w asks, in arena, into *ret: walk() of struct andiron_store. */
static inline int andiron_scan_walk(const struct andiron_scan *scan, struct andiron_arena *arena,
                                    const struct andiron_walk *w, struct andiron_rows *ret)
{
    size_t end = scan->count, at = 0, limit = w->limit < scan->count ? w->limit : scan->count;
    memset(ret, 0, sizeof(*ret));
    ret->total = -1;
    ret->rows = (struct andiron_row *)andiron_alloc(arena, (limit + 1) * sizeof(*ret->rows));
    if ((w->horizon.data != NULL && !andiron_scan_read_cursor(scan, w->horizon, 0, &end)) ||
        (w->cursor.data != NULL && !andiron_scan_read_walk(scan, w->cursor, &at, &end)))
        return andiron_scan_bad_cursor(ret);
    for (; w->limit > 0 && at < end; at++) {
        const struct andiron_scan_version *v = scan->versions[w->oldest_first ? at : end - 1 - at];
        if (!andiron_scan_is_walked(scan, w, end, v))
            continue;
        if (ret->count == limit) {
            ret->cursor = andiron_scan_write_cursor(arena, at, end);
            break;
        }
        ret->rows[ret->count++] = v->row;
    }
    ret->horizon = andiron_scan_write_cursor(arena, end, 0);
    ret->horizon_time = end > 0 ? scan->versions[end - 1]->row.updated : 0;
    return 0;
}

/* ---- conditions of writes ------------------------------------------------------------------------ */

/* The current version of a resource, which may be a deletion; NULL: there never was one. */
static inline const struct andiron_scan_version *
andiron_scan_current(const struct andiron_scan *scan, const struct andiron_ref *ref)
{
    for (size_t i = scan->count; i > 0; i--) {
        const struct andiron_scan_version *v = scan->versions[i - 1];
        if (andiron_str_eq(v->row.ref.id, ref->id) && andiron_str_eq(v->row.ref.type, ref->type))
            return v; /* no version of it is behind its current one */
    }
    return NULL;
}

/* Whether another write of the commit removes it anyway, so that it is no match. */
static inline bool andiron_scan_is_removed(const struct andiron_commit *c,
                                           const struct andiron_write *by,
                                           const struct andiron_ref *ref)
{
    for (size_t i = 0; i < c->count; i++)
        if (&c->writes[i] != by && c->writes[i].remove && c->writes[i].match == NULL &&
            andiron_str_eq(c->writes[i].ref.type, ref->type) &&
            andiron_str_eq(c->writes[i].ref.id, ref->id))
            return true;
    return false;
}

/* Finds what a conditional write is about. */
static inline int andiron_scan_settle(const struct andiron_scan *scan, struct andiron_commit *c,
                                      struct andiron_write *w, bool *ret_matched)
{
    const struct andiron_scan_version *found = NULL;
    *ret_matched = false;
    for (size_t i = 0; w->match != NULL && i < scan->count; i++) {
        const struct andiron_scan_version *v = scan->versions[i];
        if (!andiron_scan_found(scan, v, w->match) || andiron_scan_is_removed(c, w, &v->row.ref))
            continue;
        if (found != NULL)
            return andiron_error_set(&c->error, ANDIRON_E_MULTIPLE_MATCHES, "",
                                     "several resources match the condition");
        found = v;
    }
    if (found == NULL)
        return 0;
    if (w->match_is_ref && !andiron_str_eq(found->row.ref.id, w->ref.id))
        return andiron_error_set(&c->error, ANDIRON_E_CONFLICT, "",
                                 "the condition matches another resource than the one meant");
    w->ref.type = found->row.ref.type;
    w->ref.id = found->row.ref.id;
    *ret_matched = true;
    return 0;
}

/* The write of the commit to that resource, among the first `count`; NULL: there is none. */
static inline const struct andiron_write *andiron_scan_write_to(const struct andiron_commit *c,
                                                                const bool *skip, size_t count,
                                                                andiron_str type, andiron_str id)
{
    for (size_t i = 0; i < count; i++)
        if (!skip[i] && andiron_str_eq(c->writes[i].ref.id, id) &&
            andiron_str_eq(c->writes[i].ref.type, type))
            return &c->writes[i];
    return NULL;
}

/*
 * Settles the matches of all writes of a commit and checks their conditions: what commit() of struct
 * andiron_store does before it writes, but for check_references and the claim. ret_skip, of
 * c->count: nothing is to be written for these, whose results are filled in. 0, or -1 with c->error
 * and c->failed.
 */
static inline int andiron_scan_check(const struct andiron_scan *scan, struct andiron_commit *c,
                                     bool *ret_skip)
{
    for (c->failed = 0; c->failed < c->count; c->failed++) {
        struct andiron_write *w = &c->writes[c->failed];
        bool matched;
        if (andiron_scan_settle(scan, c, w, &matched) != 0)
            return -1;
        const struct andiron_scan_version *v = andiron_scan_current(scan, &w->ref);
        bool lives = v != NULL && !v->row.deleted;
        if (w->if_version != 0 && (!lives || v->row.ref.version != w->if_version))
            return andiron_error_set(&c->error, ANDIRON_E_PRECONDITION, "",
                                     "the current version is not the one in If-Match");
        if (w->if_absent && !matched && lives)
            return andiron_error_set(&c->error, ANDIRON_E_PRECONDITION, "",
                                     "the resource exists already");
        ret_skip[c->failed] =
            (w->match != NULL && (matched ? w->if_none_exist : w->remove)) || (w->remove && !lives);
        w->created = !lives;
        if (ret_skip[c->failed]) {
            w->created = false;
            w->ref.version = v != NULL ? v->row.ref.version : 0;
            w->updated = v != NULL ? v->row.updated : 0;
        } else if (andiron_scan_write_to(c, ret_skip, c->failed, w->ref.type, w->ref.id) != NULL) {
            return andiron_error_set(&c->error, ANDIRON_E_INVALID, "",
                                     "a resource is written twice in one transaction");
        }
    }
    return 0;
}

/* ---- terms ---------------------------------------------------------------------------------------- */

/* A copy that lives as long as the arena; an absent text stays absent. */
static inline andiron_str andiron_scan_keep(struct andiron_arena *arena, andiron_str s)
{
    andiron_str kept = { s.data == NULL ? NULL : andiron_copy(arena, s), s.len };
    return kept;
}

/* Room for `more` terms behind copies of these. */
static inline struct andiron_term *andiron_scan_keep_terms(struct andiron_arena *arena,
                                                           const struct andiron_term *terms,
                                                           size_t count, size_t more)
{
    struct andiron_term *kept =
        (struct andiron_term *)andiron_alloc(arena, (count + more + 1) * sizeof(*kept));
    for (size_t i = 0; i < count; i++) {
        kept[i] = terms[i];
        kept[i].param = andiron_copy(arena, andiron_str_of(terms[i].param));
        kept[i].system = andiron_scan_keep(arena, terms[i].system);
        kept[i].text = andiron_scan_keep(arena, terms[i].text);
        kept[i].exact = andiron_scan_keep(arena, terms[i].exact);
    }
    return kept;
}

static inline bool andiron_scan_same_term(const struct andiron_term *a,
                                          const struct andiron_term *b)
{
    if (a->kind != b->kind || a->group != b->group || a->part != b->part ||
        strcmp(a->param, b->param) != 0 || !andiron_str_eq(a->system, b->system) ||
        !andiron_str_eq(a->text, b->text) || !andiron_str_eq(a->exact, b->exact))
        return false;
    if (a->kind == ANDIRON_TERM_DATE)
        return a->range.date.low == b->range.date.low && a->range.date.high == b->range.date.high;
    return (a->kind != ANDIRON_TERM_NUMBER && a->kind != ANDIRON_TERM_QUANTITY) ||
           (a->range.number.low <= b->range.number.low &&
            a->range.number.low >= b->range.number.low &&
            a->range.number.high <= b->range.number.high &&
            a->range.number.high >= b->range.number.high);
}

/* The param of a term that is not among the others; absent: there is none. */
static inline andiron_str andiron_scan_lacking(const struct andiron_term *terms, size_t count,
                                               const struct andiron_term *others,
                                               size_t other_count, const char *const *pass_over)
{
    for (size_t i = 0; i < count; i++) {
        bool found = false;
        for (size_t k = 0; pass_over != NULL && pass_over[k] != NULL; k++)
            found = found || strcmp(pass_over[k], terms[i].param) == 0;
        for (size_t k = 0; !found && k < other_count; k++)
            found = andiron_scan_same_term(&terms[i], &others[k]);
        if (!found)
            return andiron_str_of(terms[i].param);
    }
    return andiron_str_of(NULL);
}

/* ANDIRON_INDEX_COMPARE: whether an item's terms are those of v, as a set. */
static inline void andiron_scan_compare_index(const struct andiron_scan_version *v,
                                              struct andiron_indexing *item)
{
    item->differing = andiron_scan_lacking(v->terms, v->term_count, item->terms, item->term_count,
                                           item->pass_over);
    if (item->differing.data == NULL)
        item->differing = andiron_scan_lacking(item->terms, item->term_count, v->terms,
                                               v->term_count, item->pass_over);
    item->differs = item->differing.data != NULL;
}

#endif
