/*
 * FHIR's rules for JSON (json.html), each violation with its place.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/arena.h"
#include "check.h"

static struct andiron_arena *arena;

static int new_arena(void **state)
{
    (void)state;
    arena = arena_new();
    return 0;
}

static int end_arena(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

static struct issues check(const char *text, bool platform)
{
    andiron_json root = { NULL, 0 };
    struct andiron_error err;
    struct issues issues;
    if (andiron_json_parse(arena, andiron_str_of(text), &root, &err) != 0)
        fail_msg("%s: %s", text, err.message);
    issues_init(&issues, arena, ANDIRON_STR("Patient"));
    if (platform)
        check_platform(root, &issues);
    else
        check_resource(root, &issues);
    return issues;
}

static void violations_are_found_with_their_place(void **state)
{
    static const struct {
        const char *text, *where;
    } rows[] = {
        { "{}", "Patient" },
        { "{\"a\":{}}", "Patient.a" },
        { "{\"a\":[]}", "Patient.a" },
        { "{\"a\":\"\"}", "Patient.a" },
        { "{\"a\":null}", "Patient.a" },
        { "{\"a\":\"x\\u0000y\"}", "Patient.a" },
        { "{\"a\":[{\"b\":{\"c\":[\"x\",\"\"]}}]}", "Patient.a[0].b.c[1]" },
        { "{\"a\":[[1]]}", "Patient.a[0]" },
        { "{\"given\":[\"A\",null]}", "Patient.given[1]" },
        { "{\"given\":[{\"x\":1},null],\"_given\":[null,{\"id\":\"1\"}]}", "Patient.given[1]" },
        { "{\"_given\":[null,{\"id\":\"1\"}]}", "Patient._given[0]" },
        { "{\"meta\":[1]}", "Patient.meta" },
        { "{\"meta\":{\"tag\":[{\"code\":\"a\"},{\"code\":\"SUBSETTED\"}]}}",
          "Patient.meta.tag[1]" },
        { "{\"contained\":[{\"name\":\"\"}]}", "Patient.contained[0].name" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct issues issues = check(rows[i].text, false);
        if (issues.count == 0 || strcmp(issues.list[0].where, rows[i].where) != 0)
            fail_msg("%s: %zu issues, the first at %s", rows[i].text, issues.count,
                     issues.count > 0 ? issues.list[0].where : "-");
    }
}

static void nulls_keep_primitives_and_their_extensions_in_step(void **state)
{
    (void)state;
    assert_int_equal(
        check("{\"given\":[\"A\",null],\"_given\":[null,{\"id\":\"1\"}]}", false).count, 0);
    assert_int_equal(check("{\"given\":[null],\"_given\":[{\"id\":\"1\"}]}", false).count, 0);
}

static void all_violations_are_reported_up_to_a_limit(void **state)
{
    (void)state;
    struct issues issues = check("{\"a\":\"\",\"b\":[],\"c\":{\"d\":null}}", false);
    assert_int_equal(issues.count, 3);
    assert_string_equal(issues.list[2].where, "Patient.c.d");

    char text[1024] = "{\"a\":[\"\"";
    for (int i = 0; i < 100; i++)
        strcat(text, ",\"\"");
    strcat(text, "]}");
    assert_int_equal(check(text, false).count, ISSUES_MAX);
}

static void a_subsetted_resource_is_a_matter_of_content(void **state)
{
    (void)state;
    struct issues issues = check("{\"meta\":{\"tag\":[{\"code\":\"SUBSETTED\"}]}}", false);
    assert_int_equal(andiron_code_http(issues.list[0].code), 422);
    assert_int_equal(andiron_code_http(check("{\"a\":\"\"}", false).list[0].code), 400);
}

static void platform_types_may_hold_anything_but_nul(void **state)
{
    (void)state;
    assert_int_equal(
        check("{\"secret\":null,\"details\":{},\"a\":[],\"b\":\"\",\"c\":[[null]]}", true).count,
        0);
    struct issues issues = check("{\"details\":[[\"\\u0000\"]]}", true);
    assert_int_equal(issues.count, 1);
    assert_string_equal(issues.list[0].where, "Patient.details[0][0]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(violations_are_found_with_their_place),
        cmocka_unit_test(nulls_keep_primitives_and_their_extensions_in_step),
        cmocka_unit_test(all_violations_are_reported_up_to_a_limit),
        cmocka_unit_test(a_subsetted_resource_is_a_matter_of_content),
        cmocka_unit_test(platform_types_may_hold_anything_but_nul),
    };
    return cmocka_run_group_tests(tests, new_arena, end_arena);
}
