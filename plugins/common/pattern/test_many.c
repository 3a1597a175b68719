/*
 * Many expressions at a time: which may be found is told by their shapes, of each for itself. That
 * no shape asks for too much is test_asks.c's to show.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/pattern/many.h"

/* ret[i] of the expressions, in a string of digits: '1' where it may be found. */
static void find(const char *const *texts, size_t count, const char *subject, char *ret)
{
    struct andiron_arena *arena = andiron_arena_new(0);
    andiron_str *expressions = andiron_alloc(arena, count * sizeof(*expressions));
    for (size_t i = 0; i < count; i++)
        expressions[i] = andiron_str_of(texts[i]);
    const struct pattern_many *many = pattern_many_new(arena, expressions, count);
    assert_non_null(many);
    uint64_t *words = andiron_alloc(arena, pattern_many_words(many) * sizeof(*words));
    bool *may = andiron_alloc(arena, count);
    pattern_many_find(many, andiron_str_of(subject), words, may);
    for (size_t i = 0; i < count; i++)
        ret[i] = may[i] ? '1' : '0';
    ret[count] = '\0';
    andiron_arena_free(arena);
}

static void each_is_told_from_the_others(void **state)
{
    static const char *const texts[] = { "^/fhir/(Patient|Observation)/[^/]+$",
                                         "^[v-x][0-9]{3}$",
                                         "ward-?[0-9]+",
                                         "(?i)^ward",
                                         "^(a|b)*c$",
                                         "\\d\\d",
                                         "^x.y$",
                                         "^[^a-z]+$",
                                         "colou?r",
                                         "^[a-z]{3,}$" };
    static const struct {
        const char *subject, *may;
    } rows[] = {
        { "/fhir/Patient/1", "1000000000" },
        { "/fhir/Patient/1/2", "0000000000" },
        { "/fhir/Group/1", "0000000000" },
        { "w123", "0100010000" },
        { "w12", "0000010000" },
        { "the ward7", "0010000000" },
        { "WARD", "0001000100" },
        { "ababc", "0000100001" },
        { "abdc", "0000000001" },
        { "c", "0000100000" },
        { "x\xe2\x84\xaay", "0000001000" },
        { "xzy", "0000001001" },
        { "color", "0000000011" },
        { "colour", "0000000011" },
        { "colouur", "0000000001" },
        { "", "0000000000" },
    };
    char may[16];
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        find(texts, 10, rows[i].subject, may);
        print_message("%s\n", rows[i].subject);
        assert_string_equal(may, rows[i].may);
    }
}

/* Where each expression is found, against what one would read into it. */
static void shapes_ask_for_no_more_than_their_expressions(void **state)
{
    static const char *const rows[][2] = {
        { "(^a)?b", "xb" },        { "(a$)?b", "bc" },
        { "(^|,)b", "a,b" },       { "(?i)^k$", "\xe2\x84\xaa" },
        { "(?i)^S$", "\xc5\xbf" }, { "(?<n>ab)c", "abc" },
        { "(?=a)ab", "ab" },       { "(?!b)a", "a" },
        { "^a+?b{2}+$", "abb" },
    };
    char may[2];
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        find(&rows[i][0], 1, rows[i][1], may);
        print_message("%s\n", rows[i][0]);
        assert_string_equal(may, "1");
    }
}

/* What is behind the last item that fits may be anything, the end too. */
static void of_what_is_longer_than_a_shape_the_rest_is_not_asked_for(void **state)
{
    static const char *const rows[][2] = {
        { "^%s$", "" },        { "^(%s)$", "" },     { "^(%s)+$", "" },
        { "^(x|%s)*y$", "y" }, { "^%s(a$|b)", "b" },
    };
    static const char as[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab";
    char text[128], subject[128], may[2];
    const char *pointer = text;
    (void)state;
    for (size_t from = 0; from < sizeof(as) - 60; from++) /* on either side of where it is full */
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
            const char *hole = strchr(rows[i][0], '%');
            (void)snprintf(text, sizeof(text), "%.*s%s%s", (int)(hole - rows[i][0]), rows[i][0],
                           as + from, hole + 2);
            (void)snprintf(subject, sizeof(subject), "%s%s", as + from, rows[i][1]);
            find(&pointer, 1, subject, may);
            print_message("%s\n", text);
            assert_string_equal(may, "1");
        }
}

static void what_has_no_shape_may_always_be_found(void **state)
{
    static const char *const texts[] = { "^b$", "a*",          "\\x41",     "(?=a)",
                                         "^$",  "^a{1,2,3}b$", "^a{1,,}b$", "^a{,2}b$" };
    char may[9];
    (void)state;
    find(texts, 8, "c", may);
    assert_string_equal(may, "01110111");
    find(texts, 8, "", may);
    assert_string_equal(may, "01111111");
}

static void of_a_subject_that_is_too_long_nothing_is_known(void **state)
{
    static const char *const texts[] = { "^b$" };
    static char subject[100000];
    char may[2];
    (void)state;
    memset(subject, 'a', sizeof(subject) - 1);
    find(texts, 1, subject, may);
    assert_string_equal(may, "1");
}

/* More than fit into the words: the last ones are unknown, the first are still told apart. */
static void thousands_are_told_apart_as_far_as_there_is_room(void **state)
{
    enum { COUNT = 9000 };
    static char texts[COUNT][32], may[COUNT + 1];
    static const char *pointers[COUNT];
    (void)state;
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(texts[i], sizeof(texts[i]), "^%d[a-z]{12}$", i);
        pointers[i] = texts[i];
    }
    find(pointers, COUNT, "17abcdefghijkl", may);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(may[i], i == 17 ? '1' : '0');
    assert_int_equal(may[COUNT - 1], '1');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_is_told_from_the_others),
        cmocka_unit_test(shapes_ask_for_no_more_than_their_expressions),
        cmocka_unit_test(of_what_is_longer_than_a_shape_the_rest_is_not_asked_for),
        cmocka_unit_test(what_has_no_shape_may_always_be_found),
        cmocka_unit_test(of_a_subject_that_is_too_long_nothing_is_known),
        cmocka_unit_test(thousands_are_told_apart_as_far_as_there_is_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
