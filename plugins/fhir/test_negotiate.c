/*
 * Accept, _format, Content-Type, Prefer and ETags (seed-semantics B-5).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "negotiate.h"

static void accept_chooses_between_the_two_media_types(void **state)
{
    static const struct {
        const char *accept, *fhir, *root; /* NULL: neither */
    } rows[] = {
        { "", "application/fhir+json", "application/json" },
        { "*/*", "application/fhir+json", "application/json" },
        { "application/json", "application/json", "application/json" },
        { "application/fhir+json", "application/fhir+json", "application/fhir+json" },
        { "Application/FHIR+JSON ; charset=utf-8", "application/fhir+json",
          "application/fhir+json" },
        { "application/*", "application/fhir+json", "application/json" },
        { "text/html, application/xml;q=0.9, */*;q=0.8", "application/fhir+json",
          "application/json" },
        { "application/json, */*", "application/json", "application/json" },
        { "application/json, application/fhir+json", "application/fhir+json", "application/json" },
        { "application/json;q=0.5, application/fhir+json;q=0.4", "application/json",
          "application/json" },
        { "application/json;q=0.4, application/fhir+json;q=0.5", "application/fhir+json",
          "application/fhir+json" },
        { "*/*, application/fhir+json;q=0", "application/json", "application/json" },
        { "application/fhir+json; fhirVersion=4.0", "application/fhir+json",
          "application/fhir+json" },
        { "application/fhir+json; fhirVersion=\"3.0\"", NULL, NULL },
        { "application/fhir+xml", NULL, NULL },
        { "application/json;q=0", NULL, NULL },
        { "application/json;q=2", NULL, NULL },
        { "text/*", NULL, NULL },
        { ",,;;==", NULL, NULL },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (int base = BASE_FHIR; base <= BASE_ROOT; base++) {
            const char *expected = base == BASE_FHIR ? rows[i].fhir : rows[i].root;
            const char *got =
                negotiate_accept(andiron_str_of(rows[i].accept), (enum fhir_base)base);
            if ((got == NULL) != (expected == NULL) || (got != NULL && strcmp(got, expected) != 0))
                fail_msg("%s: %s", rows[i].accept, got != NULL ? got : "neither");
        }
    }
}

static void format_names_a_media_type(void **state)
{
    (void)state;
    assert_string_equal(negotiate_format(ANDIRON_STR("json"), BASE_FHIR), "application/fhir+json");
    assert_string_equal(negotiate_format(ANDIRON_STR("application/json"), BASE_FHIR),
                        "application/json");
    assert_string_equal(negotiate_format(ANDIRON_STR("application/fhir+json"), BASE_ROOT),
                        "application/fhir+json");
    assert_string_equal(negotiate_format(ANDIRON_STR("application/fhir json"), BASE_ROOT),
                        "application/fhir+json");
    assert_null(negotiate_format(ANDIRON_STR("xml"), BASE_FHIR));
    assert_null(negotiate_format(ANDIRON_STR(""), BASE_FHIR));
}

static void bodies_are_json_in_utf8(void **state)
{
    (void)state;
    assert_true(negotiate_is_json((andiron_str){ NULL, 0 }));
    assert_true(negotiate_is_json(ANDIRON_STR("application/json")));
    assert_true(negotiate_is_json(ANDIRON_STR("application/fhir+json;charset=UTF-8")));
    assert_true(negotiate_is_json(
        ANDIRON_STR("application/fhir+json; charset=\"utf-8\"; fhirVersion=4.0")));
    assert_false(negotiate_is_json(ANDIRON_STR("application/json; charset=latin1")));
    assert_false(negotiate_is_json(ANDIRON_STR("application/fhir+xml")));
    assert_false(negotiate_is_json(ANDIRON_STR("text/plain")));
    assert_false(negotiate_is_json(ANDIRON_STR("application/jsonx")));
}

static void prefer_is_read_in_any_mixture(void **state)
{
    (void)state;
    struct wanted w = { 0 };
    negotiate_prefer(ANDIRON_STR("respond-async, return=minimal"), &w);
    assert_int_equal(w.give, RETURN_MINIMAL);
    assert_false(w.has_handling);
    w = (struct wanted){ 0 };
    negotiate_prefer(ANDIRON_STR("return=OperationOutcome; handling=strict"), &w);
    assert_int_equal(w.give, RETURN_OUTCOME);
    assert_true(w.has_handling);
    assert_int_equal(w.handling, HANDLING_STRICT);
    w = (struct wanted){ 0 };
    negotiate_prefer(ANDIRON_STR("handling = \"lenient\", return=everything"), &w);
    assert_int_equal(w.give, RETURN_DEFAULT);
    assert_int_equal(w.handling, HANDLING_LENIENT);
}

static void etags_are_compared_weakly(void **state)
{
    (void)state;
    assert_true(negotiate_etag_matches(ANDIRON_STR("W/\"3\""), 3));
    assert_true(negotiate_etag_matches(ANDIRON_STR("\"3\""), 3));
    assert_true(negotiate_etag_matches(ANDIRON_STR("\"a,b\", W/\"1\" ,W/\"3\""), 3));
    assert_true(negotiate_etag_matches(ANDIRON_STR("\"a\\\",W/\"3\""), 3)); /* no escape */
    assert_true(negotiate_etag_matches(ANDIRON_STR("*"), 3));
    assert_false(negotiate_etag_matches(ANDIRON_STR("\"x,W/\"3\""), 3));
    assert_false(negotiate_etag_matches(ANDIRON_STR("W/\"33\""), 3));
    assert_false(negotiate_etag_matches(ANDIRON_STR("3"), 3));
    assert_false(negotiate_etag_matches(ANDIRON_STR("W/\"\""), 0));
}

static void if_match_names_versions(void **state)
{
    (void)state;
    uint64_t version = 0;
    assert_int_equal(negotiate_if_match(ANDIRON_STR("W/\"12\""), &version), 0);
    assert_int_equal(version, 12);
    assert_int_equal(negotiate_if_match(ANDIRON_STR(" \"4\" "), &version), 0);
    assert_int_equal(version, 4);
    static const char *const several[] = { "*", " * ", "W/\"1\", W/\"2\"", "\"a,b\",W/\"1\"",
                                           "W/\"1\" , \",\"", "\"a\\\", \"b\"" };
    for (size_t i = 0; i < sizeof(several) / sizeof(several[0]); i++) {
        assert_int_equal(negotiate_if_match(andiron_str_of(several[i]), &version), 0);
        assert_true(version == NEGOTIATE_LOOK);
    }
    assert_int_equal(negotiate_if_match(ANDIRON_STR(", W/\"3\" ,"), &version), 0);
    assert_int_equal(version, 3);
    static const char *const wrong[] = { ",", "W/\"1\", 2", "*, W/\"1\"", "3", "W/\"1\" W/\"2\"",
                                         "\"a b\"", "\"1\"x", "w/\"1\"", "W/,\"1\"" };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(negotiate_if_match(andiron_str_of(wrong[i]), &version), -1);
    assert_int_equal(negotiate_if_match(ANDIRON_STR("W/"), &version), -1);
    assert_int_equal(negotiate_if_match(ANDIRON_STR("\""), &version), -1);
    static const char *const foreign[] = { "W/\"0\"", "\"a\"", "W/\"\"",
                                           "W/\"123456789012345678901\"" };
    for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
        assert_int_equal(negotiate_if_match(andiron_str_of(foreign[i]), &version), 0);
        assert_true(version == NEGOTIATE_FOREIGN);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accept_chooses_between_the_two_media_types),
        cmocka_unit_test(format_names_a_media_type),
        cmocka_unit_test(bodies_are_json_in_utf8),
        cmocka_unit_test(prefer_is_read_in_any_mixture),
        cmocka_unit_test(etags_are_compared_weakly),
        cmocka_unit_test(if_match_names_versions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
