/*
 * Distances between known places.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/geo/sphere.h"

static void ways_are_as_long_as_on_a_sphere(void **state)
{
    (void)state;
    assert_true(geo_kilometres(52.5, 13.4, 52.5, 13.4) == 0);
    assert_true(fabs(geo_kilometres(0, 0, 1, 0) - geo_kilometres_per_degree()) < 1e-9);
    assert_true(fabs(geo_kilometres(0, 179.5, 0, -179.5) - geo_kilometres_per_degree()) < 1e-9);
    assert_true(fabs(geo_kilometres(90, 0, -90, 77) - 180 * geo_kilometres_per_degree()) < 1e-6);
    /* Berlin to Munich */
    assert_true(fabs(geo_kilometres(52.52, 13.405, 48.1371, 11.5754) - 504.4) < 0.5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ways_are_as_long_as_on_a_sphere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
