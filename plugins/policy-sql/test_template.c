/*
 * Queries as templates: what becomes a parameter, a name, an error.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/arena.h"
#include "template.h"

static struct andiron_arena *arena;

static int set_up(void **state)
{
    (void)state;
    arena = arena_new();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

static struct template compiled(const char *query)
{
    struct template t;
    struct andiron_error err = { .where = "" };
    if (template_compile(arena, andiron_str_of(query), &t, &err) != 0)
        fail_msg("%s: %s", query, err.message);
    return t;
}

static void values_become_parameters_wherever_they_stand(void **state)
{
    (void)state;
    struct template t = compiled("SELECT {{client.id}}='a' AND {{ params.resource/id }} IN (SELECT "
                                 "id FROM patient) -- it's so\n");
    assert_string_equal(andiron_copy(arena, t.text),
                        "SELECT $1='a' AND $2 IN (SELECT id FROM patient) -- it's so\n");
    assert_int_equal(t.value_count, 2);
    assert_string_equal(t.values[0], "client.id");
    assert_string_equal(t.values[1], "params.resource/id");
}

static void what_is_quoted_stays_as_it_is(void **state)
{
    static const char query[] = "SELECT 'it''s {', \"a--b\", [c'd], `e`, /* ' */ 1 -- '";
    (void)state;
    struct template t = compiled(query);
    assert_string_equal(andiron_copy(arena, t.text), query);
    assert_int_equal(t.value_count, 0);
}

static void names_are_those_of_fhir_types_only(void **state)
{
    (void)state;
    struct template t =
        compiled("SELECT 1 FROM {{!params.resource/type}} x JOIN {{!other}} y ON x.id={{a}}");
    const andiron_str right[] = { ANDIRON_STR("Observation"), ANDIRON_STR("PATIENT") };
    assert_string_equal(andiron_copy(arena, template_text(arena, &t, right)),
                        "SELECT 1 FROM \"observation\" x JOIN \"patient\" y ON x.id=$1");
    static const char *const wrong[] = { "Client",   "version",       "patient\" --", "",
                                         "Patient ", "sqlite_master", "Patien",       "Patientx" };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        const andiron_str names[] = { ANDIRON_STR("Patient"), andiron_str_of(wrong[i]) };
        if (template_text(arena, &t, names).data != NULL)
            fail_msg("%s is let through", wrong[i]);
    }
    const andiron_str absent[] = { { NULL, 0 }, ANDIRON_STR("Patient") };
    assert_null(template_text(arena, &t, absent).data);
}

static void what_is_no_template_is_refused_with_its_byte(void **state)
{
    static const char *const rows[][2] = {
        { "SELECT '{{a}}'", "in quotes or a comment at byte 8" },
        { "SELECT 1 /* {{a}} */", "in quotes or a comment at byte 12" },
        { "SELECT \"{{!a}}\"", "in quotes or a comment at byte 8" },
        { "SELECT {{a", "without }} at byte 7" },
        { "SELECT {{a}", "without }} at byte 7" },
        { "SELECT {{}}", "no path" },
        { "SELECT {{!}}", "no path" },
        { "SELECT {{a..b}}", "no path" },
        { "SELECT {{.a}}", "no path" },
        { "SELECT {{a b}}", "no path" },
        { "SELECT 'a", "quote without end at byte 7" },
        { "SELECT \"a''", "quote without end at byte 7" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct template t;
        struct andiron_error err = { .where = "" };
        if (template_compile(arena, andiron_str_of(rows[i][0]), &t, &err) == 0)
            fail_msg("%s is compiled", rows[i][0]);
        if (strstr(err.message, rows[i][1]) == NULL)
            fail_msg("%s: %s", rows[i][0], err.message);
        assert_int_equal(err.code, ANDIRON_E_VALUE);
    }
}

static void size_and_number_of_values_are_limited(void **state)
{
    char query[TEMPLATE_MAX + 2];
    struct template t;
    struct andiron_error err = { .where = "" };
    (void)state;
    memset(query, 'x', sizeof(query));
    assert_int_equal(template_compile(arena, (andiron_str){ query, sizeof(query) - 1 }, &t, &err),
                     -1);
    assert_int_equal(template_compile(arena, (andiron_str){ query, TEMPLATE_MAX }, &t, &err), 0);
    for (size_t i = 0; i + 5 <= 65 * 5; i += 5)
        memcpy(query + i, "{{a}}", 5);
    assert_int_equal(template_compile(arena, (andiron_str){ query, 65 * 5 }, &t, &err), -1);
    assert_int_equal(template_compile(arena, (andiron_str){ query, 64 * 5 }, &t, &err), 0);
    assert_int_equal(t.value_count, 64);
    assert_memory_equal(t.text.data + t.text.len - 6, "$63$64", 6);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(values_become_parameters_wherever_they_stand),
        TEST(what_is_quoted_stays_as_it_is),
        TEST(names_are_those_of_fhir_types_only),
        TEST(what_is_no_template_is_refused_with_its_byte),
        TEST(size_and_number_of_values_are_limited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
