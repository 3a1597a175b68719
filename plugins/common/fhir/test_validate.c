/*
 * Structural validation: forms of primitives, places, limits, and what lenient lets pass. All
 * examples and what breaks them are in tests/test_issues.mjs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "common/fhir/nearest.h"
#include "common/fhir/primitives.h"
#include "common/fhir/validate.h"

/* Validates a text; the first issue as "code place: message", "" if it is valid. */
static const char *first_issue(const char *text, bool is_lenient, size_t *ret_count)
{
    static char line[600];
    struct andiron_arena *arena = arena_new();
    struct andiron_error err;
    andiron_json resource;

    assert_int_equal(andiron_json_parse(arena, andiron_str_of(text), &resource, &err), 0);
    struct fhir_validating v = {
        .arena = arena,
        .root = andiron_json_str(andiron_json_get(resource, "resourceType")),
        .is_lenient = is_lenient,
        .max = 50,
    };
    fhir_validate(&v, resource);
    line[0] = '\0';
    if (v.count > 0)
        (void)snprintf(line, sizeof(line), "%s %s: %s", andiron_code_issue(v.issues[0].code),
                       v.issues[0].where, v.issues[0].message);
    if (ret_count != NULL)
        *ret_count = v.count;
    arena_free(arena);
    return line;
}

static void assert_issue(const char *text, const char *expected)
{
    size_t count;
    const char *found = first_issue(text, false, &count);
    if (strncmp(found, expected, strlen(expected)) != 0 || count != (expected[0] != '\0'))
        fail_msg("%s: %zu issues, \"%s\" instead of \"%s\"", text, count, found, expected);
}

static void primitives_have_the_form_of_their_type(void **state)
{
    static const struct {
        enum fhir_format format;
        const char *good[8], *bad[8];
    } cases[] = {
        { FHIR_FORMAT_BOOLEAN, { "true", "false" }, { "\"true\"", "1", "null", "[]", "{}" } },
        { FHIR_FORMAT_INTEGER,
          { "0", "-1", "2147483647", "-2147483648" },
          { "-0", "1.0", "1e3", "2147483648", "-2147483649", "99999999999999999999", "\"1\"" } },
        { FHIR_FORMAT_UNSIGNED, { "0", "2147483647" }, { "-1", "0.5", "2147483648" } },
        { FHIR_FORMAT_POSITIVE, { "1", "2147483647" }, { "0", "-1", "true" } },
        { FHIR_FORMAT_DECIMAL,
          { "1.00", "-0.0", "1E-22", "12345678901234567890.5" },
          { "\"1\"", "true" } },
        { FHIR_FORMAT_STRING, { "\" \"", "\"\\u0001\"" }, { "\"\"", "\"a\\u0000\"", "1", "[]" } },
        { FHIR_FORMAT_CODE,
          { "\"a\"", "\"a b\"", "\"a\\tb\"", "\"<=\"" },
          { "\" a\"", "\"a \"", "\"a  b\"", "\"\"", "\" \"", "\"a\\u0000b\"", "1" } },
        { FHIR_FORMAT_ID, { "\"A-z.9\"" }, { "\"\"", "\"a_b\"", "\"\\u00e4\"", "1" } },
        { FHIR_FORMAT_URI,
          { "\"x\"", "\"http://\\u00e4/?a=b#c\"" },
          { "\"\"", "\"a b\"", "\"a\\n\"", "\"\\u0000\"" } },
        { FHIR_FORMAT_OID,
          { "\"urn:oid:0.0\"", "\"urn:oid:1.2.840.10008\"", "\"urn:oid:2.0.10\"" },
          { "\"urn:oid:1\"", "\"urn:oid:3.1\"", "\"urn:oid:1.02\"", "\"urn:oid:1.\"",
            "\"urn:oid:1..2\"", "\"1.2.3\"", "\"urn:oid:1.2a\"" } },
        { FHIR_FORMAT_UUID,
          { "\"urn:uuid:c757873d-ec9a-4326-a141-556f43239520\"" },
          { "\"urn:uuid:C757873D-ec9a-4326-a141-556f43239520\"",
            "\"c757873d-ec9a-4326-a141-556f43239520\"", "\"urn:uuid:c757873d\"",
            "\"urn:uuid:c757873d_ec9a-4326-a141-556f43239520\"" } },
        { FHIR_FORMAT_BASE64,
          { "\"YQ==\"", "\"YWI=\"", "\"YWJj\"", "\"YW\\r\\n Jj\"", "\"+/+/\"" },
          { "\"\"", "\" \"", "\"YQ=\"", "\"YQ\"", "\"Y===\"", "\"YQ==YQ==\"", "\"YQ-_\"" } },
        { FHIR_FORMAT_DATE,
          { "\"2020\"", "\"2020-02\"", "\"2020-02-29\"" },
          { "\"2019-02-29\"", "\"2020-13\"", "\"0000\"", "\"20\"", "\"2020-02-29T00:00:00Z\"",
            "2020" } },
        { FHIR_FORMAT_DATETIME,
          { "\"2020\"", "\"2020-02-29\"", "\"2020-02-29T23:59:60.123456789-14:00\"" },
          { "\"2020-02-29T10:00\"", "\"2020-02-29T10:00:00\"", "\"2020-02-29T24:00:00Z\"",
            "\"2020-02-29T10:00Z\"", "\"2020-02-29T10:00:00+15:00\"", "\"2020-02T10:00:00Z\"" } },
        { FHIR_FORMAT_INSTANT,
          { "\"2020-02-29T10:00:00Z\"", "\"2020-02-29T10:00:00.1+01:30\"" },
          { "\"2020\"", "\"2020-02-29\"", "\"2020-02-29T10:00:00\"" } },
        { FHIR_FORMAT_TIME,
          { "\"00:00:00\"", "\"23:59:60\"", "\"10:00:00.5\"" },
          { "\"24:00:00\"", "\"10:60:00\"", "\"10:00:61\"", "\"10:00\"", "\"10:00:00.\"",
            "\"10:00:00Z\"", "\"10:00:00.5x\"" } },
        { FHIR_FORMAT_XHTML,
          { "\"<div>x</div>\"", "\"\\n<div xmlns='x'>\\n</div>\\n\"" },
          { "\"\"", "\"x\"", "\"<p></p>\"", "\"<divide>x</divide>\"", "\"<div>x\"",
            "\"<div></div>\"", "\"<div/>\"", "{}" } },
    };
    (void)state;
    struct andiron_arena *arena = arena_new();
    andiron_json v;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (size_t j = 0; j < 8 && cases[i].good[j] != NULL; j++) {
            assert_int_equal(andiron_json_parse(arena, andiron_str_of(cases[i].good[j]), &v, NULL),
                             0);
            if (fhir_primitive_fault(cases[i].format, v) != NULL)
                fail_msg("%s %s", cases[i].good[j], fhir_primitive_fault(cases[i].format, v));
        }
        for (size_t j = 0; j < 8 && cases[i].bad[j] != NULL; j++) {
            assert_int_equal(andiron_json_parse(arena, andiron_str_of(cases[i].bad[j]), &v, NULL),
                             0);
            if (fhir_primitive_fault(cases[i].format, v) == NULL)
                fail_msg("format %d takes %s", (int)cases[i].format, cases[i].bad[j]);
        }
    }
    arena_free(arena);
}

static void strings_have_at_most_a_mebi_of_characters(void **state)
{
    (void)state;
    enum { MOST = 1024 * 1024 };
    struct andiron_arena *arena = arena_new();
    char *text = andiron_alloc(arena, 2 * MOST + 8);
    andiron_json v;
    size_t len = 1;
    text[0] = '"';
    for (int i = 0; i < MOST; i++, len += 2)
        memcpy(text + len, "\xc3\xa4", 2); /* characters, not bytes */
    memcpy(text + len, "\"", 2);
    assert_int_equal(andiron_json_parse(arena, andiron_str_of(text), &v, NULL), 0);
    assert_null(fhir_primitive_fault(FHIR_FORMAT_STRING, v));
    memcpy(text + len, "x\"", 3);
    assert_int_equal(andiron_json_parse(arena, andiron_str_of(text), &v, NULL), 0);
    assert_non_null(fhir_primitive_fault(FHIR_FORMAT_STRING, v));
    assert_non_null(fhir_primitive_fault(FHIR_FORMAT_MARKDOWN, v));
    assert_null(fhir_primitive_fault(FHIR_FORMAT_URI, v));
    arena_free(arena);
}

static void issues_name_the_place_and_what_would_be_right(void **state)
{
    static const char *const cases[][2] = {
        { "{\"resourceType\":\"Patient\"}", "" },
        { "{\"active\":true,\"resourceType\":\"Patient\"}", "" },
        { "{\"resourceType\":\"Patient\",\"brithDate\":\"2020\"}",
          "structure Patient.brithDate: is not an element of Patient; did you mean 'birthDate'?" },
        { "{\"resourceType\":\"Patient\",\"zzz\":1}",
          "structure Patient.zzz: is not an element of Patient" },
        { "{\"resourceType\":\"Patient\",\"fhir_comments\":[\"x\"]}",
          "structure Patient.fhir_comments: comments have no place" },
        { "{\"resourceType\":\"Patient\",\"name\":[{\"given\":[\"a\",1]}]}",
          "value Patient.name[0].given[1]: must be a string" },
        { "{\"resourceType\":\"Patient\",\"name\":{\"family\":\"a\"}}",
          "structure Patient.name: must be an array" },
        { "{\"resourceType\":\"Patient\",\"name\":[[{\"family\":\"a\"}]]}",
          "structure Patient.name[0]: an array must not stand directly in an array" },
        { "{\"resourceType\":\"Patient\",\"birthDate\":[\"2020\"]}",
          "structure Patient.birthDate: has at most one value" },
        { "{\"resourceType\":\"Patient\",\"gender\":\"mail\"}",
          "code-invalid Patient.gender: must be one of 'female', 'male', 'other', 'unknown'" },
        { "{\"resourceType\":\"Basic\"}", "required Basic.code: is missing: Basic needs code" },
        { "{\"resourceType\":\"Patient\",\"deceasedBoolean\":true,\"deceasedDateTime\":\"2020\"}",
          "structure Patient.deceased: has one value of one type, not both deceasedBoolean and "
          "deceasedDateTime" },
        { "{\"resourceType\":\"Patient\",\"deceasedBoolean\":true,\"_deceasedDateTime\":{"
          "\"extension\":[{\"url\":\"u\",\"valueCode\":\"c\"}]}}",
          "structure Patient.deceased: has one value" },
        { "{\"resourceType\":\"Patient\",\"extension\":[{\"url\":\"u\",\"valueCode\":\"c\","
          "\"extension\":[{\"url\":\"v\",\"valueCode\":\"c\"}]}]}",
          "value Patient.extension[0]: must have either a value[x] or extensions, not both" },
        { "{\"resourceType\":\"Patient\",\"extension\":[{\"url\":\"u\"}]}",
          "value Patient.extension[0]: must have either" },
        { "{\"resourceType\":\"Patient\",\"extension\":[{\"valueCode\":\"c\"}]}",
          "required Patient.extension[0].url: is missing" },
        { "{\"resourceType\":\"Patient\",\"extension\":[{\"url\":\"u\",\"_url\":{\"id\":\"x\"},"
          "\"valueCode\":\"c\"}]}",
          "structure Patient.extension[0]._url: is not an element" },
        { "{\"resourceType\":\"Patient\",\"name\":[{\"id\":\"n1\"}]}",
          "value Patient.name[0]: must have a value or elements" },
        { "{\"resourceType\":\"Patient\",\"contained\":[{\"resourceType\":\"Quantity\"}]}",
          "structure Patient.contained[0].resourceType: must be the name" },
        { "{\"resourceType\":\"Patient\",\"contained\":[{\"resourceType\":\"Basic\"}]}",
          "required Patient.contained[0].code" },
        { "{\"resourceType\":\"Patient\",\"name\":[{\"resourceType\":\"HumanName\","
          "\"family\":\"x\"}]}",
          "structure Patient.name[0].resourceType: is not an element of HumanName" },
        { "{\"resourceType\":\"Parameters\",\"parameter\":[{\"name\":\"a\",\"part\":[{\"name\":"
          "\"b\",\"resource\":{\"resourceType\":\"Patient\",\"x\":1}}]}]}",
          "structure Parameters.parameter[0].part[0].resource.x" },
        { "{\"resourceType\":\"Condition\",\"subject\":{\"display\":\"x\"},\"clinicalStatus\":{"
          "\"coding\":[{\"system\":\"http://terminology.hl7.org/CodeSystem/condition-clinical\","
          "\"code\":\"active\"}]}}",
          "" },
        { "{\"resourceType\":\"Condition\",\"subject\":{\"display\":\"x\"},\"clinicalStatus\":{"
          "\"coding\":[{\"system\":\"http://other\",\"code\":\"active\"}]}}",
          "code-invalid Condition.clinicalStatus: must have a coding of" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_issue(cases[i][0], cases[i][1]);
}

/* json.html#primitive */
static void arrays_of_primitives_keep_step_with_their_extensions(void **state)
{
#define EXTRA "{\"extension\":[{\"url\":\"u\",\"valueCode\":\"c\"}]}"
#define NAME(members) "{\"resourceType\":\"Patient\",\"name\":[{" members "}]}"
    static const char *const cases[][2] = {
        { NAME("\"given\":[\"a\",null],\"_given\":[null," EXTRA "]"), "" },
        { NAME("\"_given\":[null," EXTRA "],\"given\":[\"a\",null]"), "" },
        { NAME("\"given\":[null,\"a\",null],\"_given\":[" EXTRA ",{\"id\":\"x\"}," EXTRA "]"), "" },
        { NAME("\"given\":[\"a\"],\"_given\":[null," EXTRA "]"), "" },
        { NAME("\"_given\":[" EXTRA "]"), "" },
        { NAME("\"given\":[\"a\",null]"), "structure Patient.name[0].given[1]: null" },
        { NAME("\"given\":[\"a\",null],\"_given\":[" EXTRA "]"),
          "structure Patient.name[0].given[1]: null" },
        { NAME("\"_given\":[null," EXTRA "]"), "structure Patient.name[0].given[0]: null" },
        { NAME("\"given\":[\"a\"],\"_given\":" EXTRA),
          "structure Patient.name[0].given: must be an array" },
        { NAME("\"given\":[\"a\"],\"_given\":[1]"),
          "structure Patient.name[0].given[0]: must be an object with extensions" },
        { NAME("\"family\":\"a\",\"_family\":null"), "structure Patient.name[0].family: must not" },
        { NAME("\"family\":\"a\",\"_family\":[" EXTRA "]"), "structure Patient.name[0].family" },
        { NAME("\"family\":\"a\",\"_family\":{}"), "structure Patient.name[0].family: an object" },
        { NAME("\"family\":\"a\",\"_period\":" EXTRA), "structure Patient.name[0]._period" },
        { NAME("\"family\":\"a\",\"_id\":" EXTRA), "structure Patient.name[0]._id" },
        { NAME("\"family\":\"a\",\"_\":1"), "structure Patient.name[0]._" },
        { "{\"resourceType\":\"Patient\",\"name\":[null,{\"family\":\"a\"}]}",
          "structure Patient.name[0]: null" },
        { "{\"resourceType\":\"Basic\",\"code\":{\"_text\":" EXTRA "}}", "" },
        { "{\"resourceType\":\"Observation\",\"code\":{\"text\":\"x\"},\"_status\":" EXTRA "}",
          "" }, /* mandatory, and there: without a value, for a reason */
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_issue(cases[i][0], cases[i][1]);
}

static void lenient_accepts_more_than_r4_but_nothing_malformed(void **state)
{
    (void)state;
    assert_string_equal(first_issue("{\"resourceType\":\"Patient\",\"x\":[{\"y\":1}],\"_z\":{"
                                    "\"a\":true},\"gender\":\"m\",\"name\":[{\"x\":\"y\"}]}",
                                    true, NULL),
                        "");
    static const char *const refused[][2] = {
        { "{\"resourceType\":\"Patient\",\"x\":[{\"y\":[]}]}", "structure Patient.x[0].y: " },
        { "{\"resourceType\":\"Patient\",\"x\":{\"y\":\"\"}}", "structure Patient.x.y: " },
        { "{\"resourceType\":\"Patient\",\"gender\":\"a  b\"}", "value Patient.gender: " },
        { "{\"resourceType\":\"Patient\",\"birthDate\":\"x\"}", "value Patient.birthDate: " },
        { "{\"resourceType\":\"Basic\"}", "required Basic.code: " },
        { "{\"resourceType\":\"Patient\",\"name\":{}}", "structure Patient.name: " },
        { "{\"resourceType\":\"Patient\",\"contained\":[{\"resourceType\":\"X\"}]}",
          "structure Patient.contained[0].resourceType: " },
    };
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        const char *found = first_issue(refused[i][0], true, NULL);
        if (strncmp(found, refused[i][1], strlen(refused[i][1])) != 0)
            fail_msg("%s: \"%s\"", refused[i][0], found);
    }
}

static void issues_end_at_the_limit(void **state)
{
    (void)state;
    char text[4000] = "{\"resourceType\":\"Patient\",\"name\":[";
    for (int i = 0; i < 100; i++)
        strcat(text, i > 0 ? ",{\"x\":\"y\"}" : "{\"x\":\"y\"}");
    strcat(text, "]}");
    size_t count;
    (void)first_issue(text, false, &count);
    assert_int_equal(count, 50);
}

/* A name cut in the middle would send the reader to an element that does not exist. */
static void places_too_long_are_those_of_an_outer_element(void **state)
{
    (void)state;
    char text[2000] = "{\"resourceType\":\"Patient\",\"", name[300];
    memset(name, 'n', 299);
    name[299] = '\0';
    strcat(text, name);
    strcat(text, "\":1}");
    assert_issue(text, "structure Patient: is not an element of Patient");

    strcpy(text, "{\"resourceType\":\"Questionnaire\",\"status\":\"draft\"");
    for (int i = 0; i < 25; i++)
        strcat(text, ",\"item\":[{\"linkId\":\"a\",\"type\":\"group\"");
    strcat(text, ",\"x\":1");
    for (int i = 0; i < 25; i++)
        strcat(text, "}]");
    strcat(text, "}");
    assert_issue(text, "structure Questionnaire.item[0].item[0].item[0].item[0].item[0].item[0]."
                       "item[0].item[0].item[0].item[0].item[0].item[0].item[0]: is not");
}

static void the_nearest_name_is_the_one_meant(void **state)
{
    static const struct {
        const char *wanted, *expected;
    } cases[] = {
        { "brithDate", "birthDate" },
        { "Gender", "gender" },
        { "adress", "address" },
        { "gendre", "gender" },
        { "identifer", "identifier" },
        { "zzz", NULL },
        { "x", NULL },
        { "", NULL },
        { "aNameThatIsFarTooLongToBeAnyElementOfR4AtAll", NULL },
    };
    static const char *const names[] = { "active", "address",    "birthDate",
                                         "gender", "identifier", "id" };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fhir_nearest nearest = { .wanted = andiron_str_of(cases[i].wanted) };
        for (size_t j = 0; j < sizeof(names) / sizeof(names[0]); j++)
            fhir_nearest_try(&nearest, names[j]);
        if (cases[i].expected == NULL)
            assert_null(nearest.best);
        else
            assert_string_equal(nearest.best, cases[i].expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(primitives_have_the_form_of_their_type),
        cmocka_unit_test(strings_have_at_most_a_mebi_of_characters),
        cmocka_unit_test(issues_name_the_place_and_what_would_be_right),
        cmocka_unit_test(arrays_of_primitives_keep_step_with_their_extensions),
        cmocka_unit_test(lenient_accepts_more_than_r4_but_nothing_malformed),
        cmocka_unit_test(issues_end_at_the_limit),
        cmocka_unit_test(places_too_long_are_those_of_an_outer_element),
        cmocka_unit_test(the_nearest_name_is_the_one_meant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
