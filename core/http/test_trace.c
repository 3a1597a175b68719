/*
 * W3C Trace Context: what is a traceparent and a tracestate, and what is left of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "http/trace.h"

#define ID "4bf92f3577b34da6a3ce929d0e0e4736"
#define PARENT "00f067aa0ba902b7"

static void assert_parent(const char *sent, const char *expected)
{
    struct andiron_arena *arena = arena_new();
    andiron_str kept = trace_parent(arena, andiron_str_of(sent));

    if (expected == NULL)
        assert_null(kept.data);
    else
        assert_true(andiron_str_eq(kept, andiron_str_of(expected)));
    arena_free(arena);
}

static void a_traceparent_of_version_00_is_kept(void **state)
{
    (void)state;
    static const char good[] = "00-" ID "-" PARENT "-01"; /* section 3.2.3 */
    assert_parent(good, good);
    assert_true(andiron_str_eq(trace_id(andiron_str_of(good)), andiron_str_of(ID)));
}

static void of_a_later_version_what_00_knows_is_kept(void **state)
{
    (void)state;
    assert_parent("cc-" ID "-" PARENT "-01", "00-" ID "-" PARENT "-01");
    assert_parent("01-" ID "-" PARENT "-03-what-comes-later", "00-" ID "-" PARENT "-01");
    assert_parent("01-" ID "-" PARENT "-fe-", "00-" ID "-" PARENT "-00");
    assert_parent("01-" ID "-" PARENT "-01x", NULL);
}

static void a_malformed_traceparent_is_none(void **state)
{
    (void)state;
    static const char *const malformed[] = {
        "",
        "x",
        "00-" ID "-" PARENT "-0",
        "00-" ID "-" PARENT "-01-",
        "00-" ID "-" PARENT "-01 ",
        "ff-" ID "-" PARENT "-01",
        "0g-" ID "-" PARENT "-01",
        "00_" ID "-" PARENT "-01",
        "00-" ID "_" PARENT "-01",
        "00-" ID "-" PARENT "_01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-" PARENT "-01",
        "00-00000000000000000000000000000000-" PARENT "-01",
        "00-" ID "-0000000000000000-01",
        "00-" ID "-00F067AA0BA902B7-01",
        "00-" ID "-" PARENT "-0x",
    };
    for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++)
        assert_parent(malformed[i], NULL);
    assert_null(trace_id((andiron_str){ NULL, 0 }).data);
}

static void assert_state(const char *sent, const char *expected)
{
    andiron_str kept = trace_state(andiron_str_of(sent));

    if (expected == NULL)
        assert_null(kept.data);
    else
        assert_true(andiron_str_eq(kept, andiron_str_of(expected)));
}

static void a_tracestate_is_kept_if_it_parses(void **state)
{
    (void)state;
    assert_state("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
                 "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE");
    assert_state("fw529a3039@dt=a;b , \t, 0a_-*/=~", "fw529a3039@dt=a;b , \t, 0a_-*/=~");
    static const char *const malformed[] = { "",     " , ",   "a",      "a=",    "=a",   "A=1",
                                             "_a=1", "a=1=2", "a=\x7f", "a=1,b", "a =1", "a=\xe4" };
    for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++)
        assert_state(malformed[i], NULL);
}

static void a_long_tracestate_loses_whole_members_at_its_end(void **state)
{
    (void)state;
    char sent[3 * 204];
    for (size_t i = 0; i < 3; i++) { /* "x=" and 201 signs, a comma */
        memset(sent + i * 204, 'v', 204);
        sent[i * 204] = (char)('a' + i);
        sent[i * 204 + 1] = '=';
        sent[i * 204 + 203] = ',';
    }
    andiron_str kept = trace_state((andiron_str){ sent, sizeof(sent) });
    assert_int_equal(kept.len, 407);
    assert_int_equal(kept.data[406], 'v');

    char many[33 * 4]; /* more members than section 3.3.1.1 allows */
    for (size_t i = 0; i < 33; i++)
        memcpy(many + i * 4, "a=1,", 4);
    assert_null(trace_state((andiron_str){ many, sizeof(many) }).data);
    assert_int_equal(trace_state((andiron_str){ many, 32 * 4 }).len, 32 * 4 - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_traceparent_of_version_00_is_kept),
        cmocka_unit_test(of_a_later_version_what_00_knows_is_kept),
        cmocka_unit_test(a_malformed_traceparent_is_none),
        cmocka_unit_test(a_tracestate_is_kept_if_it_parses),
        cmocka_unit_test(a_long_tracestate_loses_whole_members_at_its_end),
    };
    int failed = cmocka_run_group_tests_name("http/trace", tests, NULL, NULL);
    arena_cache_drop();
    return failed;
}
