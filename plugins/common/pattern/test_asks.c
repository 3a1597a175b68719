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
#include "common/pattern/many.h"
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

static void fragments_are_what_tells_most_for_certain(void **state)
{
    static const struct {
        const char *text, *fragments; /* with a space between; NULL: none known */
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
        { "abc|abd", "abc abd" },
        { "(abc)", "abc" },
        { "/(Patient|Group)/", "Patient Group" },
        { "/(Patient|Group|)/", "/" },
        { "/(Patient|Group)?/", "/" },
        { "(a|b(c|de)f)g", "g" },
        { "(?=.*abc)x", "abc" },
        { "(?!abc|d)", NULL },
        { "(a|b|c|d|e|f|g|h|i|j|k|l|m|n|o|p|q)", NULL },
        { "\\d", NULL },
        { "", NULL },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        andiron_str fragments[PATTERN_FRAGMENTS];
        const char *left = rows[i].fragments != NULL ? rows[i].fragments : "";
        size_t count = pattern_fragments(andiron_str_of(rows[i].text), fragments);
        print_message("%s\n", rows[i].text);
        for (size_t f = 0; f < count; f++) {
            size_t len = strcspn(left, " ");
            assert_true(andiron_str_eq(fragments[f], (andiron_str){ left, len }));
            left += len + (left[len] == ' ');
        }
        assert_string_equal(left, "");
    }
}

/* ---- random expressions ------------------------------------------------------------------ */

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

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
    "a",        "b",        "c",           "a",      "b",      "c",         "ab",        "1",
    "^",        "$",        "|",           "(",      "(?:",    ")",         ")",         "*",
    "?",        "+",        "{",           "}",      "{0}",    "{1}",       ",",         "{0,1}",
    "[",        "[^",       "]",           "]",      "-",      "(?=",       "(?!",       "(?<=",
    "(?<a>",    "(?>",      "(?i)",        "(?i:",   "(?x)",   "(?#",       "#",         " ",
    "\\",       "\\d",      "\\.",         "\\Q",    "\\E",    "\\x61",     "\\1",       "\\K",
    "\\N",      "\\c",      "\\u0061",     "(?|",    "(?(1)",  "[:alpha:]", "(*ACCEPT)", ".",
    "\xc3\xa4", "\\p{L}",   "\\g{1}",      "(?1)",   "\\b",    "\\]",       "\\[",       "\\^",
    "\\o{141}", "[a-c]",    "[^a]",        "[^\\d]", "{2,}",   "\\w",       "\\S",       "s",
    "K",        "\xc5\xbf", "[k\xc3\xa4]", "\\R",    "[\\s-]",
};
static const char *const of_subjects[] = {
    "a", "b", "c",        "ab",           "1",   "a", "b", "A", "{", "]", " ", "#", "(", "|", "S",
    "k", "-", "\xc3\xa4", "\xe2\x84\xaa", "\r\n"
};

static bool holds_any(andiron_str text, const andiron_str *fragments, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (holds(text, fragments[i]))
            return true;
    return count == 0;
}

/* What is told of an expression. */
struct told {
    andiron_str beginning, fragments[PATTERN_FRAGMENTS];
    size_t count;
    bool is_whole;
    const struct pattern_many *shapes; /* NULL: nothing */
};

static bool has_shape(const struct told *told, andiron_str text)
{
    uint64_t words[8];
    bool may = told->shapes == NULL;
    if (told->shapes != NULL)
        pattern_many_find(told->shapes, text, words, &may);
    return may;
}

static bool is_kept(const struct told *told, andiron_str text)
{
    andiron_str b = told->beginning;
    if (!has_shape(told, text))
        return false;
    if (b.len > 0 && (text.len < b.len || memcmp(text.data, b.data, b.len) != 0))
        return false;
    return (!told->is_whole || text.len == b.len) && holds_any(text, told->fragments, told->count);
}

/* In how many of some random texts the expression is found. */
static size_t matches_of(andiron_str expression, struct pattern_matcher *matcher,
                         size_t *told_count)
{
    struct andiron_arena *arena = andiron_arena_new(0);
    unsigned flags = PATTERN_NO_COMPILER | (below(2) != 0 ? PATTERN_ECMA : 0);
    const struct pattern *pattern;
    struct andiron_error err;
    struct told told;
    size_t matches = 0;

    if (pattern_compile(arena, expression, flags, &pattern, &err) == 0) {
        told.beginning = pattern_beginning(expression, &told.is_whole);
        told.count = pattern_fragments(expression, told.fragments);
        *told_count += told.count > 0;
        told.shapes = pattern_many_new(arena, &expression, 1);
        for (int i = 0; i < 12; i++) {
            char text[64];
            andiron_str subject = random_text(text, 6, of_subjects, COUNT_OF(of_subjects));
            if (pattern_find(pattern, matcher, subject, always, NULL) != PATTERN_MATCH)
                continue;
            matches++;
            if (!is_kept(&told, subject))
                fail_msg("/%.*s/ asks for something that '%.*s' lacks, in which it is found",
                         (int)expression.len, expression.data, (int)subject.len, subject.data);
        }
    }
    andiron_arena_free(arena);
    return matches;
}

static void random_expressions_ask_for_nothing_that_a_match_lacks(void **state)
{
    const char *wanted = getenv("ANDIRON_RANDOM_EXPRESSIONS");
    long left = wanted != NULL ? atol(wanted) : 20000;
    size_t matches = 0, told = 0;
    struct pattern_matcher *matcher = pattern_matcher_new(10000, 1000);

    (void)state;
    while (left-- > 0) {
        char text[256];
        matches += matches_of(random_text(text, 8, of_expressions, COUNT_OF(of_expressions)),
                              matcher, &told);
    }
    pattern_matcher_free(matcher);
    assert_true(matches > 1000 && told > 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(beginnings_are_read_as_far_as_they_are_certain),
        cmocka_unit_test(fragments_are_what_tells_most_for_certain),
        cmocka_unit_test(random_expressions_ask_for_nothing_that_a_match_lacks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
