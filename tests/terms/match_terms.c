/*
 * Searches resources in memory, by the search plugin alone: what tests/test_search.mjs compares
 * a store's answers with.
 *
 *     match-terms SEARCHES < resources.ndjson
 *
 * SEARCHES holds a search a line, "Observation?code=1"; for each one line of JSON comes out:
 * {"search": .., "ids": [..]} or {"search": .., "error": ".."}. Chains and _has find nothing.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "search/compile.h"
#include "search/matches.h"

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

enum { RESOURCES_MAX = 20000 };

struct stored {
    const char *type;
    andiron_str id;
    const struct andiron_term *terms;
    size_t count;
};

static struct stored resources[RESOURCES_MAX];
static size_t resource_count;

static int store(struct andiron_arena *arena, const struct model *model, andiron_str line)
{
    static const struct fhir_extract_options options = { .has_text = true, .max_terms = 100000 };
    struct stored *s = &resources[resource_count];
    struct andiron_error err;
    struct search_type type;
    andiron_json resource;

    if (resource_count == RESOURCES_MAX || andiron_json_parse(arena, line, &resource, &err) != 0 ||
        !model_type(model, andiron_json_str(andiron_json_get(resource, "resourceType")), &type))
        return -1;
    struct fhir_extract_root root = model_root(&type);
    s->type = type.name;
    s->id = andiron_json_str(andiron_json_get(resource, "id"));
    if (fhir_extract(arena, &options, &root, resource, &s->terms, &s->count, &err) != 0)
        return -1;
    resource_count++;
    return 0;
}

static void search(const struct model *model, andiron_str line)
{
    struct andiron_arena *arena = arena_new();
    struct andiron_json_writer *w = andiron_json_write(arena, SIZE_MAX / 2);
    const char *mark = memchr(line.data, '?', line.len);
    size_t type_len = mark != NULL ? (size_t)(mark - line.data) : line.len;
    size_t at = mark != NULL ? type_len + 1 : line.len;
    struct andiron_error err = { .code = ANDIRON_OK };
    struct compiling c = {
        .model = model, .limits = &limits, .arena = arena, .is_strict = true, .err = &err
    };
    struct andiron_search_plan plan;

    andiron_json_put_object(w, NULL);
    andiron_json_put_str(w, "search", line);
    if (search_compile(&c, (andiron_str){ line.data, type_len },
                       (andiron_str){ line.data + at, line.len - at }, &plan) != 0) {
        andiron_json_put_str(w, "error", andiron_str_of(err.message));
    } else {
        andiron_json_put_array(w, "ids");
        for (size_t i = 0; i < resource_count; i++) {
            const struct stored *s = &resources[i];
            if (strcmp(s->type, plan.query.type) == 0 &&
                matches_filter(plan.query.filter, s->type, s->id, s->terms, s->count))
                andiron_json_put_str(w, NULL, s->id);
        }
        andiron_json_put_end(w);
    }
    andiron_json_put_end(w);
    andiron_str out = andiron_json_written(w);
    printf("%.*s\n", (int)out.len, out.data);
    arena_free(arena);
}

int main(int argc, char **argv)
{
    static const struct model model;
    struct andiron_arena *arena = arena_new();
    FILE *searches = argc == 2 ? fopen(argv[1], "r") : NULL;
    char *line = NULL;
    size_t capacity = 0;

    if (searches == NULL) {
        fprintf(stderr, "usage: match-terms SEARCHES < resources.ndjson\n");
        return 64;
    }
    for (ssize_t len; (len = getline(&line, &capacity, stdin)) > 0;) {
        andiron_str text = { line, (size_t)len };
        text.data = andiron_copy(arena, text); /* views into it outlive the line */
        if (store(arena, &model, text) != 0)
            fprintf(stderr, "not stored: %.60s\n", line);
    }
    for (ssize_t len; (len = getline(&line, &capacity, searches)) > 0;)
        search(&model, (andiron_str){ line, (size_t)len - (line[len - 1] == '\n' ? 1 : 0) });
    free(line);
    (void)fclose(searches);
    arena_free(arena);
    return 0;
}
