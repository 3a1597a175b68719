/*
 * Searches by parameters made at run time: by their terms when ready, not before.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "common/fhir/types.h"
#include "compile.h"

static const struct search_limits limits = { .max_params = 16,
                                             .max_values = 16,
                                             .max_conditions = 1000,
                                             .chain_depth = 3,
                                             .sort_keys = 3,
                                             .max_count = 100,
                                             .default_count = 10,
                                             .total_limit = 100 };
static const struct fhir_building building = { .percent = 42 };

/* Of Patient and of Practitioner, under the same code. */
static struct model_custom customs[] = {
    { .param = { .code = "eye", .term = "eye@1", .kind = FHIR_PARAM_TOKEN }, .is_indexed = true },
    { .param = { .code = "eye", .term = "eye@2", .kind = FHIR_PARAM_TOKEN }, .is_indexed = true },
};
static struct model model;
static struct andiron_arena *arena;
static struct andiron_error failure;
static struct andiron_search_plan plan;

static int compile_as(const char *type, const char *expression, bool is_strict)
{
    struct compiling c = {
        .model = &model, .limits = &limits, .arena = arena, .is_strict = is_strict, .err = &failure
    };
    return search_compile(&c, andiron_str_of(type), andiron_str_of(expression), &plan);
}

static void set_building(int which)
{
    for (int i = 0; i < 2; i++)
        customs[i].param.building = which == i ? &building : NULL;
}

static void ready_ones_are_searched_by_their_terms(void **state)
{
    (void)state;
    set_building(-1);
    assert_int_equal(compile_as("Patient", "eye=x&_sort=eye", true), 0);
    assert_string_equal(plan.query.filter->term.param, "eye@1");
    assert_string_equal(plan.query.sort[0].param, "eye@1");
    assert_int_equal(compile_as("Observation", "subject:Patient.eye=x", true), 0);
    assert_string_equal(plan.query.filter->args[0]->term.param, "eye@1");
    assert_int_equal(compile_as("Group", "eye=x", true), -1);
    assert_int_equal(compile_as("Patient", "eyes=x", true), -1);
    assert_non_null(strstr(failure.message, "did you mean \"eye\"?"));
}

static void what_is_being_built_is_refused_or_passed_over(void **state)
{
    static const char *const expressions[] = { "eye=x", "_sort=eye", "eye:missing=true",
                                               "_has:Patient:link:eye=x" };
    (void)state;
    set_building(0);
    for (size_t i = 0; i < sizeof(expressions) / sizeof(expressions[0]); i++) {
        assert_int_equal(compile_as("Patient", expressions[i], true), -1);
        assert_int_equal(failure.code, ANDIRON_E_UNAVAILABLE);
        assert_non_null(strstr(failure.message, "\"eye\" is being built, 42 %"));
        assert_int_equal(compile_as("Patient", expressions[i], false), 0);
        assert_non_null(plan.ignored[0]);
        assert_null(plan.query.filter);
    }
}

static void a_chain_through_any_type_waits_for_all_of_them(void **state)
{
    (void)state;
    set_building(1);
    assert_int_equal(compile_as("Observation", "performer.eye=x", true), -1);
    assert_int_equal(failure.code, ANDIRON_E_UNAVAILABLE);
    assert_int_equal(compile_as("Observation", "performer:Patient.eye=x", true), 0);
}

static int make(void **state)
{
    static size_t first[FHIR_TYPE_COUNT + 1];
    int patient = fhir_type(ANDIRON_STR("Patient"));
    int practitioner = fhir_type(ANDIRON_STR("Practitioner"));

    (void)state;
    arena = arena_new();
    for (int type = 0; type <= FHIR_TYPE_COUNT; type++)
        first[type] = (type > patient ? 1u : 0u) + (type > practitioner ? 1u : 0u);
    model = (struct model){ .customs = customs, .first = first };
    return 0;
}

static int drop(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ready_ones_are_searched_by_their_terms),
        cmocka_unit_test(what_is_being_built_is_refused_or_passed_over),
        cmocka_unit_test(a_chain_through_any_type_waits_for_all_of_them),
    };
    return cmocka_run_group_tests(tests, make, drop);
}
