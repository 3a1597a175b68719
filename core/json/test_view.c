/*
 * Reading a parsed document.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <andiron/json.h>

#include "base/arena.h"

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

static andiron_json parse(const char *text)
{
    andiron_json root = { NULL, 0 };
    struct andiron_error err;
    if (andiron_json_parse(arena, andiron_str_of(text), &root, &err) != 0)
        fail_msg("%s: %s: %s", text, err.where, err.message);
    return root;
}

static void assert_str(andiron_str s, const char *expected)
{
    assert_non_null(s.data);
    assert_int_equal(s.len, strlen(expected));
    assert_memory_equal(s.data, expected, s.len);
}

static void members_and_elements_are_found(void **state)
{
    (void)state;
    andiron_json p = parse("{\"id\":\"x\", \"name\":[{\"family\":\"A\",\"given\":[\"B\",\"C\"]},"
                           "{\"family\":\"D\"}], \"n\":1, \"a.b\":true, \"\\u0069d2\":null}");

    assert_int_equal(andiron_json_type(p), ANDIRON_JSON_OBJECT);
    assert_int_equal(andiron_json_count(p), 5);
    assert_str(andiron_json_str(andiron_json_get(p, "id")), "x");
    assert_int_equal(andiron_json_type(andiron_json_get(p, "id2")), ANDIRON_JSON_NULL);
    assert_int_equal(andiron_json_type(andiron_json_get(p, "i")), ANDIRON_JSON_MISSING);
    assert_int_equal(andiron_json_type(andiron_json_get(p, "family")), ANDIRON_JSON_MISSING);
    assert_int_equal(andiron_json_int(andiron_json_member(p, ANDIRON_STR("n")), 0), 1);

    andiron_json names = andiron_json_get(p, "name");
    assert_int_equal(andiron_json_count(names), 2);
    assert_str(andiron_json_str(andiron_json_get(andiron_json_at(names, 1), "family")), "D");
    assert_int_equal(andiron_json_type(andiron_json_at(names, 2)), ANDIRON_JSON_MISSING);
    assert_int_equal(andiron_json_type(andiron_json_at(p, 0)), ANDIRON_JSON_MISSING);
    assert_int_equal(andiron_json_type(andiron_json_get(names, "0")), ANDIRON_JSON_MISSING);

    assert_str(andiron_json_str(andiron_json_path(p, "name.0.given.1")), "C");
    assert_str(andiron_json_str(andiron_json_path(p, "id")), "x");
    assert_int_equal(andiron_json_type(andiron_json_path(p, "name.2.given")), ANDIRON_JSON_MISSING);
    assert_int_equal(andiron_json_type(andiron_json_path(p, "name.x")), ANDIRON_JSON_MISSING);
    assert_int_equal(andiron_json_type(andiron_json_path(p, "name.")), ANDIRON_JSON_MISSING);
    assert_int_equal(andiron_json_type(andiron_json_path(p, "name.4294967296")),
                     ANDIRON_JSON_MISSING);
    assert_int_equal(andiron_json_type(andiron_json_path(p, "id.x.y")), ANDIRON_JSON_MISSING);
    assert_int_equal(andiron_json_type(andiron_json_path(p, "a.b")), ANDIRON_JSON_MISSING);
    assert_true(andiron_json_true(andiron_json_get(p, "a.b")));
}

static void flat_arrays_are_indexed_directly(void **state)
{
    (void)state;
    andiron_json a = parse("[0, 1, 2, 3, \"4\"]"), b = parse("[[9,8],1,[],{\"x\":[]},4]");
    for (int i = 0; i < 4; i++)
        assert_int_equal(andiron_json_int(andiron_json_at(a, (size_t)i), -1), i);
    assert_int_equal(andiron_json_int(andiron_json_at(b, 1), -1), 1);
    assert_int_equal(andiron_json_int(andiron_json_at(b, 4), -1), 4);
    assert_int_equal(andiron_json_int(andiron_json_path(b, "0.1"), -1), 8);
    assert_int_equal(andiron_json_type(andiron_json_path(a, "0/")), ANDIRON_JSON_MISSING);
    assert_int_equal(andiron_json_type(andiron_json_path(parse("[0,1,2,3,4,5,6,7,8,9]"), "1/")),
                     ANDIRON_JSON_MISSING);
    assert_int_equal(andiron_json_type(andiron_json_at(b, 5)), ANDIRON_JSON_MISSING);
}

static void a_missing_view_may_go_anywhere(void **state)
{
    (void)state;
    andiron_json m = andiron_json_get(parse("{}"), "x");
    struct andiron_json_iter it = { .of = m };

    assert_int_equal(andiron_json_type(m), ANDIRON_JSON_MISSING);
    assert_int_equal(andiron_json_type(andiron_json_get(m, "x")), ANDIRON_JSON_MISSING);
    assert_int_equal(andiron_json_type(andiron_json_at(m, 0)), ANDIRON_JSON_MISSING);
    assert_int_equal(andiron_json_type(andiron_json_path(m, "x.0")), ANDIRON_JSON_MISSING);
    assert_int_equal(andiron_json_count(m), 0);
    assert_false(andiron_json_next(&it));
    assert_null(andiron_json_str(m).data);
    assert_null(andiron_json_raw(m).data);
    assert_false(andiron_json_true(m));
    assert_int_equal(andiron_json_int(m, 7), 7);
    assert_true(andiron_json_double(m, 7.5) == 7.5);
    assert_true(andiron_json_equal(m, m));
    assert_false(andiron_json_equal(m, parse("null")));
}

static void walks_go_in_source_order_over_any_size(void **state)
{
    (void)state;
    /* Around the size from which an object has a name table behind its members. */
    for (int count = 0; count < 40; count++) {
        char text[1024] = "{";
        size_t used = 1;
        for (int i = 0; i < count; i++)
            used += (size_t)sprintf(text + used, "%s\"m%d\":[%d,{}]", i != 0 ? "," : "", i, i);
        strcpy(text + used, "}");
        andiron_json object = parse(text);
        assert_int_equal(andiron_json_count(object), count);

        struct andiron_json_iter it = { .of = object };
        int seen = 0;
        while (andiron_json_next(&it)) {
            char name[16];
            sprintf(name, "m%d", seen);
            assert_str(it.name, name);
            assert_int_equal(andiron_json_int(andiron_json_at(it.value, 0), -1), seen);
            assert_int_equal(
                andiron_json_int(andiron_json_at(andiron_json_get(object, name), 0), -1), seen);
            seen++;
        }
        assert_int_equal(seen, count);
        assert_false(andiron_json_next(&it));
        assert_null(it.name.data);
        assert_int_equal(andiron_json_type(it.value), ANDIRON_JSON_MISSING);
        assert_int_equal(andiron_json_type(andiron_json_get(object, "m")), ANDIRON_JSON_MISSING);
        assert_int_equal(andiron_json_type(andiron_json_get(object, "m99")), ANDIRON_JSON_MISSING);
    }
    struct andiron_json_iter it = { .of = parse("[1,[2],3]") };
    assert_true(andiron_json_next(&it));
    assert_null(it.name.data);
    assert_true(andiron_json_next(&it));
    assert_true(andiron_json_next(&it));
    assert_int_equal(andiron_json_int(it.value, 0), 3);
    assert_false(andiron_json_next(&it));
    it = (struct andiron_json_iter){ .of = parse("\"text\"") };
    assert_false(andiron_json_next(&it));
}

static void strings_are_unescaped(void **state)
{
    (void)state;
    assert_str(andiron_json_str(parse("\"\"")), "");
    assert_str(andiron_json_str(parse("\"plain\"")), "plain");
    assert_str(andiron_json_str(parse("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"")), "\"\\/\b\f\n\r\t");
    assert_str(andiron_json_str(parse("\"a\\u0041\\u00e9\\u20ac\\ud83d\\ude00z\"")),
               "aA\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80z");
    assert_str(andiron_json_str(parse("\"\\u007f\\u0080\\u07ff\\u0800\\uffff\"")),
               "\x7F\xC2\x80\xDF\xBF\xE0\xA0\x80\xEF\xBF\xBF");
    assert_str(andiron_json_str(parse("\"\\ud800\\udc00\\udbff\\udfff\"")),
               "\xF0\x90\x80\x80\xF4\x8F\xBF\xBF");
    assert_str(andiron_json_str(parse("\"\xE6\x97\xA5\\t\xE6\x9C\xAC\"")),
               "\xE6\x97\xA5\t\xE6\x9C\xAC");
    andiron_str nul = andiron_json_str(parse("\"a\\u0000b\""));
    assert_int_equal(nul.len, 3);
    assert_memory_equal(nul.data, "a\0b", 3);
    assert_null(andiron_json_str(parse("12")).data);
    assert_null(andiron_json_str(parse("null")).data);
}

static void a_string_without_escapes_is_a_view_into_the_text(void **state)
{
    (void)state;
    static const char text[] = "[\"plain\"]";
    assert_ptr_equal(andiron_json_str(andiron_json_at(parse(text), 0)).data, text + 2);
}

static void raw_bytes_are_those_of_the_source(void **state)
{
    (void)state;
    andiron_json a = parse(" [ 1.00 , \"x\\n\" , {\"a\" : [ ] } , true, null,-0.0e+0] ");
    assert_str(andiron_json_raw(a), "[ 1.00 , \"x\\n\" , {\"a\" : [ ] } , true, null,-0.0e+0]");
    assert_str(andiron_json_raw(andiron_json_at(a, 0)), "1.00");
    assert_str(andiron_json_raw(andiron_json_at(a, 1)), "\"x\\n\"");
    assert_str(andiron_json_raw(andiron_json_at(a, 2)), "{\"a\" : [ ] }");
    assert_str(andiron_json_raw(andiron_json_at(a, 3)), "true");
    assert_str(andiron_json_raw(andiron_json_at(a, 4)), "null");
    assert_str(andiron_json_raw(andiron_json_at(a, 5)), "-0.0e+0");
    assert_str(andiron_json_raw(parse("\"y\"")), "\"y\"");
    assert_str(andiron_json_raw(parse("\"\"")), "\"\"");
}

static void whole_numbers_are_read_by_value(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t value; /* -77: the fallback */
    } rows[] = {
        { "0", 0 },
        { "-0", 0 },
        { "0.000", 0 },
        { "0e99999999999999999999", 0 },
        { "1", 1 },
        { "-1", -1 },
        { "1.0", 1 },
        { "1e3", 1000 },
        { "1.5e1", 15 },
        { "1500e-2", 15 },
        { "0.0012e4", 12 },
        { "120e-1", 12 },
        { "9223372036854775807", INT64_MAX },
        { "-9223372036854775808", INT64_MIN },
        { "9223372036854775808", -77 },
        { "-9223372036854775809", -77 },
        { "9.223372036854775807e18", INT64_MAX },
        { "92233720368547758070e-1", INT64_MAX },
        { "10000000000000000000", -77 },
        { "1e18", 1000000000000000000 },
        { "92e17", 9200000000000000000 },
        { "93e17", -77 },
        { "-93e17", -77 },
        { "1e19", -77 },
        { "1e99", -77 },
        { "1.5", -77 },
        { "0.1", -77 },
        { "1e-1", -77 },
        { "15e-1", -77 },
        { "1.0000000000000000000000001", -77 },
        { "1e99999999999999999999999", -77 },
        { "1e-99999999999999999999999", -77 },
        { "\"1\"", -77 },
        { "true", -77 },
        { "null", -77 },
        { "[1]", -77 },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (andiron_json_int(parse(rows[i].text), -77) != rows[i].value)
            fail_msg("%s", rows[i].text);
}

/* strtod() in the C locale is the reference. */
static void doubles_are_the_nearest(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "0",
        "-0",
        "0.0e99",
        "1",
        "-1",
        "0.1",
        "1.00",
        "3.141592653589793",
        "1e22",
        "1e23",
        "123456789012345e22",
        "999999999999999e-22",
        "1e-22",
        "1e-23",
        "12345678901234567890",
        "9007199254740993",
        "9007199254740992.99999",
        "1.7976931348623157e308",
        "1.7976931348623159e308",
        "4.9e-324",
        "2.4703282292062327e-324",
        "2.4703282292062328e-324",
        "2.2250738585072011e-308",
        "1e400",
        "-1e400",
        "1e-400",
        "1e309",
        "1e-330",
        "1e999999999999999999999",
        "1e-999999999999999999999",
        "6.02214076e23",
        "0.00000000000000000000000000000000000000000000000000000000000000001e65",
        "0.1234567890123456789",
        "-0.1234567890123456789",
        "-9007199254740993.5",
        "8.5e-15",
        "36.6",
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        double got = andiron_json_double(parse(rows[i]), 77), want = strtod(rows[i], NULL);
        if (memcmp(&got, &want, sizeof(got)) != 0)
            fail_msg("%s: %.17g, not %.17g", rows[i], got, want);
    }
    /* Just above the middle between 1 and its successor, by the last of many digits. */
    char text[1200] = "1.00000000000000011102230246251565404236316680908203125";
    size_t len = strlen(text);
    assert_true(andiron_json_double(parse(text), 0) == 1.0);
    memset(text + len, '0', 1000);
    strcpy(text + len + 1000, "1");
    assert_true(andiron_json_double(parse(text), 0) == nextafter(1.0, 2.0));
    assert_true(andiron_json_double(parse("\"1\""), 7.5) == 7.5);
}

static void equality_is_by_value(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool equal;
    } rows[] = {
        { "null", "null", true },
        { "true", "true", true },
        { "true", "false", false },
        { "null", "false", false },
        { "0", "false", false },
        { "1", "\"1\"", false },
        { "[]", "{}", false },
        { "\"a\"", "\"\\u0061\"", true },
        { "\"a\"", "\"b\"", false },
        { "\"a\"", "\"A\"", false },
        { "\"\"", "\"\"", true },
        /* numbers */
        { "1", "1.0", true },
        { "1", "1e0", true },
        { "1", "10e-1", true },
        { "1", "0.1e1", true },
        { "1", "1.000000000000000000000000000001", false },
        { "1", "-1", false },
        { "0", "-0", true },
        { "0", "0.000e77", true },
        { "0", "-0.0e-99999999999999999999", true },
        { "100", "1e2", true },
        { "100", "1e+02", true },
        { "100", "1E0002", true },
        { "0.001", "1e-3", true },
        { "0.00120", "12e-4", true },
        { "12", "120", false },
        { "12", "1.2", false },
        { "1.23", "12.3e-1", true },
        { "12.3", "1.23", false },
        { "9007199254740993", "9007199254740992", false },
        { "9007199254740993", "9007199254740993.0", true },
        { "12345678901234567890123", "1.2345678901234567890123e22", true },
        { "1e400", "1e401", false },
        { "1e400", "10e399", true },
        { "1e-400", "0", false },
        { "1e18446744073709551616", "10e18446744073709551615", true },
        { "1e18446744073709551616", "1e18446744073709551615", false },
        { "1e18446744073709551616", "1", false },
        { "1e18446744073709551616", "1e0", false },
        { "1e-18446744073709551616", "0.1e-18446744073709551615", true },
        { "1e18446744073709551616", "1e-18446744073709551616", false },
        { "1e100000000000000000000", "10e99999999999999999999", true },
        { "100e99999999999999999998", "1e100000000000000000000", true },
        { "0.1", "0.10000000000000001", false },
        /* structure */
        { "[1,2]", "[1, 2.0]", true },
        { "[1,2]", "[2,1]", false },
        { "[1]", "[1,1]", false },
        { "[]", "[]", true },
        { "[[]]", "[[[]]]", false },
        { "{\"a\":1,\"b\":2}", "{\"b\":2.0,\"a\":1}", true },
        { "{\"a\":1,\"b\":2}", "{\"a\":1,\"c\":2}", false },
        { "{\"a\":1,\"b\":2}", "{\"a\":1}", false },
        { "{\"a\":1}", "{\"a\":1,\"b\":2}", false },
        { "{\"a\":1,\"b\":2}", "{\"a\":2,\"b\":1}", false },
        { "{\"a\":null}", "{\"b\":null}", false },
        { "{\"\":1}", "{\"\":1}", true },
        { "{\"\\u0061\":[{\"x\":1}]}", "{ \"a\" : [ { \"x\" : 1e0 } ] }", true },
        { "{\"a\":{\"b\":{\"c\":1}}}", "{\"a\":{\"b\":{\"c\":2}}}", false },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        andiron_json a = parse(rows[i].a), b = parse(rows[i].b);
        if (andiron_json_equal(a, b) != rows[i].equal || andiron_json_equal(b, a) != rows[i].equal)
            fail_msg("%s and %s", rows[i].a, rows[i].b);
    }
}

/* The members of one lie in the opposite order of the other's: still no quadratic search. */
static void large_objects_are_compared_in_any_order(void **state)
{
    (void)state;
    const int count = 100000;
    char *a = arena_take(arena, (size_t)count * 20), *b = arena_take(arena, (size_t)count * 20);
    size_t x = 0, y = 0;
    for (int i = 0; i < count; i++) {
        x += (size_t)sprintf(a + x, "%c\"m%d\":%d", i != 0 ? ',' : '{', i, i);
        y += (size_t)sprintf(b + y, "%c\"m%d\":%d.0", i != 0 ? ',' : '{', count - 1 - i,
                             count - 1 - i);
    }
    strcpy(a + x, "}");
    strcpy(b + y, "}");
    assert_true(andiron_json_equal(parse(a), parse(b)));
    b[y - 1] = '1';
    assert_false(andiron_json_equal(parse(a), parse(b)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(members_and_elements_are_found, new_arena, end_arena),
        cmocka_unit_test_setup_teardown(flat_arrays_are_indexed_directly, new_arena, end_arena),
        cmocka_unit_test_setup_teardown(a_missing_view_may_go_anywhere, new_arena, end_arena),
        cmocka_unit_test_setup_teardown(walks_go_in_source_order_over_any_size, new_arena,
                                        end_arena),
        cmocka_unit_test_setup_teardown(strings_are_unescaped, new_arena, end_arena),
        cmocka_unit_test_setup_teardown(a_string_without_escapes_is_a_view_into_the_text, new_arena,
                                        end_arena),
        cmocka_unit_test_setup_teardown(raw_bytes_are_those_of_the_source, new_arena, end_arena),
        cmocka_unit_test_setup_teardown(whole_numbers_are_read_by_value, new_arena, end_arena),
        cmocka_unit_test_setup_teardown(doubles_are_the_nearest, new_arena, end_arena),
        cmocka_unit_test_setup_teardown(equality_is_by_value, new_arena, end_arena),
        cmocka_unit_test_setup_teardown(large_objects_are_compared_in_any_order, new_arena,
                                        end_arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
