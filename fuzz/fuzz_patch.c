/*
 * Patches of all kinds: input is a resource, a line feed, and a patch or a FHIRPath. Whatever is
 * made of a resource is JSON; base64 of what a path names comes back.
 */
#include "fhir/base64.h"
#include "fhir/fhirpath.h"
#include "fhir/patch.h"
#include "fhir/tree.h"

#include "base/arena.h"
#include "common/fhir/types.h"
#include "target.h"

static const struct resource_type patient = { .name = "Patient", .str = { "Patient", 7 } };

static void apply(struct andiron_arena *arena, andiron_json target, andiron_json doc)
{
    for (enum patch_kind kind = PATCH_JSON; kind <= PATCH_META_DELETE; kind++) {
        struct patch patch = { .kind = kind, .doc = doc, .max_operations = 100 };
        struct andiron_error err = { .code = ANDIRON_OK };
        andiron_str text = { NULL, 0 };
        andiron_json result;

        if (patch_apply(arena, &patient, &patch, target, &text, &err) != 0) {
            FUZZ_CHECK(andiron_code_http(err.code) >= 400 && andiron_code_http(err.code) < 500);
            continue;
        }
        /* Only nesting can be wrong with it. */
        if (andiron_json_parse(arena, text, &result, &err) != 0)
            FUZZ_CHECK(strstr(err.message, "deep") != NULL || strstr(err.message, "nest") != NULL);
    }
}

static void find(struct andiron_arena *arena, andiron_json target, andiron_str path)
{
    struct andiron_error err;
    struct places places = { NULL, 0, 0 };
    struct fhirpath f = { .arena = arena,
                          .root = tree_new(arena, target),
                          .structure = fhir_type(patient.str),
                          .err = &err };
    (void)fhirpath_find(&f, path, &places);
}

static void recode(struct andiron_arena *arena, andiron_str bytes)
{
    andiron_str back;
    FUZZ_CHECK(base64_decode(arena, base64_encode(arena, bytes), &back) == 0 &&
               andiron_str_eq(back, bytes));
    (void)base64_decode(arena, bytes, &back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size > 0 ? memchr(data, '\n', size) : NULL;
    if (end == NULL)
        return 0;
    struct andiron_arena *arena = arena_new();
    andiron_str first = { (const char *)data, (size_t)(end - data) };
    andiron_str second = { (const char *)end + 1, size - first.len - 1 };
    andiron_json target, doc;
    struct andiron_error err;

    recode(arena, second);
    if (andiron_json_parse(arena, first, &target, &err) == 0 &&
        andiron_json_type(target) == ANDIRON_JSON_OBJECT) {
        find(arena, target, second);
        if (andiron_json_parse(arena, second, &doc, &err) == 0)
            apply(arena, target, doc);
    }
    arena_free(arena);
    return 0;
}
