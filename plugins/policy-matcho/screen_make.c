/*
 * Reading tests off programs, and finding those that are there already.
 */
#include "screen.h"

enum {
    CHECKS_MAX = 32, /* of a program; what else it asks is asked of it alone */
    STEPS_MAX = 16   /* of a path */
};

/* Indexes by what they stand for: open addressing, less than half full. 0 is free, else index + 1. */
struct table {
    uint32_t *slots;
    size_t mask;
};

struct making {
    struct screen *screen;
    struct andiron_arena *arena, *own; /* own ends when the screen is made */
    struct table places, tests;
    size_t room, any_count, check_count; /* room: of places, of tests and of `any` */
    const struct program *program;
    uint32_t found[CHECKS_MAX]; /* tests of the program */
    unsigned found_count;
};

#define NONE UINT32_MAX

static struct table table_of(struct andiron_arena *arena, size_t entries)
{
    size_t places = 64;
    while (places < entries * 2)
        places *= 2;
    return (struct table){ andiron_alloc(arena, places * sizeof(uint32_t)), places - 1 };
}

/* ---- places ------------------------------------------------------------------------------------ */

static bool is_body(andiron_str name)
{
    return andiron_str_eq(name, ANDIRON_STR("body")) ||
           andiron_str_eq(name, ANDIRON_STR("resource"));
}

/* NONE: no room, or no name that a path could have. */
static uint32_t place_in(struct making *m, uint32_t parent, andiron_str name, enum place_kind kind)
{
    struct screen *s = m->screen;
    size_t at = (size_t)(screen_hash(name) * 31 + parent * 4 + (unsigned)kind) & m->places.mask;
    for (; m->places.slots[at] != 0; at = (at + 1) & m->places.mask) {
        const struct place *p = &s->places[m->places.slots[at] - 1];
        if (p->parent == parent && p->kind == kind && andiron_str_eq(p->name, name))
            return m->places.slots[at] - 1;
    }
    if (s->place_count == m->room || (name.len == 0 && kind != PLACE_ELEMENTS) ||
        memchr(name.data, '.', name.len) != NULL || memchr(name.data, '\0', name.len) != NULL)
        return NONE;
    name.data = andiron_copy(m->arena, name);
    s->places[s->place_count] =
        (struct place){ .parent = parent,
                        .name = name,
                        .kind = kind,
                        .is_of_body = parent == 0 ? is_body(name) : s->places[parent].is_of_body };
    m->places.slots[at] = (uint32_t)++s->place_count;
    return (uint32_t)s->place_count - 1;
}

static uint32_t place_of_path(struct making *m, const char *path)
{
    uint32_t place = 0;
    for (int i = 0; i < STEPS_MAX && place != NONE; i++) {
        size_t len = strcspn(path, ".");
        place = place_in(m, place, (andiron_str){ path, len }, i > 0 ? PLACE_STEP : PLACE_MEMBER);
        if (path[len] == '\0')
            return place;
        path += len + 1;
    }
    return NONE;
}

/* ---- tests --------------------------------------------------------------------------------------- */

static uint64_t hash_of_test(const struct test *t)
{
    uint64_t h = t->hash;
    if (t->kind > TEST_LENGTH)
        h ^= screen_hash(andiron_json_raw(t->op->pattern)) + (unsigned)t->op->code;
    return (h + t->place * UINT64_C(2654435761) + (unsigned)t->kind) * UINT64_C(0x9E3779B97F4A7C15);
}

/* The text that a test asks for is not kept: its hash is all of it. */
static bool is_same(const struct test *a, const struct test *b)
{
    if (a->kind != b->kind || a->place != b->place || a->hash != b->hash)
        return false;
    return a->kind <= TEST_LENGTH ||
           (a->op->code == b->op->code &&
            andiron_str_eq(andiron_json_raw(a->op->pattern), andiron_json_raw(b->op->pattern)));
}

static uint32_t test_of(struct making *m, struct test test)
{
    struct screen *s = m->screen;
    size_t at = (size_t)(hash_of_test(&test) >> 20) & m->tests.mask;
    for (; m->tests.slots[at] != 0; at = (at + 1) & m->tests.mask)
        if (is_same(&s->tests[m->tests.slots[at] - 1], &test))
            return m->tests.slots[at] - 1;
    if (s->test_count == m->room)
        return NONE;
    if (test.kind == TEST_REGEX)
        test.which = s->places[test.place].regex_count++;
    test.is_of_body |= s->places[test.place].is_of_body;
    s->tests[s->test_count] = test;
    m->tests.slots[at] = (uint32_t)++s->test_count;
    return (uint32_t)s->test_count - 1;
}

static bool holds_code(const struct program *program, const struct op *op, enum op_code code)
{
    for (const struct op *in = op; in < program->ops + op->next; in++)
        if (in->code == code)
            return true;
    return false;
}

static bool looks_into_body(const struct program *program, const struct op *op)
{
    for (const struct op *in = op; in < program->ops + op->next; in++)
        if (in->code == OP_PATH && is_body((andiron_str){ in->path, strcspn(in->path, ".") }))
            return true;
    return false;
}

static uint32_t test_of_text(struct making *m, uint32_t place, andiron_str text)
{
    return test_of(m,
                   (struct test){ .kind = TEST_TEXT, .place = place, .hash = screen_hash(text) });
}

/* A fraction, or what is no number, is compared as it is written. */
static uint32_t test_of_number(struct making *m, struct test test, enum test_kind kind,
                               andiron_json number)
{
    test.number = andiron_json_int(number, INT64_MIN);
    if (test.number != INT64_MIN)
        test.kind = kind;
    else
        test.number = 0;
    return test_of(m, test);
}

static uint32_t test_of_path(struct making *m, uint32_t place, struct test test)
{
    uint32_t other = place_of_path(m, test.op->path);
    if (other == NONE)
        return NONE;
    test.kind = TEST_PATH;
    test.which = other;
    test.is_of_body = m->screen->places[other].is_of_body;
    test.place = place;
    return test_of(m, test);
}

static uint32_t test_of_op(struct making *m, uint32_t place, const struct op *op);

/* Of $enum. NONE: a boolean, or a fraction. */
static uint32_t test_of_scalar(struct making *m, struct test test, andiron_json value)
{
    if (andiron_json_type(value) == ANDIRON_JSON_STRING)
        return test_of_text(m, test.place, andiron_json_str(value));
    if (andiron_json_int(value, INT64_MIN) == INT64_MIN)
        return NONE;
    return test_of_number(m, test, TEST_NUMBER, value);
}

/* What an element must be for itself; of its members nothing is asked here. */
static uint32_t test_of_element(struct making *m, uint32_t place, const struct op *op)
{
    bool is_simple = op->code == OP_EQUAL || op->code == OP_ENUM || op->code == OP_ONE_OF ||
                     op->code == OP_REGEX;
    for (const struct op *in = op + 1; in < m->program->ops + op->next; in++)
        is_simple &= in->code == OP_EQUAL || in->code == OP_ENUM || in->code == OP_REGEX;
    uint32_t elements = is_simple ? place_in(m, place, ANDIRON_STR(""), PLACE_ELEMENTS) : NONE;
    return elements != NONE ? test_of_op(m, elements, op) : NONE;
}

/* One of several: `any` has them one after the other. */
static uint32_t test_of_alternatives(struct making *m, struct test test)
{
    uint32_t own[CHECKS_MAX], count = 0;
    const struct op *op = test.op;
    struct andiron_json_iter it = { .of = op->pattern };
    const struct op *in = op + 1;
    while (andiron_json_next(&it)) {
        uint32_t one = NONE;
        if (count < CHECKS_MAX && op->code == OP_ONE_OF)
            one = test_of_op(m, test.place, in);
        else if (count < CHECKS_MAX)
            one = test_of_scalar(m, test, it.value);
        if (one == NONE)
            return NONE;
        test.is_of_body |= m->screen->tests[one].is_of_body;
        own[count++] = one;
        if (op->code == OP_ONE_OF)
            in = m->program->ops + in->next;
    }
    if (m->any_count + count > m->room)
        return NONE;
    test.kind = TEST_ANY;
    test.which = (uint32_t)m->any_count;
    test.count = count;
    memcpy(m->screen->any + m->any_count, own, count * sizeof(*own));
    uint32_t before = (uint32_t)m->screen->test_count, found = test_of(m, test);
    if (found >= before) /* a new one */
        m->any_count += count;
    return found;
}

/* What holds at the place if the op does. NONE: nothing is known, or there is no room. */
static uint32_t test_of_op(struct making *m, uint32_t place, const struct op *op)
{
    struct test test = { .kind = TEST_OP, .place = place, .program = m->program, .op = op };
    uint32_t found = NONE;
    switch (op->code) {
    case OP_EQUAL:
        if (andiron_json_type(op->pattern) == ANDIRON_JSON_STRING)
            return test_of_text(m, place, andiron_json_str(op->pattern));
        return test_of_number(m, test, TEST_NUMBER, op->pattern);
    case OP_LENGTH:
        return op[1].code == OP_EQUAL ? test_of_number(m, test, TEST_LENGTH, op[1].pattern)
                                      : test_of(m, test);
    case OP_CONTAINS:
        found = test_of_element(m, place, op + 1);
        break;
    case OP_REGEX:
        test.kind = TEST_REGEX;
        return test_of(m, test);
    case OP_PATH:
        return test_of_path(m, place, test);
    case OP_ENUM:
    case OP_ONE_OF:
        found = test_of_alternatives(m, test);
        break;
    default:
        break;
    }
    if (found != NONE || holds_code(m->program, op, OP_REGEX)) /* run alone they take their time */
        return found;
    test.is_of_body = looks_into_body(m->program, op);
    return test_of(m, test);
}

/* ---- programs --------------------------------------------------------------------------------------- */

static void want(struct making *m, uint32_t test)
{
    for (unsigned i = 0; i < m->found_count; i++)
        if (m->found[i] == test)
            return;
    if (test != NONE && m->found_count < CHECKS_MAX)
        m->found[m->found_count++] = test;
}

/* All that must hold at the place. Recursion is as deep as the pattern. */
static void read_op(struct making *m, uint32_t place, const struct op *op)
{
    const struct op *end = m->program->ops + op->next;
    if (op->code != OP_OBJECT && op->code != OP_ALL) {
        want(m, test_of_op(m, place, op));
        return;
    }
    if (op->code == OP_OBJECT && place != 0)
        want(m, test_of(m, (struct test){ .kind = TEST_OBJECT, .place = place }));
    for (const struct op *in = op + 1; in < end; in = m->program->ops + in->next) {
        uint32_t inner = op->code == OP_OBJECT ? place_in(m, place, in->name, PLACE_MEMBER) : place;
        if (inner != NONE)
            read_op(m, inner, in);
    }
}

static void read_program(struct making *m, const struct program *program, struct wanted *ret)
{
    struct screen *s = m->screen;
    m->program = program;
    m->found_count = 0;
    if (program->ops[0].code == OP_OBJECT) /* else it asks of the whole */
        read_op(m, 0, program->ops);
    ret->first = (uint32_t)m->check_count;
    for (unsigned i = 0; i < m->found_count; i++)
        if (!s->tests[m->found[i]].is_of_body)
            s->checks[m->check_count++] = m->found[i];
    ret->body = (uint32_t)m->check_count;
    for (unsigned i = 0; i < m->found_count; i++)
        if (s->tests[m->found[i]].is_of_body)
            s->checks[m->check_count++] = m->found[i];
    ret->end = (uint32_t)m->check_count;
}

static void gather_expressions(struct making *m)
{
    struct screen *s = m->screen;
    andiron_str *texts;
    for (size_t p = 0; p < s->place_count; p++) {
        s->places[p].regex_first = (uint32_t)s->regex_count;
        s->regex_count += s->places[p].regex_count;
    }
    texts = andiron_alloc(m->own, (s->regex_count + 1) * sizeof(*texts));
    for (size_t t = 0; t < s->test_count; t++) {
        const struct test *test = &s->tests[t];
        if (test->kind != TEST_REGEX)
            continue;
        andiron_str text = andiron_json_str(test->op->pattern);
        texts[s->places[test->place].regex_first + test->which] =
            (andiron_str){ text.data + 1, text.len - 1 };
    }
    for (size_t p = 0; p < s->place_count; p++) {
        struct place *place = &s->places[p];
        if (place->regex_count == 0)
            continue;
        place->many = pattern_many_new(m->arena, texts + place->regex_first, place->regex_count);
        size_t words = place->many != NULL ? pattern_many_words(place->many) : 0;
        s->words_max = words > s->words_max ? words : s->words_max;
    }
}

const struct screen *screen_new(struct andiron_arena *arena, const struct program *const *programs,
                                size_t count)
{
    struct andiron_arena *own = andiron_arena_new(0);
    struct screen *s = andiron_new(arena, struct screen);
    struct making m = { .screen = s, .arena = arena, .own = own };

    for (size_t i = 0; i < count; i++)
        m.room += programs[i]->count;
    m.room = m.room * 3 + 64;
    m.places = table_of(own, m.room);
    m.tests = table_of(own, m.room);
    s->places = andiron_alloc(own, m.room * sizeof(*s->places));
    s->tests = andiron_alloc(own, m.room * sizeof(*s->tests));
    s->any = andiron_alloc(own, m.room * sizeof(*s->any));
    s->checks = andiron_alloc(own, count * CHECKS_MAX * sizeof(*s->checks));
    s->wanted = andiron_alloc(arena, count * sizeof(*s->wanted));
    s->place_count = 1;
    s->program_count = count;
    for (size_t i = 0; i < count; i++)
        read_program(&m, programs[i], &s->wanted[i]);
    gather_expressions(&m);
    bool tells = m.check_count > 0;
#define KEEP(list, n)                                                                              \
    (s->list = memcpy(andiron_alloc(arena, ((n) + 1) * sizeof(*s->list)), s->list,                 \
                      (n) * sizeof(*s->list)))
    KEEP(places, s->place_count);
    KEEP(tests, s->test_count);
    KEEP(any, m.any_count);
    KEEP(checks, m.check_count);
#undef KEEP
    andiron_arena_free(own);
    return tells ? s : NULL;
}
