/*
 * References and creation times of platform types, stored and shown (seed-semantics B-3, B-4).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/arena.h"
#include "platform.h"

static struct andiron_arena *arena;
static const char *const references[] = { "link", "links.patient", NULL };
static const struct resource_type type = { .name = "AccessPolicy",
                                           .str = { "AccessPolicy", 12 },
                                           .platform = true,
                                           .references = references };

static int new_arena(void **state)
{
    (void)state;
    arena = arena_new();
    return 0;
}

static int end_arena(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

static andiron_json parse(const char *text)
{
    andiron_json root = { NULL, 0 };
    struct andiron_error err;
    if (andiron_json_parse(arena, andiron_str_of(text), &root, &err) != 0)
        fail_msg("%s: %s", text, err.message);
    return root;
}

static void assert_text(andiron_str s, const char *expected)
{
    if (!andiron_str_eq(s, andiron_str_of(expected)))
        fail_msg("\n%.*s, not\n%s", (int)s.len, s.data, expected);
}

static void assert_kept(const char *sent, const char *expected)
{
    assert_text(platform_kept(arena, &type, ANDIRON_STR("x"), parse(sent)), expected);
}

#define HEAD "{\"resourceType\":\"AccessPolicy\",\"id\":\"x\""

static void type_and_id_are_put_in_front(void **state)
{
    (void)state;
    assert_kept("{}", HEAD "}");
    assert_kept("{\"engine\":\"allow\",\"id\":\"x\"}", HEAD ",\"engine\":\"allow\"}");
}

static void both_forms_of_a_reference_are_stored_as_one(void **state)
{
    (void)state;
    assert_kept("{\"link\":[{\"reference\":\"Client/"
                "root\",\"display\":\"R\"},{\"id\":\"a\",\"resourceType\":\"User\"}]}",
                HEAD ",\"link\":[{\"resourceType\":\"Client\",\"id\":\"root\",\"display\":\"R\"},"
                     "{\"id\":\"a\",\"resourceType\":\"User\"}]}");
    assert_kept("{\"links\":{\"patient\":{\"reference\":\"Patient/"
                "1\"},\"other\":{\"reference\":\"Patient/1\"}}}",
                HEAD ",\"links\":{\"patient\":{\"resourceType\":\"Patient\",\"id\":\"1\"},"
                     "\"other\":{\"reference\":\"Patient/1\"}}}");
}

static void patterns_that_look_like_references_are_left_alone(void **state)
{
    (void)state;
    const char *pattern =
        "{\"matcho\":{\"link\":{\"reference\":\"Client/root\"}},\"link\":[{\"reference\":\"#x\"}]}";
    assert_kept(pattern, HEAD ",\"matcho\":{\"link\":{\"reference\":\"Client/"
                              "root\"}},\"link\":[{\"reference\":\"#x\"}]}");
    assert_text(platform_shown(arena, &type, (andiron_str){ NULL, 0 },
                               parse("{\"matcho\":{\"a\":{\"resourceType\":\"A\",\"id\":\"b\"}}}")),
                "{\"matcho\":{\"a\":{\"resourceType\":\"A\",\"id\":\"b\"}}}");
}

static void below_fhir_references_have_fhirs_form(void **state)
{
    (void)state;
    assert_text(platform_shown(arena, &type, (andiron_str){ NULL, 0 },
                               parse("{\"link\":[{\"resourceType\":\"Client\",\"id\":\"root\","
                                     "\"display\":\"R\"}],\"a\":1.0}")),
                "{\"link\":[{\"reference\":\"Client/root\",\"display\":\"R\"}],\"a\":1.0}");
}

static void a_reference_in_both_forms_is_shown_in_one(void **state)
{
    (void)state;
    assert_text(platform_shown(arena, &type, (andiron_str){ NULL, 0 },
                               parse("{\"link\":[{\"reference\":\"Client/other\",\"resourceType\":"
                                     "\"Client\",\"id\":\"root\"}]}")),
                "{\"link\":[{\"reference\":\"Client/root\"}]}");
    assert_kept("{\"link\":[{\"reference\":\"Client/root\",\"resourceType\":null}]}",
                HEAD ",\"link\":[{\"resourceType\":\"Client\",\"id\":\"root\"}]}");
}

static void below_fhir_the_time_of_creation_is_an_extension_or_absent(void **state)
{
    (void)state;
    const char *stored = "{\"meta\":{\"createdAt\":\"2024-01-01T00:00:00Z\",\"versionId\":\"1\"}}";
    assert_text(platform_shown(arena, &type, (andiron_str){ NULL, 0 }, parse(stored)),
                "{\"meta\":{\"versionId\":\"1\"}}");
    assert_text(platform_shown(arena, &type, ANDIRON_STR("http://c"), parse(stored)),
                "{\"meta\":{\"extension\":[{\"url\":\"http://"
                "c\",\"valueInstant\":\"2024-01-01T00:00:00Z\"}],"
                "\"versionId\":\"1\"}}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(type_and_id_are_put_in_front),
        cmocka_unit_test(both_forms_of_a_reference_are_stored_as_one),
        cmocka_unit_test(patterns_that_look_like_references_are_left_alone),
        cmocka_unit_test(below_fhir_references_have_fhirs_form),
        cmocka_unit_test(a_reference_in_both_forms_is_shown_in_one),
        cmocka_unit_test(below_fhir_the_time_of_creation_is_an_extension_or_absent),
    };
    return cmocka_run_group_tests(tests, new_arena, end_arena);
}
