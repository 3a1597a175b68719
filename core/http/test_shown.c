/*
 * What policies see of a resource is found by all of its text, and lives as long as who asked.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http/shown.h"

static andiron_json json(struct andiron_arena *arena, const char *text)
{
    struct andiron_error err;
    andiron_json ret = { NULL, 0 };

    assert_int_equal(andiron_json_parse(arena, andiron_str_of(text), &ret, &err), 0);
    return ret;
}

static bool is(andiron_json v, const char *id)
{
    return andiron_str_eq(andiron_json_str(andiron_json_get(v, "id")), andiron_str_of(id));
}

static void a_resource_is_found_until_a_byte_of_it_differs(void **state)
{
    (void)state;
    struct andiron_arena *arena = andiron_arena_new(0);
    struct shown_cache *cache = shown_cache_new();
    andiron_json one = json(arena, "{\"id\":\"a\",\"secret\":\"1\"}"), shown;
    andiron_json other = json(arena, "{\"id\":\"a\",\"secret\":\"2\"}");

    assert_false(shown_find(cache, arena, one, &shown));
    assert_true(is(shown_keep(cache, arena, one, ANDIRON_STR("{\"id\":\"a\"}")), "a"));
    assert_true(shown_find(cache, arena, one, &shown));
    assert_true(is(shown, "a"));
    assert_true(shown_find(cache, arena, json(arena, "{\"id\":\"a\",\"secret\":\"1\"}"), &shown));
    assert_false(shown_find(cache, arena, other, &shown));
    andiron_arena_free(arena);
    shown_cache_free(cache);
}

static void what_was_found_outlives_its_place_and_the_cache(void **state)
{
    (void)state;
    struct andiron_arena *arena = andiron_arena_new(0), *holder = andiron_arena_new(0);
    struct shown_cache *cache = shown_cache_new();
    andiron_json one = json(arena, "{\"id\":\"a\"}"), shown;

    (void)shown_keep(cache, arena, one, ANDIRON_STR("{\"id\":\"a\"}"));
    assert_true(shown_find(cache, holder, one, &shown));
    for (int i = 0; i < 1000; i++) { /* each place gets another */
        struct andiron_arena *short_lived = andiron_arena_new(0);
        const char *text = andiron_printf(short_lived, "{\"id\":\"n%d\"}", i);
        (void)shown_keep(cache, short_lived, json(short_lived, text), andiron_str_of(text));
        andiron_arena_free(short_lived);
    }
    andiron_arena_free(arena);
    shown_cache_free(cache);
    assert_true(is(shown, "a"));
    andiron_arena_free(holder);
}

static void nothing_shown_is_kept_too_and_large_ones_are_not(void **state)
{
    (void)state;
    struct andiron_arena *arena = andiron_arena_new(0);
    struct shown_cache *cache = shown_cache_new();
    char *large = andiron_alloc(arena, 20100);
    andiron_json blank = json(arena, "{\"secret\":\"1\"}"), shown;

    assert_int_equal(andiron_json_type(shown_keep(cache, arena, blank, (andiron_str){ NULL, 0 })),
                     ANDIRON_JSON_MISSING);
    assert_true(shown_find(cache, arena, blank, &shown));
    assert_int_equal(andiron_json_type(shown), ANDIRON_JSON_MISSING);
    memset(large, ' ', 20000);
    memcpy(large, "{\"id\":\"a\",\"x\":[", 15);
    memcpy(large + 20000, "]}", 3);
    andiron_json of = json(arena, large);
    assert_true(is(shown_keep(cache, arena, of, andiron_str_of(large)), "a"));
    assert_false(shown_find(cache, arena, of, &shown));
    andiron_arena_free(arena);
    shown_cache_free(cache);
    shown_cache_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_resource_is_found_until_a_byte_of_it_differs),
        cmocka_unit_test(what_was_found_outlives_its_place_and_the_cache),
        cmocka_unit_test(nothing_shown_is_kept_too_and_large_ones_are_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
