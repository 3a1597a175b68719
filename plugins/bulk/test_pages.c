/*
 * Pages that are asked for: they grow to what a slice takes, and shrink where rows are large or time is short.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pages.h"

static const struct pages_limits most = { 5000, 4 << 20 };

static void pages_of_small_rows_grow_to_the_limit(void **state)
{
    size_t page = PAGES_FIRST;
    (void)state;
    for (int i = 0; i < 3; i++)
        page = pages_next(page, page, page * 700, false, &most);
    assert_int_equal(page, PAGES_FIRST * 64);
    page = pages_next(page, page, page * 700, false, &most);
    assert_int_equal(page, 5000);
    assert_int_equal(pages_next(5000, 0, 0, false, &most),
                     5000); /* none was the last of its resource */
}

static void pages_of_large_rows_have_about_as_many_bytes_as_a_slice(void **state)
{
    (void)state;
    assert_in_range(pages_next(5000, 5000, UINT64_C(5000) * 100000, false, &most), 40, 42);
    assert_int_equal(pages_next(32, 1, 64 << 20, false, &most), 1);
}

static void a_page_that_took_too_long_is_followed_by_as_many_as_were_taken(void **state)
{
    (void)state;
    assert_int_equal(pages_next(5000, 320, 320 * 700, true, &most), 320);
    assert_int_equal(pages_next(5000, 16, 16 * 700, true, &most), PAGES_FIRST);
}

/* ---- a whole export, from a store that reads a page before it shows the first row -------------------- */

static int64_t clock_us;

static int64_t now_us(void)
{
    return clock_us;
}

struct work {
    size_t rows, slices; /* that the store read; that were asked for */
};

/* 20,000 rows; a page takes the store page_us and a row row_us, taking one take_us. */
static struct work export_of(int64_t page_us, int64_t row_us, int64_t take_us)
{
    struct work work = { 0, 0 };
    size_t left = 20000, page = PAGES_FIRST;

    while (left > 0 && work.slices < 100000) {
        struct pages_clock clock = { .seen = 0 };
        size_t read = page < left ? page : left;
        clock_us += page_us + (int64_t)read * row_us;
        work.rows += read;
        work.slices++;
        for (bool has_time = true; has_time && clock.seen < read;) {
            clock_us += take_us;
            has_time = pages_row(&clock, now_us);
        }
        left -= clock.seen;
        page = pages_next(page, clock.seen, clock.seen * 700, clock.is_cut, &most);
    }
    assert_int_equal(left, 0);
    return work;
}

static void a_store_that_is_slow_to_read_a_page_reads_each_row_once(void **state)
{
    (void)state;
    for (int64_t page_us = 0; page_us <= 1000000; page_us += 50000) {
        struct work work = export_of(page_us, 30, 1);
        assert_int_equal(work.rows, 20000);
        assert_in_range(work.slices, 4, 12);
    }
}

static void what_takes_long_to_take_is_read_little_more_than_once(void **state)
{
    (void)state;
    for (int64_t take_us = 10; take_us <= 1000; take_us += 10)
        assert_in_range(export_of(100000, 30, take_us).rows, 20000, 40000);
}

static void a_slice_ends_in_time_whatever_its_rows_take(void **state)
{
    struct pages_clock clock = { .seen = 0 };
    (void)state;
    do
        clock_us += 500;
    while (pages_row(&clock, now_us));
    assert_int_equal(clock.seen, 48); /* 20 ms, looked at each 16 rows */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_of_small_rows_grow_to_the_limit),
        cmocka_unit_test(pages_of_large_rows_have_about_as_many_bytes_as_a_slice),
        cmocka_unit_test(a_page_that_took_too_long_is_followed_by_as_many_as_were_taken),
        cmocka_unit_test(a_store_that_is_slow_to_read_a_page_reads_each_row_once),
        cmocka_unit_test(what_takes_long_to_take_is_read_little_more_than_once),
        cmocka_unit_test(a_slice_ends_in_time_whatever_its_rows_take),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
