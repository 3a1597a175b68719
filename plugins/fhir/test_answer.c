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
#include "instant.h"
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

static void instants_are_utc_with_microseconds(void **state)
{
    static const struct {
        andiron_usec at;
        const char *fhir, *http;
    } rows[] = {
        { 0, "1970-01-01T00:00:00.000000Z", "Thu, 01 Jan 1970 00:00:00 GMT" },
        { 784111777000001, "1994-11-06T08:49:37.000001Z", "Sun, 06 Nov 1994 08:49:37 GMT" },
        { 1709164800000000, "2024-02-29T00:00:00.000000Z", "Thu, 29 Feb 2024 00:00:00 GMT" },
        { 1724946665117806, "2024-08-29T15:51:05.117806Z", "Thu, 29 Aug 2024 15:51:05 GMT" },
        { -1, "1969-12-31T23:59:59.999999Z", "Wed, 31 Dec 1969 23:59:59 GMT" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char fhir[INSTANT_LEN + 1] = "", http[INSTANT_HTTP_LEN + 1] = "";
        instant_put(rows[i].at, fhir);
        instant_put_http(rows[i].at, http);
        assert_string_equal(fhir, rows[i].fhir);
        assert_string_equal(http, rows[i].http);
        if (rows[i].at >= 0)
            assert_int_equal(instant_parse_http(andiron_str_of(http)),
                             rows[i].at / 1000000 * 1000000);
    }
}

static void other_dates_are_no_http_dates(void **state)
{
    static const char *const rows[] = { "",
                                        "2024-01-01",
                                        "Sun, 06 Nov 1994 08:49:37 UTC",
                                        "Sun, 06 Foo 1994 08:49:37 GMT",
                                        "Sun, xx Nov 1994 08:49:37 GMT",
                                        "Sun, 06 Nov 1994 24:49:37 GMT" };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(instant_parse_http(andiron_str_of(rows[i])), -1);
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
        cmocka_unit_test(instants_are_utc_with_microseconds),
        cmocka_unit_test(other_dates_are_no_http_dates),
        cmocka_unit_test(new_ids_are_uuids_that_begin_with_the_time),
        cmocka_unit_test(ids_and_references_are_told_from_other_text),
    };
    return cmocka_run_group_tests(tests, new_arena, end_arena);
}
