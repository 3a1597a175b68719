/*
 * Extraction of index terms from any JSON: it ends within its limit, and every term names a
 * parameter of the type and holds a range that is one.
 */
#include "base/arena.h"
#include "common/fhir/extract.h"
#include "common/fhir/params.h"
#include "common/fhir/types.h"
#include "target.h"

enum { TERMS_MAX = 5000 };

static void check_term(int type, const struct andiron_term *t)
{
    struct fhir_param param;
    size_t len = strcspn(t->param, "#");

    FUZZ_CHECK(fhir_param_find(type, (andiron_str){ t->param, len }, &param));
    FUZZ_CHECK((t->group == 0) == (t->part == 0));
    FUZZ_CHECK(t->part <= 3);
    switch (t->kind) {
    case ANDIRON_TERM_DATE:
        FUZZ_CHECK(t->range.date.low < t->range.date.high);
        break;
    case ANDIRON_TERM_NUMBER:
    case ANDIRON_TERM_QUANTITY:
        FUZZ_CHECK(t->range.number.low <= t->range.number.high);
        break;
    case ANDIRON_TERM_PRESENT:
        break;
    default:
        FUZZ_CHECK(t->text.data != NULL);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct fhir_extract_options options = { .base = { "https://host", 12 },
                                                         .has_text = true,
                                                         .max_terms = TERMS_MAX };
    andiron_str text = { (const char *)data, size };
    struct andiron_arena *arena = arena_new();
    const struct andiron_term *terms;
    struct andiron_error err;
    andiron_json resource;
    size_t count;

    if (andiron_json_parse(arena, text, &resource, &err) == 0) {
        int type = fhir_type(andiron_json_str(andiron_json_get(resource, "resourceType")));
        /* Without a type every byte of it is still worth a try. */
        type = type >= 0 ? type : (int)(size % FHIR_TYPE_COUNT);
        struct fhir_extract_root root = fhir_extract_r4(type);
        if (fhir_extract(arena, &options, &root, resource, &terms, &count, &err) == 0) {
            FUZZ_CHECK(count <= TERMS_MAX);
            for (size_t i = 0; i < count; i++)
                check_term(type, &terms[i]);
        }
    }
    arena_free(arena);
    return 0;
}
