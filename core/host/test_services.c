#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/arena.h"
#include "host/services.h"

enum { MAX = 8 };

/* A plugin with one service and short lists of what it asks for. */
struct toy {
    struct andiron_plugin table;
    struct andiron_service provides[2];
    const char *needs[3], *wants[3];
};

static const int thing;

static void make(struct toy *t, const char *name, const char *provides, const char *needs,
                 const char *wants)
{
    *t = (struct toy){ .table = { .name = name },
                       .provides = { { provides, &thing } },
                       .needs = { needs },
                       .wants = { wants } };
    t->table.provides = t->provides;
    t->table.needs = t->needs;
    t->table.wants = t->wants;
}

static struct problems problems;
static struct andiron_arena *arena;

/* Names in order, joined by blanks. */
static const char *order(struct toy *toys, size_t count)
{
    struct services_member members[MAX];
    size_t result[MAX];
    const char *text = "";
    for (size_t i = 0; i < count; i++)
        members[i] = (struct services_member){ .table = &toys[i].table, .file = "f", .line = 1 };
    problems_init(&problems, arena);
    services_order(members, count, NULL, NULL, &problems, result);
    for (size_t i = 0; i < count; i++)
        text = andiron_printf(arena, "%s%s%s", text, i > 0 ? " " : "", toys[result[i]].table.name);
    return text;
}

static void ties_keep_the_order_of_files(void **state)
{
    (void)state;
    struct toy t[3];
    make(&t[0], "c", NULL, NULL, NULL);
    make(&t[1], "a", NULL, NULL, NULL);
    make(&t[2], "b", NULL, NULL, NULL);
    assert_string_equal(order(t, 3), "c a b");
    assert_int_equal(problems.count, 0);
}

static void needs_and_wants_come_first(void **state)
{
    (void)state;
    struct toy t[4];
    make(&t[0], "fhir", NULL, "search/1", NULL);
    make(&t[1], "access", NULL, NULL, "scopes/1");
    make(&t[2], "search", "search/1", NULL, NULL);
    make(&t[3], "smart", "scopes/1", NULL, NULL);
    assert_string_equal(order(t, 4), "search fhir smart access");
    assert_int_equal(problems.count, 0);
}

static void wanting_a_kind_waits_for_every_instance(void **state)
{
    (void)state;
    struct toy t[3];
    make(&t[0], "access", NULL, NULL, "policy-engine/1:");
    make(&t[1], "allow", "policy-engine/1:allow", NULL, NULL);
    make(&t[2], "matcho", "policy-engine/1:matcho", NULL, NULL);
    assert_string_equal(order(t, 3), "allow matcho access");
}

static void what_is_wanted_may_be_missing_but_not_what_is_needed(void **state)
{
    (void)state;
    struct toy t[2];
    make(&t[0], "a", NULL, NULL, "scopes/1");
    make(&t[1], "b", NULL, "store/1", NULL);
    assert_string_equal(order(t, 2), "a b");
    assert_int_equal(problems.errors, 1);
    assert_string_equal(problems.list[0].text,
                        "b: needs service store/1, which no enabled plugin provides");
}

static void other_major_of_a_service_is_named(void **state)
{
    (void)state;
    struct toy t[2];
    make(&t[0], "a", NULL, "store/2", NULL);
    make(&t[1], "b", "store/1", NULL, NULL);
    (void)order(t, 2);
    assert_int_equal(problems.errors, 1);
    assert_non_null(strstr(problems.list[0].text, "b provides store/1"));
}

static void two_providers_are_refused_and_two_instances_are_not(void **state)
{
    (void)state;
    struct toy t[2];
    make(&t[0], "sqlite", "store/1", NULL, NULL);
    make(&t[1], "postgres", "store/1", NULL, NULL);
    (void)order(t, 2);
    assert_int_equal(problems.errors, 1);
    assert_string_equal(
        problems.list[0].text,
        "postgres: provides service store/1, and so does sqlite: enable one of them");
    make(&t[0], "sqlite", "health/1:sqlite", NULL, NULL);
    make(&t[1], "postgres", "health/1:postgres", NULL, NULL);
    (void)order(t, 2);
    assert_int_equal(problems.errors, 0);
}

static void cycle_is_printed_without_those_that_only_lead_to_it(void **state)
{
    (void)state;
    struct toy t[4];
    make(&t[0], "user", NULL, "a/1", NULL);
    make(&t[1], "a", "a/1", NULL, "b/1");
    make(&t[2], "b", "b/1", "c/1", NULL);
    make(&t[3], "c", "c/1", "a/1", NULL);
    (void)order(t, 4);
    assert_int_equal(problems.errors, 1);
    assert_non_null(strstr(problems.list[0].text, " -> "));
    assert_null(strstr(problems.list[0].text, "user"));
}

static void own_service_makes_no_cycle_and_uses_do_not_order(void **state)
{
    (void)state;
    struct toy t[2];
    static const char *const uses[] = { "b/1", NULL };
    make(&t[0], "a", "a/1", "a/1", NULL);
    t[0].table.uses = uses;
    make(&t[1], "b", "b/1", "a/1", NULL);
    assert_string_equal(order(t, 2), "a b");
    assert_int_equal(problems.count, 0);
    assert_true(services_declared(&t[0].table, "b/1"));
    assert_true(services_declared(&t[0].table, "a/1"));
    assert_false(services_declared(&t[0].table, "c/1"));
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
        cmocka_unit_test(ties_keep_the_order_of_files),
        cmocka_unit_test(needs_and_wants_come_first),
        cmocka_unit_test(wanting_a_kind_waits_for_every_instance),
        cmocka_unit_test(what_is_wanted_may_be_missing_but_not_what_is_needed),
        cmocka_unit_test(other_major_of_a_service_is_named),
        cmocka_unit_test(two_providers_are_refused_and_two_instances_are_not),
        cmocka_unit_test(cycle_is_printed_without_those_that_only_lead_to_it),
        cmocka_unit_test(own_service_makes_no_cycle_and_uses_do_not_order),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
