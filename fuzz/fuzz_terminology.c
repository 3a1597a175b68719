/*
 * Stored ValueSets and CodeSystems: a resource as JSON, which searches ask about in each way. Whatever
 * it says, listing its codes ends; and what is above a code has that code below it.
 */
#include "base/arena.h"
#include "search/compile.h"
#include "search/terminology.h"
#include "target.h"

enum { CODES_MAX = 50 };

static const struct search_limits limits = { .max_params = 16,
                                             .max_values = 16,
                                             .max_conditions = 10000,
                                             .chain_depth = 1,
                                             .sort_keys = 1,
                                             .max_count = 10,
                                             .default_count = 10,
                                             .total_limit = 10,
                                             .max_codes = CODES_MAX,
                                             .max_sets = 4 };

static const struct model model;

static void ask(struct andiron_arena *arena, struct document *document, andiron_str expression)
{
    struct terminology terminology = { .first = document, .count = 1 };
    struct andiron_error err;
    struct andiron_search_plan plan;
    struct compiling c = { .model = &model,
                           .limits = &limits,
                           .arena = arena,
                           .base = ANDIRON_STR("https://host"),
                           .is_strict = true,
                           .err = &err,
                           .terminology = &terminology };

    if (search_compile(&c, ANDIRON_STR("Observation"), expression, &plan) == 0)
        FUZZ_CHECK(c.conditions <= limits.max_conditions);
}

static void walk(struct andiron_arena *arena, const struct hierarchy *h)
{
    andiron_str below[CODES_MAX + 1], above[CODES_MAX + 1];
    size_t count = hierarchy_walk(h, arena, ANDIRON_STR("a"), false, below, CODES_MAX);

    for (size_t i = 0; i < count && count <= CODES_MAX; i++) {
        size_t upper = hierarchy_walk(h, arena, below[i], true, above, CODES_MAX);
        bool is_found = upper > CODES_MAX;
        for (size_t j = 0; j < upper && !is_found; j++)
            is_found = andiron_str_eq(above[j], ANDIRON_STR("a"));
        FUZZ_CHECK(is_found);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct document set = { .type = "ValueSet",
                            .name = ANDIRON_STR("http://x"),
                            .state = DOCUMENT_READ };
    struct document system = { .type = "CodeSystem",
                               .name = ANDIRON_STR("http://x"),
                               .state = DOCUMENT_READ };
    struct andiron_arena *arena;
    struct andiron_error err;

    if (size > 65536)
        return 0;
    arena = arena_new();
    if (andiron_json_parse(arena, (andiron_str){ (const char *)data, size }, &set.root, &err) ==
        0) {
        ask(arena, &set, ANDIRON_STR("code:in=http://x&code:not-in=http://x"));
        system.hierarchy = hierarchy_read(arena, set.root, &err);
        if (system.hierarchy != NULL) {
            ask(arena, &system, ANDIRON_STR("code:below=http://x|a&code:above=http://x|a"));
            walk(arena, system.hierarchy);
        }
    }
    arena_free(arena);
    return 0;
}
