/*
 * Validation of any JSON: it ends within its limit, every issue has words and a place that begins
 * with the root, what strict accepts lenient accepts too, and what lenient refuses strict refuses.
 */
#include "base/arena.h"
#include "common/fhir/validate.h"
#include "target.h"

enum { ISSUES_MAX = 50 };

static size_t count_issues(struct andiron_arena *arena, andiron_json resource, bool is_lenient)
{
    struct fhir_validating v = { .arena = arena,
                                 .root = ANDIRON_STR("Root"),
                                 .is_lenient = is_lenient,
                                 .max = ISSUES_MAX };
    fhir_validate(&v, resource);
    FUZZ_CHECK(v.count <= ISSUES_MAX);
    for (size_t i = 0; i < v.count; i++) {
        const struct andiron_error *err = &v.issues[i];
        int status = andiron_code_http(err->code);
        FUZZ_CHECK(status == 400 || status == 422);
        FUZZ_CHECK(strnlen(err->message, sizeof(err->message)) < sizeof(err->message));
        FUZZ_CHECK(err->message[0] != '\0');
        FUZZ_CHECK(strnlen(err->where, sizeof(err->where)) < sizeof(err->where));
        FUZZ_CHECK(strncmp(err->where, "Root", 4) == 0);
    }
    return v.count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    andiron_str text = { (const char *)data, size };
    struct andiron_arena *arena = arena_new();
    andiron_json resource;

    if (andiron_json_parse(arena, text, &resource, NULL) == 0) {
        size_t strict = count_issues(arena, resource, false);
        size_t lenient = count_issues(arena, resource, true);
        FUZZ_CHECK(strict > 0 || lenient == 0);
    }
    arena_free(arena);
    return 0;
}
