/*
 * What expressions ask for: of known ones, and that of random ones nothing is ever claimed that a
 * string in which they are found lacks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/pattern/asks.h"
#include "common/pattern/pattern.h"

static void beginnings_are_read_as_far_as_they_are_certain(void **state)
{
    static const struct {
        const char *text, *beginning;
        bool is_whole;
    } rows[] = {
        { "^/fhir/Patient$", "/fhir/Patient", true },
        { "^/fhir/Patient", "/fhir/Patient", false },
        { "^/fhir/(Patient|Observation)/", "/fhir/", false },
        { "^/fhir/[(|]x", "/fhir/", false },
        { "^/fhir/\\d+", "/fhir/", false },
        { "^abc?", "ab", false },
        { "^ab+", "a", false },
        { "^ab+{0}c", "a", false },
        { "^a{0}", NULL, false },
        { "^a\xc3\xa4?", "a", false },
        { "^a|b", NULL, false },
        { "^(a|b)|c", NULL, false },
        { "^a(?#)|)b", NULL, false },
        { "abc", NULL, false },
        { "", NULL, false },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        bool is_whole;
        andiron_str beginning = pattern_beginning(andiron_str_of(rows[i].text), &is_whole);
        print_message("%s\n", rows[i].text);
        assert_int_equal(is_whole, rows[i].is_whole);
        assert_int_equal(beginning.data != NULL, rows[i].beginning != NULL);
        if (rows[i].beginning != NULL)
            assert_true(andiron_str_eq(beginning, andiron_str_of(rows[i].beginning)));
    }
}

static void fragments_are_the_longest_certain_run(void **state)
{
    static const struct {
        const char *text, *fragment;
    } rows[] = {
        { "w17$", "w17" },
        { "^/fhir/Patient$", "/fhir/Patient" },
        { "@hospital\\.example$", "@hospital" },
        { "a(b|c)def", "def" },
        { "[a-z]+-ward\\d", "-ward" },
        { "[]abc]d", NULL }, /* where that class ends depends on the dialect */
        { "[[:alpha:]]d", NULL },
        { "colou?r", "colo" },
        { "ab{2,3}cd", "cd" },
        { "ab{x}cd", NULL }, /* a brace that is no quantifier is not looked into */
        { "(?!abc)d", "d" },
        { "(?<name>abc)de", "de" },
        { "(?i)abc", NULL },
        { "\\x41bc", NULL },
        { "\\Qa|b\\E", NULL },
        { "abc|abd", NULL },
        { "(abc)", NULL },
        { "\\d", NULL },
        { "", NULL },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        andiron_str fragment = pattern_fragment(andiron_str_of(rows[i].text));
        print_message("%s\n", rows[i].text);
        assert_int_equal(fragment.data != NULL, rows[i].fragment != NULL);
        if (rows[i].fragment != NULL)
            assert_true(andiron_str_eq(fragment, andiron_str_of(rows[i].fragment)));
    }
}

/* ---- random expressions ------------------------------------------------------------------ */

static uint64_t seed = 1;

static size_t below(size_t n)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (size_t)(seed >> 33) % n;
}

/* Pieces of one text after the other; what most of the expressions are made of, and what is special. */
static andiron_str random_text(char *out, size_t pieces, const char *const *from, size_t count)
{
    size_t len = 0;
    for (size_t i = below(pieces + 1); i > 0; i--) {
        const char *piece = from[below(count)];
        memcpy(out + len, piece, strlen(piece));
        len += strlen(piece);
    }
    return (andiron_str){ out, len };
}

static bool always(void *arg)
{
    (void)arg;
    return true;
}

static bool holds(andiron_str text, andiron_str fragment)
{
    if (fragment.len == 0)
        return true;
    for (size_t i = 0; i + fragment.len <= text.len; i++)
        if (memcmp(text.data + i, fragment.data, fragment.len) == 0)
            return true;
    return false;
}

static const char *const of_expressions[] = {
    "a",         "b",        "c",        "a",      "b",      "c",       "ab",  "1",     "^",
    "$",         "|",        "(",        "(?:",    ")",      ")",       "*",   "?",     "+",
    "{",         "}",        "{0}",      "{1}",    ",",      "{0,1}",   "[",   "[^",    "]",
    "]",         "-",        "(?=",      "(?!",    "(?<=",   "(?<a>",   "(?>", "(?i)",  "(?i:",
    "(?x)",      "(?#",      "#",        " ",      "\\",     "\\d",     "\\.", "\\Q",   "\\E",
    "\\x61",     "\\1",      "\\K",      "\\N",    "\\c",    "\\u0061", "(?|", "(?(1)", "[:alpha:]",
    "(*ACCEPT)", ".",        "\xc3\xa4", "\\p{L}", "\\g{1}", "(?1)",    "\\b", "\\]",   "\\[",
    "\\^",       "\\o{141}",
};
static const char *const of_subjects[] = { "a", "b", "c",        "ab", "1", "a", "b", "A",
                                           "{", "]", "\xc3\xa4", " ",  "#", "(", "|" };

static void random_expressions_ask_for_nothing_that_a_match_lacks(void **state)
{
    const char *rounds = getenv("ANDIRON_RANDOM_EXPRESSIONS");
    size_t left = rounds != NULL ? (size_t)atol(rounds) : 20000, matches = 0, told = 0;
    struct pattern_matcher *matcher = pattern_matcher_new(10000, 1000);

    (void)state;
    while (left-- > 0) {
        char text[256], subject[64];
        struct andiron_arena *arena = andiron_arena_new(0);
        const struct pattern *pattern;
        struct andiron_error err;
        andiron_str expression = random_text(text, 8, of_expressions,
                                             sizeof(of_expressions) / sizeof(of_expressions[0]));
        unsigned flags = PATTERN_NO_COMPILER | (below(2) != 0 ? PATTERN_ECMA : 0);
        if (pattern_compile(arena, expression, flags, &pattern, &err) == 0) {
            bool is_whole;
            andiron_str beginning = pattern_beginning(expression, &is_whole),
                        fragment = pattern_fragment(expression);
            told += beginning.len > 0 || fragment.len > 0;
            for (int i = 0; i < 12; i++) {
                andiron_str s = random_text(subject, 6, of_subjects,
                                            sizeof(of_subjects) / sizeof(of_subjects[0]));
                if (pattern_find(pattern, matcher, s, always, NULL) != PATTERN_MATCH)
                    continue;
                matches++;
                if (!holds(s, fragment) || s.len < beginning.len ||
                    (beginning.len > 0 && memcmp(s.data, beginning.data, beginning.len) != 0) ||
                    (is_whole && s.len != beginning.len))
                    fail_msg("/%.*s/ is found in '%.*s', but is said to ask for '%.*s' and to "
                             "begin with '%.*s'",
                             (int)expression.len, expression.data, (int)s.len, s.data,
                             (int)fragment.len, fragment.data, (int)beginning.len, beginning.data);
            }
        }
        andiron_arena_free(arena);
    }
    pattern_matcher_free(matcher);
    assert_true(matches > 1000 && told > 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(beginnings_are_read_as_far_as_they_are_certain),
        cmocka_unit_test(fragments_are_the_longest_certain_run),
        cmocka_unit_test(random_expressions_ask_for_nothing_that_a_match_lacks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
