/*
 * Expressions of search parameters: the first byte chooses the kind, the second the type, the
 * rest is the expression. It compiles or is refused with words; what it compiles to finds no
 * more than it may in a resource that has the elements asked for.
 */
#include "base/arena.h"
#include "common/fhir/expression.h"
#include "common/fhir/types.h"
#include "target.h"

static const char resource[] =
    "{\"resourceType\":\"Patient\",\"name\":[{\"use\":\"official\",\"family\":\"A\",\"given\":[\"B\","
    "\"C\"]}],\"birthDate\":\"1970-01-01\",\"deceasedBoolean\":false,\"extension\":[{\"url\":\"u\","
    "\"extension\":[{\"url\":\"v\",\"valueCoding\":{\"system\":\"s\",\"code\":\"c\"}}]}],"
    "\"managingOrganization\":{\"reference\":\"Organization/1\"}}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fhir_extract_options options = { .has_text = true, .max_terms = 1000 };
    struct fhir_expression param = { .code = "x" };
    struct andiron_arena *arena = arena_new();
    struct andiron_error err = { .code = ANDIRON_OK };
    struct fhir_extract_root root;
    const struct andiron_term *terms;
    andiron_json json;
    size_t failed, count;

    if (size < 2) {
        arena_free(arena);
        return 0;
    }
    param.kind = (enum fhir_param_kind)(data[0] % (FHIR_PARAM_SPECIAL + 1));
    param.text = (andiron_str){ (const char *)data + 2, size - 2 };
    if (param.kind == FHIR_PARAM_COMPOSITE) {
        param.parts[0].kind = FHIR_PARAM_TOKEN;
        param.parts[0].text = ANDIRON_STR("use");
        param.part_count = 1;
    }
    if (fhir_expression_compile(arena, data[1] % FHIR_TYPE_COUNT, &param, 1, &root, &failed,
                                &err) == 0) {
        FUZZ_CHECK(andiron_json_parse(arena, ANDIRON_STR(resource), &json, NULL) == 0);
        (void)fhir_extract(arena, &options, &root, json, &terms, &count, NULL);
    } else {
        FUZZ_CHECK(err.message[0] != '\0' && andiron_code_http(err.code) == 422);
    }
    arena_free(arena);
    return 0;
}
