/*
 * Arenas, buffers, errors, units and suggestions.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <andiron/error.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/suggest.h"
#include "base/units.h"

static void small_arena_stays_small_and_grows(void **state)
{
    (void)state;
    struct andiron_arena *arena = andiron_arena_new(300);
    assert_true(arena_bytes(arena) < 1024);
    for (int i = 0; i < 100; i++)
        memset(andiron_alloc(arena, 100), 0xab, 100);
    assert_true(arena_bytes(arena) >= 100 * 100);
    andiron_arena_free(arena);
    andiron_arena_free(NULL);
    arena_cache_drop();
}

static void wiped_arena_leaves_nothing_behind(void **state)
{
    (void)state;
    for (int round = 0; round < 2; round++) {
        struct andiron_arena *arena = arena_new();
        char *secret = andiron_copy(arena, ANDIRON_STR("canary"));
        if (round == 1)
            andiron_arena_wipe(arena);
        arena_free(arena);
        arena = arena_new(); /* the same block again, from the thread's cache */
        char *same = arena_take(arena, 7);
        assert_ptr_equal(same, secret);
        assert_int_equal(memcmp(same, "canary", 6) == 0, round == 0);
        arena_free(arena);
    }
    arena_cache_drop();
}

static void arena_memory_is_zeroed_aligned_and_apart(void **state)
{
    (void)state;
    struct andiron_arena *arena = arena_new();
    for (int round = 0; round < 2; round++) {
        unsigned char *last = NULL;
        for (size_t n = 1; n < 40000; n = n * 3 / 2 + 1) {
            unsigned char *p = andiron_alloc(arena, n);
            assert_int_equal((uintptr_t)p % 16, 0);
            for (size_t i = 0; i < n; i++)
                assert_int_equal(p[i], 0);
            memset(p, 0xAB, n);
            if (last != NULL)
                assert_int_equal(last[0], 0xAB);
            last = p;
        }
        arena_free(arena); /* its first block comes back from the cache, dirty */
        arena = arena_new();
    }
    void *large = andiron_alloc(arena, 3 * 1024 * 1024);
    assert_non_null(large);
    assert_true(arena_bytes(arena) >= 3 * 1024 * 1024);
    assert_string_equal(andiron_printf(arena, "%s-%d", "x", 7), "x-7");
    assert_string_equal(andiron_copy(arena, ANDIRON_STR("view")), "view");
    arena_free(arena);
    arena_cache_drop();
}

static int released[3], release_count;
static void note_release(void *arg)
{
    released[release_count++] = *(int *)arg;
}

static void release_hooks_run_last_first(void **state)
{
    (void)state;
    static int one = 1, two = 2;
    struct andiron_arena *arena = arena_new();
    andiron_at_release(arena, note_release, &one);
    andiron_at_release(arena, note_release, &two);
    arena_free(arena);
    assert_int_equal(release_count, 2);
    assert_int_equal(released[0], 2);
    assert_int_equal(released[1], 1);
    arena_cache_drop();
}

static void buffer_stops_at_its_maximum(void **state)
{
    (void)state;
    struct buffer b;
    buffer_init(&b, 10);
    assert_int_equal(buffer_add(&b, "12345678", 8), 0);
    assert_int_equal(buffer_add(&b, "abc", 3), -1);
    assert_true(b.overflowed);
    assert_int_equal(b.len, 8);
    assert_int_equal(buffer_printf(&b, "%s", "yz"), 0);
    assert_memory_equal(b.data, "12345678yz", 10);
    buffer_drop(&b, 8);
    assert_memory_equal(b.data, "yz", 2);
    assert_int_equal(buffer_printf(&b, "%020d", 5), -1);
    buffer_free(&b);
}

static void units_need_a_unit_and_must_fit(void **state)
{
    (void)state;
    assert_int_equal(units_duration(ANDIRON_STR("250ms")), 250);
    assert_int_equal(units_duration(ANDIRON_STR("7d")), INT64_C(604800000));
    assert_int_equal(units_duration(ANDIRON_STR("0")), 0);
    assert_int_equal(units_duration(ANDIRON_STR("5")), -1);
    assert_int_equal(units_duration(ANDIRON_STR("-5s")), -1);
    assert_int_equal(units_duration(ANDIRON_STR("9223372036854775807d")), -1);
    assert_int_equal(units_bytes(ANDIRON_STR("64k")), 65536);
    assert_int_equal(units_bytes(ANDIRON_STR("64K")), -1);
    assert_int_equal(units_bytes(ANDIRON_STR("99999999999999999999")), -1);
    int64_t n = 5;
    assert_int_equal(units_int(ANDIRON_STR("-12"), &n), 0);
    assert_int_equal(n, -12);
    assert_int_equal(units_int(ANDIRON_STR("1x"), &n), -1);
    assert_int_equal(units_int(ANDIRON_STR(""), &n), -1);
}

static void instants_and_http_dates_agree_with_the_calendar(void **state)
{
    (void)state;
    char text[ANDIRON_HTTP_DATE_LEN + 1];
    const andiron_usec at = INT64_C(1724946665117806); /* the seed's lastUpdated */
    assert_int_equal(units_instant(at, text), 27);
    assert_string_equal(text, "2024-08-29T15:51:05.117806Z");
    (void)units_instant(-1, text);
    assert_string_equal(text, "1969-12-31T23:59:59.999999Z");
    (void)units_instant(INT64_C(951782400) * 1000000, text);
    assert_string_equal(text, "2000-02-29T00:00:00.000000Z");
    /* RFC 9110 section 5.6.7: three spellings of one instant */
    const andiron_usec rfc = INT64_C(784111777) * 1000000;
    andiron_http_date(rfc, text);
    assert_memory_equal(text, "Sun, 06 Nov 1994 08:49:37 GMT", ANDIRON_HTTP_DATE_LEN);
    assert_int_equal(andiron_http_date_read(ANDIRON_STR("Sun, 06 Nov 1994 08:49:37 GMT")), rfc);
    assert_int_equal(andiron_http_date_read(ANDIRON_STR("Sunday, 06-Nov-94 08:49:37 GMT")), rfc);
    assert_int_equal(andiron_http_date_read(ANDIRON_STR("Sun Nov  6 08:49:37 1994")), rfc);
    assert_int_equal(andiron_http_date_read(ANDIRON_STR("Sun, 06 Nov 1994 08:49:37 GMTx")),
                     INT64_MIN);
    assert_int_equal(andiron_http_date_read(ANDIRON_STR("Sun, 36 Nov 1994 08:49:37 GMT")),
                     INT64_MIN);
    assert_int_equal(andiron_http_date_read(ANDIRON_STR("")), INT64_MIN);
}

static void instants_are_written_for_any_time(void **state)
{
    static const struct {
        andiron_usec at;
        const char *fhir, *http;
    } rows[] = {
        { 0, "1970-01-01T00:00:00.000000Z", "Thu, 01 Jan 1970 00:00:00 GMT" },
        { 784111777000001, "1994-11-06T08:49:37.000001Z", "Sun, 06 Nov 1994 08:49:37 GMT" },
        { 1709164800000000, "2024-02-29T00:00:00.000000Z", "Thu, 29 Feb 2024 00:00:00 GMT" },
        { -1, "1969-12-31T23:59:59.999999Z", "Wed, 31 Dec 1969 23:59:59 GMT" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char fhir[ANDIRON_INSTANT_LEN + 1] = "", http[ANDIRON_HTTP_DATE_LEN + 1] = "";
        andiron_instant(rows[i].at, fhir);
        andiron_http_date(rows[i].at, http);
        assert_string_equal(fhir, rows[i].fhir);
        assert_string_equal(http, rows[i].http);
        assert_true(rows[i].at < 0 ||
                    andiron_http_date_read(andiron_str_of(http)) == rows[i].at / 1000000 * 1000000);
    }
    static const char *const wrong[] = { "2024-01-01", "Sun, 06 Nov 1994 08:49:37 UTC",
                                         "Sun, 06 Foo 1994 08:49:37 GMT",
                                         "Sun, xx Nov 1994 08:49:37 GMT",
                                         "Sun, 06 Nov 1994 24:49:37 GMT" };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_true(andiron_http_date_read(andiron_str_of(wrong[i])) == INT64_MIN);
}

static void nearest_name_is_suggested_only_when_near(void **state)
{
    (void)state;
    static const char *const names[] = { "max-ttl", "min-ttl", "refresh-ttl", NULL };
    assert_string_equal(suggest(ANDIRON_STR("max-tll"), names), "max-ttl");
    assert_string_equal(suggest(ANDIRON_STR("MAX-TTL"), names), "max-ttl");
    assert_null(suggest(ANDIRON_STR("listen"), names));
    assert_null(suggest(ANDIRON_STR(""), names));
}

static void long_errors_are_cut_between_characters(void **state)
{
    (void)state;
    struct andiron_error err;
    char text[1000];
    for (size_t i = 0; i + 2 < sizeof(text); i += 2)
        memcpy(text + i, "\xC3\xA9", 3);
    assert_int_equal(andiron_error_set(&err, ANDIRON_E_VALUE, text, "x%s", text), -1);
    assert_int_equal(strlen(err.message) % 2, 1);
    assert_int_equal(strlen(err.where) % 2, 0);
    assert_int_equal((unsigned char)err.message[strlen(err.message) - 1], 0xA9);
    assert_int_equal(andiron_code_http(ANDIRON_E_NO_SPACE), 507);
    assert_int_equal(andiron_code_http((enum andiron_code)999), 500);
    assert_string_equal(andiron_code_issue(ANDIRON_E_MULTIPLE_MATCHES), "multiple-matches");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wiped_arena_leaves_nothing_behind),
        cmocka_unit_test(arena_memory_is_zeroed_aligned_and_apart),
        cmocka_unit_test(small_arena_stays_small_and_grows),
        cmocka_unit_test(release_hooks_run_last_first),
        cmocka_unit_test(buffer_stops_at_its_maximum),
        cmocka_unit_test(units_need_a_unit_and_must_fit),
        cmocka_unit_test(instants_and_http_dates_agree_with_the_calendar),
        cmocka_unit_test(instants_are_written_for_any_time),
        cmocka_unit_test(nearest_name_is_suggested_only_when_near),
        cmocka_unit_test(long_errors_are_cut_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
