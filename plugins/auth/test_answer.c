/*
 * Answers of introspection endpoints: what is active, what is not, and what is no answer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "answer.h"

static enum answer read_answer(const char *text)
{
    struct andiron_arena *arena = andiron_arena_new(0);
    struct andiron_error err;
    andiron_json claims = { NULL, 0 };
    enum answer answer = answer_read(arena, andiron_str_of(text), &claims, &err);

    if (answer == ANSWER_ACTIVE)
        assert_true(andiron_json_true(andiron_json_get(claims, "active")));
    andiron_arena_free(arena);
    return answer;
}

static void active_is_a_boolean_that_is_true(void **state)
{
    (void)state;
    assert_int_equal(read_answer("{\"active\":true}"), ANSWER_ACTIVE);
    assert_int_equal(read_answer("{\"sub\":\"a\",\"active\":true,\"x\":{\"active\":false}}"),
                     ANSWER_ACTIVE);
    assert_int_equal(read_answer("{\"active\":false}"), ANSWER_INACTIVE);
    static const char *const broken[] = { "",
                                          "{}",
                                          "[]",
                                          "true",
                                          "{\"active\":\"true\"}",
                                          "{\"active\":1}",
                                          "{\"active\":null}",
                                          "{\"x\":{\"active\":true}}",
                                          "[{\"active\":true}]",
                                          "{\"active\":true,\"active\":false}",
                                          "{\"active\":false,\"active\":true}",
                                          "{\"active\":true}x",
                                          "{\"active\":true",
                                          NULL };
    for (size_t i = 0; broken[i] != NULL; i++)
        assert_int_equal(read_answer(broken[i]), ANSWER_BROKEN);
}

static void only_access_tokens_for_bearers_count(void **state)
{
    (void)state;
    assert_int_equal(read_answer("{\"active\":true,\"token_type\":\"bearer\"}"), ANSWER_ACTIVE);
    assert_int_equal(read_answer("{\"active\":true,\"token_use\":\"access_token\"}"),
                     ANSWER_ACTIVE);
    static const char *const others[] = { "{\"active\":true,\"token_type\":\"DPoP\"}",
                                          "{\"active\":true,\"token_type\":\"\"}",
                                          "{\"active\":true,\"token_type\":null}",
                                          "{\"active\":true,\"token_use\":\"refresh_token\"}",
                                          NULL };
    for (size_t i = 0; others[i] != NULL; i++)
        assert_int_equal(read_answer(others[i]), ANSWER_INACTIVE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(active_is_a_boolean_that_is_true),
        cmocka_unit_test(only_access_tokens_for_bearers_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
