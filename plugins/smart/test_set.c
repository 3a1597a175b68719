/*
 * What the scopes of a token come to (SC-1, SC-15, SC-16, US-4): letters and conditions by type.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "common/fhir/types.h"
#include "set.h"
#include "test_search.h"

static struct andiron_arena *arena;
static bool is_shared[FHIR_TYPE_COUNT];
static struct andiron_error failure;

static const struct scope_set *compiled_in(const char *context, const char *const *scopes)
{
    const struct set_settings settings = { .search = &test_search,
                                           .is_shared = is_shared,
                                           .base = ANDIRON_STR("https://host") };
    const struct scope_set *set;
    andiron_json claims;

    is_shared[fhir_type(ANDIRON_STR("Organization"))] = true;
    is_shared[fhir_type(ANDIRON_STR("Practitioner"))] = true;
    assert_int_equal(andiron_json_parse(arena, andiron_str_of(context), &claims, &failure), 0);
    return set_compile(&settings, arena, scopes, claims, &set, &failure) == 0 ? set : NULL;
}

/* "all", "nothing", or the conditions joined by " | ". */
static const char *shown(const struct scope_set *set, const char *type, enum andiron_access access)
{
    const struct andiron_narrowing *n = set_narrowing(set);
    const struct andiron_limit *limit = n->limit(n, andiron_str_of(type), access);
    static char text[1024];

    if (limit == NULL)
        return "all";
    if (limit->any_of[0] == NULL)
        return "nothing";
    assert_non_null(limit->prepared);
    text[0] = '\0';
    for (const char *const *one = limit->any_of; *one != NULL; one++) {
        strcat(text, one == limit->any_of ? "" : " | ");
        strcat(text, *one);
    }
    return text;
}

static void letters_are_held_apart(void **state)
{
    (void)state;
    static const char *const scopes[] = { "system/Observation.rs?category=laboratory",
                                          "system/Observation.s",
                                          "system/Patient.cu",
                                          "system/Patient.d?active=false",
                                          "openid",
                                          NULL };
    const struct scope_set *set = compiled_in("{}", scopes);
    assert_non_null(set);
    assert_true(set_is_limited(set));
    assert_string_equal(shown(set, "Observation", ANDIRON_ACCESS_SEARCH), "all");
    assert_string_equal(shown(set, "Observation", ANDIRON_ACCESS_READ), "category=laboratory");
    assert_string_equal(shown(set, "Observation", ANDIRON_ACCESS_SEE), "all");
    assert_string_equal(shown(set, "Observation", ANDIRON_ACCESS_UPDATE), "nothing");
    assert_string_equal(shown(set, "Patient", ANDIRON_ACCESS_CREATE), "all");
    assert_string_equal(shown(set, "Patient", ANDIRON_ACCESS_UPDATE), "all");
    assert_string_equal(shown(set, "Patient", ANDIRON_ACCESS_DELETE), "active=false");
    assert_string_equal(shown(set, "Patient", ANDIRON_ACCESS_READ), "nothing");
    assert_string_equal(shown(set, "Condition", ANDIRON_ACCESS_READ), "nothing");
    assert_string_equal(shown(set, "Client", ANDIRON_ACCESS_READ), "nothing");
    assert_int_equal(set_letters(set, fhir_type(ANDIRON_STR("Patient"))), 1 | 4 | 8);
}

static void scopes_on_one_type_are_a_union(void **state)
{
    (void)state;
    static const char *const scopes[] = { "system/Observation.rs?category=laboratory",
                                          "user/Observation.r?category=vital-signs",
                                          "system/Patient.s", NULL };
    test_prepared = 0;
    const struct scope_set *set = compiled_in("{}", scopes);
    assert_string_equal(shown(set, "Observation", ANDIRON_ACCESS_READ),
                        "category=vital-signs | category=laboratory");
    assert_string_equal(shown(set, "Observation", ANDIRON_ACCESS_SEARCH), "category=laboratory");
    assert_string_equal(shown(set, "Observation", ANDIRON_ACCESS_SEE),
                        "category=vital-signs | category=laboratory");
    assert_int_equal(test_prepared, 2); /* equal conditions are prepared once */
}

static void without_conditions_nothing_is_limited(void **state)
{
    (void)state;
    static const char *const scopes[] = { "system/*.cruds", NULL };
    test_prepared = 0;
    const struct scope_set *set = compiled_in("{}", scopes);
    assert_false(set_is_limited(set));
    assert_int_equal(test_prepared, 0);
    assert_string_equal(shown(set, "Coverage", ANDIRON_ACCESS_DELETE), "all");
}

static void patient_scopes_hold_the_compartment(void **state)
{
    (void)state;
    static const char *const scopes[] = { "patient/*.cruds", "patient/Condition.r?code=1", NULL };
    const struct scope_set *set = compiled_in("{\"patient\":\"12\"}", scopes);
    assert_string_equal(shown(set, "Observation", ANDIRON_ACCESS_SEARCH),
                        "_compartment=Patient/12");
    assert_string_equal(shown(set, "Patient", ANDIRON_ACCESS_UPDATE), "_compartment=Patient/12");
    assert_string_equal(shown(set, "Condition", ANDIRON_ACCESS_READ),
                        "_compartment=Patient/12&code=1 | _compartment=Patient/12");
    /* shared types may be read, and others are in nobody's compartment */
    assert_string_equal(shown(set, "Organization", ANDIRON_ACCESS_READ), "all");
    assert_string_equal(shown(set, "Organization", ANDIRON_ACCESS_SEARCH), "all");
    assert_string_equal(shown(set, "Organization", ANDIRON_ACCESS_UPDATE), "nothing");
    assert_string_equal(shown(set, "Organization", ANDIRON_ACCESS_CREATE), "nothing");
    assert_string_equal(shown(set, "ValueSet", ANDIRON_ACCESS_READ), "nothing");
    assert_string_equal(shown(set, "Location", ANDIRON_ACCESS_READ), "nothing");
}

static void a_shared_type_needs_a_scope_of_its_own(void **state)
{
    (void)state;
    static const char *const scopes[] = { "patient/Observation.rs",
                                          "patient/Practitioner.s?active=true", NULL };
    const struct scope_set *set = compiled_in("{\"patient\":\"12\"}", scopes);
    assert_string_equal(shown(set, "Organization", ANDIRON_ACCESS_READ), "nothing");
    assert_string_equal(shown(set, "Practitioner", ANDIRON_ACCESS_SEARCH), "active=true");
    assert_string_equal(shown(set, "Practitioner", ANDIRON_ACCESS_READ), "nothing");
}

static void the_patient_comes_in_several_forms(void **state)
{
    (void)state;
    static const char *const scopes[] = { "patient/Observation.rs", NULL };
    static const struct {
        const char *context, *shown;
    } rows[] = {
        { "{\"patient\":\"12\"}", "_compartment=Patient/12" },
        { "{\"patient\":\"Patient/12\"}", "_compartment=Patient/12" },
        { "{\"patient\":\"https://host/fhir/Patient/12\"}", "_compartment=Patient/12" },
        { "{\"context\":{\"patient\":\"12\"}}", "_compartment=Patient/12" },
        { "{\"context\":{\"patient\":[{\"id\":\"1\"},{\"url\":\"Patient/2\"}]}}",
          "_compartment=Patient/2 | _compartment=Patient/1" },
        { "{\"patient\":\"https://elsewhere/fhir/Patient/12\"}", "nothing" },
        { "{\"patient\":\"Group/12\"}", "nothing" },
        { "{\"patient\":\"12&code=x\"}", "nothing" },
        { "{\"patient\":\"\"}", "nothing" },
        { "{\"patient\":12}", "nothing" },
        { "{\"patient\":{\"id\":\"12\"}}", "nothing" },
        { "{\"patient\":[]}", "nothing" },
        { "{}", "nothing" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        print_message("%s\n", rows[i].context);
        assert_string_equal(
            shown(compiled_in(rows[i].context, scopes), "Observation", ANDIRON_ACCESS_SEARCH),
            rows[i].shown);
    }
}

static void without_a_patient_patient_scopes_hold_nothing(void **state)
{
    (void)state;
    static const char *const scopes[] = { "patient/*.cruds", NULL };
    const struct scope_set *set = compiled_in("{}", scopes);
    for (int type = 0; type < FHIR_TYPE_COUNT; type++)
        assert_int_equal(set_letters(set, type), 0);
}

static void what_cannot_be_judged_voids_the_token(void **state)
{
    (void)state;
    static const char *const order[] = { "system/Patient.sr", NULL };
    static const char *const unknown[] = { "system/Patient.rs?nope=1", NULL };
    static const char *const type[] = { "system/Patients.rs", NULL };
    static const char *const good[] = { "system/Patient.rs", "openid", "custom", NULL };
    assert_null(compiled_in("{}", order));
    assert_null(compiled_in("{}", unknown));
    assert_null(compiled_in("{}", type));
    assert_non_null(compiled_in("{}", good));
}

static int begin(void **state)
{
    (void)state;
    arena = andiron_arena_new(0);
    return 0;
}

static int end(void **state)
{
    (void)state;
    andiron_arena_free(arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(letters_are_held_apart),
        cmocka_unit_test(scopes_on_one_type_are_a_union),
        cmocka_unit_test(without_conditions_nothing_is_limited),
        cmocka_unit_test(patient_scopes_hold_the_compartment),
        cmocka_unit_test(a_shared_type_needs_a_scope_of_its_own),
        cmocka_unit_test(the_patient_comes_in_several_forms),
        cmocka_unit_test(without_a_patient_patient_scopes_hold_nothing),
        cmocka_unit_test(what_cannot_be_judged_voids_the_token),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
