/*
 * Parameters of exports, the headers that they look at, and the records of jobs: any bytes are an
 * answer, and what is taken is within its limits.
 */
#include "bulk/headers.h"
#include "bulk/params.h"
#include "target.h"

static void ranges(andiron_str s, uint64_t size)
{
    uint64_t from = 0, length = 0;

    if (headers_range(s, size, &from, &length) == RANGE_PART)
        FUZZ_CHECK(length > 0 && from < size && length <= size - from);
}

static void filters(andiron_str s)
{
    andiron_str rest = s, type, query;
    size_t total = 0;

    while (params_next_filter(&rest, &type, &query)) {
        total += type.len + query.len + 1;
        FUZZ_CHECK(total <= s.len + 1);
    }
    FUZZ_CHECK(rest.len == 0);
}

static void parameters(struct andiron_arena *arena, andiron_str s)
{
    static const char *const names[] = {
        "_outputFormat",         "_since", "_until", "_type", "_typeFilter", "_elements", "patient",
        "includeAssociatedData", "other"
    };
    static const struct bulk_config config = { .max_patients = 3, .max_filters = 3 };
    struct andiron_error err;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct params p = {
            .arena = arena, .config = &config, .level = JOB_GROUP, .is_lenient = s.len % 2 == 0
        };
        if (params_take(&p, andiron_str_of(names[i]), s, &err) != 0)
            continue;
        FUZZ_CHECK(p.filter_count <= 3 && p.patient_count <= 3);
        FUZZ_CHECK(p.elements == NULL || p.elements[p.element_count] == NULL);
    }
}

static void records(struct andiron_arena *arena, andiron_str s)
{
    struct andiron_row row = { .body = s };
    struct job_state state;
    struct job_spec spec;

    if (job_state_read(arena, &row, &state) == 0)
        FUZZ_CHECK(job_state_text(arena, &state).data != NULL);
    if (job_spec_read(arena, s, &spec) == 0)
        FUZZ_CHECK(job_spec_text(arena, &spec).data != NULL);
    (void)job_is_id(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const types[] = { "application/fhir+json", NULL };
    andiron_str s = { (const char *)data, size };
    struct andiron_arena *arena = andiron_arena_new(0);

    ranges(s, 0);
    ranges(s, 100);
    ranges(s, UINT64_C(1) << 40);
    (void)headers_prefer(s, "respond-async");
    (void)headers_accept(s, types);
    (void)headers_accept_gzip(s);
    (void)headers_has_etag(s, ANDIRON_STR("\"a\""));
    filters(s);
    parameters(arena, s);
    records(arena, s);
    andiron_arena_free(arena);
    return 0;
}
