#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/arena.h"
#include "daemon/bundle.h"

static struct andiron_arena *arena;

static void assert_filled(const char *text, const char *expected)
{
    struct andiron_error err = { .message = "" };
    andiron_str got = { NULL, 0 };
    if (bundle_fill_in(arena, andiron_str_of(text), &got, &err) != 0)
        fail_msg("%s: %s", text, err.message);
    assert_string_equal(got.data, expected);
    assert_int_equal(got.len, strlen(expected));
}

static void assert_refused(const char *text, const char *words)
{
    struct andiron_error err = { .message = "" };
    andiron_str got = { NULL, 0 };
    assert_int_equal(bundle_fill_in(arena, andiron_str_of(text), &got, &err), -1);
    assert_string_equal(err.where, "init.bundle");
    if (strstr(err.message, words) == NULL)
        fail_msg("%s", err.message);
}

static void variables_and_files_are_put_into_strings(void **state)
{
    (void)state;
    char path[] = "/tmp/andiron-test-XXXXXX", text[100];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "s\"cret\n", 7), 7);
    assert_int_equal(close(fd), 0);
    assert_int_equal(setenv("BUNDLE_TEST", "va\\l\tue", 1), 0);
    assert_filled("{\"a\":\"x-${env:BUNDLE_TEST}-y\"}", "{\"a\":\"x-va\\u005cl\\u0009ue-y\"}");
    (void)snprintf(text, sizeof(text), "[\"${file:%s}\"]", path);
    assert_filled(text, "[\"s\\u0022cret\"]");
    assert_int_equal(unlink(path), 0);
}

static void other_dollars_stay(void **state)
{
    (void)state;
    assert_int_equal(setenv("BUNDLE_TEST", "v", 1), 0);
    assert_filled("{\"a\":\"${user.id} $ ${ ${env\"}", "{\"a\":\"${user.id} $ ${ ${env\"}");
    assert_filled("{\"a\":\"${file:relative}\"}", "{\"a\":\"${file:relative}\"}");
    assert_filled("${env:BUNDLE_TEST}", "${env:BUNDLE_TEST}");
    assert_filled("{\"a\\\"${env:BUNDLE_TEST}\":1}", "{\"a\\\"v\":1}");
    assert_filled("", "");
}

static void what_is_filled_in_is_not_looked_at_again(void **state)
{
    (void)state;
    assert_int_equal(setenv("BUNDLE_TEST", "${env:BUNDLE_TEST}", 1), 0);
    assert_filled("\"${env:BUNDLE_TEST}\"", "\"${env:BUNDLE_TEST}\"");
}

static void unset_and_unreadable_are_errors(void **state)
{
    (void)state;
    assert_int_equal(unsetenv("BUNDLE_TEST"), 0);
    assert_refused("\"${env:BUNDLE_TEST}\"", "${env:BUNDLE_TEST}: the variable is not set");
    assert_refused("\"${file:/no/such/file}\"", "No such file");
}

static int setup(void **state)
{
    (void)state;
    arena = arena_new();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(variables_and_files_are_put_into_strings),
        cmocka_unit_test(other_dollars_stay),
        cmocka_unit_test(what_is_filled_in_is_not_looked_at_again),
        cmocka_unit_test(unset_and_unreadable_are_errors),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
