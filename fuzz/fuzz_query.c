/*
 * Search expressions: "Type\nexpression". Whatever is sent, compiling ends, and what it gives can
 * be walked; compiling the self link again gives the same query.
 */
#include "base/arena.h"
#include "search/compile.h"
#include "search/matches.h"
#include "search/terminology.h"
#include "target.h"

static const struct search_limits limits = { .max_params = 256,
                                             .max_values = 256,
                                             .max_conditions = 10000,
                                             .chain_depth = 3,
                                             .sort_keys = 3,
                                             .max_count = 1000,
                                             .default_count = 100,
                                             .total_limit = 1000,
                                             .max_codes = 1000,
                                             .max_sets = 32 };

static const struct model model;

static int compile(struct andiron_arena *arena, andiron_str type, andiron_str expression,
                   bool is_strict, struct andiron_search_plan *plan)
{
    struct terminology terminology = { NULL };
    struct andiron_error err;
    struct compiling c = { .model = &model,
                           .limits = &limits,
                           .arena = arena,
                           .base = ANDIRON_STR("https://host"),
                           .is_strict = is_strict,
                           .err = &err,
                           .terminology = &terminology };
    return search_compile(&c, type, expression, plan);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    const char *line = size > 0 ? memchr(text, '\n', size) : NULL;
    andiron_str type = { text, line != NULL ? (size_t)(line - text) : 0 };
    andiron_str expression =
        line != NULL ? (andiron_str){ line + 1, size - type.len - 1 } : (andiron_str){ text, size };
    struct andiron_search_plan plan, again;
    struct andiron_arena *arena;

    if (size > 4096)
        return 0;
    arena = arena_new();
    if (type.len == 0)
        type.data = NULL;
    if (compile(arena, type, expression, false, &plan) == 0) {
        (void)matches_filter(plan.query.filter, plan.query.type, ANDIRON_STR("1"), NULL, 0);
        FUZZ_CHECK(compile(arena, type, plan.self, true, &again) == 0);
        FUZZ_CHECK(again.query.fingerprint == plan.query.fingerprint);
        FUZZ_CHECK(andiron_str_eq(again.self, plan.self));
        FUZZ_CHECK(again.ignored == NULL);
    }
    (void)compile(arena, type, expression, true, &plan);
    arena_free(arena);
    return 0;
}
