/*
 * Prints the index terms of resources: one JSON document a line on standard input, one line of
 * JSON out. What tests/test_terms.mjs compares with an evaluation of its own.
 *
 *     print-terms [ROUNDS] < resources.ndjson
 *
 * With ROUNDS, it extracts each resource that often and prints only the time it took.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/arena.h"
#include "common/fhir/extract.h"
#include "common/fhir/types.h"

static const char *const kinds[] = { "token",  "string",   "reference", "date",
                                     "number", "quantity", "uri",       "present" };

static void put_text(struct andiron_json_writer *w, const char *name, andiron_str text)
{
    if (text.data != NULL)
        andiron_json_put_str(w, name, text);
}

static void put_bound(struct andiron_json_writer *w, struct andiron_arena *arena, const char *name,
                      double bound)
{
    if (isfinite(bound))
        andiron_json_put_raw(w, name, andiron_str_of(andiron_printf(arena, "%.17g", bound)));
    else
        andiron_json_put_str(w, name, andiron_str_of(bound < 0 ? "-inf" : "inf"));
}

static void put_term(struct andiron_json_writer *w, struct andiron_arena *arena,
                     const struct andiron_term *t)
{
    andiron_json_put_object(w, NULL);
    andiron_json_put_str(w, "param", andiron_str_of(t->param));
    andiron_json_put_str(w, "kind", andiron_str_of(kinds[t->kind]));
    if (t->group != 0) {
        andiron_json_put_int(w, "group", t->group);
        andiron_json_put_int(w, "part", t->part);
    }
    put_text(w, "system", t->system);
    put_text(w, "text", t->text);
    put_text(w, "exact", t->exact);
    if (t->kind == ANDIRON_TERM_DATE) {
        andiron_json_put_int(w, "low", t->range.date.low);
        andiron_json_put_int(w, "high", t->range.date.high);
    } else if (t->kind == ANDIRON_TERM_NUMBER || t->kind == ANDIRON_TERM_QUANTITY) {
        put_bound(w, arena, "low", t->range.number.low);
        put_bound(w, arena, "high", t->range.number.high);
    }
    andiron_json_put_end(w);
}

static void print_terms(struct andiron_arena *arena, andiron_json resource,
                        const struct andiron_term *terms, size_t count)
{
    struct andiron_json_writer *w = andiron_json_write(arena, SIZE_MAX / 2);
    andiron_json_put_object(w, NULL);
    andiron_json_put(w, "type", andiron_json_get(resource, "resourceType"));
    andiron_json_put(w, "id", andiron_json_get(resource, "id"));
    andiron_json_put_array(w, "terms");
    for (size_t i = 0; i < count; i++)
        put_term(w, arena, &terms[i]);
    andiron_json_put_end(w);
    andiron_json_put_end(w);
    andiron_str text = andiron_json_written(w);
    printf("%.*s\n", (int)text.len, text.data);
}

static double now_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int one(andiron_str line, long rounds, double *spent)
{
    static const struct fhir_extract_options options = { .has_text = true, .max_terms = 100000 };
    struct andiron_arena *arena = arena_new();
    const struct andiron_term *terms;
    struct andiron_error err = { .code = ANDIRON_OK };
    andiron_json resource;
    size_t count;
    int failed = -1;

    if (andiron_json_parse(arena, line, &resource, &err) != 0)
        goto out;
    int type = fhir_type(andiron_json_str(andiron_json_get(resource, "resourceType")));
    if (type < 0) {
        (void)andiron_error_set(&err, ANDIRON_E_INVALID, "", "resourceType is not one of R4");
        goto out;
    }
    struct fhir_extract_root root = fhir_extract_r4(type);
    double start = now_us();
    for (long i = 0; i < rounds; i++) {
        struct andiron_arena *scratch = arena_new();
        (void)fhir_extract(scratch, &options, &root, resource, &terms, &count, &err);
        arena_free(scratch);
    }
    *spent += now_us() - start;
    if (fhir_extract(arena, &options, &root, resource, &terms, &count, &err) != 0)
        goto out;
    if (rounds == 0)
        print_terms(arena, resource, terms, count);
    failed = 0;
out:
    if (failed != 0)
        fprintf(stderr, "%s: %s\n", err.where, err.message);
    arena_free(arena);
    return failed;
}

int main(int argc, char **argv)
{
    long rounds = argc > 1 ? strtol(argv[1], NULL, 10) : 0;
    char *line = NULL;
    size_t capacity = 0, bytes = 0;
    double spent = 0;
    int failed = 0;

    for (ssize_t len; (len = getline(&line, &capacity, stdin)) > 0;) {
        if (line[len - 1] == '\n')
            len--;
        bytes += (size_t)len;
        if (one((andiron_str){ line, (size_t)len }, rounds, &spent) != 0)
            failed = 1;
    }
    if (rounds > 0)
        printf("%.2f us/KB over %zu bytes\n", spent / (double)rounds / ((double)bytes / 1024),
               bytes);
    free(line);
    return failed;
}
