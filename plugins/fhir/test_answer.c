/*
 * Indented JSON, instants and ids as they go out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "answer.h"
#include "base/arena.h"
#include "uuid.h"

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

static void pretty_json_breaks_lines_outside_of_strings_only(void **state)
{
    (void)state;
    andiron_str s =
        answer_pretty(arena, ANDIRON_STR("{\"a\":[1,{\"b\":\"{,:\\\"\"}],\"c\":{},\"d\":[]}"));
    assert_string_equal(andiron_copy(arena, s),
                        "{\n  \"a\": [\n    1,\n    {\n      \"b\": \"{,:\\\"\"\n    }\n  ],\n"
                        "  \"c\": {},\n  \"d\": []\n}\n");
}

static void new_ids_are_uuids_that_begin_with_the_time(void **state)
{
    (void)state;
    andiron_str a = uuid_new(arena), b = uuid_new(arena);
    assert_true(types_is_id(a));
    assert_int_equal(a.len, 36);
    assert_int_equal(a.data[14], '7');
    assert_false(andiron_str_eq(a, b));
    assert_memory_equal(a.data, b.data, 8);
}

static void ids_and_references_are_told_from_other_text(void **state)
{
    (void)state;
    andiron_str type, id, version;
    assert_true(types_is_id(ANDIRON_STR("a-B.9")));
    assert_false(types_is_id(ANDIRON_STR("")));
    assert_false(types_is_id(ANDIRON_STR("a_b")));
    assert_false(types_is_id(
        ANDIRON_STR("12345678901234567890123456789012345678901234567890123456789012345")));
    assert_int_equal(types_split(ANDIRON_STR("Patient/1/_history/2"), &type, &id, &version), 0);
    assert_true(andiron_str_eq(id, ANDIRON_STR("1")) && andiron_str_eq(version, ANDIRON_STR("2")));
    assert_int_equal(types_split(ANDIRON_STR("Patient/1"), &type, &id, NULL), 0);
    assert_int_equal(types_split(ANDIRON_STR("patient/1"), &type, &id, NULL), -1);
    assert_int_equal(types_split(ANDIRON_STR("Patient/"), &type, &id, NULL), -1);
    assert_int_equal(types_split(ANDIRON_STR("Patient/1/2"), &type, &id, NULL), -1);
    assert_int_equal(types_split(ANDIRON_STR("#x"), &type, &id, NULL), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pretty_json_breaks_lines_outside_of_strings_only),
        cmocka_unit_test(new_ids_are_uuids_that_begin_with_the_time),
        cmocka_unit_test(ids_and_references_are_told_from_other_text),
    };
    return cmocka_run_group_tests(tests, new_arena, end_arena);
}
