/*
 * When a client's key set is fetched, and how long it is kept.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "setcache.h"

#define URL ANDIRON_STR("https://a.example/jwks")

static struct setcache *cache;

static int set_up(void **state)
{
    (void)state;
    struct setcache_limits limits = {
        .lifetime_ms = 300000, .min_refresh_ms = 10000, .retry_ms = 5000, .max_sets = 4
    };
    cache = setcache_new(&limits);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    setcache_free(cache);
    return 0;
}

static enum setcache_answer ask_at(int64_t now, bool renew)
{
    struct set_waiter w;
    enum setcache_answer answer = setcache_ask(cache, URL, renew, now, &w);
    if (answer == SETCACHE_HIT)
        keyset_drop(w.set);
    return answer;
}

/* Ends the fetch that one waiter began, and looks at what it got. */
static void fetched_at(int64_t now, const char *text, int64_t lifetime)
{
    struct keyset *set = text != NULL ? keyset_new(andiron_str_of(text)) : NULL;
    struct set_waiter *w = setcache_done(cache, URL, set, lifetime, true, now);
    keyset_drop(set);
    for (; w != NULL; w = w->next)
        keyset_drop(w->set);
}

/* The waiter must outlive the fetch, so it is not on the stack of ask_at(). */
static void fetch_between(int64_t begin, int64_t end, bool renew, const char *text,
                          int64_t lifetime)
{
    struct set_waiter w;
    assert_int_equal(setcache_ask(cache, URL, renew, begin, &w), SETCACHE_FETCH);
    fetched_at(end, text, lifetime);
}

static void set_is_kept_as_long_as_both_sides_allow(void **state)
{
    (void)state;
    fetch_between(0, 100, false, "{}", -1);
    assert_int_equal(ask_at(300099, false), SETCACHE_HIT);
    fetch_between(300100, 300100, false, "{}", 20000);
    assert_int_equal(ask_at(320099, false), SETCACHE_HIT);
    fetch_between(320100, 320100, false, "{}", 999000000);
    assert_int_equal(ask_at(620099, false), SETCACHE_HIT);
    fetch_between(620100, 620100, false, "{}", 0);
    fetch_between(620100, 620200, false, "{}", 0);
}

static void needs_share_one_fetch(void **state)
{
    (void)state;
    struct set_waiter one, two;
    assert_int_equal(setcache_ask(cache, URL, false, 0, &one), SETCACHE_FETCH);
    assert_int_equal(setcache_ask(cache, URL, true, 1, &two), SETCACHE_JOINED);
    struct keyset *set = keyset_new(ANDIRON_STR("{\"keys\":[]}"));
    struct set_waiter *w = setcache_done(cache, URL, set, 0, true, 50);
    keyset_drop(set);
    size_t served = 0;
    for (; w != NULL; w = w->next, served++) {
        assert_true(andiron_str_eq(keyset_text(w->set), ANDIRON_STR("{\"keys\":[]}")));
        keyset_drop(w->set);
    }
    assert_int_equal(served, 2);
}

static void unknown_kid_forces_one_fetch_in_ten_seconds(void **state)
{
    (void)state;
    fetch_between(0, 0, false, "{}", -1);
    fetch_between(5, 10, true, "{}", -1);
    assert_int_equal(ask_at(20, true), SETCACHE_HIT);
    assert_int_equal(ask_at(10004, true), SETCACHE_HIT);
    fetch_between(10005, 10005, true, "{}", -1);
}

static void unknown_kid_in_a_set_just_fetched_asks_no_more(void **state)
{
    (void)state;
    fetch_between(0, 100, false, "{}", 0);
    assert_int_equal(ask_at(101, true), SETCACHE_HIT);
    fetch_between(102, 102, false, "{}", 0);
    fetch_between(10102, 10102, true, "{}", 0);
}

static void failure_of_ours_is_not_remembered(void **state)
{
    (void)state;
    struct set_waiter w;
    assert_int_equal(setcache_ask(cache, URL, false, 0, &w), SETCACHE_FETCH);
    assert_ptr_equal(setcache_done(cache, URL, NULL, -1, false, 0), &w);
    fetch_between(1, 1, false, "{}", -1);
}

static void failure_is_remembered_for_a_moment(void **state)
{
    (void)state;
    fetch_between(0, 100, false, NULL, -1);
    assert_int_equal(ask_at(101, false), SETCACHE_FAILED);
    assert_int_equal(ask_at(5099, true), SETCACHE_FAILED);
    fetch_between(5100, 5100, false, "{}", -1);
    assert_int_equal(ask_at(5101, false), SETCACHE_HIT);
}

static void failed_early_fetch_leaves_the_fresh_set(void **state)
{
    (void)state;
    fetch_between(0, 0, false, "{}", -1);
    struct set_waiter w;
    assert_int_equal(setcache_ask(cache, URL, true, 100, &w), SETCACHE_FETCH);
    assert_ptr_equal(setcache_done(cache, URL, NULL, -1, true, 200), &w);
    assert_non_null(w.set);
    keyset_drop(w.set);
    assert_int_equal(ask_at(300, false), SETCACHE_HIT);
}

static void expired_set_is_not_used_when_the_fetch_fails(void **state)
{
    (void)state;
    fetch_between(0, 0, false, "{}", 1000);
    struct set_waiter w;
    assert_int_equal(setcache_ask(cache, URL, false, 2000, &w), SETCACHE_FETCH);
    assert_ptr_equal(setcache_done(cache, URL, NULL, -1, true, 2100), &w);
    assert_null(w.set);
}

static void number_of_sets_is_bounded(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        char url[40];
        int len = snprintf(url, sizeof(url), "https://%d.example/", i);
        andiron_str view = { url, (size_t)len };
        struct set_waiter w;
        assert_int_equal(setcache_ask(cache, view, false, i, &w), SETCACHE_FETCH);
        struct keyset *set = keyset_new(ANDIRON_STR("{}"));
        assert_ptr_equal(setcache_done(cache, view, set, -1, true, i), &w);
        keyset_drop(set);
        keyset_drop(w.set);
    }
    struct set_waiter w;
    assert_int_equal(setcache_ask(cache, ANDIRON_STR("https://99.example/"), false, 200, &w),
                     SETCACHE_HIT);
    keyset_drop(w.set);
    assert_int_equal(setcache_ask(cache, ANDIRON_STR("https://3.example/"), false, 200, &w),
                     SETCACHE_FETCH);
}

static void cache_control_is_read_as_the_standard_says(void **state)
{
    (void)state;
    static const struct {
        const char *field;
        int64_t earlier, lifetime;
    } rows[] = {
        { "", -1, -1 },
        { "public", -1, -1 },
        { "public, max-age=60", -1, 60000 },
        { "Max-Age=60 ,public\r\n", -1, 60000 },
        { "max-age=\"60\"", -1, 60000 },
        { "max-age=0", -1, 0 },
        { "max-age=60, no-cache", -1, 0 },
        { "no-store", -1, 0 },
        { "no-cache=\"x\"", -1, 0 },
        { "max-age", -1, 0 },
        { "max-age=", -1, 0 },
        { "max-age=-1", -1, 0 },
        { "max-age=1.5", -1, 0 },
        { "s-maxage=5", -1, -1 },
        { "max-age=60", 30000, 30000 },
        { "max-age=10", 30000, 10000 },
        { "no-storex", -1, -1 },
        { ",, ,", -1, -1 },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (setcache_lifetime(andiron_str_of(rows[i].field), rows[i].earlier) != rows[i].lifetime)
            fail_msg("%s", rows[i].field);
    assert_true(setcache_lifetime(ANDIRON_STR("max-age=99999999999999999999"), -1) > 300000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(set_is_kept_as_long_as_both_sides_allow, set_up, tear_down),
        cmocka_unit_test_setup_teardown(needs_share_one_fetch, set_up, tear_down),
        cmocka_unit_test_setup_teardown(unknown_kid_forces_one_fetch_in_ten_seconds, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(unknown_kid_in_a_set_just_fetched_asks_no_more, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(failure_of_ours_is_not_remembered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(failure_is_remembered_for_a_moment, set_up, tear_down),
        cmocka_unit_test_setup_teardown(failed_early_fetch_leaves_the_fresh_set, set_up, tear_down),
        cmocka_unit_test_setup_teardown(expired_set_is_not_used_when_the_fetch_fails, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(number_of_sets_is_bounded, set_up, tear_down),
        cmocka_unit_test(cache_control_is_read_as_the_standard_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
