/*
 * JSON Schemas: {"schema": <schema>, "request": <value>}. What compiles must check, and say what
 * is not valid.
 */
#include <andiron/json.h>

#include "base/arena.h"
#include "plugins/policy-json-schema/check.h"
#include "target.h"

static andiron_json input_of(void *arg, const char *path)
{
    const andiron_json *request = arg;
    return path[0] == '\0' ? *request : andiron_json_get(*request, path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct andiron_arena *arena = arena_new();
    struct andiron_error err = { .where = "" };
    struct schema_document document;
    andiron_json root;

    if (andiron_json_parse(arena, (andiron_str){ (const char *)data, size }, &root, &err) == 0) {
        andiron_json request = andiron_json_get(root, "request");
        if (schema_compile(arena, andiron_json_get(root, "schema"), "AccessPolicy.schema",
                           &document, &err) == 0) {
            struct pattern_matcher *regex = pattern_matcher_new(1000, 1024);
            struct check c = { .schema = document.root,
                               .regex = regex,
                               .limit_us = 5000,
                               .input = input_of,
                               .arg = &request };
            enum check_result result = check_value(&c, request);
            if (result == CHECK_INVALID) {
                char reason[CHECK_REASON_MAX], place[POLICY_PLACE_MAX];
                struct policy_text text = { .out = place, .max = sizeof(place) };
                check_reason(&c, reason);
                policy_place_text(&c.place, &text);
                FUZZ_CHECK(strlen(reason) > 0 && strlen(place) == text.len &&
                           text.len < sizeof(place));
            }
            /* The whole request object gives the same as the object itself. */
            if (andiron_json_type(request) == ANDIRON_JSON_OBJECT && result != CHECK_GAVE_UP) {
                enum check_result again = check_request(&c);
                FUZZ_CHECK(again == result || again == CHECK_GAVE_UP);
            }
            pattern_matcher_free(regex);
        } else {
            FUZZ_CHECK(strncmp(err.where, "AccessPolicy.schema", 19) == 0);
            FUZZ_CHECK(andiron_code_http(err.code) == 422);
        }
    }
    arena_free(arena);
    return 0;
}
