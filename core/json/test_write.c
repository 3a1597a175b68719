/*
 * Writing JSON: escapes, structure, limits, and parsed values without their blanks.
 *
 * With NPM_MODULES, where the package hl7.fhir.r4.examples is installed, every published example
 * is parsed, written compact and compared with what a byte-by-byte filter makes of it.
 */
#include <dirent.h>
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

static struct andiron_json_writer *writer(void)
{
    return andiron_json_write(arena, 1 << 20);
}

static andiron_json parse(andiron_str text)
{
    andiron_json root = { NULL, 0 };
    struct andiron_error err;
    if (andiron_json_parse(arena, text, &root, &err) != 0)
        fail_msg("%.*s: %s: %s", (int)(text.len < 200 ? text.len : 200), text.data, err.where,
                 err.message);
    return root;
}

static void assert_written(struct andiron_json_writer *w, const char *expected)
{
    andiron_str s = andiron_json_written(w);
    assert_non_null(s.data);
    if (!andiron_str_eq(s, andiron_str_of(expected)))
        fail_msg("%.*s, not %s", (int)s.len, s.data, expected);
}

static void commas_and_brackets_are_put(void **state)
{
    (void)state;
    struct andiron_json_writer *w = writer();
    andiron_json_put_object(w, NULL);
    andiron_json_put_str(w, "resourceType", ANDIRON_STR("Bundle"));
    andiron_json_put_int(w, "total", 2);
    andiron_json_put_bool(w, "a", true);
    andiron_json_put_bool(w, "b", false);
    andiron_json_put_array(w, "entry");
    andiron_json_put_object(w, NULL);
    andiron_json_put_end(w);
    andiron_json_put_object(w, NULL);
    andiron_json_put_raw(w, "resource", ANDIRON_STR("{\"x\":1.00}"));
    andiron_json_put_end(w);
    andiron_json_put_array(w, NULL);
    andiron_json_put_end(w);
    andiron_json_put_int(w, NULL, 1);
    andiron_json_put_str(w, NULL, ANDIRON_STR(""));
    andiron_json_put_end(w);
    andiron_json_put_bool(w, "c", true);
    andiron_json_put_end(w);
    assert_written(w, "{\"resourceType\":\"Bundle\",\"total\":2,\"a\":true,\"b\":false,\"entry\":"
                      "[{},{\"resource\":{\"x\":1.00}},[],1,\"\"],\"c\":true}");
    w = writer();
    andiron_json_put_str(w, NULL, ANDIRON_STR("alone"));
    assert_written(w, "\"alone\"");
    assert_written(writer(), "");
}

static void strings_are_escaped_no_more_than_needed(void **state)
{
    (void)state;
    static const struct {
        andiron_str in;
        const char *out;
    } rows[] = {
        { { "", 0 }, "\"\"" },
        { { "plain / 'text'", 14 }, "\"plain / 'text'\"" },
        { { "\"\\", 2 }, "\"\\\"\\\\\"" },
        { { "\b\f\n\r\t", 5 }, "\"\\b\\f\\n\\r\\t\"" },
        { { "\0\x01\x1F", 3 }, "\"\\u0000\\u0001\\u001f\"" },
        { { "\x7F", 1 }, "\"\x7F\"" },
        { { "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", 9 },
          "\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\"" },
        { { "0123456789abcdef\n0123456789abcdef", 33 }, "\"0123456789abcdef\\n0123456789abcdef\"" },
        /* what is not UTF-8 must not make the text invalid */
        { { "a\xFFz", 3 }, "\"a\xEF\xBF\xBDz\"" },
        { { "\xC3", 1 }, "\"\xEF\xBF\xBD\"" },
        { { "\xC3z", 2 }, "\"\xEF\xBF\xBDz\"" },
        { { "\xED\xA0\x80", 3 }, "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct andiron_json_writer *w = writer();
        andiron_json_put_str(w, NULL, rows[i].in);
        assert_written(w, rows[i].out);
    }
    struct andiron_json_writer *w = writer();
    andiron_json_put_object(w, NULL);
    andiron_json_put_bool(w, "a\"\n", true);
    andiron_json_put_end(w);
    assert_written(w, "{\"a\\\"\\n\":true}");
}

static void every_byte_comes_back_after_writing_and_parsing(void **state)
{
    (void)state;
    char all[128 * 3];
    for (size_t i = 0; i < sizeof(all); i++)
        all[i] = (char)(i * 7 % 128);
    for (size_t len = 0; len <= sizeof(all); len++) {
        struct andiron_json_writer *w = writer();
        andiron_json_put_str(w, NULL, (andiron_str){ all, len });
        andiron_str back = andiron_json_str(parse(andiron_json_written(w)));
        assert_int_equal(back.len, len);
        assert_memory_equal(back.data, all, len);
    }
}

static void integers_are_written_in_full(void **state)
{
    (void)state;
    struct andiron_json_writer *w = writer();
    andiron_json_put_array(w, NULL);
    andiron_json_put_int(w, NULL, 0);
    andiron_json_put_int(w, NULL, -1);
    andiron_json_put_int(w, NULL, 1234567890);
    andiron_json_put_int(w, NULL, INT64_MAX);
    andiron_json_put_int(w, NULL, INT64_MIN);
    andiron_json_put_end(w);
    assert_written(w, "[0,-1,1234567890,9223372036854775807,-9223372036854775808]");
}

static void absent_things_put_nothing(void **state)
{
    (void)state;
    struct andiron_json_writer *w = writer();
    andiron_json none = { NULL, 0 };
    andiron_str absent = { NULL, 0 };
    andiron_json_put_object(w, NULL);
    andiron_json_put(w, "a", none);
    andiron_json_put_member(w, ANDIRON_STR("b"), none);
    andiron_json_put_str(w, "c", absent);
    andiron_json_put_raw(w, "d", absent);
    andiron_json_put_bool(w, "e", true);
    andiron_json_put(w, "f", none);
    andiron_json_put_end(w);
    assert_written(w, "{\"e\":true}");
}

static void a_parsed_value_loses_its_blanks_and_nothing_else(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } rows[] = {
        { " null ", "null" },
        { " 1.00 ", "1.00" },
        { "\t\"a \\u0041 \\/ b\"\n", "\"a \\u0041 \\/ b\"" },
        { "[ ]", "[]" },
        { "{ }", "{}" },
        { " [] ", "[]" },
        { " {} ", "{}" },
        { "[ 1 , 2 ]", "[1,2]" },
        { "[1,2] ", "[1,2]" },
        { "[1, 2]", "[1,2]" },
        { "{ \"a\" : 1 , \"b\" : [ { } , [ ] , null ] }", "{\"a\":1,\"b\":[{},[],null]}" },
        { "{\"a\":{\"b\":{\"c\": 1}}}", "{\"a\":{\"b\":{\"c\":1}}}" },
        { "{\"a\":[1,2,{\"x\":[]}], \"b\":true}", "{\"a\":[1,2,{\"x\":[]}],\"b\":true}" },
        { "{\"\\u0061 \":\" x \" }", "{\"\\u0061 \":\" x \"}" },
        { "{\n  \"a\": -1.50e+3\n}", "{\"a\":-1.50e+3}" },
        { "{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,\"i\":1,\"j\":1,\"k\":"
          "1,"
          "\"l\":1,\"m\":1,\"n\":1,\"o\":1,\"p\":1, \"q\":{\"r\" :1}}",
          "{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,\"i\":1,\"j\":1,\"k\":"
          "1,"
          "\"l\":1,\"m\":1,\"n\":1,\"o\":1,\"p\":1,\"q\":{\"r\":1}}" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct andiron_json_writer *w = writer();
        andiron_json_put(w, NULL, parse(andiron_str_of(rows[i].in)));
        assert_written(w, rows[i].out);
    }
}

/* How a resource is changed: members of the old one are put in their places around the new. */
static void members_of_a_document_are_spliced(void **state)
{
    (void)state;
    andiron_json old =
        parse(ANDIRON_STR("{ \"id\" : \"1\", \"v\" : [ 1.0 ], \"\\u0078\\n\" : 2 }"));
    struct andiron_json_writer *w = writer();
    struct andiron_json_iter it = { .of = old };

    andiron_json_put_object(w, NULL);
    while (andiron_json_next(&it)) {
        if (andiron_str_eq(it.name, ANDIRON_STR("id")))
            andiron_json_put_str(w, "id", ANDIRON_STR("2"));
        else
            andiron_json_put_member(w, it.name, it.value);
    }
    andiron_json_put_end(w);
    assert_written(w, "{\"id\":\"2\",\"v\":[1.0],\"x\\n\":2}");
}

static void past_the_maximum_there_is_no_text(void **state)
{
    (void)state;
    for (size_t max = 0; max < 12; max++) {
        struct andiron_json_writer *w = andiron_json_write(arena, max);
        andiron_json_put_array(w, NULL);
        andiron_json_put_str(w, NULL, ANDIRON_STR("abc"));
        andiron_json_put_int(w, NULL, 12);
        andiron_json_put_end(w);
        andiron_str s = andiron_json_written(w); /* ["abc",12] has ten bytes */
        if (max < 10)
            assert_null(s.data);
        else
            assert_int_equal(s.len, 10);
    }
    /* Nothing that comes later brings it back. */
    struct andiron_json_writer *w = andiron_json_write(arena, 4);
    andiron_json_put_object(w, NULL);
    andiron_json_put_object(w, "member");
    andiron_json_put_end(w);
    andiron_json_put_end(w);
    andiron_json_put_end(w);
    assert_null(andiron_json_written(w).data);
}

static void too_deep_there_is_no_text(void **state)
{
    (void)state;
    for (int depth = 1023; depth <= 1026; depth++) {
        struct andiron_json_writer *w = writer();
        for (int i = 0; i < depth; i++)
            andiron_json_put_array(w, NULL);
        for (int i = 0; i < depth; i++)
            andiron_json_put_end(w);
        assert_int_equal(andiron_json_written(w).data != NULL, depth <= 1024);
    }
}

static void texts_of_any_size_are_put_together(void **state)
{
    (void)state;
    struct andiron_json_writer *w = andiron_json_write(arena, 4 << 20);
    andiron_json_put_array(w, NULL);
    for (int i = 0; i < 100000; i++)
        andiron_json_put_int(w, NULL, i);
    andiron_json_put_end(w);
    andiron_json back = parse(andiron_json_written(w));
    assert_int_equal(andiron_json_count(back), 100000);
    for (int i = 0; i < 100000; i += 997)
        assert_int_equal(andiron_json_int(andiron_json_at(back, (size_t)i), -1), i);
}

/* Larger than any step of growth, and exactly the maximum. */
static void a_large_piece_is_put_at_once(void **state)
{
    (void)state;
    for (size_t len = 900; len < 100000; len += len / 3) {
        char *digits = malloc(len);
        assert_non_null(digits);
        memset(digits, '7', len);
        struct andiron_json_writer *w = andiron_json_write(arena, len);
        andiron_json_put_raw(w, NULL, (andiron_str){ digits, len });
        assert_true(andiron_str_eq(andiron_json_written(w), (andiron_str){ digits, len }));

        w = andiron_json_write(arena, len * 2 + 4);
        andiron_json_put_array(w, NULL);
        andiron_json_put_bool(w, NULL, true);
        andiron_json_put_raw(w, NULL, (andiron_str){ digits, len });
        andiron_json_put_end(w);
        andiron_str text = andiron_json_written(w);
        assert_int_equal(text.len, len + 7);
        assert_memory_equal(text.data, "[true,7", 7);
        assert_memory_equal(text.data + len + 4, "77]", 3);
        w = andiron_json_write(arena, len - 1);
        andiron_json_put_raw(w, NULL, (andiron_str){ digits, len });
        assert_null(andiron_json_written(w).data);
        free(digits);
    }
}

/* ---- published examples ---- */

static andiron_str read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    size_t len = (size_t)ftell(f);
    rewind(f);
    char *data = arena_take(arena, len + 1);
    assert_int_equal(fread(data, 1, len, f), len);
    (void)fclose(f);
    return (andiron_str){ data, len };
}

/* The reference: drops blanks outside strings, knowing of JSON only quotes and backslashes. */
static andiron_str without_blanks(andiron_str text)
{
    char *out = arena_take(arena, text.len + 1);
    size_t len = 0;
    bool inside = false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (!inside && (c == ' ' || c == '\n' || c == '\r' || c == '\t'))
            continue;
        out[len++] = c;
        if (c == '"')
            inside = !inside;
        if (inside && c == '\\')
            out[len++] = text.data[++i];
    }
    return (andiron_str){ out, len };
}

static void check_round_trip(const char *path)
{
    andiron_str text = read_file(path);
    andiron_json first = parse(text);
    struct andiron_json_writer *w = andiron_json_write(arena, text.len);
    andiron_json_put(w, NULL, first);
    andiron_str compact = andiron_json_written(w), expected = without_blanks(text);
    if (!andiron_str_eq(compact, expected))
        fail_msg("%s: written otherwise", path);
    andiron_json second = parse(compact);
    assert_true(andiron_json_equal(first, second));
    w = andiron_json_write(arena, text.len);
    andiron_json_put(w, NULL, second);
    assert_true(andiron_str_eq(andiron_json_written(w), compact));
}

static void published_examples_come_back_byte_by_byte(void **state)
{
    const char *modules = getenv("NPM_MODULES");
    const char *folder =
        andiron_printf(arena, "%s/hl7.fhir.r4.examples", modules != NULL ? modules : "");
    char path[4096];
    DIR *dir = opendir(folder);
    if (dir == NULL)
        skip();
    size_t files = 0;
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        size_t len = strlen(entry->d_name);
        if (len < 5 || strcmp(entry->d_name + len - 5, ".json") != 0)
            continue;
        (void)snprintf(path, sizeof(path), "%s/hl7.fhir.r4.examples/%s", modules, entry->d_name);
        check_round_trip(path);
        end_arena(state);
        new_arena(state);
        files++;
    }
    (void)closedir(dir);
    assert_true(files > 0);
    print_message("%zu files\n", files);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(commas_and_brackets_are_put, new_arena, end_arena),
        cmocka_unit_test_setup_teardown(strings_are_escaped_no_more_than_needed, new_arena,
                                        end_arena),
        cmocka_unit_test_setup_teardown(every_byte_comes_back_after_writing_and_parsing, new_arena,
                                        end_arena),
        cmocka_unit_test_setup_teardown(integers_are_written_in_full, new_arena, end_arena),
        cmocka_unit_test_setup_teardown(absent_things_put_nothing, new_arena, end_arena),
        cmocka_unit_test_setup_teardown(a_parsed_value_loses_its_blanks_and_nothing_else, new_arena,
                                        end_arena),
        cmocka_unit_test_setup_teardown(members_of_a_document_are_spliced, new_arena, end_arena),
        cmocka_unit_test_setup_teardown(past_the_maximum_there_is_no_text, new_arena, end_arena),
        cmocka_unit_test_setup_teardown(too_deep_there_is_no_text, new_arena, end_arena),
        cmocka_unit_test_setup_teardown(texts_of_any_size_are_put_together, new_arena, end_arena),
        cmocka_unit_test_setup_teardown(a_large_piece_is_put_at_once, new_arena, end_arena),
        cmocka_unit_test_setup_teardown(published_examples_come_back_byte_by_byte, new_arena,
                                        end_arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
