/*
 * Answers of introspection endpoints: what counts as active is an object that says so once, and as
 * the boolean true.
 */
#include "base/arena.h"
#include "plugins/auth/answer.h"
#include "target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct andiron_arena *arena = andiron_arena_new(0);
    struct andiron_error err = { .code = ANDIRON_OK };
    andiron_json claims = { NULL, 0 };
    andiron_str text = { (const char *)data, size };
    enum answer answer = answer_read(arena, text, &claims, &err);

    FUZZ_CHECK((answer == ANSWER_BROKEN) == (err.code != ANDIRON_OK));
    if (answer == ANSWER_ACTIVE) {
        struct andiron_json_iter it = { .of = claims };
        size_t said = 0;
        FUZZ_CHECK(andiron_json_type(claims) == ANDIRON_JSON_OBJECT);
        while (andiron_json_next(&it))
            if (andiron_str_eq(it.name, ANDIRON_STR("active"))) {
                FUZZ_CHECK(andiron_json_true(it.value));
                said++;
            }
        FUZZ_CHECK(said == 1);
    }
    andiron_arena_free(arena);
    return 0;
}
