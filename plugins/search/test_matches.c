/*
 * Searches against resources: compile, extract and match together, by the readings of the
 * standard. What a store answers must be the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/arena.h"
#include "compile.h"
#include "matches.h"

static const struct search_limits limits = { .max_params = 256,
                                             .max_values = 256,
                                             .max_conditions = 10000,
                                             .chain_depth = 3,
                                             .sort_keys = 3,
                                             .max_count = 1000,
                                             .default_count = 100,
                                             .total_limit = 1000,
                                             .max_codes = 1000,
                                             .max_sets = 32 };

static bool finds(const char *expression, const char *json)
{
    struct andiron_arena *arena = arena_new();
    const struct fhir_extract_options options = { .base = ANDIRON_STR("https://host"),
                                                  .has_text = true,
                                                  .max_terms = 1000 };
    struct andiron_error err = { .code = ANDIRON_OK };
    struct model model = { NULL };
    struct compiling c = { .model = &model,
                           .limits = &limits,
                           .arena = arena,
                           .base = options.base,
                           .is_strict = true,
                           .err = &err };
    struct andiron_search_plan plan;
    const struct andiron_term *terms;
    struct search_type type;
    andiron_json resource;
    size_t count;

    assert_int_equal(andiron_json_parse(arena, andiron_str_of(json), &resource, &err), 0);
    andiron_str name = andiron_json_str(andiron_json_get(resource, "resourceType"));
    assert_true(model_type(&model, name, &type));
    struct fhir_extract_root root = model_root(&type);
    assert_int_equal(fhir_extract(arena, &options, &root, resource, &terms, &count, &err), 0);
    if (search_compile(&c, name, andiron_str_of(expression), &plan) != 0)
        fail_msg("%s: %s", expression, err.message);
    bool found = matches_filter(plan.query.filter, type.name,
                                andiron_json_str(andiron_json_get(resource, "id")), terms, count);
    arena_free(arena);
    return found;
}

/* Expressions that find the resource; those that do not start with '-'. */
static void assert_found(const char *json, const char *const *expressions, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bool is_wanted = expressions[i][0] != '-';
        if (finds(expressions[i] + (is_wanted ? 0 : 1), json) != is_wanted)
            fail_msg("%s: %s", expressions[i], json);
    }
}
#define ASSERT_FOUND(json, expressions)                                                            \
    assert_found(json, expressions, sizeof(expressions) / sizeof((expressions)[0]))

static void tokens_match_by_system_and_code(void **state)
{
    static const char json[] =
        "{\"resourceType\":\"Observation\",\"id\":\"o\",\"status\":\"final\",\"code\":{\"coding\":["
        "{\"system\":\"http://loinc.org\",\"code\":\"4548-4\",\"display\":\"Hemoglobin A1c\"},"
        "{\"code\":\"local\"}]}}";
    static const char *const expressions[] = {
        "code=4548-4",
        "code=http://loinc.org%7C4548-4",
        "code=http://loinc.org%7C",
        "code=local",
        "code=%7Clocal",
        "-code=%7C4548-4",
        "-code=http://snomed.info/sct%7C4548-4",
        "-code=4548-4x",
        "-code=LOCAL",
        "code=a,local",
        "-code=a,b",
        "code=4548-4&code=local",
        "-code=4548-4&code=a",
        "code:not=a",
        "-code:not=local",
        "code:text=hemo",
        "-code:text=a1c",
        "code:missing=false",
        "-code:missing=true",
        "category:missing=true",
        "category:not=lab",
        "status=final",
        "status=http://hl7.org/fhir/observation-status%7Cfinal",
        "_id=o",
        "_id=a,o",
        "-_id=p",
        "_id:not=p",
        "-_id:missing=true",
        "_id:missing=false",
        "combo-code=4548-4",
    };
    (void)state;
    ASSERT_FOUND(json, expressions);
}

static void identifiers_match_by_type(void **state)
{
    static const char json[] =
        "{\"resourceType\":\"Patient\",\"identifier\":[{\"system\":\"s\",\"value\":\"12\",\"type\":"
        "{\"coding\":[{\"system\":\"t\",\"code\":\"MR\"}]}}]}";
    static const char *const expressions[] = {
        "identifier=12",
        "identifier=s%7C12",
        "-identifier=MR",
        "-identifier=t%7CMR",
        "-identifier=t%7C",
        "identifier:of-type=t%7CMR%7C12",
        "-identifier:of-type=t%7CMR%7C13",
        "-identifier:of-type=t%7CDL%7C12",
        "-identifier:of-type=s%7CMR%7C12",
    };
    (void)state;
    ASSERT_FOUND(json, expressions);
}

static void strings_match_at_words(void **state)
{
    static const char json[] = "{\"resourceType\":\"Patient\",\"name\":[{\"family\":\"van den "
                               "Börg\",\"given\":[\"Jean-Luc\"]}]}";
    static const char *const expressions[] = {
        "family=VAN",
        "family=den",
        "family=borg",
        "family=b%C3%B6rg",
        "family=bo%CC%88rg",
        "-family=org",
        "family:contains=ORG",
        "-family:contains=x",
        "family:exact=van%20den%20B%C3%B6rg",
        "-family:exact=van%20den%20Borg",
        "-family:exact=van",
        "name=luc",
        "name=jean-l",
        "-name=uc",
        "given=jean",
        "-given=van",
        "family=van%20%20den",
    };
    (void)state;
    ASSERT_FOUND(json, expressions);
}

static void dates_compare_as_ranges(void **state)
{
    static const char instant[] =
        "{\"resourceType\":\"Observation\",\"effectiveDateTime\":\"2013-01-14T10:00:00Z\"}";
    static const char *const of_instant[] = {
        "date=2013-01-14",
        "date=2013",
        "date=2013-01-14T10:00",
        "date=2013-01-14T10:00:00Z",
        "date=2013-01-14T11:00:00%2B01:00",
        "-date=2013-01-15",
        "-date=gt2013-01-14",
        "date=gt2013-01-13",
        "date=ge2013-01-14",
        "date=le2013-01-14",
        "-date=lt2013-01-14",
        "date=lt2013-01-15",
        "date=ne2013-01-15",
        "-date=ne2013-01-14",
        "date=sa2013-01-13",
        "-date=sa2013-01-14",
        "date=eb2013-01-15",
        "-date=eb2013-01-14",
        "date=ap2013-01-15",
        "date=ge2013-01-01&date=lt2013-02-01",
        "-date=ge2013-02-01&date=lt2013-03-01",
    };
    static const char day[] =
        "{\"resourceType\":\"Observation\",\"effectiveDateTime\":\"2013-01-14\"}";
    static const char *const of_day[] = {
        "date=2013-01-14",
        "-date=2013-01-14T10:00:00Z",
        "date=2013-01",
        "date=ne2013-01-14T10:00:00Z",
    };
    static const char open[] =
        "{\"resourceType\":\"Observation\",\"effectivePeriod\":{\"start\":\"2013-01-21\"}}";
    static const char *const of_open[] = {
        "date=ge2013-03-14", "date=gt2050",  "-date=2013",        "-date=lt2013-01-21",
        "date=le2013-01-22", "-date=eb2050", "date=sa2013-01-20",
    };
    static const char none[] = "{\"resourceType\":\"Observation\"}";
    static const char *const of_none[] = { "-date=ne2013", "-date=gt1900", "date:missing=true" };
    (void)state;
    ASSERT_FOUND(instant, of_instant);
    ASSERT_FOUND(day, of_day);
    ASSERT_FOUND(open, of_open);
    ASSERT_FOUND(none, of_none);
}

static void numbers_compare_by_digits_or_exactly(void **state)
{
    static const char exact[] =
        "{\"resourceType\":\"RiskAssessment\",\"prediction\":[{\"probabilityDecimal\":5.40}]}";
    static const char *const of_exact[] = {
        "probability=5.4",    "probability=5.40",   "-probability=5.41",  "probability=5",
        "-probability=5.0",   "-probability=gt5.4", "probability=ge5.4",  "-probability=lt5.4",
        "probability=le5.4",  "probability=gt5.39", "probability=ap5",    "-probability=ap4",
        "probability=sa5.39", "probability=eb5.41", "-probability=ne5.4", "probability=ne5.5",
    };
    static const char whole[] =
        "{\"resourceType\":\"MolecularSequence\",\"referenceSeq\":{\"windowStart\":101}}";
    static const char *const of_whole[] = { "window-start=101", "window-start=101.0",
                                            "window-start=1e2", "-window-start=1.00e2",
                                            "-window-start=100" };
    (void)state;
    ASSERT_FOUND(exact, of_exact);
    ASSERT_FOUND(whole, of_whole);
}

static void quantities_compare_units_too(void **state)
{
    static const char json[] =
        "{\"resourceType\":\"Observation\",\"valueQuantity\":{\"value\":5.4,\"unit\":\"milligram\","
        "\"system\":\"http://unitsofmeasure.org\",\"code\":\"mg\"}}";
    static const char *const expressions[] = {
        "value-quantity=5.4",
        "value-quantity=5.4%7Chttp://unitsofmeasure.org%7Cmg",
        "value-quantity=5.4%7C%7Cmg",
        "value-quantity=5.4%7C%7Cmilligram",
        "-value-quantity=5.4%7C%7Cg",
        "-value-quantity=5.4%7Chttp://x%7Cmg",
        "-value-quantity=5.4%7Chttp://unitsofmeasure.org%7Cg",
        "value-quantity=gt5%7C%7Cmg",
        "value-quantity=lt5.41",
        "-value-quantity=lt5.4",
    };
    static const char below[] =
        "{\"resourceType\":\"Observation\",\"valueQuantity\":{\"value\":5,\"comparator\":\"<\"}}";
    static const char *const of_below[] = { "value-quantity=lt6", "value-quantity=lt3",
                                            "-value-quantity=5", "-value-quantity=gt5",
                                            "-value-quantity=ge5" };
    (void)state;
    ASSERT_FOUND(json, expressions);
    ASSERT_FOUND(below, of_below);
}

static void a_number_of_many_digits_finds_itself(void **state)
{
    static const char json[] = "{\"resourceType\":\"Observation\",\"valueQuantity\":{\"value\":"
                               "66.89999999999999}}";
    static const char *const expressions[] = { "value-quantity=66.89999999999999" };
    (void)state;
    ASSERT_FOUND(json, expressions);
}

static void sampled_data_match_by_their_bounds(void **state)
{
    static const char json[] =
        "{\"resourceType\":\"Observation\",\"valueSampledData\":{\"origin\":{\"value\":10,"
        "\"unit\":\"mV\"},\"period\":1,\"factor\":2,\"upperLimit\":30,\"dimensions\":1,"
        "\"data\":\"-1 E  4 U 3.5\"}}"; /* 8 .. 70 */
    static const char *const expressions[] = {
        "value-quantity=gt69", "-value-quantity=gt70", "value-quantity=lt8.1",
        "-value-quantity=lt8", "value-quantity=sa7",   "value-quantity=eb71%7C%7CmV",
        "-value-quantity=10"
    };
    static const char none[] = "{\"resourceType\":\"Observation\",\"valueSampledData\":{"
                               "\"origin\":{\"value\":10},\"data\":\"E L\"}}";
    static const char *const of_none[] = { "-value-quantity=gt0", "value-quantity:missing=false" };
    (void)state;
    ASSERT_FOUND(json, expressions);
    ASSERT_FOUND(none, of_none);
}

static void an_instant_has_no_width(void **state)
{
    static const char json[] = "{\"resourceType\":\"Observation\",\"issued\":1,"
                               "\"effectiveInstant\":\"2013-01-14T10:00:00Z\"}";
    static const char *const expressions[] = { "date=2013-01-14T10:00:00.000Z",
                                               "date=2013-01-14T10:00:00Z", "date=2013-01-14",
                                               "-date=gt2013-01-14T10:00:00.500Z" };
    (void)state;
    ASSERT_FOUND(json, expressions);
}

static void case_of_strings_as_tokens_does_not_matter(void **state)
{
    static const char json[] = "{\"resourceType\":\"Library\",\"version\":\"V1.0-Beta\","
                               "\"status\":\"draft\"}";
    static const char *const expressions[] = { "version=v1.0-BETA",    "version=V1.0-Beta",
                                               "version=%7Cv1.0-beta", "-version=v10beta",
                                               "-status=DRAFT",        "-version:not=v1.0-BETA" };
    (void)state;
    ASSERT_FOUND(json, expressions);
}

static void references_match_in_any_spelling(void **state)
{
    static const char json[] =
        "{\"resourceType\":\"Observation\",\"subject\":{\"reference\":\"Patient/12\","
        "\"identifier\":{\"system\":\"s\",\"value\":\"v\"}}}";
    static const char *const expressions[] = {
        "subject=12",
        "subject=Patient/12",
        "subject:Patient=12",
        "subject=https://host/fhir/Patient/12",
        "patient=12",
        "patient=Patient/12",
        "-subject=Group/12",
        "-subject:Group=12",
        "-subject=13",
        "subject:identifier=s%7Cv",
        "subject:identifier=v",
        "-subject:identifier=x",
        "-subject=https://other/Patient/12",
        "-subject=%23x",
        "_compartment=Patient/12",
        "-_compartment=Patient/13",
    };
    (void)state;
    ASSERT_FOUND(json, expressions);
}

static void uris_match_whole_above_or_below(void **state)
{
    static const char json[] =
        "{\"resourceType\":\"ValueSet\",\"url\":\"http://x/fhir/a/b\",\"meta\":"
        "{\"profile\":[\"http://p|1.0\"]}}";
    static const char *const expressions[] = {
        "url=http://x/fhir/a/b",
        "-url=http://x/fhir/a",
        "url:below=http://x/fhir",
        "url:below=http://x/fhir/",
        "-url:below=http://x/fh",
        "url:below=http://x/fhir/a/b",
        "url:above=http://x/fhir/a/b/c",
        "-url:above=http://x/fhir/a",
        "_profile=http://p",
        "_profile=http://p%7C1.0",
        "-_profile=http://p%7C2",
    };
    (void)state;
    ASSERT_FOUND(json, expressions);
}

static void composites_match_within_one_repetition(void **state)
{
    static const char json[] = "{\"resourceType\":\"Observation\",\"code\":{\"coding\":[{"
                               "\"system\":\"l\",\"code\":\"bp\"}]},\"component\":["
                               "{\"code\":{\"coding\":[{\"system\":\"l\",\"code\":\"sys\"}]},"
                               "\"valueQuantity\":{\"value\":140,\"code\":\"mm\"}},"
                               "{\"code\":{\"coding\":[{\"system\":\"l\",\"code\":\"dia\"}]},"
                               "\"valueQuantity\":{\"value\":80,\"code\":\"mm\"}}]}";
    static const char *const expressions[] = {
        "component-code-value-quantity=sys$140",
        "component-code-value-quantity=l%7Csys$gt130",
        "-component-code-value-quantity=dia$gt130",
        "component-code-value-quantity=dia$lt90%7C%7Cmm",
        "-component-code-value-quantity=dia$lt90%7C%7Ckg",
        "combo-code-value-quantity=dia$80",
        "-code-value-quantity=bp$80",
        "component-code-value-quantity=dia$gt130,sys$gt130",
        "component-code-value-quantity:missing=false",
        "code-value-quantity:missing=true",
    };
    (void)state;
    ASSERT_FOUND(json, expressions);
}

static void places_match_within_a_distance(void **state)
{
    static const char json[] =
        "{\"resourceType\":\"Location\",\"position\":{\"latitude\":52.52,\"longitude\":13.405}}";
    static const char date_line[] =
        "{\"resourceType\":\"Location\",\"position\":{\"latitude\":-17,\"longitude\":-179.9}}";
    static const char *const expressions[] = {
        "-near=52.45%7C13.29%7C8.5%7Ckm", /* in the box of 8.5 km, but 11 km away */
        "near=52.5%7C13.4%7C5%7Ckm",      "-near=52.5%7C13.4%7C1%7Ckm",
        "near=52.5%7C13.4%7C5000%7Cm",    "near=52.5%7C13.4",
        "-near=48.1%7C11.6%7C100%7Ckm",
    };
    static const char *const of_date_line[] = { "near=-17%7C179.9%7C50%7Ckm",
                                                "-near=-17%7C179.9%7C10%7Ckm" };
    static const char pole[] =
        "{\"resourceType\":\"Location\",\"position\":{\"latitude\":89.9,\"longitude\":100}}";
    static const char *const of_pole[] = { "near=89.9%7C-80%7C23%7Ckm",
                                           "-near=89.9%7C-80%7C22%7Ckm" };
    (void)state;
    ASSERT_FOUND(json, expressions);
    ASSERT_FOUND(date_line, of_date_line);
    ASSERT_FOUND(pole, of_pole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_match_by_system_and_code),
        cmocka_unit_test(identifiers_match_by_type),
        cmocka_unit_test(strings_match_at_words),
        cmocka_unit_test(dates_compare_as_ranges),
        cmocka_unit_test(numbers_compare_by_digits_or_exactly),
        cmocka_unit_test(quantities_compare_units_too),
        cmocka_unit_test(a_number_of_many_digits_finds_itself),
        cmocka_unit_test(sampled_data_match_by_their_bounds),
        cmocka_unit_test(an_instant_has_no_width),
        cmocka_unit_test(case_of_strings_as_tokens_does_not_matter),
        cmocka_unit_test(references_match_in_any_spelling),
        cmocka_unit_test(uris_match_whole_above_or_below),
        cmocka_unit_test(composites_match_within_one_repetition),
        cmocka_unit_test(places_match_within_a_distance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
