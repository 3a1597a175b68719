/*
 * Decimals, folding and reference strings, each against a table.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/fhir/decimals.h"
#include "common/fhir/fold.h"
#include "common/fhir/references.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- decimals: search.html, 3.1.1.4.6 ---------------------------------------- */

static void digits_imply_a_range(void **state)
{
    static const struct {
        const char *text;
        double value, low, end; /* end is exclusive */
    } cases[] = {
        { "100", 100, 99.5, 100.5 },
        { "100.00", 100, 99.995, 100.005 },
        { "1e2", 100, 95, 105 },
        { "1.0e2", 100, 95, 105 },
        { "5.4", 5.4, 5.35, 5.45 },
        { "5.40e-3", 5.4e-3, 5.395e-3, 5.405e-3 },
        { "-5.4", -5.4, -5.45, -5.35 },
        { "0", 0, -0.5, 0.5 },
        { "0.00", 0, -0.005, 0.005 },
        { "-0.0", -0.0, -0.05, 0.05 },
        { "1", 1, 0.5, 1.5 },
        { "10", 10, 9.5, 10.5 },
        { "1E+2", 100, 95, 105 },
        { "0.1", 0.1, 0.05, 0.15 },
        { "1000", 1000, 999.5, 1000.5 },
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct fhir_decimal d;
        assert_int_equal(fhir_decimal_parse(andiron_str_of(cases[i].text), &d), 0);
        assert_true(d.value == cases[i].value);
        assert_true(d.low == cases[i].low);
        assert_true(d.high == nextafter(cases[i].end, -INFINITY));
    }
}

static void long_numbers_keep_their_meaning(void **state)
{
    struct fhir_decimal d;
    (void)state;
    assert_int_equal(fhir_decimal_parse(ANDIRON_STR("9007199254740993"), &d), 0);
    assert_true(d.low <= 9007199254740993.0 && 9007199254740993.0 <= d.high);
    assert_int_equal(
        fhir_decimal_parse(
            ANDIRON_STR("123456789012345678901234567890123456789012345678901234567890"), &d),
        0);
    assert_true(d.value == 1.2345678901234568e59);
    assert_int_equal(
        fhir_decimal_parse(ANDIRON_STR("0.00000000000000000000000000000000000000000000000001"), &d),
        0);
    assert_true(d.value == 1e-50);
}

static void other_texts_are_no_numbers(void **state)
{
    static const char *const cases[] = { "",    "-",   "01",   "1.",    ".5",      "+1",  "1e",
                                         "1e+", "abc", "1 ",   " 1",    "0x10",    "NaN", "1e999",
                                         "1,5", "--1", "1.5.", "1e5.5", "Infinity" };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct fhir_decimal d;
        double value;
        assert_int_equal(fhir_decimal_parse(andiron_str_of(cases[i]), &d), -1);
        assert_int_equal(fhir_decimal_value(andiron_str_of(cases[i]), &value), -1);
    }
}

/* ---- folding ----------------------------------------------------------------- */

static void case_accents_and_blanks_are_folded(void **state)
{
    static const struct {
        const char *text, *folded;
    } cases[] = {
        { "Eve", "eve" },
        { "  A \t\n B  ", "a b" },
        { "ÉtÉ", "ete" },
        { "E\xCC\x81t\xC3\xA9", "ete" }, /* decomposed, composed */
        { "Straße", "strasse" },
        { "Łódź Ørsted Æsir", "lodz orsted aesir" },
        { "ΆΣ", "ασ" },
        { "ЁЛКА", "елка" },
        { "ﬁn", "fin" },
        { "１２", "12" },
        { "한글", "\xE1\x84\x92\xE1\x85\xA1\xE1\x86\xAB\xE1\x84\x80\xE1\x85\xB3\xE1\x86\xAF" },
        { "日本", "日本" },
        { "𝒳", "𝒳" },
        { "a\xC2\xA0"
          "b",
          "a b" }, /* no-break space */
        { "Smith-Jones, O'Brien.", "smithjones obrien" },
        { "a - b", "a b" },
        { "\xE2\x80\x9Cx\xE2\x80\x9D", "x" }, /* quotes */
        { "1 + 1", "1 + 1" },                 /* signs are no punctuation */
        { "\xCC\x81", "" },
        { "\xff"
          "A",
          "\xff"
          "a" }, /* not UTF-8 */
        { "\xE1\x84", "\xE1\x84" },
        { "", "" },
    };
    char out[FHIR_FOLD_MAX];
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        size_t len = fhir_fold(andiron_str_of(cases[i].text), out, sizeof(out));
        assert_true(andiron_str_eq((andiron_str){ out, len }, andiron_str_of(cases[i].folded)));
    }
}

static void long_strings_are_cut_at_a_character(void **state)
{
    char out[5];
    (void)state;
    assert_int_equal(fhir_fold(ANDIRON_STR("ääää日本"), out, 5), 4); /* and no part of the next */
    assert_memory_equal(out, "aaaa", 4);
    assert_int_equal(fhir_fold(ANDIRON_STR("aaa日"), out, 5), 3);
    assert_int_equal(fhir_fold(ANDIRON_STR("aaa  bb"), out, 4), 3);
}

static void long_strings_are_folded_to_their_end(void **state)
{
    struct andiron_arena *arena = andiron_arena_new(64);
    static char text[2 * FHIR_FOLD_ALL];
    (void)state;
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = "Ab, c "[i % 6];
    assert_int_equal(fhir_folded(arena, (andiron_str){ text, FHIR_FOLD_MAX }).len, 212);
    andiron_str all = fhir_folded(arena, (andiron_str){ text, 6000 });
    assert_int_equal(all.len, 4999);
    assert_memory_equal(all.data + all.len - 4, "ab c", 4);
    assert_int_equal(fhir_folded(arena, (andiron_str){ text, sizeof(text) }).len, FHIR_FOLD_ALL);
    andiron_arena_free(arena);
}

static void words_start_behind_anything_else(void **state)
{
    static const struct {
        const char *text;
        size_t count;
        const char *words[5];
    } cases[] = {
        { "van der-Berg (mc'x) 日",
          5,
          { "derberg mcx 日", "berg mcx 日", "mcx 日", "x 日", "日" } },
        { "\xE2\x80\x9Cone\xE2\x80\x93two\xE2\x80\x9D", 1, { "two" } }, /* “one–two” */
        { "e\xCC\x81t\xC3\xA9", 0, { NULL } }, /* an accent of its own parts no word */
        { "a+b", 1, { "b" } },
        { "-a", 0, { NULL } },
        { "", 0, { NULL } },
    };
    char out[FHIR_FOLD_MAX];
    struct fhir_words words;
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        size_t len = fhir_fold_words(andiron_str_of(cases[i].text), out, sizeof(out), &words);
        assert_int_equal(words.count, cases[i].count);
        for (size_t k = 0; k < words.count; k++)
            assert_true(
                andiron_str_eq((andiron_str){ out + words.starts[k], len - words.starts[k] },
                               andiron_str_of(cases[i].words[k])));
    }
}

static void case_of_labels_does_not_matter(void **state)
{
    struct andiron_arena *arena = andiron_arena_new(64);
    (void)state;
    assert_true(andiron_str_eq(fhir_caseless(arena, ANDIRON_STR("V1.0-B")), ANDIRON_STR("v1.0-b")));
    assert_true(andiron_str_eq(fhir_caseless(arena, ANDIRON_STR("v1")), ANDIRON_STR("v1")));
    andiron_arena_free(arena);
}

/* ---- references -------------------------------------------------------------- */

static void references_are_told_apart(void **state)
{
    static const struct {
        const char *text;
        enum fhir_reference_kind kind;
        const char *type, *id, *version;
    } cases[] = {
        { "Patient/1", FHIR_REFERENCE_LOCAL, "Patient", "1", "" },
        { "Patient/1/_history/2", FHIR_REFERENCE_LOCAL, "Patient", "1", "2" },
        { "https://host/Client/a", FHIR_REFERENCE_LOCAL, "Client", "a", "" },
        { "https://host/fhir/Patient/1", FHIR_REFERENCE_LOCAL, "Patient", "1", "" },
        { "https://host/fhir/Patient/1/_history/2", FHIR_REFERENCE_LOCAL, "Patient", "1", "2" },
        { "https://hostile/fhir/Patient/1", FHIR_REFERENCE_URL, "Patient", "1", "" },
        { "https://host/other/Patient/1", FHIR_REFERENCE_URL, "Patient", "1", "" },
        { "https://other/fhir/Patient/1", FHIR_REFERENCE_URL, "Patient", "1", "" },
        { "urn:uuid:c757873d-ec9a-4326-a141-556f43239520", FHIR_REFERENCE_URL, "", "", "" },
        { "http://x/ValueSet/v|1", FHIR_REFERENCE_URL, "", "", "" },
        { "#p", FHIR_REFERENCE_FRAGMENT, "", "", "" },
        { "Patient?identifier=1", FHIR_REFERENCE_OTHER, "", "", "" },
        { "Patient", FHIR_REFERENCE_OTHER, "", "", "" },
        { "patient/1", FHIR_REFERENCE_OTHER, "", "", "" },
        { "Patient/", FHIR_REFERENCE_OTHER, "", "", "" },
        { "Patient/a_b", FHIR_REFERENCE_OTHER, "", "", "" },
        { "", FHIR_REFERENCE_OTHER, "", "", "" },
        { "/", FHIR_REFERENCE_OTHER, "", "", "" },
        { "_history/1", FHIR_REFERENCE_OTHER, "", "", "" },
        { "/_history/1", FHIR_REFERENCE_OTHER, "", "", "" },
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct fhir_reference ref =
            fhir_reference_parse(andiron_str_of(cases[i].text), ANDIRON_STR("https://host"));
        assert_int_equal(ref.kind, cases[i].kind);
        assert_true(andiron_str_eq(ref.type, andiron_str_of(cases[i].type)));
        assert_true(andiron_str_eq(ref.id, andiron_str_of(cases[i].id)));
        assert_true(andiron_str_eq(ref.version, andiron_str_of(cases[i].version)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digits_imply_a_range),
        cmocka_unit_test(long_numbers_keep_their_meaning),
        cmocka_unit_test(other_texts_are_no_numbers),
        cmocka_unit_test(case_accents_and_blanks_are_folded),
        cmocka_unit_test(long_strings_are_cut_at_a_character),
        cmocka_unit_test(long_strings_are_folded_to_their_end),
        cmocka_unit_test(words_start_behind_anything_else),
        cmocka_unit_test(case_of_labels_does_not_matter),
        cmocka_unit_test(references_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
