/*
 * How fast JSON is parsed and written, FHIR resources are validated and their index terms made, beside
 * jansson.
 *
 *     bench-json FOLDER [MAX-BYTES]      all *.json files of the folder up to that size
 *
 * "validate" and "index terms" are what these add to a parse: measured over texts parsed before.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <jansson.h>

#include <andiron/json.h>

#include "base/arena.h"
#include "common/fhir/extract.h"
#include "common/fhir/types.h"
#include "common/fhir/validate.h"

enum { ROUNDS = 5 };

struct texts {
    andiron_str *at;
    andiron_json *parsed; /* for those that need it */
    size_t count, bytes;
};

static double cpu_seconds(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static andiron_str read_file(struct andiron_arena *arena, const char *path)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL || fseek(f, 0, SEEK_END) != 0)
        die(path);
    size_t len = (size_t)ftell(f);
    rewind(f);
    char *data = arena_take(arena, len + 1);
    if (fread(data, 1, len, f) != len)
        die(path);
    (void)fclose(f);
    return (andiron_str){ data, len };
}

static struct texts read_folder(struct andiron_arena *arena, const char *folder, size_t max_bytes)
{
    struct dirent **entries;
    int count = scandir(folder, &entries, NULL, alphasort);
    if (count < 0)
        die(folder);
    struct texts texts = { .at = andiron_alloc(arena, (size_t)count * sizeof(andiron_str)) };
    for (int i = 0; i < count; i++) {
        size_t len = strlen(entries[i]->d_name);
        if (len > 5 && strcmp(entries[i]->d_name + len - 5, ".json") == 0) {
            andiron_str text =
                read_file(arena, andiron_printf(arena, "%s/%s", folder, entries[i]->d_name));
            if (text.len <= max_bytes) {
                texts.at[texts.count++] = text;
                texts.bytes += text.len;
            }
        }
        free(entries[i]);
    }
    free(entries);
    return texts;
}

static void parse(andiron_str text)
{
    struct andiron_arena *arena = arena_new();
    andiron_json root;
    if (andiron_json_parse(arena, text, &root, NULL) != 0)
        abort();
    arena_free(arena);
}

static void parse_and_write(andiron_str text)
{
    struct andiron_arena *arena = arena_new();
    andiron_json root;
    if (andiron_json_parse(arena, text, &root, NULL) != 0)
        abort();
    struct andiron_json_writer *w = andiron_json_write(arena, text.len);
    andiron_json_put(w, NULL, root);
    if (andiron_json_written(w).data == NULL)
        abort();
    arena_free(arena);
}

static void parse_by_jansson(andiron_str text)
{
    json_error_t error;
    json_t *root = json_loadb(text.data, text.len, 0, &error);
    json_decref(root);
}

static void validate(andiron_json root)
{
    struct andiron_arena *arena = arena_new();
    struct fhir_validating v = { .arena = arena, .root = ANDIRON_STR("Resource"), .max = 50 };
    fhir_validate(&v, root);
    arena_free(arena);
}

static void extract(andiron_json root)
{
    const struct fhir_extract_options options = { .has_text = true, .max_terms = 1000000 };
    int type = fhir_type(andiron_json_str(andiron_json_get(root, "resourceType")));
    const struct andiron_term *terms;
    size_t count;
    if (type < 0)
        return;
    struct andiron_arena *arena = arena_new();
    struct fhir_extract_root program = fhir_extract_r4(type);
    if (fhir_extract(arena, &options, &program, root, &terms, &count, NULL) != 0)
        abort();
    arena_free(arena);
}

static void print_rate(const char *what, const struct texts *texts, double best)
{
    printf("%-18s %6.0f MB/s  %7.2f us each\n", what, (double)texts->bytes / 1e6 / best,
           best / (double)texts->count * 1e6);
}

static void parse_all(struct andiron_arena *arena, struct texts *texts)
{
    texts->parsed = andiron_alloc(arena, texts->count * sizeof(andiron_json));
    for (size_t i = 0; i < texts->count; i++)
        if (andiron_json_parse(arena, texts->at[i], &texts->parsed[i], NULL) != 0)
            abort();
}

static void measure_parsed(const char *what, void (*run)(andiron_json), const struct texts *texts)
{
    double best = 1e9;
    for (int round = 0; round < ROUNDS; round++) {
        double begun = cpu_seconds();
        for (size_t i = 0; i < texts->count; i++)
            run(texts->parsed[i]);
        double taken = cpu_seconds() - begun;
        best = taken < best ? taken : best;
    }
    print_rate(what, texts, best);
}

static void measure(const char *what, void (*run)(andiron_str), const struct texts *texts)
{
    double best = 1e9;
    for (int round = 0; round < ROUNDS; round++) {
        double begun = cpu_seconds();
        for (size_t i = 0; i < texts->count; i++)
            run(texts->at[i]);
        double taken = cpu_seconds() - begun;
        best = taken < best ? taken : best;
    }
    print_rate(what, texts, best);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fputs("usage: bench-json FOLDER [MAX-BYTES]\n", stderr);
        return 64;
    }
    struct andiron_arena *arena = arena_new();
    size_t max_bytes = argc > 2 ? strtoul(argv[2], NULL, 10) : SIZE_MAX;
    struct texts texts = read_folder(arena, argv[1], max_bytes);
    printf("%zu texts, %.1f MB\n", texts.count, (double)texts.bytes / 1e6);
    if (texts.count > 0) {
        measure("parse", parse, &texts);
        measure("parse and write", parse_and_write, &texts);
        measure("parse, jansson", parse_by_jansson, &texts);
        parse_all(arena, &texts);
        measure_parsed("validate", validate, &texts);
        measure_parsed("index terms", extract, &texts);
    }
    arena_free(arena);
    return 0;
}
