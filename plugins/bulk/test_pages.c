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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_of_small_rows_grow_to_the_limit),
        cmocka_unit_test(pages_of_large_rows_have_about_as_many_bytes_as_a_slice),
        cmocka_unit_test(a_page_that_took_too_long_is_followed_by_as_many_as_were_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
