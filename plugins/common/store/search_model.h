/*
 * For tests of stores: random resources and random filters, judged by the words of store.h, must give the
 * same resources, each once, in the same order, whatever the page size and budget.
 *
 * Whoever includes it has kit_commit(), kit_search(), kit_ref() and k->arena of its own kit.
 */
#ifndef COMMON_STORE_SEARCH_MODEL_H
#define COMMON_STORE_SEARCH_MODEL_H

#include <math.h>
#include <stdlib.h>

#include <andiron/store.h>

enum { PATIENTS = 40, OBSERVATIONS = 260, TERMS_MAX = 20, ROUNDS = 700 };

struct model {
    const char *type;
    char id[16];
    struct andiron_term terms[TERMS_MAX];
    size_t count;
    bool live;
    uint64_t order; /* of the last write */
    andiron_usec updated;
};

static struct model models[PATIENTS + OBSERVATIONS];
static const size_t model_count = PATIENTS + OBSERVATIONS;
static uint64_t write_order;
static bool has_large_sets = true; /* alternatives by the hundred */
static unsigned long long random_state = 88172645463325252ull;

static unsigned roll(unsigned below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)((random_state >> 11) % below);
}

static const char *const systems[] = { NULL, "http://a", "http://b" };
static const char *const codes[] = { "x", "y", "z", "x1" };
static const char *const texts[] = { "anna", "annabel", "bob", "bo", "zoe", "ann a" };
static const char *const uris[] = { "http://u/a", "http://u/a/b", "http://u/a/b/c", "http://u/ab" };
static const char *const ids[] = { "p0", "p1", "p2", "p3", "p4", "p39", "nobody" };

/* ---- random terms --------------------------------------------------------------------- */

static struct andiron_term random_token(const char *param)
{
    return kit_token(param, systems[roll(3)], codes[roll(4)]);
}

static struct andiron_term random_date(const char *param)
{
    andiron_usec low = (andiron_usec)roll(30) * 86400000000;
    andiron_usec span[] = { 1, 86400000000, 10 * (andiron_usec)86400000000 };
    return kit_date(param, low, low + span[roll(3)]);
}

static struct andiron_term random_number(const char *param)
{
    double low = roll(10);
    return (struct andiron_term){ .param = param,
                                  .kind = ANDIRON_TERM_NUMBER,
                                  .range.number = { low, roll(4) == 0 ? low + 3 : low } };
}

static struct andiron_term random_quantity(const char *param)
{
    struct andiron_term t = random_number(param);
    static const char *const units[] = { "mg", "g" };

    t.kind = ANDIRON_TERM_QUANTITY;
    if (roll(3) != 0) {
        t.text = andiron_str_of(units[roll(2)]);
        t.system = andiron_str_of(roll(2) ? "http://ucum" : NULL);
    }
    return t;
}

static struct andiron_term random_uri(const char *param)
{
    return (struct andiron_term){ .param = param,
                                  .kind = ANDIRON_TERM_URI,
                                  .text = andiron_str_of(uris[roll(4)]) };
}

static void add(struct model *m, struct andiron_term t)
{
    if (m->count < TERMS_MAX)
        m->terms[m->count++] = t;
}

static void add_composite(struct model *m, uint32_t group)
{
    struct andiron_term code = random_token("code-value"), value = random_number("code-value");

    code.group = value.group = group;
    code.part = 1;
    value.part = 2;
    add(m, code);
    add(m, value);
}

static void randomize(struct model *m)
{
    m->count = 0;
    for (unsigned n = roll(3); n > 0; n--)
        add(m, random_token("code"));
    if (strcmp(m->type, "Patient") == 0) {
        if (roll(4) != 0) {
            const char *text = texts[roll(6)];
            add(m, kit_string("name", text, text));
        }
        if (roll(2))
            add(m, random_date("birthdate"));
        return;
    }
    /* Every one has a status, most the same; what is about a patient lies together. */
    add(m, kit_token("status", systems[roll(2)], codes[roll(6) == 0 ? 1 + roll(2) : 0]));
    size_t at = (size_t)(m - models);
    add(m, kit_reference("about", "Patient", models[at / 12 % PATIENTS].id));
    if (roll(5) != 0)
        add(m, kit_reference("subject", "Patient", ids[roll(2) ? roll(7) : at / 12 % 7]));
    if (roll(9) == 0)
        add(m, kit_reference("subject", "Patient", ids[roll(7)]));
    for (unsigned n = roll(3); n > 0; n--)
        add(m, random_date("date"));
    if (roll(2))
        add(m, random_number("n"));
    if (roll(2))
        add(m, random_quantity("q"));
    if (roll(2))
        add(m, random_uri("url"));
    if (m->count != 0 && roll(2))
        add(m, (struct andiron_term){ .param = "code", .kind = ANDIRON_TERM_PRESENT });
    for (uint32_t g = 1; g <= roll(3); g++)
        add_composite(m, g);
}

static void store_model(struct kit *k, struct model *m, bool remove)
{
    struct andiron_write write = { .ref = kit_ref(m->type, m->id),
                                   .body = andiron_str_of(m->id),
                                   .terms = m->terms,
                                   .term_count = m->count,
                                   .remove = remove };
    struct andiron_commit commit = { .writes = &write, .count = 1 };

    assert_int_equal(kit_commit(k, &commit), 0);
    m->live = !remove;
    m->order = ++write_order;
    m->updated = write.updated;
}

static void fill(struct kit *k)
{
    write_order = 0;
    for (size_t i = 0; i < model_count; i++) {
        bool patient = i < PATIENTS;
        models[i] = (struct model){ .type = patient ? "Patient" : "Observation" };
        snprintf(models[i].id, sizeof(models[i].id), "%c%zu", patient ? 'p' : 'o',
                 patient ? i : i - PATIENTS);
        randomize(&models[i]);
        store_model(k, &models[i], false);
    }
    for (int n = 0; n < 60; n++) {
        struct model *m = &models[roll((unsigned)model_count)];
        if (roll(4) == 0) {
            store_model(k, m, true);
            continue;
        }
        randomize(m);
        store_model(k, m, false);
    }
}

/* ---- the model of a filter: store.h, word for word ---------------------------------------- */

static bool same(andiron_str a, andiron_str b)
{
    return andiron_str_eq(a, b);
}

static bool begins(andiron_str a, andiron_str b)
{
    return a.len >= b.len && memcmp(a.data, b.data, b.len) == 0;
}

static bool model_range(enum andiron_compare how, double tl, double th, double ql, double qh,
                        bool date)
{
    bool eq = ql <= tl && th <= qh, gt = th > qh, lt = tl < ql;
    bool sa = date ? tl >= qh : tl > qh, eb = date ? th <= ql : th < ql;

    switch (how) {
    case ANDIRON_CMP_EQ:
        return eq;
    case ANDIRON_CMP_NE:
        return !eq;
    case ANDIRON_CMP_GT:
        return gt;
    case ANDIRON_CMP_LT:
        return lt;
    case ANDIRON_CMP_GE:
        return gt || eq;
    case ANDIRON_CMP_LE:
        return lt || eq;
    case ANDIRON_CMP_SA:
        return sa;
    case ANDIRON_CMP_EB:
        return eb;
    default:
        return !sa && !eb;
    }
}

static bool model_unit(const struct andiron_term *t, const struct andiron_term *q)
{
    if (q->text.len == 0)
        return true;
    if (q->system.len != 0)
        return same(t->system, q->system) && same(t->text, q->text);
    return same(t->text, q->text) || same(t->exact, q->text);
}

static bool model_below(andiron_str t, andiron_str q)
{
    return same(t, q) || (begins(t, q) && t.data[q.len] == '/');
}

static bool model_term(const struct andiron_term *t, const struct andiron_term *q,
                       enum andiron_compare how)
{
    switch (t->kind) {
    case ANDIRON_TERM_TOKEN: {
        bool system = q->system.data == NULL || same(t->system, q->system) ||
                      (q->system.len == 0 && t->system.len == 0);
        return how == ANDIRON_CMP_SYSTEM ? system : system && same(t->text, q->text);
    }
    case ANDIRON_TERM_STRING:
        if (how == ANDIRON_CMP_EXACT)
            return same(t->exact, q->exact);
        if (how == ANDIRON_CMP_CONTAINS)
            return memmem(t->text.data, t->text.len, q->text.data, q->text.len) != NULL;
        return how == ANDIRON_CMP_STARTS ? begins(t->text, q->text) : same(t->text, q->text);
    case ANDIRON_TERM_REFERENCE:
        return (q->system.len == 0 || same(t->system, q->system)) && same(t->text, q->text);
    case ANDIRON_TERM_DATE:
        return model_range(how, (double)t->range.date.low, (double)t->range.date.high,
                           (double)q->range.date.low, (double)q->range.date.high, true);
    case ANDIRON_TERM_NUMBER:
        return model_range(how, t->range.number.low, t->range.number.high, q->range.number.low,
                           q->range.number.high, false);
    case ANDIRON_TERM_QUANTITY:
        return model_unit(t, q) && model_range(how, t->range.number.low, t->range.number.high,
                                               q->range.number.low, q->range.number.high, false);
    case ANDIRON_TERM_URI:
        if (how == ANDIRON_CMP_BELOW)
            return model_below(t->text, q->text);
        return how == ANDIRON_CMP_ABOVE ? model_below(q->text, t->text) : same(t->text, q->text);
    default:
        return true;
    }
}

static bool model_matches(const struct model *m, const struct andiron_filter *f);

static bool model_together(const struct model *m, const struct andiron_filter *f, uint32_t group)
{
    for (size_t i = 0; i < f->arg_count; i++) {
        bool met = false;
        for (size_t j = 0; j < m->count && !met; j++) {
            const struct andiron_term *t = &m->terms[j];
            met = t->group == group && t->part == f->args[i]->term.part &&
                  strcmp(t->param, f->args[i]->term.param) == 0 &&
                  t->kind == f->args[i]->term.kind &&
                  model_term(t, &f->args[i]->term, f->args[i]->compare);
        }
        if (!met)
            return false;
    }
    return true;
}

static bool model_link(const struct model *from, const struct andiron_filter *f,
                       const struct model *to)
{
    for (size_t i = 0; i < from->count; i++) {
        const struct andiron_term *t = &from->terms[i];
        if (t->kind == ANDIRON_TERM_REFERENCE && t->group == 0 &&
            strcmp(t->param, f->term.param) == 0 && same(t->system, andiron_str_of(to->type)) &&
            same(t->text, andiron_str_of(to->id)))
            return true;
    }
    return false;
}

static bool model_other(const struct model *m, const struct andiron_filter *f)
{
    for (size_t i = 0; i < model_count; i++) {
        const struct model *o = &models[i];
        if (!o->live || strcmp(o->type, f->type) != 0 || !model_matches(o, f->args[0]))
            continue;
        if (f->op == ANDIRON_FILTER_CHAIN ? model_link(m, f, o) : model_link(o, f, m))
            return true;
    }
    return false;
}

static bool model_matches(const struct model *m, const struct andiron_filter *f)
{
    switch (f->op) {
    case ANDIRON_FILTER_AND:
        for (size_t i = 0; i < f->arg_count; i++)
            if (!model_matches(m, f->args[i]))
                return false;
        return true;
    case ANDIRON_FILTER_OR:
        for (size_t i = 0; i < f->arg_count; i++)
            if (model_matches(m, f->args[i]))
                return true;
        return false;
    case ANDIRON_FILTER_NOT:
        return !model_matches(m, f->args[0]);
    case ANDIRON_FILTER_ID:
        return same(f->term.text, andiron_str_of(m->id));
    case ANDIRON_FILTER_TYPE:
        return strcmp(f->type, m->type) == 0;
    case ANDIRON_FILTER_TOGETHER:
        for (uint32_t g = 1; g <= 4; g++)
            if (model_together(m, f, g))
                return true;
        return false;
    case ANDIRON_FILTER_CHAIN:
    case ANDIRON_FILTER_HAS:
        return model_other(m, f);
    default:
        break;
    }
    if (strcmp(f->term.param, "_lastUpdated") == 0)
        return model_range(f->compare, (double)m->updated, (double)m->updated + 1,
                           (double)f->term.range.date.low, (double)f->term.range.date.high, true);
    for (size_t i = 0; i < m->count; i++) {
        const struct andiron_term *t = &m->terms[i];
        if (t->group == 0 && t->kind == f->term.kind && strcmp(t->param, f->term.param) == 0 &&
            model_term(t, &f->term, f->compare))
            return true;
    }
    return false;
}

/* ---- random filters ------------------------------------------------------------------------ */

static struct andiron_filter *filter_new(struct kit *k, enum andiron_filter_op op)
{
    struct andiron_filter *f = andiron_new(k->arena, struct andiron_filter);
    f->op = op;
    return f;
}

static struct andiron_filter *leaf(struct kit *k, enum andiron_compare compare,
                                   struct andiron_term t)
{
    struct andiron_filter *f = filter_new(k, ANDIRON_FILTER_TERM);
    f->compare = compare;
    f->term = t;
    return f;
}

static enum andiron_compare random_range(void)
{
    return (enum andiron_compare)(ANDIRON_CMP_EQ + roll(9));
}

static struct andiron_filter *random_together(struct kit *k)
{
    struct andiron_filter *f = filter_new(k, ANDIRON_FILTER_TOGETHER);
    const struct andiron_filter **args = andiron_alloc(k->arena, 2 * sizeof(args[0]));
    struct andiron_term code = random_token("code-value"), value = random_number("code-value");

    code.part = 1;
    value.part = 2;
    args[0] = leaf(k, ANDIRON_CMP_EQ, code);
    args[1] = leaf(k, random_range(), value);
    f->args = args;
    f->arg_count = 2;
    return f;
}

static struct andiron_filter *random_leaf(struct kit *k, bool patient)
{
    static const enum andiron_compare token[] = { ANDIRON_CMP_EQ, ANDIRON_CMP_EQ,
                                                  ANDIRON_CMP_SYSTEM };
    static const enum andiron_compare text[] = { ANDIRON_CMP_EQ, ANDIRON_CMP_STARTS,
                                                 ANDIRON_CMP_CONTAINS, ANDIRON_CMP_EXACT };
    static const enum andiron_compare uri[] = { ANDIRON_CMP_EQ, ANDIRON_CMP_BELOW,
                                                ANDIRON_CMP_ABOVE };
    struct andiron_term t;

    switch (roll(patient ? 5 : 13)) {
    case 0:
        t = random_token("code");
        if (t.system.data == NULL && roll(2))
            t.system = ANDIRON_STR("");
        return leaf(k, token[roll(3)], t);
    case 1: {
        struct andiron_filter *f = filter_new(k, ANDIRON_FILTER_ID);
        f->term.param = "_id";
        f->term.text = andiron_str_of(models[patient ? roll(PATIENTS) : PATIENTS + roll(20)].id);
        return f;
    }
    case 2: {
        andiron_usec at = models[roll((unsigned)model_count)].updated;
        return leaf(k, random_range(), kit_date("_lastUpdated", at, at + 1 + roll(3000)));
    }
    case 3:
        if (patient) {
            const char *s = texts[roll(6)];
            return leaf(k, text[roll(4)], kit_string("name", s, s));
        }
        return leaf(k, random_range(), random_date("date"));
    case 4:
        return leaf(k, random_range(), random_date(patient ? "birthdate" : "date"));
    case 5:
        t = kit_reference("subject", roll(3) ? "Patient" : NULL, ids[roll(7)]);
        return leaf(k, ANDIRON_CMP_EQ, t);
    case 6:
        return leaf(k, random_range(), random_number("n"));
    case 7:
        return leaf(k, random_range(), random_quantity("q"));
    case 8:
        return leaf(k, uri[roll(3)], random_uri("url"));
    case 9:
        t = (struct andiron_term){ .param = roll(5) ? "code" : "never",
                                   .kind = ANDIRON_TERM_PRESENT };
        return leaf(k, ANDIRON_CMP_EQ, t);
    case 11:
        return leaf(k, ANDIRON_CMP_EQ, random_token("status"));
    case 10: /* values of a composite are no values of their own */
        return leaf(k, ANDIRON_CMP_EQ, random_token("code-value"));
    default:
        return random_together(k);
    }
}

static struct andiron_filter *random_filter(struct kit *k, bool patient, int depth)
{
    struct andiron_filter *f;
    const struct andiron_filter **args;
    unsigned kind = roll(10);

    if (depth == 0 || kind < 3)
        return random_leaf(k, patient);
    if (kind == 3) {
        f = filter_new(k, ANDIRON_FILTER_NOT);
    } else if (kind == 4) {
        f = filter_new(k, patient ? ANDIRON_FILTER_HAS : ANDIRON_FILTER_CHAIN);
        f->type = patient ? "Observation" : "Patient";
        f->term.param = roll(2) ? "subject" : "about";
        f->term.kind = ANDIRON_TERM_REFERENCE;
        patient = !patient;
    } else {
        f = filter_new(k, kind < 8 ? ANDIRON_FILTER_AND : ANDIRON_FILTER_OR);
    }
    /* As of a ValueSet, judged by hash; each list takes its part of a budget. */
    bool is_set = f->op == ANDIRON_FILTER_OR && has_large_sets && roll(2);
    f->arg_count = f->op == ANDIRON_FILTER_AND || f->op == ANDIRON_FILTER_OR ? 1 + roll(3) : 1;
    f->arg_count += is_set ? 20 : 0;
    args = andiron_alloc(k->arena, f->arg_count * sizeof(args[0]));
    for (size_t i = 0; i < f->arg_count; i++)
        args[i] = is_set && i < 20 ? leaf(k, ANDIRON_CMP_EQ, random_token("code"))
                  : f->op == ANDIRON_FILTER_NOT && !patient && roll(2)
                      ? leaf(k, ANDIRON_CMP_EQ, random_token("status"))
                      : random_filter(k, patient, depth - 1);
    f->args = args;
    return f;
}

/* ---- order ------------------------------------------------------------------------------------ */

struct model_value {
    bool there, is_text;
    double number;
    char text[600];
};

static const struct andiron_query *sorting;

static struct model_value model_value(const struct model *m, const struct andiron_sort *s)
{
    struct model_value v = { .there = false };

    if (strcmp(s->param, "_id") == 0) {
        v = (struct model_value){ .there = true, .is_text = true };
        snprintf(v.text, sizeof(v.text), "%s", m->id);
        return v;
    }
    if (strcmp(s->param, "_lastUpdated") == 0)
        return (struct model_value){ .there = true, .number = (double)m->order };
    for (size_t i = 0; i < m->count; i++) {
        const struct andiron_term *t = &m->terms[i];
        struct model_value w = { .there = true };
        if (t->group != 0 || t->kind != s->kind || strcmp(t->param, s->param) != 0)
            continue;
        if (t->kind == ANDIRON_TERM_DATE)
            w.number = (double)t->range.date.low;
        else if (t->kind == ANDIRON_TERM_NUMBER || t->kind == ANDIRON_TERM_QUANTITY)
            w.number = t->range.number.low;
        else
            w.is_text = true;
        if (w.is_text && t->kind == ANDIRON_TERM_REFERENCE && t->system.data != NULL)
            snprintf(w.text, sizeof(w.text), "%s/%s", t->system.data, t->text.data);
        else if (w.is_text)
            snprintf(w.text, sizeof(w.text), "%s", t->text.data);
        int c = !v.there    ? -1
                : w.is_text ? strcmp(w.text, v.text)
                            : (w.number > v.number) - (w.number < v.number);
        if (!v.there || (s->descending ? c > 0 : c < 0))
            v = w;
    }
    return v;
}

static int compare_models(const void *a, const void *b)
{
    const struct model *x = *(const struct model *const *)a, *y = *(const struct model *const *)b;
    bool down = sorting->sort_count == 0 || sorting->sort[sorting->sort_count - 1].descending;

    for (size_t i = 0; i < sorting->sort_count; i++) {
        struct model_value v = model_value(x, &sorting->sort[i]);
        struct model_value w = model_value(y, &sorting->sort[i]);
        if (v.there != w.there)
            return v.there ? -1 : 1;
        if (!v.there)
            continue;
        int c = v.is_text ? strcmp(v.text, w.text) : (v.number > w.number) - (v.number < w.number);
        if (c != 0)
            return sorting->sort[i].descending ? -c : c;
    }
    int c = (x->order > y->order) - (x->order < y->order);
    return down ? -c : c;
}

static size_t random_sort(struct andiron_sort *sort, bool patient)
{
    static const struct andiron_sort of_patients[] = {
        { "name", ANDIRON_TERM_STRING, false }, { "birthdate", ANDIRON_TERM_DATE, false },
        { "_id", ANDIRON_TERM_TOKEN, false },   { "_lastUpdated", ANDIRON_TERM_DATE, false },
        { "code", ANDIRON_TERM_TOKEN, false },  { "never", ANDIRON_TERM_DATE, false }
    };
    static const struct andiron_sort of_observations[] = {
        { "date", ANDIRON_TERM_DATE, false },         { "n", ANDIRON_TERM_NUMBER, false },
        { "q", ANDIRON_TERM_QUANTITY, false },        { "_id", ANDIRON_TERM_TOKEN, false },
        { "_lastUpdated", ANDIRON_TERM_DATE, false }, { "url", ANDIRON_TERM_URI, false },
        { "code", ANDIRON_TERM_TOKEN, false },        { "subject", ANDIRON_TERM_REFERENCE, false },
        { "status", ANDIRON_TERM_TOKEN, false }
    };
    size_t count = roll(2) ? 0 : 1 + roll(3);

    for (size_t i = 0; i < count; i++) {
        sort[i] = patient ? of_patients[roll(6)] : of_observations[roll(9)];
        sort[i].descending = roll(2);
    }
    return count;
}

/* ---- the comparison ------------------------------------------------------------------------------ */

static void expect_same(struct kit *k, struct andiron_query *query, bool patient)
{
    const struct model *expected[PATIENTS + OBSERVATIONS];
    size_t count = 0, got = 0, pages = 0;
    struct andiron_rows rows;

    for (size_t i = 0; i < model_count; i++) {
        const struct model *m = &models[i];
        bool is_type =
            query->type == NULL || strcmp(m->type, patient ? "Patient" : "Observation") == 0;
        if (m->live && is_type && model_matches(m, query->filter))
            expected[count++] = m;
    }
    sorting = query;
    qsort(expected, count, sizeof(expected[0]), compare_models);
    do {
        if (kit_search(k, query, &rows) != 0)
            fail_msg("search: %s", rows.error.message);
        for (size_t i = 0; i < rows.count; i++) {
            assert_true(got < count);
            if (!same(rows.rows[i].ref.id, andiron_str_of(expected[got]->id)))
                fail_msg("sorted by %s%s, page %zu: row %zu is %s, expected %s",
                         query->sort_count != 0 && query->sort[0].descending ? "-" : "",
                         query->sort_count != 0 ? query->sort[0].param : "nothing", pages, got,
                         rows.rows[i].ref.id.data, expected[got]->id);
            got++;
        }
        if (rows.total >= 0 && !rows.total_is_least)
            assert_int_equal(rows.total, count);
        query->cursor = rows.cursor;
        assert_true(++pages < 3000);
    } while (rows.cursor.data != NULL);
    assert_int_equal(got, count);
}

#endif
