/*
 * Scope grammar (SC-1, SC-2) and granting (SC-4 to SC-9).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "common/fhir/types.h"
#include "enforce.h"
#include "grant.h"
#include "scope.h"

static void grammar_is_exact(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum scope_kind kind;
        unsigned letters;
    } rows[] = {
        { "system/Observation.read", SCOPE_RESOURCE, SCOPE_R | SCOPE_S },
        { "system/Observation.write", SCOPE_RESOURCE, SCOPE_C | SCOPE_U | SCOPE_D },
        { "system/*.*", SCOPE_RESOURCE, 31 },
        { "patient/Patient.rs", SCOPE_RESOURCE, SCOPE_R | SCOPE_S },
        { "user/Patient.cruds", SCOPE_RESOURCE, 31 },
        { "system/Observation.rs?category=laboratory", SCOPE_RESOURCE, SCOPE_R | SCOPE_S },
        { "system/Patient.sr", SCOPE_MALFORMED, 0 },
        { "system/Patient.rr", SCOPE_MALFORMED, 0 },
        { "system/Patient.", SCOPE_MALFORMED, 0 },
        { "system/Patient", SCOPE_MALFORMED, 0 },
        { "system/patient.read", SCOPE_MALFORMED, 0 },
        { "system/Client.read", SCOPE_MALFORMED, 0 },
        { "system/Patient.READ", SCOPE_MALFORMED, 0 },
        { "system/Patient.read?x=y", SCOPE_MALFORMED, 0 },
        { "system/*.rs?x=y", SCOPE_MALFORMED, 0 },
        { "system/Patient.rs?", SCOPE_MALFORMED, 0 },
        { "System/Patient.rs", SCOPE_OTHER, 0 },
        { "launch/patient", SCOPE_OTHER, 0 },
        { "openid", SCOPE_OTHER, 0 },
        { "two words", SCOPE_MALFORMED, 0 },
        { "quote\"d", SCOPE_MALFORMED, 0 },
        { "", SCOPE_MALFORMED, 0 },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct scope scope = { .letters = 0 };
        const char *why = NULL;
        print_message("%s\n", rows[i].text);
        assert_int_equal(scope_parse(andiron_str_of(rows[i].text), &scope, &why), rows[i].kind);
        assert_int_equal(scope.letters, rows[i].letters);
        assert_true(rows[i].kind != SCOPE_MALFORMED || why != NULL);
    }
}

static const char *granted(struct andiron_arena *arena, bool expand, const char *allowed,
                           const char *requested)
{
    static int types[2];
    types[0] = fhir_type(ANDIRON_STR("Observation"));
    types[1] = fhir_type(ANDIRON_STR("Patient"));
    struct grant_settings settings = {
        .expand = expand, .wildcard_types = types, .wildcard_count = 2, .max_scopes = 8
    };
    struct andiron_scope_grant ret;
    struct andiron_error err;
    andiron_json list;
    assert_int_equal(andiron_json_parse(arena, andiron_str_of(allowed), &list, &err), 0);
    if (grant_scopes(&settings, arena, andiron_str_of(requested), list, &ret, &err) != 0)
        return "error";
    return andiron_copy(arena, ret.scope);
}

static void grants_are_what_both_sides_hold(void **state)
{
    (void)state;
    static const struct {
        bool expand;
        const char *allowed, *requested, *granted;
    } rows[] = {
        /* SC-6: the seed's wildcard */
        { true, "[\"system/*.read\"]", "system/*.read",
          "system/Observation.read system/Patient.read" },
        { false, "[\"system/*.read\"]", "system/*.read", "system/*.read" },
        /* SC-7: a type outside the wildcard's list may be named */
        { true, "[\"system/*.read\"]", "system/Coverage.read system/*.read",
          "system/Coverage.read system/Observation.read system/Patient.read" },
        /* SC-4: intersection of letters; SC-5: v2 where v1 has no name for them */
        { true, "[\"system/Patient.rs\"]", "system/Patient.cruds", "system/Patient.rs" },
        { true, "[\"system/Patient.rs\"]", "system/Patient.*", "system/Patient.read" },
        { true, "[\"system/Patient.r\"]", "system/Patient.read", "system/Patient.r" },
        { true, "[\"system/Patient.*\"]", "system/Patient.cruds", "system/Patient.cruds" },
        { true, "[\"system/Patient.r\",\"system/Patient.s\"]", "system/Patient.rs",
          "system/Patient.rs" },
        { true, "[\"system/Patient.read\"]", "system/*.read", "system/Patient.read" },
        { true, "[\"system/Patient.read\"]", "system/Observation.read", "" },
        { true, "[\"system/Patient.read\"]", "system/Patient.write", "" },
        { true, "[\"user/Patient.read\"]", "system/Patient.read", "" },
        /* SC-3: not understood, not granted */
        { true, "[\"system/*.*\"]", "system/Patient.sr system/Nope.read", "" },
        { true, "[\"system/*.*\"]", "system/Patient.rs?name=x", "" },
        { true, "[\"system/Patient.rs?name=x\"]", "system/Patient.rs", "" },
        /* SC-9: as requested, once */
        { true, "[\"system/*.read\",\"x\"]", "x system/Patient.read x system/Patient.read",
          "x system/Patient.read" },
        { true, "[\"system/*.read\"]", "y", "" },
        { true, "[\"system/*.read\"]", "a b c d e f g h i", "error" },
    };
    struct andiron_arena *arena = andiron_arena_new(0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_string_equal(granted(arena, rows[i].expand, rows[i].allowed, rows[i].requested),
                            rows[i].granted);
    andiron_arena_free(arena);
}

static void malformed_resource_scope_voids_the_set(void **state)
{
    (void)state;
    static const char *const good[] = { "system/Patient.rs", "openid", NULL };
    static const char *const bad[] = { "system/Patient.sr", NULL };
    struct andiron_arena *arena = andiron_arena_new(0);
    struct andiron_error err;
    const void *set = NULL;
    assert_int_equal(enforce_compile(arena, good, &set, &err), 0);
    assert_non_null(set);
    assert_int_equal(enforce_compile(arena, bad, &set, &err), -1);
    andiron_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grammar_is_exact),
        cmocka_unit_test(grants_are_what_both_sides_hold),
        cmocka_unit_test(malformed_resource_scope_voids_the_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
