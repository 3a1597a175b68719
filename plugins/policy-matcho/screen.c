/*
 * Making the tests of a request: first those that need no body, then, for programs that are left,
 * the others.
 */
#include "screen.h"

#include "common/policy/budget.h"

enum {
    LIMIT_US = 250,         /* of processor time, about */
    SEARCHED_MAX = 1 << 16, /* words times bytes that are searched for expressions */
    ELEMENTS_MAX = 64,      /* of an array, that are looked at one by one */
    WORTH_A_BODY = 8        /* programs that are left and would look into it one by one */
};

/* One, or each element. */
struct value {
    andiron_json json;
    andiron_str text; /* absent: no string */
    uint64_t hash;    /* of text */
    int64_t number;   /* INT64_MIN: none that is whole */
};

struct values {
    struct value *all;
    uint32_t count;
    bool is_hashed, is_too_many;
};

struct run {
    const struct screen *s;
    struct andiron_arena *arena;
    struct match m;
    struct policy_budget budget;
    struct values *places;
    bool *holds; /* each test; what was not made may hold */
    bool *found; /* expressions of all places */
    uint64_t *words;
    size_t searched;
};

static bool is_missing(andiron_json v)
{
    return andiron_json_type(v) <= ANDIRON_JSON_NULL;
}

/* ---- places ------------------------------------------------------------------------------------- */

static andiron_json json_at(const struct run *r, uint32_t place)
{
    return r->places[place].all[0].json;
}

static struct value value_of(andiron_json json)
{
    return (struct value){ .json = json, .text = andiron_json_str(json), .number = INT64_MIN };
}

static void look_up_elements(struct run *r, andiron_json array, struct values *ret)
{
    struct andiron_json_iter it = { .of = array };
    size_t count = andiron_json_type(array) == ANDIRON_JSON_ARRAY ? andiron_json_count(array) : 0;
    ret->is_too_many = count > ELEMENTS_MAX;
    if (ret->is_too_many || count == 0)
        return;
    ret->all = andiron_alloc(r->arena, count * sizeof(*ret->all));
    while (andiron_json_next(&it))
        ret->all[ret->count++] = value_of(it.value);
}

static void look_up(struct run *r, size_t at)
{
    const struct place *p = &r->s->places[at];
    struct values *ret = &r->places[at];
    if (p->kind == PLACE_ELEMENTS) {
        look_up_elements(r, json_at(r, p->parent), ret);
        return;
    }
    andiron_json json;
    if (p->parent == 0)
        json = r->m.input(r->m.arg, p->name.data);
    else if (p->kind == PLACE_STEP)
        json = andiron_json_path(json_at(r, p->parent), p->name.data);
    else
        json = andiron_json_member(json_at(r, p->parent), p->name);
    ret->count = 1;
    ret->all[0] = value_of(json);
}

static void search(struct run *r, const struct place *p, andiron_str text)
{
    bool *found = r->found + p->regex_first;
    r->searched += p->many != NULL ? text.len * pattern_many_words(p->many) : 0;
    if (p->many == NULL || r->searched > SEARCHED_MAX)
        memset(found, true, p->regex_count);
    else
        pattern_many_find(p->many, text, r->words, found);
}

static void look_up_all(struct run *r, bool of_body)
{
    for (size_t i = 1; i < r->s->place_count; i++) {
        const struct place *p = &r->s->places[i];
        if (p->is_of_body != of_body)
            continue;
        look_up(r, i);
        for (uint32_t v = 0; p->regex_count > 0 && v < r->places[i].count; v++)
            if (r->places[i].all[v].text.data != NULL)
                search(r, p, r->places[i].all[v].text);
    }
}

/* ---- tests --------------------------------------------------------------------------------------- */

/* Once for all tests of the place. */
static void hash_values(struct values *values)
{
    for (uint32_t i = 0; i < values->count; i++) {
        struct value *v = &values->all[i];
        if (v->text.data != NULL)
            v->hash = screen_hash(v->text);
        else
            v->number = andiron_json_int(v->json, INT64_MIN);
    }
    values->is_hashed = true;
}

static bool has_text(const struct values *values, uint64_t hash)
{
    for (uint32_t i = 0; i < values->count; i++)
        if (values->all[i].hash == hash && values->all[i].text.data != NULL)
            return true;
    return false;
}

static bool has_number(const struct values *values, int64_t number)
{
    for (uint32_t i = 0; i < values->count; i++)
        if (values->all[i].number == number)
            return true;
    return false;
}

/* Or there is no time to find out. */
static bool may_be_same(struct run *r, const struct value *a, const struct value *b)
{
    if (!policy_budget_spend(&r->budget, 1 + andiron_json_raw(b->json).len / 64))
        return true;
    if (a->text.data != NULL && b->text.data != NULL)
        return andiron_str_eq(a->text, b->text);
    if (is_missing(a->json) || is_missing(b->json))
        return r->m.null_equal && is_missing(a->json) && is_missing(b->json);
    return andiron_json_equal(a->json, b->json);
}

static bool some_holds(const struct run *r, const struct test *t)
{
    for (uint32_t i = 0; i < t->count; i++)
        if (r->holds[r->s->any[t->which + i]])
            return true;
    return false;
}

static bool some_matches(struct run *r, const struct test *t, const struct values *values)
{
    r->m.program = t->program;
    for (uint32_t i = 0; i < values->count; i++)
        if (match_op(&r->m, t->op, values->all[i].json, &r->budget) != MATCH_NO)
            return true;
    return false;
}

/* Of one value only: of elements these are not asked. */
static bool has_length(andiron_json v, int64_t length)
{
    return andiron_json_type(v) == ANDIRON_JSON_ARRAY && (int64_t)andiron_json_count(v) == length;
}

static bool make(struct run *r, const struct test *t)
{
    struct values *values = &r->places[t->place];
    if (values->is_too_many)
        return true;
    if (!values->is_hashed && (t->kind == TEST_TEXT || t->kind == TEST_NUMBER))
        hash_values(values);
    switch (t->kind) {
    case TEST_OBJECT:
        return andiron_json_type(values->all[0].json) == ANDIRON_JSON_OBJECT;
    case TEST_TEXT:
        return has_text(values, t->hash);
    case TEST_NUMBER:
        return has_number(values, t->number);
    case TEST_LENGTH:
        return has_length(values->all[0].json, t->number);
    case TEST_REGEX:
        return r->found[r->s->places[t->place].regex_first + t->which];
    case TEST_PATH:
        return may_be_same(r, values->all, r->places[t->which].all);
    case TEST_ANY:
        return some_holds(r, t);
    case TEST_OP:
    default:
        return some_matches(r, t, values);
    }
}

static void make_all(struct run *r, bool of_body)
{
    for (size_t i = 0; i < r->s->test_count; i++) {
        const struct test *t = &r->s->tests[i];
        if (t->is_of_body == of_body)
            r->holds[i] = r->budget.is_spent || make(r, t);
    }
}

static bool all_hold(const struct run *r, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++)
        if (!r->holds[r->s->checks[i]])
            return false;
    return true;
}

/* ---- programs -------------------------------------------------------------------------------------- */

static void clear(uint64_t *may_match, size_t i)
{
    may_match[i / 64] &= ~(UINT64_C(1) << i % 64);
}

static bool is_set(const uint64_t *may_match, size_t i)
{
    return (may_match[i / 64] >> i % 64 & 1) != 0;
}

void screen_run(const struct screen *s, const struct match *with, struct andiron_arena *arena,
                uint64_t *may_match)
{
    struct run r = { .s = s, .arena = arena, .m = *with, .budget = policy_budget_of(LIMIT_US) };
    struct value *values = andiron_alloc(arena, s->place_count * sizeof(*values));
    size_t of_body = 0;

    r.places = andiron_alloc(arena, s->place_count * sizeof(*r.places));
    for (size_t i = 0; i < s->place_count; i++)
        r.places[i].all = &values[i];
    r.holds = andiron_alloc(arena, s->test_count + 1);
    r.found = andiron_alloc(arena, s->regex_count + 1);
    r.words = andiron_alloc(arena, (s->words_max + 1) * sizeof(*r.words));
    look_up_all(&r, false);
    make_all(&r, false);
    for (size_t i = 0; i < s->program_count; i++) {
        const struct wanted *w = &s->wanted[i];
        if (!is_set(may_match, i))
            continue;
        if (!all_hold(&r, w->first, w->body))
            clear(may_match, i);
        else
            of_body += w->body < w->end;
    }
    if (of_body < WORTH_A_BODY)
        return;
    look_up_all(&r, true);
    make_all(&r, true);
    for (size_t i = 0; i < s->program_count; i++)
        if (is_set(may_match, i) && !all_hold(&r, s->wanted[i].body, s->wanted[i].end))
            clear(may_match, i);
}
