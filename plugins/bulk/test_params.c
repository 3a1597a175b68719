/*
 * Parameters of kick-offs, and records of jobs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "params.h"
#include "rights.h"

static void filters_are_told_from_commas_within_them(void **state)
{
    static const struct {
        const char *text, *parts;
    } cases[] = {
        { "Observation?code=a", "[Observation|code=a]" },
        { "Observation?code=a,b,Patient?name=X,Y", "[Observation|code=a,b][Patient|name=X,Y]" },
        { "Observation?a=b,c?d", "[Observation|a=b,c?d]" },
        { "Observation?a=Patient,Patient", "[Observation|a=Patient,Patient]" },
        { "Observation", "[Observation|-]" },
        { "Observation,Patient?a=b", "[Observation|-][Patient|a=b]" },
        { "", "" },
        { ",", "[,|-]" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        andiron_str rest = andiron_str_of(cases[i].text), type, query;
        char got[200] = "";
        while (params_next_filter(&rest, &type, &query))
            snprintf(got + strlen(got), sizeof(got) - strlen(got), "[%.*s|%.*s]", (int)type.len,
                     type.data, query.data != NULL ? (int)query.len : 1,
                     query.data != NULL ? query.data : "-");
        assert_string_equal(got, cases[i].parts);
    }
}

static void lists_grow_and_end(void **state)
{
    const struct bulk_config config = { .max_patients = 1000, .max_filters = 10 };
    struct andiron_arena *arena = andiron_arena_new(0);
    struct params p = { .arena = arena, .config = &config, .level = JOB_PATIENT };
    struct andiron_error err;
    char text[32];
    (void)state;

    for (int i = 0; i < 1000; i++) {
        snprintf(text, sizeof(text), "Patient/p%d", i);
        assert_int_equal(params_take(&p, ANDIRON_STR("patient"), andiron_str_of(text), &err), 0);
        assert_null(p.patients[p.patient_count]);
    }
    assert_string_equal(p.patients[999], "p999");
    assert_int_equal(params_take(&p, ANDIRON_STR("patient"), ANDIRON_STR("Patient/x"), &err), -1);
    assert_int_equal(err.code, ANDIRON_E_TOO_LARGE);
    for (int i = 0; i < 10; i++)
        assert_int_equal(
            params_take(&p, ANDIRON_STR("_typeFilter"), ANDIRON_STR("Patient?a=b"), &err), 0);
    assert_int_equal(params_take(&p, ANDIRON_STR("_typeFilter"), ANDIRON_STR("Patient?a=b"), &err),
                     -1);
    andiron_arena_free(arena);
}

static void records_are_read_as_they_were_written(void **state)
{
    static const char *const one[] = { "gender=male", "gender=female", NULL };
    static const char *const two[] = { "_compartment=Patient/1", NULL };
    static const char *const *const limits[] = { one, two, NULL };
    static const char *const filters[] = { "active=true", NULL };
    static const char *const none[] = { NULL };
    const struct job_type types[] = { { "Patient", limits, filters, false },
                                      { "Provenance", NULL, NULL, true } };
    const struct job_file files[] = { { JOB_DELETED, "Patient", "a.ndjson", 7, 1 } };
    struct andiron_arena *arena = andiron_arena_new(0);
    struct job_spec spec = { .id = ANDIRON_STR("i"),
                             .client = ANDIRON_STR("Client/a"),
                             .request = ANDIRON_STR("http://x"),
                             .level = JOB_GROUP,
                             .group = ANDIRON_STR("g"),
                             .patients = none,
                             .since = 5,
                             .time = 9,
                             .horizon = ANDIRON_STR("h"),
                             .types = types,
                             .type_count = 2 };
    struct job_state s = { .status = JOB_FAILED,
                           .id = ANDIRON_STR("i"),
                           .epoch = 3,
                           .type_at = 1,
                           .type_count = 2,
                           .cursor = ANDIRON_STR("c"),
                           .bytes = UINT64_C(1) << 40,
                           .files = files,
                           .file_count = 1,
                           .error_code = 26,
                           .error = ANDIRON_STR("full") };
    struct andiron_row row = { .body = job_state_text(arena, &s), .ref.version = 4 };
    (void)state;

    assert_int_equal(job_spec_read(arena, job_spec_text(arena, &spec), &spec), 0);
    assert_int_equal(spec.level, JOB_GROUP);
    assert_non_null(spec.patients);
    assert_null(spec.patients[0]);
    assert_null(spec.elements);
    assert_string_equal(spec.types[0].limits[0][1], "gender=female");
    assert_string_equal(spec.types[0].limits[1][0], "_compartment=Patient/1");
    assert_null(spec.types[0].limits[2]);
    assert_true(spec.types[1].by_target);
    assert_int_equal(spec.since, 5);
    assert_int_equal(job_state_read(arena, &row, &s), 0);
    assert_int_equal(s.status, JOB_FAILED);
    assert_true(s.bytes == UINT64_C(1) << 40);
    assert_int_equal(s.version, 4);
    assert_string_equal(s.files[0].name, "a.ndjson");
    assert_int_equal(s.files[0].kind, JOB_DELETED);
    assert_true(rights_still_hold(spec.types[0].limits, limits));
    assert_true(rights_still_hold(spec.types[0].limits, limits + 1));
    assert_false(rights_still_hold(limits + 1, spec.types[0].limits));
    assert_true(rights_still_hold(limits, NULL));
    andiron_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filters_are_told_from_commas_within_them),
        cmocka_unit_test(lists_grow_and_end),
        cmocka_unit_test(records_are_read_as_they_were_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
