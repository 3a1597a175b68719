/*
 * Throttling of failed authentications: who has to wait, how long, and who does not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "throttle.h"

enum { MOST = 3, WINDOW = 1000 };

static const uint8_t key[32] = { 7 };
static struct andiron_arena *arena;
static struct throttle *t;

static int setup(void **state)
{
    (void)state;
    arena = andiron_arena_new(0);
    t = throttle_new(arena, 64, MOST, WINDOW, key);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    throttle_free(t);
    andiron_arena_free(arena);
    return 0;
}

static int64_t fails(const char *id, const char *address, int64_t now)
{
    bool first;
    return throttle_failed(t, andiron_str_of(id), andiron_str_of(address), now, &first);
}

static int64_t waits(const char *id, const char *address, int64_t now)
{
    return throttle_wait(t, andiron_str_of(id), andiron_str_of(address), now);
}

static void pair_waits_after_as_many_failures_until_the_oldest_is_long_ago(void **state)
{
    bool first;

    (void)state;
    assert_int_equal(fails("a", "10.0.0.1", 5000), 0);
    assert_int_equal(fails("a", "10.0.0.1", 5400), 0);
    assert_int_equal(waits("a", "10.0.0.1", 5500), 0);
    assert_int_equal(throttle_failed(t, ANDIRON_STR("a"), ANDIRON_STR("10.0.0.1"), 5600, &first),
                     0);
    assert_true(first);
    assert_int_equal(waits("a", "10.0.0.1", 5600), 400);
    assert_int_equal(throttle_failed(t, ANDIRON_STR("a"), ANDIRON_STR("10.0.0.1"), 5700, &first),
                     300);
    assert_false(first);
    assert_int_equal(waits("a", "10.0.0.1", 5999), 1); /* trying has not made it longer */
    assert_int_equal(waits("a", "10.0.0.1", 6000), 0);
    assert_int_equal(fails("a", "10.0.0.1", 6000), 0); /* the third of the last second again */
    assert_int_equal(waits("a", "10.0.0.1", 6000), 400);
    assert_int_equal(waits("a", "10.0.0.1", 7000), 0);
}

static void others_need_not_wait(void **state)
{
    (void)state;
    for (int i = 0; i < MOST; i++)
        assert_int_equal(fails("a", "10.0.0.1", 5000), 0);
    assert_int_not_equal(waits("a", "10.0.0.1", 5000), 0);
    assert_int_equal(waits("a", "10.0.0.2", 5000), 0);
    assert_int_equal(waits("b", "10.0.0.1", 5000), 0);
    assert_int_equal(waits("", "10.0.0.1", 5000), 0);
    assert_int_not_equal(waits("a", "::ffff:10.0.0.1", 5000), 0); /* the same address */
}

static void network_of_ipv6_counts_as_one(void **state)
{
    (void)state;
    assert_int_equal(fails("a", "2001:db8:0:1::1", 5000), 0);
    assert_int_equal(fails("a", "2001:db8:0:1::2", 5000), 0);
    assert_int_equal(fails("a", "2001:db8:0:1:ffff::3", 5000), 0);
    assert_int_not_equal(waits("a", "2001:db8:0:1::4", 5000), 0);
    assert_int_equal(waits("a", "2001:db8:0:2::4", 5000), 0);
}

static void who_waits_cannot_be_pushed_out_by_who_need_not(void **state)
{
    char id[32];

    (void)state;
    for (int i = 0; i < MOST; i++)
        assert_int_equal(fails("a", "10.0.0.1", 5000), 0);
    for (int i = 0; i < 5000; i++) { /* far more than there are places */
        (void)snprintf(id, sizeof(id), "other-%d", i);
        (void)fails(id, "10.0.0.1", 5001);
    }
    assert_int_equal(waits("a", "10.0.0.1", 5002), 998);
}

static void without_a_maximum_nobody_waits(void **state)
{
    (void)state;
    throttle_free(t);
    t = throttle_new(arena, 64, 0, WINDOW, key);
    for (int i = 0; i < 100; i++)
        assert_int_equal(fails("a", "10.0.0.1", 5000), 0);
    assert_int_equal(waits("a", "10.0.0.1", 5000), 0);
}

#define WITH_TABLE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        WITH_TABLE(pair_waits_after_as_many_failures_until_the_oldest_is_long_ago),
        WITH_TABLE(others_need_not_wait),
        WITH_TABLE(network_of_ipv6_counts_as_one),
        WITH_TABLE(who_waits_cannot_be_pushed_out_by_who_need_not),
        WITH_TABLE(without_a_maximum_nobody_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
