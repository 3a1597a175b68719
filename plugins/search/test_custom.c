/*
 * SearchParameter resources: those that can be in force, and why others cannot.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "common/fhir/types.h"
#include "custom.h"

#define HEAD "{\"resourceType\":\"SearchParameter\",\"status\":\"active\","

static int read_text(struct andiron_arena *arena, const char *json, const struct custom **ret,
                     struct andiron_error *err)
{
    andiron_json resource;
    *err = (struct andiron_error){ .code = ANDIRON_OK };
    assert_int_equal(andiron_json_parse(arena, andiron_str_of(json), &resource, err), 0);
    return custom_read(arena, resource, NULL, ret, err);
}

static void active_ones_define_a_parameter_of_each_base(void **state)
{
    struct andiron_arena *arena = arena_new();
    const struct custom *c;
    struct andiron_error err;
    (void)state;
    assert_int_equal(
        read_text(arena,
                  HEAD "\"code\":\"eye-color\",\"type\":\"token\",\"base\":[\"Patient\","
                       "\"Practitioner\",\"Patient\"],\"expression\":\"Patient.extension.where(url="
                       "'u').value | Practitioner.extension.where(url='u').value\"}",
                  &c, &err),
        0);
    assert_string_equal(c->code, "eye-color");
    assert_int_equal(c->kind, FHIR_PARAM_TOKEN);
    assert_int_equal(c->base_count, 2);
    assert_int_equal(c->bases[1].type, fhir_type(ANDIRON_STR("Practitioner")));
    assert_int_equal(read_text(arena,
                               HEAD "\"code\":\"keeper\",\"type\":\"reference\",\"base\":["
                                    "\"DomainResource\"],\"target\":[\"Patient\",\"Group\"],"
                                    "\"expression\":\"extension('u').value.ofType(Reference)\"}",
                               &c, &err),
                     0);
    assert_int_equal(c->target_count, 2);
    assert_int_equal(c->base_count, FHIR_TYPE_COUNT - 3);
    assert_int_equal(
        read_text(arena,
                  HEAD "\"code\":\"use-name\",\"type\":\"composite\",\"base\":[\"Patient\"],"
                       "\"expression\":\"Patient.name\",\"component\":[{\"definition\":\"http://"
                       "hl7.org/fhir/SearchParameter/individual-gender\",\"expression\":\"use\"},"
                       "{\"definition\":\"http://hl7.org/fhir/SearchParameter/individual-family\","
                       "\"expression\":\"family\"}]}",
                  &c, &err),
        0);
    arena_free(arena);
}

static void others_define_nothing(void **state)
{
    static const char *const texts[] = {
        "{\"resourceType\":\"SearchParameter\",\"status\":\"draft\",\"expression\":\"?\"}",
        "{\"resourceType\":\"SearchParameter\",\"status\":\"retired\"}",
        HEAD "\"url\":\"http://hl7.org/fhir/SearchParameter/Patient-active\",\"code\":\"active\"}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct andiron_arena *arena = arena_new();
        const struct custom *c;
        struct andiron_error err;
        assert_int_equal(read_text(arena, texts[i], &c, &err), 0);
        assert_null(c);
        arena_free(arena);
    }
}

static void what_cannot_be_in_force_says_why(void **state)
{
#define SHAPE(code, type, base, rest)                                                              \
    HEAD "\"code\":\"" code "\",\"type\":\"" type "\",\"base\":[\"" base "\"]" rest "}"
    static const struct {
        const char *json, *where, *message;
    } cases[] = {
        { SHAPE("_x", "token", "Patient", ",\"expression\":\"Patient.id\""), "SearchParameter.code",
          "not begin with '_'" },
        { SHAPE("a b", "token", "Patient", ",\"expression\":\"Patient.id\""),
          "SearchParameter.code", "letters" },
        { SHAPE("family", "string", "Patient", ",\"expression\":\"Patient.name.family\""),
          "SearchParameter.code", "Patient has a parameter \"family\" already" },
        { SHAPE("code", "string", "Resource", ",\"expression\":\"Resource.id\""),
          "SearchParameter.code", "has a parameter \"code\" already" },
        { SHAPE("x", "special", "Patient", ",\"expression\":\"Patient.id\""),
          "SearchParameter.type", "special parameter" },
        { SHAPE("x", "string", "Patient",
                ",\"xpathUsage\":\"phonetic\",\"expression\":\"Patient.name\""),
          "SearchParameter.xpathUsage", "must be normal" },
        { SHAPE("x", "token", "Patient", ""), "SearchParameter.expression", "is missing" },
        { SHAPE("x", "token", "Patient", ",\"expression\":\"Patient.name.all(use='x')\""),
          "SearchParameter.expression", "for Patient: the function all() at character 14" },
        { SHAPE("x", "token", "Patint", ",\"expression\":\"Patient.id\""), "SearchParameter.base",
          "no resource type \"Patint\"" },
        { HEAD "\"code\":\"x\",\"type\":\"token\",\"expression\":\"Patient.id\"}",
          "SearchParameter.base", "must name" },
        { SHAPE("x", "reference", "Patient",
                ",\"target\":[\"Pat\"],\"expression\":\"Patient.managingOrganization\""),
          "SearchParameter.target", "no resource type \"Pat\"" },
        { SHAPE("x", "composite", "Patient", ",\"expression\":\"Patient.name\""),
          "SearchParameter.component", "2 or 3 components" },
        { SHAPE("x", "composite", "Patient",
                ",\"expression\":\"Patient.name\",\"component\":[{\"definition\":\"http://x\","
                "\"expression\":\"use\"}]"),
          "SearchParameter.component[0].definition", "not \"http://x\"" },
        { SHAPE("x", "token", "DomainResource",
                ",\"expression\":\"meta.extension.value | extension.value | "
                "extension.extension.value\""),
          "SearchParameter.expression", "more than 16384 paths" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct andiron_arena *arena = arena_new();
        const struct custom *c = NULL;
        struct andiron_error err;
        int failed = read_text(arena, cases[i].json, &c, &err);
        if (failed != -1 || strstr(err.message, cases[i].message) == NULL ||
            strcmp(err.where, cases[i].where) != 0)
            fail_msg("%s: %s: %s", cases[i].json, err.where, err.message);
        assert_null(c);
        assert_int_equal(err.code, ANDIRON_E_UNPROCESSABLE);
        arena_free(arena);
    }
}

static void meaning(const char *json, char ret[CUSTOM_MEANING + 1])
{
    struct andiron_arena *arena = arena_new();
    struct andiron_error err;
    andiron_json resource;
    assert_int_equal(andiron_json_parse(arena, andiron_str_of(json), &resource, &err), 0);
    custom_meaning(resource, ret);
    arena_free(arena);
}

static void another_index_is_needed_for_other_terms_only(void **state)
{
    static const char *const others[] = {
        "{\"code\":\"b\",\"type\":\"token\",\"base\":[\"Patient\"],\"expression\":\"x\"}",
        "{\"code\":\"a\",\"type\":\"string\",\"base\":[\"Patient\"],\"expression\":\"x\"}",
        "{\"code\":\"a\",\"type\":\"token\",\"base\":[\"Group\"],\"expression\":\"x\"}",
        "{\"code\":\"a\",\"type\":\"token\",\"base\":[\"Patient\"],\"expression\":\"y\"}",
        "{\"code\":\"a\",\"type\":\"token\",\"base\":[\"Patient\"],\"expression\":\"x\","
        "\"component\":"
        "[{}]}",
    };
    char first[CUSTOM_MEANING + 1], other[CUSTOM_MEANING + 1];
    (void)state;
    meaning("{\"code\":\"a\",\"type\":\"token\",\"base\":[\"Patient\"],\"expression\":\"x\"}",
            first);
    meaning("{\"description\":\"d\",\"expression\":\"x\",\"base\":[\"Patient\"],\"type\":\"token\","
            "\"code\":\"a\",\"url\":\"u\"}",
            other);
    assert_string_equal(first, other);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        meaning(others[i], other);
        assert_string_not_equal(first, other);
    }
}

static void what_narrows_one_of_r4_leaves_it_to_that(void **state)
{
    static const char *const texts[] = {
        HEAD "\"code\":\"birthdate\",\"type\":\"date\",\"base\":[\"Patient\"],\"expression\":"
             "\"Patient.birthDate\",\"derivedFrom\":\"http://hl7.org/fhir/SearchParameter/"
             "individual-birthdate\"}",
        HEAD "\"code\":\"_id\",\"type\":\"token\",\"base\":[\"Patient\"],\"expression\":"
             "\"Patient.id\",\"derivedFrom\":\"http://hl7.org/fhir/SearchParameter/Resource-id\"}",
    };
    static const char other_code[] =
        HEAD "\"code\":\"born\",\"type\":\"date\",\"base\":[\"Patient\"],\"expression\":"
             "\"Patient.birthDate\",\"derivedFrom\":\"http://hl7.org/fhir/SearchParameter/"
             "individual-birthdate\"}";
    struct andiron_arena *arena = arena_new();
    const struct custom *c;
    struct andiron_error err;
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_int_equal(read_text(arena, texts[i], &c, &err), 0);
        assert_null(c);
    }
    assert_int_equal(read_text(arena, other_code, &c, &err), 0);
    assert_non_null(c);
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(active_ones_define_a_parameter_of_each_base),
        cmocka_unit_test(others_define_nothing),
        cmocka_unit_test(another_index_is_needed_for_other_terms_only),
        cmocka_unit_test(what_narrows_one_of_r4_leaves_it_to_that),
        cmocka_unit_test(what_cannot_be_in_force_says_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
