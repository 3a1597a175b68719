/*
 * matcho patterns: {"matcho": <pattern>, "request": <value>}. What compiles must run, and say
 * what differed.
 */
#include <andiron/json.h>

#include "base/arena.h"
#include "plugins/policy-matcho/screen.h"
#include "target.h"

static andiron_json input_of(void *arg, const char *path)
{
    const andiron_json *request = arg;
    return path[0] == '\0' ? *request : andiron_json_path(*request, path);
}

/* What matches is never screened out, by itself or beside itself. */
static bool may_match(struct andiron_arena *arena, const struct match *m)
{
    const struct program *programs[2] = { m->program, m->program };
    const struct screen *screen = screen_new(arena, programs, 2);
    uint64_t left = 3;
    if (screen != NULL)
        screen_run(screen, m, arena, &left);
    return left == 3;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct andiron_arena *arena = arena_new();
    struct andiron_error err = { .where = "" };
    struct program program;
    andiron_json root;

    if (andiron_json_parse(arena, (andiron_str){ (const char *)data, size }, &root, &err) == 0) {
        andiron_json request = andiron_json_get(root, "request");
        if (program_compile(arena, andiron_json_get(root, "matcho"), "AccessPolicy.matcho",
                            &program, &err) == 0) {
            struct pattern_matcher *regex = pattern_matcher_new(1000, 1024);
            struct match m = { .program = &program,
                               .regex = regex,
                               .fhir_base = ANDIRON_STR("https://host/fhir/"),
                               .limit_us = 5000,
                               .input = input_of,
                               .arg = &request };
            enum match_result result = match_value(&m, request);
            if (result == MATCH_NO) {
                char reason[POLICY_REASON_MAX];
                struct policy_text text = { .out = reason, .max = POLICY_PLACE_MAX };
                FUZZ_CHECK(m.failed >= program.ops && m.failed < program.ops + program.count);
                policy_place_text(&m.place, &text);
                match_expected(m.failed, &text);
                FUZZ_CHECK(strlen(reason) == text.len && text.len < POLICY_PLACE_MAX);
            }
            /* The whole request object gives the same as the object itself. */
            if (andiron_json_type(request) == ANDIRON_JSON_OBJECT && result != MATCH_GAVE_UP &&
                program.ops[0].code == OP_OBJECT) {
                enum match_result again = match_request(&m);
                FUZZ_CHECK(again == result || again == MATCH_GAVE_UP);
                FUZZ_CHECK(again != MATCH_YES || may_match(arena, &m));
            }
            pattern_matcher_free(regex);
        } else {
            FUZZ_CHECK(strncmp(err.where, "AccessPolicy.matcho", 19) == 0);
            FUZZ_CHECK(andiron_code_http(err.code) == 422);
        }
    }
    arena_free(arena);
    return 0;
}
