/*
 * Index terms by data type: each resource, and the terms it must and must not give.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "common/fhir/extract.h"
#include "common/fhir/types.h"

static char text[16384];
static size_t len;

static void put(const char *fmt, ...) ANDIRON_PRINTF(1, 2);
static void put(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    len += (size_t)vsnprintf(text + len, sizeof(text) - len, fmt, args);
    va_end(args);
    assert_true(len < sizeof(text));
}

static void put_term(const struct andiron_term *t)
{
    static const char *const kinds[] = { "token",  "string",   "ref", "date",
                                         "number", "quantity", "uri", "present" };
    put("%s %s", t->param, kinds[t->kind]);
    if (t->group != 0)
        put(" %u.%u", t->group, t->part);
    if (t->system.data != NULL)
        put(" [%.*s]", (int)t->system.len, t->system.data);
    if (t->text.data != NULL)
        put(" '%.*s'", (int)t->text.len, t->text.data);
    if (t->exact.data != NULL)
        put(" \"%.*s\"", (int)t->exact.len, t->exact.data);
    if (t->kind == ANDIRON_TERM_DATE)
        put(" %lld..%lld", (long long)t->range.date.low / 1000000,
            (long long)t->range.date.high / 1000000);
    if (t->kind == ANDIRON_TERM_NUMBER || t->kind == ANDIRON_TERM_QUANTITY)
        put(" %.9g..%.9g", t->range.number.low, t->range.number.high);
    put("\n");
}

static int extract(struct andiron_arena *arena, const char *json, size_t max_terms,
                   const struct andiron_term **terms, size_t *count, struct andiron_error *err)
{
    const struct fhir_extract_options options = { .base = ANDIRON_STR("https://host"),
                                                  .has_text = true,
                                                  .max_terms = max_terms };
    andiron_json resource;
    assert_int_equal(andiron_json_parse(arena, andiron_str_of(json), &resource, err), 0);
    int type = fhir_type(andiron_json_str(andiron_json_get(resource, "resourceType")));
    assert_true(type >= 0);
    struct fhir_extract_root root = fhir_extract_r4(type);
    return fhir_extract(arena, &options, &root, resource, terms, count, err);
}

/* Terms of the parameters named param or "param#word", without PRESENT; one a line. */
static const char *terms_of(const char *param, const char *json)
{
    struct andiron_arena *arena = arena_new();
    const struct andiron_term *terms;
    struct andiron_error err;
    size_t count;

    assert_int_equal(extract(arena, json, 1000, &terms, &count, &err), 0);
    len = 0;
    text[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        size_t param_len = strlen(param);
        bool is_same = strncmp(terms[i].param, param, param_len) == 0 &&
                       (terms[i].param[param_len] == '\0' || terms[i].param[param_len] == '#');
        if (is_same && terms[i].kind != ANDIRON_TERM_PRESENT)
            put_term(&terms[i]);
    }
    arena_free(arena);
    return text;
}

static bool is_present(const char *param, const char *json)
{
    struct andiron_arena *arena = arena_new();
    const struct andiron_term *terms;
    struct andiron_error err;
    size_t count;
    bool found = false;

    assert_int_equal(extract(arena, json, 1000, &terms, &count, &err), 0);
    for (size_t i = 0; i < count; i++)
        found =
            found || (terms[i].kind == ANDIRON_TERM_PRESENT && strcmp(terms[i].param, param) == 0);
    arena_free(arena);
    return found;
}

struct golden {
    const char *param, *json, *terms;
};

static void assert_golden(const struct golden *cases, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_string_equal(terms_of(cases[i].param, cases[i].json), cases[i].terms);
}
#define ASSERT_GOLDEN(cases) assert_golden(cases, sizeof(cases) / sizeof((cases)[0]))

/* ---- tokens ------------------------------------------------------------------ */

static void tokens_come_from_seven_types(void **state)
{
    static const struct golden cases[] = {
        { "code",
          "{\"resourceType\":\"Observation\",\"code\":{\"coding\":[{\"system\":\"http://"
          "l\",\"code\":\"1\","
          "\"display\":\"One  ÉTÉ\"},{\"code\":\"b\"}],\"text\":\"T\"}}",
          "code token [http://l] '1'\ncode string 'one ete' \"One  ÉTÉ\"\ncode token 'b'\ncode "
          "string 't' \"T\"\n" },
        { "status", "{\"resourceType\":\"Observation\",\"status\":\"final\"}",
          "status token [http://hl7.org/fhir/observation-status] 'final'\n" },
        { "class", "{\"resourceType\":\"Encounter\",\"class\":{\"system\":\"s\",\"code\":\"AMB\"}}",
          "class token [s] 'AMB'\n" },
        { "identifier",
          "{\"resourceType\":\"Patient\",\"identifier\":[{\"type\":{\"coding\":[{\"system\":\"t\","
          "\"code\":\"MR\"}],"
          "\"text\":\"Record\"},\"system\":\"s\",\"value\":\"12\"},{\"value\":\"x\"},{\"system\":"
          "\"s\"}]}",
          "identifier token [s] '12'\nidentifier token [t] 'MR' \"12\"\nidentifier string 'record' "
          "\"Record\"\n"
          "identifier token 'x'\nidentifier token [s] ''\n" },
        { "phone",
          "{\"resourceType\":\"Patient\",\"telecom\":[{\"system\":\"phone\",\"value\":\"1\"},{"
          "\"system\":\"email\",\"value\":\"e\"}]}",
          "phone token [phone] '1'\n" },
        { "active", "{\"resourceType\":\"Patient\",\"active\":true}",
          "active token [http://terminology.hl7.org/CodeSystem/special-values] 'true'\n" },
        { "series",
          "{\"resourceType\":\"ImagingStudy\",\"series\":[{\"uid\":\"1.2\"},{\"uid\":\"1.3\"}]}",
          "series token '1.2'\nseries token '1.3'\n" },
        { "_tag",
          "{\"resourceType\":\"Binary\",\"meta\":{\"tag\":[{\"system\":\"s\",\"code\":\"t\"}]}}",
          "_tag token [s] 't'\n" },
        { "_language", "{\"resourceType\":\"Bundle\",\"language\":\"de\"}",
          "_language token 'de'\n" },
    };
    (void)state;
    ASSERT_GOLDEN(cases);
}

static void deceased_is_a_truth(void **state)
{
    static const struct golden cases[] = {
        { "deceased", "{\"resourceType\":\"Patient\"}", "deceased token 'false'\n" },
        { "deceased", "{\"resourceType\":\"Patient\",\"deceasedBoolean\":false}",
          "deceased token 'false'\n" },
        { "deceased", "{\"resourceType\":\"Patient\",\"deceasedBoolean\":true}",
          "deceased token 'true'\n" },
        { "deceased", "{\"resourceType\":\"Patient\",\"deceasedDateTime\":\"2013\"}",
          "deceased token 'true'\n" },
    };
    (void)state;
    ASSERT_GOLDEN(cases);
}

/* ---- strings ----------------------------------------------------------------- */

static void strings_have_words_behind_the_first(void **state)
{
    static const struct golden cases[] = {
        { "name",
          "{\"resourceType\":\"Patient\",\"name\":[{\"use\":\"usual\",\"family\":\"van der "
          "Berg-Ötker\",\"given\":[\"A\",null,\"B\"]}]}",
          "name string 'van der bergotker' \"van der Berg-Ötker\"\nname#word string 'der "
          "bergotker'\n"
          "name#word string 'bergotker'\nname#word string 'otker'\nname string 'a' \"A\"\nname "
          "string 'b' \"B\"\n" },
        { "family",
          "{\"resourceType\":\"Patient\",\"name\":[{\"family\":\"X\"},{\"family\":\"Y\"}]}",
          "family string 'x' \"X\"\nfamily string 'y' \"Y\"\n" },
        { "address",
          "{\"resourceType\":\"Location\",\"address\":{\"line\":[\"1 "
          "Way\"],\"postalCode\":\"99\",\"use\":\"home\"}}",
          "address string '1 way' \"1 Way\"\naddress#word string 'way'\naddress string '99' "
          "\"99\"\n" },
        { "value-string",
          "{\"resourceType\":\"Observation\",\"valueCodeableConcept\":{\"text\":\"T\"}}",
          "value-string string 't' \"T\"\n" },
    };
    (void)state;
    ASSERT_GOLDEN(cases);
}

/* ---- dates ------------------------------------------------------------------- */

static void dates_cover_their_range(void **state)
{
    static const struct golden cases[] = {
        { "birthdate", "{\"resourceType\":\"Patient\",\"birthDate\":\"1970-01\"}",
          "birthdate date 0..2678400\n" },
        { "date",
          "{\"resourceType\":\"Observation\",\"effectivePeriod\":{\"start\":\"1970-01-01\",\"end\":"
          "\"1970-01-01\"}}",
          "date date 0..86400\n" },
        { "date", "{\"resourceType\":\"Observation\",\"effectivePeriod\":{\"end\":\"1970-01-01\"}}",
          "date date -4611686018427..86400\n" },
        { "date", "{\"resourceType\":\"Observation\",\"effectivePeriod\":{}}", "" },
        { "date",
          "{\"resourceType\":\"Observation\",\"effectivePeriod\":{\"start\":\"1971\",\"end\":"
          "\"1969\"}}",
          "" },
        { "date",
          "{\"resourceType\":\"Observation\",\"effectiveTiming\":{\"event\":[\"1970-01-03\",\"1970-"
          "01-01\"]}}",
          "date date 0..259200\n" },
        { "date",
          "{\"resourceType\":\"Observation\",\"effectiveTiming\":{\"repeat\":{\"boundsPeriod\":{"
          "\"start\":\"1970-01-01\"}}}}",
          "date date 0..4611686018427\n" },
        { "date",
          "{\"resourceType\":\"Observation\",\"effectiveDateTime\":\"1970-01-01T01:00:00+01:00\"}",
          "date date 0..1\n" },
        /* an instant has no width: a microsecond, which is none in these seconds */
        { "date",
          "{\"resourceType\":\"Observation\",\"effectiveInstant\":\"1970-01-01T01:00:00+01:00\"}",
          "date date 0..0\n" },
        { "date", "{\"resourceType\":\"Observation\",\"effectiveDateTime\":\"soon\"}", "" },
        { "_lastUpdated", "{\"resourceType\":\"Patient\",\"meta\":{\"lastUpdated\":\"2013\"}}",
          "" },
    };
    (void)state;
    ASSERT_GOLDEN(cases);
}

/* ---- numbers ----------------------------------------------------------------- */

static void numbers_are_points_and_comparators_open_them(void **state)
{
    static const struct golden cases[] = {
        { "probability",
          "{\"resourceType\":\"RiskAssessment\",\"prediction\":[{\"probabilityDecimal\":0.80}]}",
          "probability number 0.8..0.8\n" },
        { "probability",
          "{\"resourceType\":\"RiskAssessment\",\"prediction\":[{\"probabilityRange\":{\"low\":{"
          "\"value\":1},\"high\":{\"value\":2}}}]}",
          "probability number 1..2\n" },
        { "value-quantity",
          "{\"resourceType\":\"Observation\",\"valueQuantity\":{\"value\":5.40,\"unit\":\"mg\","
          "\"system\":\"u\",\"code\":\"m\"}}",
          "value-quantity quantity [u] 'm' \"mg\" 5.4..5.4\n" },
        { "value-quantity",
          "{\"resourceType\":\"Observation\",\"valueQuantity\":{\"value\":5,\"comparator\":\"<=\"}"
          "}",
          "value-quantity quantity -inf..5\n" },
        { "value-quantity",
          "{\"resourceType\":\"Observation\",\"valueQuantity\":{\"value\":5,\"comparator\":\">=\"}"
          "}",
          "value-quantity quantity 5..inf\n" },
        { "value-quantity",
          "{\"resourceType\":\"Observation\",\"valueQuantity\":{\"value\":\"5\"}}", "" },
        { "onset-age",
          "{\"resourceType\":\"Condition\",\"onsetRange\":{\"low\":{\"value\":3,\"code\":\"a\"}}}",
          "onset-age quantity 'a' 3..inf\n" },
        { "price-override",
          "{\"resourceType\":\"ChargeItem\",\"priceOverride\":{\"value\":9.99,\"currency\":\"EUR\"}"
          "}",
          "price-override quantity [urn:iso:std:iso:4217] 'EUR' 9.99..9.99\n" },
        { "near",
          "{\"resourceType\":\"Location\",\"position\":{\"longitude\":-83.5,\"latitude\":42.25}}",
          "near number 1.1 42.25..42.25\nnear number 1.2 -83.5..-83.5\n" },
    };
    (void)state;
    ASSERT_GOLDEN(cases);
}

/* ---- references -------------------------------------------------------------- */

static void references_are_local_foreign_or_logical(void **state)
{
    static const struct golden cases[] = {
        { "subject",
          "{\"resourceType\":\"Observation\",\"subject\":{\"reference\":\"Patient/1/_history/2\"}}",
          "subject ref [Patient] '1'\n" },
        { "subject",
          "{\"resourceType\":\"Observation\",\"subject\":{\"reference\":\"https://host/fhir/"
          "Patient/1\"}}",
          "subject ref [Patient] '1'\n" },
        { "subject",
          "{\"resourceType\":\"Observation\",\"subject\":{\"reference\":\"https://other/Patient/"
          "1\"}}",
          "subject ref 'https://other/Patient/1'\n" },
        { "subject",
          "{\"resourceType\":\"Observation\",\"subject\":{\"reference\":\"#p\"},\"contained\":[{"
          "\"resourceType\":\"Patient\",\"id\":\"p\"}]}",
          "" },
        { "subject",
          "{\"resourceType\":\"Observation\",\"subject\":{\"identifier\":{\"system\":\"s\","
          "\"value\":\"v\"}}}",
          "subject token [s] 'v'\n" },
        { "patient", "{\"resourceType\":\"Observation\",\"subject\":{\"reference\":\"Patient/1\"}}",
          "patient ref [Patient] '1'\n" },
        { "patient", "{\"resourceType\":\"Observation\",\"subject\":{\"reference\":\"Group/1\"}}",
          "" },
        { "patient",
          "{\"resourceType\":\"Observation\",\"subject\":{\"reference\":\"https://o/Patient/1\"}}",
          "patient ref 'https://o/Patient/1'\n" },
        { "derived-from",
          "{\"resourceType\":\"Library\",\"relatedArtifact\":[{\"type\":\"derived-from\","
          "\"resource\":\"http://x|1#f\"},"
          "{\"type\":\"depends-on\",\"resource\":\"http://y\"}]}",
          "derived-from ref 'http://x|1'\nderived-from ref 'http://x'\n" },
        { "composition",
          "{\"resourceType\":\"Bundle\",\"entry\":[{\"resource\":{\"resourceType\":\"Composition\","
          "\"id\":\"c\"}},"
          "{\"resource\":{\"resourceType\":\"Patient\",\"id\":\"p\"}}]}",
          "composition ref [Composition] 'c'\n" },
    };
    (void)state;
    ASSERT_GOLDEN(cases);
}

static void uris_count_with_and_without_version(void **state)
{
    static const struct golden cases[] = {
        { "_profile", "{\"resourceType\":\"Patient\",\"meta\":{\"profile\":[\"http://p|2\"]}}",
          "_profile uri 'http://p|2'\n_profile uri 'http://p'\n" },
        { "url", "{\"resourceType\":\"ValueSet\",\"url\":\"http://v\"}", "url uri 'http://v'\n" },
    };
    (void)state;
    ASSERT_GOLDEN(cases);
}

/* ---- composites -------------------------------------------------------------- */

static void composites_group_what_belongs_together(void **state)
{
    static const char bp[] =
        "{\"resourceType\":\"Observation\",\"code\":{\"coding\":[{\"code\":\"bp\"}]},\"component\":"
        "["
        "{\"code\":{\"coding\":[{\"code\":\"sys\"},{\"code\":\"s2\"}]},\"valueQuantity\":{"
        "\"value\":120}},"
        "{\"code\":{\"coding\":[{\"code\":\"dia\"}]},\"valueQuantity\":{\"value\":80}},"
        "{\"code\":{\"coding\":[{\"code\":\"none\"}]}}]}";
    (void)state;
    assert_string_equal(terms_of("component-code-value-quantity", bp),
                        "component-code-value-quantity token 2.1 'sys'\n"
                        "component-code-value-quantity token 2.1 's2'\n"
                        "component-code-value-quantity quantity 2.2 120..120\n"
                        "component-code-value-quantity token 4.1 'dia'\n"
                        "component-code-value-quantity quantity 4.2 80..80\n");
    assert_string_equal(terms_of("code-value-quantity", bp), "");
    assert_false(is_present("code-value-quantity", bp));
    assert_true(is_present("component-code-value-quantity", bp));
    assert_string_equal(terms_of("chromosome-variant-coordinate",
                                 "{\"resourceType\":\"MolecularSequence\",\"referenceSeq\":{"
                                 "\"chromosome\":{\"coding\":[{\"code\":\"1\"}]}},"
                                 "\"variant\":[{\"start\":5,\"end\":7}]}"),
                        "chromosome-variant-coordinate token 1.1 "
                        "'1'\nchromosome-variant-coordinate number 1.2 5..5\n"
                        "chromosome-variant-coordinate number 1.3 7..7\n");
}

/* ---- presence and limits ----------------------------------------------------- */

static void presence_is_about_elements_not_terms(void **state)
{
    (void)state;
    assert_true(is_present("code", "{\"resourceType\":\"Observation\",\"code\":{\"text\":\"x\"}}"));
    assert_false(is_present("code", "{\"resourceType\":\"Observation\"}"));
    assert_true(is_present("subject",
                           "{\"resourceType\":\"Observation\",\"subject\":{\"display\":\"x\"}}"));
    assert_false(is_present("patient",
                            "{\"resourceType\":\"Observation\",\"subject\":{\"display\":\"x\"}}"));
    assert_false(
        is_present("given", "{\"resourceType\":\"Patient\",\"name\":[{\"given\":[null]}]}"));
    assert_true(
        is_present("_tag", "{\"resourceType\":\"Patient\",\"meta\":{\"tag\":[{\"code\":\"x\"}]}}"));
}

static void wrong_shapes_give_no_terms(void **state)
{
    static const char *const shapes[] = {
        "{\"resourceType\":\"Observation\",\"code\":\"x\"}",
        "{\"resourceType\":\"Observation\",\"code\":[[{\"coding\":[{\"code\":\"x\"}]}]]}",
        "{\"resourceType\":\"Observation\",\"code\":{\"coding\":{\"code\":\"x\"}}}",
        "{\"resourceType\":\"Observation\",\"code\":{\"coding\":[{\"code\":1}]}}",
        "{\"resourceType\":\"Observation\",\"code\":null}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        assert_string_equal(terms_of("code", shapes[i]), "");
}

static void terms_are_limited(void **state)
{
    struct andiron_arena *arena = arena_new();
    const struct andiron_term *terms;
    struct andiron_error err;
    size_t count;
    static const char json[] =
        "{\"resourceType\":\"Patient\",\"name\":[{\"given\":[\"a\",\"b\",\"c\"]}]}";
    (void)state;
    assert_int_equal(extract(arena, json, 1000, &terms, &count, &err), 0);
    assert_int_equal(extract(arena, json, count, &terms, &count, &err), 0);
    assert_int_equal(extract(arena, json, count - 1, &terms, &count, &err), -1);
    assert_int_equal(err.code, ANDIRON_E_TOO_LARGE);
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_come_from_seven_types),
        cmocka_unit_test(deceased_is_a_truth),
        cmocka_unit_test(strings_have_words_behind_the_first),
        cmocka_unit_test(dates_cover_their_range),
        cmocka_unit_test(numbers_are_points_and_comparators_open_them),
        cmocka_unit_test(references_are_local_foreign_or_logical),
        cmocka_unit_test(uris_count_with_and_without_version),
        cmocka_unit_test(composites_group_what_belongs_together),
        cmocka_unit_test(presence_is_about_elements_not_terms),
        cmocka_unit_test(wrong_shapes_give_no_terms),
        cmocka_unit_test(terms_are_limited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
