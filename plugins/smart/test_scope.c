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
#include "grant.h"
#include "scope.h"
#include "test_search.h"

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
        { "system/Observation.r?category=laboratory&status=final", SCOPE_RESOURCE, SCOPE_R },
        { "user/Observation.cud?code:in=http://x.y/ValueSet/z%7C1", SCOPE_RESOURCE,
          SCOPE_C | SCOPE_U | SCOPE_D },
        { "system/Observation.rs?_lastUpdated=gt2020", SCOPE_RESOURCE, SCOPE_R | SCOPE_S },
        { "system/Observation.rs?combo-code=a,b", SCOPE_RESOURCE, SCOPE_R | SCOPE_S },
        { "system/Observation.rs?category", SCOPE_MALFORMED, 0 },
        { "system/Observation.rs?category=", SCOPE_MALFORMED, 0 },
        { "system/Observation.rs?=laboratory", SCOPE_MALFORMED, 0 },
        { "system/Observation.rs?category=a&", SCOPE_MALFORMED, 0 },
        { "system/Observation.rs?&category=a", SCOPE_MALFORMED, 0 },
        { "system/Observation.rs?category=a&&status=b", SCOPE_MALFORMED, 0 },
        { "system/Observation.rs?subject.name=x", SCOPE_MALFORMED, 0 },
        { "system/Observation.rs?subject:Patient.name=x", SCOPE_MALFORMED, 0 },
        { "system/Patient.rs?_has:Observation:patient:code=x", SCOPE_MALFORMED, 0 },
        { "system/Observation.rs?category:=a", SCOPE_MALFORMED, 0 },
        { "system/Observation.rs?:not=a", SCOPE_MALFORMED, 0 },
        { "system/Observation.rs?%63ategory=a", SCOPE_MALFORMED, 0 },
        { "system/Observation.rs?_compartment=Patient/1", SCOPE_MALFORMED, 0 },
        { "system/Observation.write?category=a", SCOPE_MALFORMED, 0 },
        { "system/Observation.*?category=a", SCOPE_MALFORMED, 0 },
        { "system/Observation.cruds", SCOPE_RESOURCE, 31 },
        { "system/Observation.dc", SCOPE_MALFORMED, 0 },
        { "system/Observation.x", SCOPE_MALFORMED, 0 },
        { "system/Observation.rx", SCOPE_MALFORMED, 0 },
        { "system/.rs", SCOPE_MALFORMED, 0 },
        { "system/", SCOPE_MALFORMED, 0 },
        { "system/**.rs", SCOPE_MALFORMED, 0 },
        { "system/Observation.r.s", SCOPE_MALFORMED, 0 },
        { "patients/Observation.rs", SCOPE_OTHER, 0 },
        { "back\\slash", SCOPE_MALFORMED, 0 },
        { "syst\xC3\xA9m/Patient.rs", SCOPE_MALFORMED, 0 },
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

/* Each subsequence of "cruds", and nothing else that five letters can make in up to three places. */
static void permissions_are_subsequences_of_cruds(void **state)
{
    (void)state;
    static const char letters[] = "cruds";
    for (unsigned set = 1; set < 32; set++) {
        char text[32] = "system/Patient.";
        struct scope scope;
        for (size_t i = 0; i < 5; i++)
            if ((set & 1u << i) != 0)
                strncat(text, &letters[i], 1);
        assert_int_equal(scope_parse(andiron_str_of(text), &scope, NULL), SCOPE_RESOURCE);
        assert_int_equal(scope.letters, set);
        assert_false(scope.v1);
    }
    size_t good = 0;
    for (size_t a = 0; a < 5; a++)
        for (size_t b = 0; b < 5; b++)
            for (size_t c = 0; c < 5; c++) {
                char text[] = "system/Patient.abc";
                struct scope scope;
                text[15] = letters[a], text[16] = letters[b], text[17] = letters[c];
                bool is_good = scope_parse(andiron_str_of(text), &scope, NULL) == SCOPE_RESOURCE;
                assert_int_equal(is_good, a < b && b < c);
                good += is_good;
            }
    assert_int_equal(good, 10);
}

static const char *granted(struct andiron_arena *arena, bool expand, const char *allowed,
                           const char *requested)
{
    static int types[2];
    types[0] = fhir_type(ANDIRON_STR("Observation"));
    types[1] = fhir_type(ANDIRON_STR("Patient"));
    struct grant_settings settings = { .expand = expand,
                                       .wildcard_types = types,
                                       .wildcard_count = 2,
                                       .max_scopes = 8,
                                       .search = &test_search };
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
        { true, "[\"system/*.*\"]", "system/Patient.rs?nope=x", "" },
        { true, "[\"system/Patient.rs?nope=x\"]", "system/Patient.rs", "" },
        { true, "[\"system/*.*\"]", "system/Patient.rs?a.b=x system/Patient.r",
          "system/Patient.r" },
        /* SC-4: both queries; no letter under a query that is held without one */
        { true, "[\"system/*.*\"]", "system/Patient.rs?a=1", "system/Patient.rs?a=1" },
        { true, "[\"system/Patient.rs?a=1\"]", "system/Patient.cruds", "system/Patient.rs?a=1" },
        { true, "[\"system/Patient.rs?a=1\"]", "system/Patient.read", "system/Patient.rs?a=1" },
        { true, "[\"system/Patient.rs?a=1\"]", "system/Patient.r?b=2", "system/Patient.r?a=1&b=2" },
        { true, "[\"system/Patient.rs?a=1&b=2\"]", "system/Patient.rs?b=2&c=3",
          "system/Patient.rs?a=1&b=2&c=3" },
        { true, "[\"system/Patient.r\",\"system/Patient.rs?a=1\"]", "system/Patient.rs",
          "system/Patient.r system/Patient.s?a=1" },
        { true, "[\"system/Patient.rs\",\"system/Patient.rs?a=1\"]", "system/Patient.rs",
          "system/Patient.rs" },
        { true, "[\"system/Patient.rs?a=1\",\"system/Patient.rs?a=2\"]", "system/Patient.rs",
          "system/Patient.rs?a=1 system/Patient.rs?a=2" },
        { true, "[\"system/Patient.rs?a=1\"]", "system/Patient.rs?b=2 system/Patient.rs?b=2",
          "system/Patient.rs?a=1&b=2" },
        { true, "[\"system/Patient.rs?a=1\"]", "system/Patient.c", "" },
        { true, "[\"user/Patient.rs?a=1\"]", "system/Patient.rs", "" },
        { true, "[\"system/Patient.rs?a=1\"]", "system/Observation.rs", "" },
        { true, "[\"system/Patient.rs?a=1\"]", "system/*.read", "system/Patient.rs?a=1" },
        { true, "[\"system/*.r\",\"system/Patient.rs?a=1\"]", "system/*.rs",
          "system/Observation.r system/Patient.r system/Patient.s?a=1" },
        /* Coverage is not in the wildcard's list, so nothing of it is held without the query */
        { true, "[\"system/*.r\",\"system/Coverage.rs?a=1\"]", "system/*.rs",
          "system/Observation.r system/Patient.r system/Coverage.rs?a=1" },
        { false, "[\"system/*.r\",\"system/Coverage.rs?a=1\"]", "system/*.rs",
          "system/*.r system/Coverage.s?a=1" },
        { true, "[\"system/Patient.r?a=1\",\"system/Patient.r?a=2\",\"system/Patient.r?a=3\"]",
          "system/Patient.r system/Patient.r?b=1 system/Patient.r?b=2", "error" },
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grammar_is_exact),
        cmocka_unit_test(grants_are_what_both_sides_hold),
        cmocka_unit_test(permissions_are_subsequences_of_cruds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
