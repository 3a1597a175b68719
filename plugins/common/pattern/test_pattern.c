/*
 * Regular expressions: the dialect, and that limits hold in machine code as in the interpreter.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "common/pattern/pattern.h"

static struct andiron_arena *arena;
static struct pattern_matcher *matcher;

static int set_up(void **state)
{
    (void)state;
    arena = andiron_arena_new(0);
    matcher = pattern_matcher_new(100000, 20000);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pattern_matcher_free(matcher);
    andiron_arena_free(arena);
    return 0;
}

static bool always(void *arg)
{
    (void)arg;
    return true;
}

static enum pattern_result find(const char *text, const char *subject, unsigned flags)
{
    const struct pattern *pattern;
    struct andiron_error err;
    assert_int_equal(pattern_compile(arena, andiron_str_of(text), flags, &pattern, &err), 0);
    return pattern_find(pattern, matcher, andiron_str_of(subject), always, NULL);
}

static void both_ways_of_matching_agree(void **state)
{
    static const struct {
        const char *text, *subject;
        unsigned flags;
        enum pattern_result result;
    } rows[] = {
        { "^/fhir/P", "/fhir/Patient", 0, PATTERN_MATCH },
        { "^/fhir/P", "/x/fhir/P", 0, PATTERN_NO_MATCH },
        { "fhir", "/x/fhir/P", 0, PATTERN_MATCH }, /* anywhere */
        { "(?i)PATIENT", "/fhir/Patient", 0, PATTERN_MATCH },
        { "^(?!.*Secret)", "a Secret", 0, PATTERN_NO_MATCH },
        { "^.$", "\xc3\xa4", 0, PATTERN_MATCH }, /* one character, two bytes */
        { "^a$", "a\n", 0, PATTERN_NO_MATCH },   /* the very end */
        { "", "", 0, PATTERN_MATCH },
        { "^\\u00e4$", "\xc3\xa4", PATTERN_ECMA, PATTERN_MATCH },
        { "[]", "x", PATTERN_ECMA, PATTERN_NO_MATCH },
        { "(a+)+$", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", 0, PATTERN_LIMIT },
        { "^(a|b)*c", "", 0, PATTERN_NO_MATCH },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        print_message("%s\n", rows[i].text);
        assert_int_equal(find(rows[i].text, rows[i].subject, rows[i].flags), rows[i].result);
        assert_int_equal(find(rows[i].text, rows[i].subject, rows[i].flags | PATTERN_NO_COMPILER),
                         rows[i].result);
    }
}

static void long_subjects_do_not_overflow_the_stack_of_machine_code(void **state)
{
    size_t len = 20000;
    char *subject = andiron_alloc(arena, len + 2);
    (void)state;
    memset(subject, 'a', len);
    assert_int_equal(find("^(?:a|b)*$", subject + 12000, 0), PATTERN_MATCH);
    assert_int_equal(find("^(a|b)*$", subject + 12000, 0), PATTERN_MATCH);
    subject[len] = 'a'; /* longer than the matcher looks through */
    assert_int_equal(find("a", subject, 0), PATTERN_LIMIT);
}

static bool some_times(void *left)
{
    return (*(unsigned *)left)-- > 0;
}

/* Each takes seconds if only PCRE2's own limits hold: none of these loops counts its steps. */
static void matches_that_may_take_long_end_when_they_are_told_to(void **state)
{
    static const char *const texts[] = {
        "(?:a|b)++[0-9]",          "(a(?=a)|a)++[0-9]", "(?:(?=(?:a|b)++)a)++[0-9]",
        "(?>a|b)*+(?>a|b)*+[0-9]", "^(a+)+$",           ".?.?[a-z]+[0-9]",
    };
    size_t len = 20000;
    char *subject = andiron_alloc(arena, len + 1);
    (void)state;
    memset(subject, 'a', len - 1);
    subject[len - 1] = '!';
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        for (unsigned flags = 0; flags <= PATTERN_NO_COMPILER; flags += PATTERN_NO_COMPILER) {
            const struct pattern *pattern;
            struct andiron_error err;
            unsigned left = 10;
            assert_int_equal(
                pattern_compile(arena, andiron_str_of(texts[i]), flags, &pattern, &err), 0);
            assert_int_equal(
                pattern_find(pattern, matcher, (andiron_str){ subject, len }, some_times, &left),
                PATTERN_LIMIT);
        }
}

static void bad_expressions_are_refused_with_their_place(void **state)
{
    const struct pattern *pattern;
    struct andiron_error err;
    char text[PATTERN_MAX + 2];
    (void)state;
    assert_int_equal(pattern_compile(arena, ANDIRON_STR("a("), 0, &pattern, &err), -1);
    assert_non_null(strstr(err.message, "at byte 2"));
    assert_int_equal(pattern_compile(arena, ANDIRON_STR("\\C"), 0, &pattern, &err), -1);
    assert_int_equal(pattern_compile(arena, ANDIRON_STR("((a{999}){999}){999}"), 0, &pattern, &err),
                     -1);
    memset(text, 'a', sizeof(text));
    andiron_str longest = { text, PATTERN_MAX }, longer = { text, PATTERN_MAX + 1 };
    assert_int_equal(pattern_compile(arena, longest, 0, &pattern, &err), 0);
    assert_int_equal(pattern_compile(arena, longer, 0, &pattern, &err), -1);
    memset(text, '(', 200);
    memset(text + 200, ')', 200);
    andiron_str nested = { text, 400 };
    assert_int_equal(pattern_compile(arena, nested, 0, &pattern, &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(both_ways_of_matching_agree, set_up, tear_down),
        cmocka_unit_test_setup_teardown(long_subjects_do_not_overflow_the_stack_of_machine_code,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(matches_that_may_take_long_end_when_they_are_told_to,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad_expressions_are_refused_with_their_place, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
