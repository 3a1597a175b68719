/*
 * Screening many programs at a time: what matches is never screened out, and what the tests of
 * programs can tell is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "screen.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static struct andiron_arena *arena;
static struct pattern_matcher *regex;
static andiron_json request;
static unsigned body_looks;

static int set_up(void **state)
{
    (void)state;
    arena = andiron_arena_new(0);
    regex = pattern_matcher_new(10000, 65536);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pattern_matcher_free(regex);
    andiron_arena_free(arena);
    return 0;
}

static andiron_json parsed(andiron_str text)
{
    andiron_json v;
    struct andiron_error err;
    if (andiron_json_parse(arena, text, &v, &err) != 0)
        fail_msg("%.*s: %s", (int)text.len, text.data, err.message);
    return v;
}

/* NULL: it does not compile. */
static const struct program *compiled(andiron_str text)
{
    struct program *program = andiron_new(arena, struct program);
    struct andiron_error err;
    return program_compile(arena, parsed(text), "", program, &err) == 0 ? program : NULL;
}

static andiron_json input(void *arg, const char *path)
{
    (void)arg;
    body_looks += strncmp(path, "resource", 8) == 0;
    return path[0] == '\0' ? request : andiron_json_path(request, path);
}

static const struct match with = { .fhir_base = { "https://host/fhir/", 18 },
                                   .limit_us = 1000000,
                                   .input = input };

static bool matches(const struct program *program)
{
    struct match m = with;
    m.regex = regex;
    m.program = program;
    return match_request(&m) == MATCH_YES;
}

static void run(const struct screen *screen, uint64_t *may_match)
{
    struct match m = with;
    m.regex = regex;
    screen_run(screen, &m, arena, may_match);
}

/* ---- what is told ------------------------------------------------------------------------- */

static const char *const patterns[] = {
    "{'method':'get'}",
    "{'method':{'$enum':['get','put',7]}}",
    "{'method':{'$one-of':['put','#^g.t$']}}",
    "{'method':'#^[f-h]et$','client':{'id':'c'}}",
    "{'client':{'id':'d'}}",
    "{'client':{'wards':{'$contains':'w2'}}}",
    "{'client':{'wards':{'$contains':'#^w[0-9]$'}}}",
    "{'client':{'wards':{'$length':2}}}",
    "{'client':{'floor':7}}",
    "{'client':{'site':'.headers.site'}}",
    "{'user':'nil?'}",
    "{'user':{'id':'nil?'}}",
    "{'user':{'$not':'present?'},'method':{'$not':'put'}}",
    "{'client':{'wards':['w1']}}",
    "{'params':{'resource/type':'Patient'}}",
};

static const struct {
    const char *request, *may; /* '1' for each pattern that may match */
} rows[] = {
    { "{'method':'get'}", "111000000010100" },
    { "{'method':'put','client':{'id':'c','floor':7.0}}", "011000001010000" },
    { "{'method':'get','client':{'id':'c','wards':['w1','w2'],'site':'n'},'headers':{'site':'n'}}",
      "111101110110110" },
    { "{'method':'jet','client':{'id':'d','wards':['x']},'user':{'name':'u'}}", "000010000001000" },
    { "{'method':7,'user':{'id':'u'},'params':{'resource/type':'Patient'}}", "010000000000001" },
    { "{'client':'c','headers':{'site':1}}", "000000000010100" },
};

/* With double quotes, as JSON has them. */
static andiron_str quoted(const char *text)
{
    char *out = andiron_copy(arena, andiron_str_of(text));
    for (char *c = out; *c != '\0'; c++)
        if (*c == '\'')
            *c = '"';
    return andiron_str_of(out);
}

static void programs_are_screened_out_by_what_they_ask_of_each_place(void **state)
{
    enum { COUNT = COUNT_OF(patterns), COPIES = 7 }; /* more than 64, each test there once */
    const struct program *programs[COUNT * COPIES];
    (void)state;
    for (size_t i = 0; i < COUNT_OF(programs); i++)
        programs[i] = compiled(quoted(patterns[i % COUNT]));
    const struct screen *screen = screen_new(arena, programs, COUNT_OF(programs));
    assert_non_null(screen);
    assert_true(screen->test_count < COUNT * 3);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        uint64_t may_match[] = { UINT64_MAX, UINT64_MAX };
        request = parsed(quoted(rows[i].request));
        run(screen, may_match);
        for (size_t p = 0; p < COUNT_OF(programs); p++) {
            bool may = (may_match[p / 64] >> p % 64 & 1) != 0;
            if (may != (rows[i].may[p % COUNT] == '1') || (matches(programs[p]) && !may))
                fail_msg("%s of %s: %d", patterns[p % COUNT], rows[i].request, may);
        }
    }
}

static void bodies_are_looked_into_only_for_many_that_are_left(void **state)
{
    enum { COUNT = 20 };
    const struct program *programs[COUNT];
    uint64_t may_match = UINT64_MAX;
    (void)state;
    for (int i = 0; i < COUNT; i++)
        programs[i] = compiled(
            quoted(andiron_printf(arena, "{'method':'put','resource':{'status':'s%d'}}", i)));
    const struct screen *screen = screen_new(arena, programs, COUNT);
    body_looks = 0;
    request = parsed(quoted("{'method':'get','resource':{'status':'s3'}}"));
    run(screen, &may_match);
    assert_int_equal(may_match & ((1 << COUNT) - 1), 0);
    assert_int_equal(body_looks, 0);
    may_match = UINT64_MAX;
    request = parsed(quoted("{'method':'put','resource':{'status':'s3'}}"));
    run(screen, &may_match);
    assert_int_equal(may_match & ((1 << COUNT) - 1), 1 << 3);
    assert_true(body_looks > 0);
    may_match = 7; /* few are left: they look for themselves */
    body_looks = 0;
    run(screen, &may_match);
    assert_int_equal(may_match, 7);
    assert_int_equal(body_looks, 0);
}

/* Whoever sends long arrays and strings has programs asked one by one, which have limits. */
static void what_would_take_long_is_not_screened(void **state)
{
    enum { COUNT = 64 };
    const struct program *programs[COUNT];
    uint64_t may_match = UINT64_MAX;
    static char text[200000];
    size_t len;
    (void)state;
    for (int i = 0; i < COUNT; i++)
        programs[i] =
            compiled(quoted(i % 2 != 0 ? "{'list':{'$contains':'x'}}" : "{'text':'#^a+b$'}"));
    const struct screen *screen = screen_new(arena, programs, COUNT);
    len = (size_t)snprintf(text, sizeof(text), "{\"list\":[0");
    for (int i = 0; i < 100; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, ",%d", i);
    len += (size_t)snprintf(text + len, sizeof(text) - len, "],\"text\":\"%0100000d\"}", 0);
    request = parsed((andiron_str){ text, len });
    run(screen, &may_match);
    assert_true(may_match == UINT64_MAX);
}

/* Each place by itself is short enough; all together are not. */
static void only_so_much_is_searched_for_expressions_of_a_request(void **state)
{
    enum { COUNT = 3 };
    static const char *const members[COUNT] = { "one", "two", "three" };
    const struct program *programs[COUNT];
    uint64_t may_match = UINT64_MAX;
    static char text[100000];
    size_t len = 1;
    (void)state;
    text[0] = '{';
    for (int i = 0; i < COUNT; i++) {
        programs[i] = compiled(quoted(andiron_printf(arena, "{'%s':'#^a+b$'}", members[i])));
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s\"%s\":\"%030000d\"",
                                i > 0 ? "," : "", members[i], 0);
    }
    text[len++] = '}';
    const struct screen *screen = screen_new(arena, programs, COUNT);
    request = parsed((andiron_str){ text, len });
    run(screen, &may_match);
    assert_int_equal(may_match & 7, 4);
}

/* Half a million steps, on whatever machine, are more than a quarter of a millisecond. */
static void once_the_time_is_spent_all_the_rest_may_match(void **state)
{
    enum { ELEMENTS = 500000 };
    const struct program *programs[] = { compiled(quoted("{'method':'put'}")),
                                         compiled(quoted("{'list':{'$every':0}}")),
                                         compiled(quoted("{'client':{'id':'d'}}")) };
    char *text = andiron_alloc(arena, ELEMENTS * 2 + 64);
    size_t len = (size_t)snprintf(text, 64, "{\"method\":\"get\",\"list\":[0");
    uint64_t may_match = UINT64_MAX;
    (void)state;
    for (int i = 0; i < ELEMENTS; i++, len += 2)
        memcpy(text + len, ",0", 2);
    memcpy(text + len, "]}", 2);
    const struct screen *screen = screen_new(arena, programs, COUNT_OF(programs));
    request = parsed((andiron_str){ text, len + 2 });
    run(screen, &may_match);
    assert_int_equal(may_match & 7, 6);
}

/* What is compared takes time by its size. */
static void places_are_compared_until_the_time_is_spent(void **state)
{
    enum { ELEMENTS = 500000 };
    const struct program *programs[] = { compiled(quoted("{'a':'.b'}")),
                                         compiled(quoted("{'a':'.c'}")),
                                         compiled(quoted("{'a':'.d'}")),
                                         compiled(quoted("{'method':'put'}")) };
    char *text = andiron_alloc(arena, (ELEMENTS * 2 + 16) * 4);
    size_t len = 0;
    uint64_t may_match = UINT64_MAX;
    (void)state;
    for (char name = 'a'; name <= 'd'; name++) { /* only the last elements differ */
        len += (size_t)snprintf(text + len, 8, "%c\"%c\":[", name == 'a' ? '{' : ',', name);
        for (int i = 0; i < ELEMENTS; i++, len += 2)
            memcpy(text + len, "0,", 2);
        text[len++] = name == 'a' ? '1' : '2';
        text[len++] = ']';
    }
    text[len++] = '}';
    const struct screen *screen = screen_new(arena, programs, COUNT_OF(programs));
    request = parsed((andiron_str){ text, len });
    run(screen, &may_match);
    assert_int_equal(may_match & 15, 12);
}

static void of_a_long_text_only_the_length_and_the_end_are_read(void **state)
{
    const struct program *program =
        compiled(quoted(andiron_printf(arena, "{'text':'b%0999d'}", 0)));
    const char *const texts[] = { andiron_printf(arena, "{'text':'b%0999d'}", 0),
                                  andiron_printf(arena, "{'text':'%01000d'}", 0),
                                  andiron_printf(arena, "{'text':'%0999d'}", 0),
                                  andiron_printf(arena, "{'text':'b%0998db'}", 0) };
    (void)state;
    const struct screen *screen = screen_new(arena, &program, 1);
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        uint64_t may_match = UINT64_MAX;
        request = parsed(quoted(texts[i]));
        run(screen, &may_match);
        assert_int_equal(may_match & 1, i < 2);
    }
}

/* ---- whatever programs and requests ----------------------------------------------------------- */

static uint64_t seed = 1;

static size_t below(size_t n)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (size_t)(seed >> 33) % n;
}

struct writing {
    char text[4096];
    size_t len;
};

static void put(struct writing *w, const char *text)
{
    size_t len = strlen(text);
    if (w->len + len < sizeof(w->text)) {
        memcpy(w->text + w->len, text, len);
        w->len += len;
    }
}

static const char *const names[] = { "\"a\"", "\"b\"", "\"resource\"", "\"c.d\"" };
static const char *const values[] = { "1", "2", "1.5", "true", "\"x\"", "\"xy\"", "\"T/1\"" };
static const char *const leaves[] = { "1",
                                      "2",
                                      "1.5",
                                      "true",
                                      "\"x\"",
                                      "\"#x\"",
                                      "\"#^x?y$\"",
                                      "\"nil?\"",
                                      "\"present?\"",
                                      "\".a.b\"",
                                      "\".resource\"",
                                      "\".a.0\"",
                                      "null",
                                      "\"not-blank?\"" };
static const char *const one_key[] = { "$not", "$contains", "$every", "$reference" };
static const char *const list_key[] = { "$one-of", "$present-all" };

static void put_value(struct writing *w, unsigned depth)
{
    size_t kind = below(depth > 0 ? 4 : 2), count = below(3);
    if (kind < 2) {
        put(w, values[below(COUNT_OF(values))]);
        return;
    }
    put(w, kind == 2 ? "{" : "[");
    for (size_t i = 0; i <= count; i++) {
        put(w, i > 0 ? "," : "");
        put(w, kind == 2 ? names[i] : "");
        put(w, kind == 2 ? ":" : "");
        put_value(w, depth - 1);
    }
    put(w, kind == 2 ? "}" : "]");
}

static void put_pattern(struct writing *w, unsigned depth)
{
    size_t kind = below(depth > 0 ? 7 : 2), count = below(3);
    if (kind < 2) {
        put(w, leaves[below(COUNT_OF(leaves))]);
    } else if (kind == 2) {
        put(w, below(2) != 0 ? "{\"$enum\":[\"x\",1,2]}" : "{\"$length\":2}");
    } else if (kind == 3) {
        put(w, "{\"");
        put(w, one_key[below(COUNT_OF(one_key))]);
        put(w, "\":");
        put_pattern(w, depth - 1);
        put(w, "}");
    } else {
        bool is_list = kind == 4;
        put(w, is_list ? "{\"" : "{");
        put(w, is_list ? list_key[below(COUNT_OF(list_key))] : "");
        put(w, is_list ? "\":[" : "");
        for (size_t i = 0; i <= count; i++) {
            put(w, i > 0 ? "," : "");
            put(w, is_list ? "" : names[i]);
            put(w, is_list ? "" : ":");
            put_pattern(w, depth - 1);
        }
        put(w, is_list ? "]}" : "}");
    }
}

static const struct program *random_program(void)
{
    struct writing w = { .len = 0 };
    put(&w, "{\"a\":");
    put_pattern(&w, 3);
    put(&w, below(2) != 0 ? ",\"resource\":" : ",\"b\":");
    put_pattern(&w, 2);
    put(&w, "}");
    return compiled((andiron_str){ andiron_copy(arena, (andiron_str){ w.text, w.len }), w.len });
}

static void random_programs_that_match_are_never_screened_out(void **state)
{
    enum { PROGRAMS = 64, REQUESTS = 40, ROUNDS = 60 };
    size_t matched = 0, out = 0;
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        const struct program *programs[PROGRAMS];
        size_t count = 0;
        andiron_arena_free(arena);
        arena = andiron_arena_new(0);
        while (count < PROGRAMS)
            if ((programs[count] = random_program()) != NULL)
                count++;
        const struct screen *screen = screen_new(arena, programs, count);
        for (int i = 0; i < REQUESTS; i++) {
            struct writing w = { .len = 0 };
            uint64_t may_match = UINT64_MAX;
            put(&w, "{\"a\":");
            put_value(&w, 2);
            put(&w, below(2) != 0 ? ",\"resource\":" : ",\"b\":");
            put_value(&w, 2);
            put(&w, "}");
            request = parsed((andiron_str){ w.text, w.len });
            run(screen, &may_match);
            for (size_t p = 0; p < count; p++) {
                bool may = (may_match >> p & 1) != 0, does = matches(programs[p]);
                matched += does;
                out += !may;
                if (does && !may)
                    fail_msg("of %.*s: program %zu", (int)w.len, w.text, p);
            }
        }
    }
    print_message("%zu matched, %zu screened out\n", matched, out);
    assert_true(matched > 1000 && out > 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(programs_are_screened_out_by_what_they_ask_of_each_place,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(bodies_are_looked_into_only_for_many_that_are_left, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_would_take_long_is_not_screened, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_so_much_is_searched_for_expressions_of_a_request,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(once_the_time_is_spent_all_the_rest_may_match, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(places_are_compared_until_the_time_is_spent, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(of_a_long_text_only_the_length_and_the_end_are_read, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(random_programs_that_match_are_never_screened_out, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
