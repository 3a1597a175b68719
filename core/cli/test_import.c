/*
 * What `andiron import` reads, and what `andiron sample` writes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

#include <andiron/json.h>

#include "base/arena.h"
#include "cli/import_read.h"
#include "cli/sample.h"

static char folder[] = "/tmp/andiron-import-XXXXXX";

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

static const char *write_file(const char *name, const char *text)
{
    static char path[4][128];
    static int next;
    char *p = path[next++ % 4];
    (void)snprintf(p, sizeof(path[0]), "%s/%s", folder, name);
    if (strstr(name, ".gz") != NULL) {
        gzFile file = gzopen(p, "wb");
        assert_true(gzputs(file, text) > 0);
        gzclose(file);
        return p;
    }
    FILE *file = fopen(p, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    fclose(file);
    return p;
}

/* "Type/id@line" of each item, or "!line" for one that is wrong, with blanks between. */
static void assert_items(const char *const *paths, const char *expected)
{
    struct andiron_error err;
    struct import_item item;
    char got[512] = "";
    size_t used = 0;
    int n;
    struct import_input *in = import_open(paths, &err);
    assert_non_null(in);
    while ((n = import_next(in, &item, &err)) == 1) {
        if (item.wrong != NULL)
            used += (size_t)snprintf(got + used, sizeof(got) - used, "!%d ", (int)item.line);
        else
            used += (size_t)snprintf(got + used, sizeof(got) - used, "%.*s/%.*s@%d ",
                                     (int)item.type.len, item.type.data, (int)item.id.len,
                                     item.id.len > 0 ? item.id.data : "", (int)item.line);
    }
    assert_int_equal(n, 0);
    assert_string_equal(got, expected);
    import_close(in);
}

static void ndjson_is_read_line_by_line_and_bad_lines_are_named(void **state)
{
    (void)state;
    const char *paths[] = { write_file("a.ndjson",
                                       "{\"resourceType\":\"Patient\",\"id\":\"1\"}\n\n{oops\n"
                                       "{\"resourceType\":\"Patient\"}\r\n{\"id\":\"x\"}\n"
                                       "{\"resourceType\":\"Group\",\"id\":\"last\"}"),
                            NULL };
    assert_items(paths, "Patient/1@1 !3 Patient/@4 !5 Group/last@6 ");
    unlink(paths[0]);
}

static void document_over_many_lines_is_one_resource(void **state)
{
    (void)state;
    const char *paths[] = {
        write_file("b.json", "{\n  \"resourceType\": \"Patient\",\n  \"id\": \"2\"\n}\n"), NULL
    };
    assert_items(paths, "Patient/2@1 ");
    unlink(paths[0]);
}

static void entries_of_carrying_bundles_count_and_stored_bundles_are_data(void **state)
{
    (void)state;
    const char *paths[] = {
        write_file("c.json",
                   "{\"resourceType\":\"Bundle\",\"type\":\"collection\",\"entry\":[{\"resource\":{"
                   "\"resourceType\":\"Patient\",\"id\":\"3\"}},{\"fullUrl\":\"x\"},{\"resource\":{"
                   "\"resourceType\":\"Group\",\"id\":\"4\"}}]}"),
        write_file(
            "d.json.gz",
            "{\"resourceType\":\"Bundle\",\"type\":\"document\",\"id\":\"5\",\"entry\":[]}\n"),
        NULL
    };
    assert_items(paths, "Patient/3@1 Group/4@3 Bundle/5@1 ");
    const char *whole[] = { folder, NULL };
    assert_items(whole, "Patient/3@1 Group/4@3 Bundle/5@1 ");
    unlink(paths[0]);
    unlink(paths[1]);
    struct andiron_error err;
    assert_null(import_open(whole, &err)); /* nothing left in it */
}

static char *sampled(uint64_t seed, uint64_t patients, struct sample_counts *counts)
{
    const struct sample_options options = { .seed = seed,
                                            .patients = patients,
                                            .observations = 30 };
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    assert_int_equal(sample_write(&options, out, counts), 0);
    fclose(out);
    return text;
}

static void samples_are_valid_and_the_same_for_the_same_seed(void **state)
{
    (void)state;
    struct sample_counts counts, again;
    char *one = sampled(1, 5, &counts), *two = sampled(1, 5, &again),
         *other = sampled(2, 5, &again);
    uint64_t lines = 0, hba1c = 0;
    assert_string_equal(one, two);
    assert_string_not_equal(one, other);
    for (char *line = strtok(one, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        struct andiron_arena *arena = arena_new();
        struct andiron_error err;
        andiron_json resource;
        assert_int_equal(andiron_json_parse(arena, andiron_str_of(line), &resource, &err), 0);
        assert_true(andiron_json_str(andiron_json_get(resource, "id")).len == 36);
        hba1c += andiron_str_eq(andiron_json_str(andiron_json_path(resource, "code.coding.0.code")),
                                ANDIRON_STR("4548-4"));
        arena_free(arena);
        lines++;
    }
    assert_int_equal(lines, counts.resources);
    assert_int_equal(counts.observations, 150);
    assert_true(hba1c > 0);
    free(one);
    free(two);
    free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ndjson_is_read_line_by_line_and_bad_lines_are_named),
        cmocka_unit_test(document_over_many_lines_is_one_resource),
        cmocka_unit_test(entries_of_carrying_bundles_count_and_stored_bundles_are_data),
        cmocka_unit_test(samples_are_valid_and_the_same_for_the_same_seed),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
