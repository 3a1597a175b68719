/*
 * The required draft-07 cases of the official JSON-Schema-Test-Suite, and those optional ones
 * that concern numbers and characters. Debian has it in libtest-json-schema-acceptance-perl.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <dirent.h>

#include "base/arena.h"
#include "check.h"

#define SUITE "/usr/share/perl5/auto/share/dist/Test-JSON-Schema-Acceptance/tests/draft7"

/* Schemas that refer to documents outside of themselves, which are never fetched. */
static const struct {
    const char *file, *group; /* NULL: the whole file */
} remote[] = {
    { "refRemote.json", NULL },
    { "ref.json", "remote ref, containing refs itself" },
    { "definitions.json", "validate definition against metaschema" },
};

static unsigned groups, cases, wrong;

static bool is_remote(const char *file, andiron_str group)
{
    for (size_t i = 0; i < sizeof(remote) / sizeof(remote[0]); i++)
        if (strcmp(remote[i].file, file) == 0 &&
            (remote[i].group == NULL || andiron_str_eq(group, andiron_str_of(remote[i].group))))
            return true;
    return false;
}

static void check_group(struct andiron_arena *arena, const char *file, andiron_json group)
{
    struct andiron_error err = { .where = "" };
    struct schema_document document;
    andiron_str title = andiron_json_str(andiron_json_get(group, "description"));
    bool compiled =
        schema_compile(arena, andiron_json_get(group, "schema"), "schema", &document, &err) == 0;
    groups++;
    if (is_remote(file, title)) {
        assert_false(compiled);
        assert_non_null(strstr(err.message, "never fetched"));
        return;
    }
    if (!compiled) {
        print_error("%s: %.*s: %s %s\n", file, (int)title.len, title.data, err.where, err.message);
        wrong++;
        return;
    }
    struct pattern_matcher *regex = pattern_matcher_new(100000, 65536);
    struct andiron_json_iter it = { .of = andiron_json_get(group, "tests") };
    while (andiron_json_next(&it)) {
        struct check check = { .schema = document.root, .regex = regex, .limit_us = 10000000 };
        enum check_result wanted =
            andiron_json_true(andiron_json_get(it.value, "valid")) ? CHECK_VALID : CHECK_INVALID;
        cases++;
        if (check_value(&check, andiron_json_get(it.value, "data")) == wanted)
            continue;
        andiron_str name = andiron_json_str(andiron_json_get(it.value, "description"));
        print_error("%s: %.*s: %.*s\n", file, (int)title.len, title.data, (int)name.len, name.data);
        wrong++;
    }
    pattern_matcher_free(regex);
}

static void check_file(const char *folder, const char *file)
{
    char path[512], text[256 * 1024];
    struct andiron_error err = { .where = "" };
    andiron_json root;
    (void)snprintf(path, sizeof(path), "%s/%s", folder, file);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t len = fread(text, 1, sizeof(text), f);
    (void)fclose(f);
    assert_in_range(len, 1, sizeof(text) - 1);
    struct andiron_arena *arena = arena_new();
    if (andiron_json_parse(arena, (andiron_str){ text, len }, &root, &err) != 0)
        fail_msg("%s: %s", path, err.message);
    struct andiron_json_iter it = { .of = root };
    while (andiron_json_next(&it))
        check_group(arena, file, it.value);
    arena_free(arena);
}

static void judges_every_required_case_as_the_suite_does(void **state)
{
    (void)state;
    DIR *folder = opendir(SUITE);
    if (folder == NULL) {
        print_message("%s is not installed\n", SUITE);
        skip();
    }
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;)
        if (strstr(entry->d_name, ".json") != NULL)
            check_file(SUITE, entry->d_name);
    (void)closedir(folder);
    assert_in_range(groups, 200, 1000);
    assert_in_range(cases, 800, 5000);
    assert_int_equal(wrong, 0);
}

static void judges_large_numbers_and_rare_characters_as_the_suite_does(void **state)
{
    static const char *const files[] = { "bignum.json", "float-overflow.json",
                                         "non-bmp-regex.json" };
    (void)state;
    DIR *folder = opendir(SUITE "/optional");
    if (folder == NULL)
        skip();
    (void)closedir(folder);
    wrong = 0;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        check_file(SUITE "/optional", files[i]);
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(judges_every_required_case_as_the_suite_does),
        cmocka_unit_test(judges_large_numbers_and_rare_characters_as_the_suite_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
