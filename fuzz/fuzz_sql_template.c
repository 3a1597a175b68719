/*
 * Queries of policies with {{path}} in them; the first line is the name that a request gives.
 */
#include "base/arena.h"
#include "plugins/policy-sql/template.h"
#include "target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    andiron_str query = { (const char *)data, size }, name = { (const char *)data, 0 };
    struct andiron_arena *arena = arena_new();
    struct andiron_error err = { .where = "" };
    struct template t;

    while (query.len > 0 && query.data[0] != '\n')
        query.data++, query.len--, name.len++;
    if (template_compile(arena, query, &t, &err) == 0) {
        andiron_str names[TEMPLATE_HOLES_MAX];
        for (size_t i = 0; i < t.name_count; i++) {
            FUZZ_CHECK(t.names[i].at <= t.text.len && t.names[i].path[0] != '\0');
            names[i] = name;
        }
        for (size_t i = 0; i < t.value_count; i++)
            FUZZ_CHECK(t.values[i][0] != '\0');
        FUZZ_CHECK(t.value_count + t.name_count <= TEMPLATE_HOLES_MAX);
        /* What a request gives never gets in unless it is the name of a type. */
        andiron_str text = template_text(arena, &t, names);
        if (text.data != NULL && t.name_count > 0) {
            FUZZ_CHECK(text.len == t.text.len + t.name_count * (name.len + 2));
            for (size_t i = 0; i < name.len; i++)
                FUZZ_CHECK((name.data[i] | 0x20) >= 'a' && (name.data[i] | 0x20) <= 'z');
        }
    } else {
        FUZZ_CHECK(err.code == ANDIRON_E_VALUE && err.message[0] != '\0');
    }
    arena_free(arena);
    return 0;
}
