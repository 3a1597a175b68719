/*
 * The generated tables are sane: every name finds itself, every index is in range.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/fhir/elements.h"
#include "common/fhir/ids.h"
#include "common/fhir/params.h"
#include "common/fhir/types.h"

static void every_type_finds_itself_in_order(void **state)
{
    (void)state;
    assert_int_equal(FHIR_TYPE_COUNT, 146);
    for (int i = 0; i < FHIR_TYPE_COUNT; i++) {
        assert_int_equal(fhir_type(andiron_str_of(fhir_type_name(i))), i);
        assert_true(i == 0 || strcmp(fhir_type_name(i - 1), fhir_type_name(i)) < 0);
    }
    assert_string_equal(fhir_type_name(0), "Account");
    assert_string_equal(fhir_type_name(FHIR_TYPE_COUNT - 1), "VisionPrescription");
    assert_null(fhir_type_name(-1));
    assert_null(fhir_type_name(FHIR_TYPE_COUNT));
}

static void other_names_are_no_types(void **state)
{
    static const char *const others[] = { "",         "patient",
                                          "Patients", "Resource",
                                          "Client",   "DomainResource",
                                          "Patien",   "SubscriptionStatus",
                                          "Quantity", "MetadataResource" };
    (void)state;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_int_equal(fhir_type(andiron_str_of(others[i])), -1);
    assert_int_equal(fhir_type((andiron_str){ NULL, 0 }), -1);
}

static void every_param_finds_itself(void **state)
{
    (void)state;
    size_t own = 0, common = 0;
    for (int type = 0; type < FHIR_TYPE_COUNT; type++) {
        struct fhir_param p, found;
        for (size_t pos = 0; fhir_param_next(type, &pos, &p);) {
            assert_true(fhir_param_find(type, andiron_str_of(p.code), &found));
            assert_int_equal(found.index, p.index);
            assert_string_equal(fhir_param_code(p.index), p.code);
            assert_true(p.id[0] != '\0');
            assert_non_null(fhir_param_kind_name(p.kind));
            assert_true(p.kind == FHIR_PARAM_REFERENCE || p.target_count == 0);
            for (size_t i = 0; i < p.target_count; i++)
                assert_non_null(fhir_type_name(p.targets[i]));
            assert_true((p.kind == FHIR_PARAM_STRING) == (p.words != NULL));
            for (size_t i = 0; i < p.part_count; i++) {
                assert_true(fhir_param_part(type, &p, i, &found));
                assert_true(found.kind != FHIR_PARAM_COMPOSITE);
            }
            assert_false(fhir_param_part(type, &p, p.part_count, &found));
            if (p.code[0] == '_')
                common++;
            else
                own++;
        }
    }
    assert_int_equal(own, 1697); /* pairs of R4 but those of Resource and DomainResource */
    assert_int_equal(common, 7 * FHIR_TYPE_COUNT);
}

static void params_know_kind_and_targets(void **state)
{
    (void)state;
    struct fhir_param p;
    int observation = fhir_type(ANDIRON_STR("Observation"));
    assert_true(fhir_param_find(observation, ANDIRON_STR("patient"), &p));
    assert_int_equal(p.kind, FHIR_PARAM_REFERENCE);
    assert_int_equal(p.target_count, 1); /* where(resolve() is Patient) */
    assert_string_equal(fhir_type_name(p.targets[0]), "Patient");
    assert_string_equal(p.id, "clinical-patient");
    assert_true(fhir_param_find(observation, ANDIRON_STR("_lastUpdated"), &p));
    assert_int_equal(p.kind, FHIR_PARAM_DATE);
    assert_false(fhir_param_find(observation, ANDIRON_STR("cod"), &p));
    assert_false(fhir_param_find(observation, ANDIRON_STR("codes"), &p));
    assert_false(fhir_param_find(observation, ANDIRON_STR("_text"), &p));
    assert_false(fhir_param_find(-1, ANDIRON_STR("code"), &p));
}

static void every_element_finds_itself(void **state)
{
    (void)state;
    int structure = 0;
    size_t total = 0;
    for (; fhir_structure_name(structure) != NULL; structure++) {
        struct fhir_element e, found;
        assert_int_equal(fhir_structure(andiron_str_of(fhir_structure_name(structure))), structure);
        for (size_t pos = 0; fhir_element_next(structure, &pos, &e); total++) {
            assert_true(fhir_element_find(structure, andiron_str_of(e.name), &found));
            assert_int_equal(found.structure, e.structure);
            assert_non_null(fhir_structure_name(e.structure));
            assert_true(e.stem < strlen(e.name));
        }
    }
    assert_true(structure > FHIR_TYPE_COUNT);
    assert_true(total > 8000);
}

static void elements_know_their_content(void **state)
{
    (void)state;
    struct fhir_element e;
    int observation = fhir_structure(ANDIRON_STR("Observation"));
    assert_true(fhir_element_find(observation, ANDIRON_STR("valueQuantity"), &e));
    assert_string_equal(fhir_structure_name(e.structure), "Quantity");
    assert_int_equal(e.stem, 5);
    assert_true(e.is_summary && !e.is_array && !e.is_mandatory);
    assert_true(fhir_element_find(observation, ANDIRON_STR("component"), &e));
    assert_string_equal(fhir_structure_name(e.structure), "Observation.component");
    assert_int_equal(fhir_structure_kind(e.structure), FHIR_STRUCTURE_BACKBONE);
    assert_true(e.is_array);
    assert_true(fhir_element_find(observation, ANDIRON_STR("status"), &e));
    assert_true(e.is_mandatory && e.is_modifier);
    assert_string_equal(e.system, "http://hl7.org/fhir/observation-status");
    assert_false(fhir_element_find(observation, ANDIRON_STR("value"), &e));
    assert_false(fhir_element_find(observation, ANDIRON_STR("birthDate"), &e));
    assert_false(fhir_element_find(-1, ANDIRON_STR("status"), &e));
    assert_false(fhir_element_find(observation, ANDIRON_STR("compon"), &e));
}

/* Elements that only later versions or other collections of definitions have. */
static void elements_are_those_of_r4_alone(void **state)
{
    static const char *const others[][2] = {
        { "Binary", "url" },
        { "DeviceDefinition", "classification" },
        { "EvidenceVariable.characteristic", "definitionId" },
        { "ResearchStudy", "name" },
        { "Patient", "fhir_comments" },
    };
    (void)state;
    struct fhir_element e;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        int structure = fhir_structure(andiron_str_of(others[i][0]));
        assert_true(structure >= 0);
        assert_false(fhir_element_find(structure, andiron_str_of(others[i][1]), &e));
    }
    int outcome = fhir_structure(ANDIRON_STR("Bundle.entry.response"));
    assert_true(fhir_element_find(outcome, ANDIRON_STR("outcome"), &e));
    assert_string_equal(fhir_structure_name(e.structure), "Resource");
}

static void ids_follow_the_syntax(void **state)
{
    (void)state;
    char longest[65];
    memset(longest, 'a', sizeof(longest));
    assert_true(fhir_is_id(ANDIRON_STR("A-9.z")));
    assert_true(fhir_is_id((andiron_str){ longest, 64 }));
    assert_false(fhir_is_id((andiron_str){ longest, 65 }));
    assert_false(fhir_is_id(ANDIRON_STR("")));
    assert_false(fhir_is_id(ANDIRON_STR("a_b")));
    assert_false(fhir_is_id(ANDIRON_STR("a/b")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_finds_itself_in_order),
        cmocka_unit_test(other_names_are_no_types),
        cmocka_unit_test(every_param_finds_itself),
        cmocka_unit_test(params_know_kind_and_targets),
        cmocka_unit_test(every_element_finds_itself),
        cmocka_unit_test(elements_know_their_content),
        cmocka_unit_test(elements_are_those_of_r4_alone),
        cmocka_unit_test(ids_follow_the_syntax),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
