/*
 * A string value that was not parsed is the one that parsing would give.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "json/plain.h"

static void plain_text_is_the_string_that_parsing_gives(void **state)
{
    (void)state;
    static const char *const texts[] = { "a", "/fhir/Patient/one",
                                         "0123456789abcdef0123456789abcdef!", "a=b&c=d%20e~" };
    struct andiron_arena *arena = andiron_arena_new(0);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct andiron_error err;
        andiron_json made, parsed;
        assert_true(json_plain(arena, andiron_str_of(texts[i]), &made));
        const char *text = andiron_printf(arena, "\"%s\"", texts[i]);
        assert_int_equal(andiron_json_parse(arena, andiron_str_of(text), &parsed, &err), 0);
        assert_int_equal(andiron_json_type(made), ANDIRON_JSON_STRING);
        assert_true(andiron_json_equal(made, parsed));
        assert_true(andiron_str_eq(andiron_json_str(made), andiron_str_of(texts[i])));
        assert_true(andiron_str_eq(andiron_json_raw(made), andiron_str_of(text)));
    }
    andiron_arena_free(arena);
}

static void what_needs_escapes_is_left_to_the_writer(void **state)
{
    (void)state;
    static const char *const texts[] = { "",          "a\"b",          "0123456789abcdef\\",
                                         "tab\there", "m\xc3\xbcller", "\x01",
                                         "\xff" };
    struct andiron_arena *arena = andiron_arena_new(0);
    andiron_json made;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_false(json_plain(arena, andiron_str_of(texts[i]), &made));
    andiron_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_text_is_the_string_that_parsing_gives),
        cmocka_unit_test(what_needs_escapes_is_left_to_the_writer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
