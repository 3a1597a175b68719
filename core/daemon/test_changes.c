#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/changes.h"

static void assert_described(const char *before, const char *after, const char *expected)
{
    char out[200];
    changes_describe(before, after, out, sizeof(out));
    assert_string_equal(out, expected);
}

static void names_of_what_differs_are_listed(void **state)
{
    (void)state;
    assert_described("10\nhttp.max-body 1\n", "10\nhttp.max-body 1\n",
                     "configuration reloaded, nothing changed");
    assert_described("10\nhttp.max-body 1\n", "10\nhttp.max-body 2\n",
                     "configuration reloaded: changed http.max-body");
    assert_described("10\n", "10\nauth.max-ttl 1\nplugin auth 1.0.0.a.b\n",
                     "configuration reloaded: changed auth.max-ttl, plugin auth");
    assert_described("10\nplugin auth 1.0.0.a.b\nlog.level 7\n", "10\n",
                     "configuration reloaded: changed plugin auth, log.level");
    assert_described("10\nplugin auth 1.0.0.a.b\n", "10\nplugin auth 1.0.0.a.c\n",
                     "configuration reloaded: changed plugin auth");
}

static void listen_addresses_need_a_restart(void **state)
{
    (void)state;
    assert_described(
        "10\nhttp.listen 1\n", "10\nhttp.listen 2\n",
        "configuration reloaded: changed http.listen; listen addresses need a restart");
}

static void names_that_begin_alike_are_kept_apart(void **state)
{
    (void)state;
    assert_described("10\nhttp.max-body-anonymous 1\n",
                     "10\nhttp.max-body-anonymous 1\nhttp.max-body 1\n",
                     "configuration reloaded: changed http.max-body");
}

static void odd_texts_do_no_harm(void **state)
{
    (void)state;
    assert_described(NULL, NULL, "configuration reloaded, nothing changed");
    assert_described("", "x", "configuration reloaded, nothing changed");
    assert_int_equal(changes_drain_ms("2500\nx 1\n"), 2500);
    assert_int_equal(changes_drain_ms(NULL), 10000);
    assert_int_equal(changes_drain_ms("x"), 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_what_differs_are_listed),
        cmocka_unit_test(listen_addresses_need_a_restart),
        cmocka_unit_test(names_that_begin_alike_are_kept_apart),
        cmocka_unit_test(odd_texts_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
