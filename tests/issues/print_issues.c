/*
 * Prints what validation finds in resources: one JSON document a line on standard input, one line
 * of JSON out: an array of issues. What tests/test_issues.mjs compares with what it broke.
 *
 *     print-issues [lenient] < resources.ndjson
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "common/fhir/validate.h"

enum { ISSUES_MAX = 50 };

static void print_issues(struct andiron_arena *arena, const struct andiron_error *issues,
                         size_t count)
{
    struct andiron_json_writer *w = andiron_json_write(arena, SIZE_MAX / 2);
    andiron_json_put_array(w, NULL);
    for (size_t i = 0; i < count; i++) {
        andiron_json_put_object(w, NULL);
        andiron_json_put_str(w, "code", andiron_str_of(andiron_code_issue(issues[i].code)));
        andiron_json_put_str(w, "where", andiron_str_of(issues[i].where));
        andiron_json_put_str(w, "message", andiron_str_of(issues[i].message));
        andiron_json_put_end(w);
    }
    andiron_json_put_end(w);
    andiron_str text = andiron_json_written(w);
    printf("%.*s\n", (int)text.len, text.data);
}

static void one(andiron_str line, bool is_lenient)
{
    struct andiron_arena *arena = arena_new();
    struct andiron_error err = { .code = ANDIRON_OK };
    andiron_json resource;

    if (andiron_json_parse(arena, line, &resource, &err) != 0) {
        print_issues(arena, &err, 1);
    } else {
        struct fhir_validating v = {
            .arena = arena,
            .root = andiron_json_str(andiron_json_get(resource, "resourceType")),
            .is_lenient = is_lenient,
            .max = ISSUES_MAX,
        };
        fhir_validate(&v, resource);
        print_issues(arena, v.issues, v.count);
    }
    arena_free(arena);
}

int main(int argc, char **argv)
{
    bool is_lenient = argc > 1 && strcmp(argv[1], "lenient") == 0;
    char *line = NULL;
    size_t capacity = 0;

    for (ssize_t len; (len = getline(&line, &capacity, stdin)) > 0;) {
        if (line[len - 1] == '\n')
            len--;
        one((andiron_str){ line, (size_t)len }, is_lenient);
    }
    free(line);
    return 0;
}
