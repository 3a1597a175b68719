#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <pthread.h>

#include "base/arena.h"
#include "host/metrics.h"

static struct andiron_arena *arena;

static const char *scrape(void)
{
    return andiron_metrics_text(arena).data;
}

static void assert_has(const char *line)
{
    const char *text = scrape();
    if (strstr(text, line) == NULL)
        fail_msg("no \"%s\" in:\n%s", line, text);
}

static size_t occurrences(const char *text, const char *part)
{
    size_t count = 0;
    for (; (text = strstr(text, part)) != NULL; text++)
        count++;
    return count;
}

static void counters_are_shown_with_help_and_type_once(void **state)
{
    (void)state;
    struct andiron_counter *a =
        andiron_counter(NULL, "test_a_total", "x=\"1\"", "What a\\b counts");
    struct andiron_counter *other = andiron_counter(NULL, "test_b_total", NULL, "B");
    struct andiron_counter *b = andiron_counter(NULL, "test_a_total", "x=\"2\"", "ignored");
    andiron_count(a, 2);
    andiron_count(b, 40);
    andiron_count(other, 1);
    assert_has("# HELP test_a_total What a\\\\b counts\n# TYPE test_a_total counter\n"
               "test_a_total{x=\"1\"} 2\ntest_a_total{x=\"2\"} 40\n");
    assert_has("test_b_total 1\n");
    assert_int_equal(occurrences(scrape(), "# TYPE test_a_total"), 1);
}

static void same_name_and_labels_are_the_same_counter(void **state)
{
    (void)state;
    struct andiron_counter *a = andiron_counter(NULL, "test_same_total", "x=\"1\"", "A");
    assert_ptr_equal(andiron_counter(NULL, "test_same_total", "x=\"1\"", "A"), a);
    assert_ptr_not_equal(andiron_counter(NULL, "test_same_total", "x=\"2\"", "A"), a);
}

static void histogram_counts_into_its_buckets(void **state)
{
    (void)state;
    struct andiron_histogram *h = andiron_histogram(NULL, "test_seconds", NULL, "H");
    andiron_observe(h, 0);
    andiron_observe(h, 50);
    andiron_observe(h, 51);
    andiron_observe(h, 60000000);
    andiron_observe(h, 60000001);
    andiron_observe(h, -5); /* a clock that was set back */
    assert_has("test_seconds_bucket{le=\"5e-05\"} 3\n");
    assert_has("test_seconds_bucket{le=\"0.0001\"} 4\n");
    assert_has("test_seconds_bucket{le=\"30\"} 4\n");
    assert_has("test_seconds_bucket{le=\"60\"} 5\n");
    assert_has("test_seconds_bucket{le=\"+Inf\"} 6\n");
    assert_has("test_seconds_count 6\n");
    assert_has("test_seconds_sum 120.000102\n");
}

static void labels_stand_beside_le(void **state)
{
    (void)state;
    andiron_observe(andiron_histogram(NULL, "test_l_seconds", "e=\"m\"", "H"), 1000);
    assert_has("test_l_seconds_bucket{e=\"m\",le=\"0.001\"} 1\n");
    assert_has("test_l_seconds_count{e=\"m\"} 1\n");
}

static double answer(void *self)
{
    return *(double *)self;
}

static void gauges_are_read_when_shown(void **state)
{
    (void)state;
    static double value = 1.5;
    andiron_gauge(NULL, "test_gauge", NULL, "G", answer, &value);
    assert_has("# TYPE test_gauge gauge\ntest_gauge 1.5\n");
    value = 42;
    assert_has("test_gauge 42\n");
    metrics_counter_of("test_read_total", NULL, "C", answer, &value);
    assert_has("# TYPE test_read_total counter\ntest_read_total 42\n");
}

static void wrong_names_and_types_count_into_nothing(void **state)
{
    (void)state;
    andiron_count(andiron_counter(NULL, "9bad", NULL, "x"), 1);
    andiron_count(andiron_counter(NULL, "bad-name", NULL, "x"), 1);
    andiron_count(andiron_counter(NULL, "test_a_total", NULL, "x"), 0);
    andiron_observe(andiron_histogram(NULL, "test_a_total", NULL, "x"), 7);
    assert_null(strstr(scrape(), "bad"));
    assert_null(strstr(scrape(), "test_a_total_bucket"));
}

static void *count_often(void *arg)
{
    for (int i = 0; i < 100000; i++)
        andiron_count(arg, 1);
    return NULL;
}

static void threads_lose_no_count(void **state)
{
    (void)state;
    struct andiron_counter *c = andiron_counter(NULL, "test_threads_total", NULL, "T");
    pthread_t threads[12]; /* more than shards */
    for (size_t i = 0; i < 12; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_often, c), 0);
    for (size_t i = 0; i < 12; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(metrics_count_of(c), 1200000);
}

/* Last: fills the registry. */
static void series_beyond_the_bound_are_dropped(void **state)
{
    (void)state;
    char labels[32];
    for (int i = 0; i < METRICS_SERIES_MAX + 10; i++) {
        (void)snprintf(labels, sizeof(labels), "i=\"%d\"", i);
        andiron_count(andiron_counter(NULL, "test_many_total", labels, "M"), 1);
    }
    const char *text = scrape();
    assert_true(occurrences(text, "test_many_total{") < METRICS_SERIES_MAX);
    assert_true(occurrences(text, "test_many_total{") > METRICS_SERIES_MAX - 100);
    assert_null(strstr(text, "i=\"5009\""));
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
        cmocka_unit_test(counters_are_shown_with_help_and_type_once),
        cmocka_unit_test(same_name_and_labels_are_the_same_counter),
        cmocka_unit_test(histogram_counts_into_its_buckets),
        cmocka_unit_test(labels_stand_beside_le),
        cmocka_unit_test(gauges_are_read_when_shown),
        cmocka_unit_test(wrong_names_and_types_count_into_nothing),
        cmocka_unit_test(threads_lose_no_count),
        cmocka_unit_test(series_beyond_the_bound_are_dropped),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
