#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "host/config.h"
#include "host/directives.h"

struct config {
    bool flag;
    int64_t count, size, time;
    const char *text, *path, *secret;
    int choice;
    const char *const *list;
};

static const char *const choices[] = { "red", "green", "blue", NULL };

#define AT(member) offsetof(struct config, member)
static const struct andiron_directive table[] = {
    { "flag", ANDIRON_BOOL, AT(flag), "no", 0, 0, NULL, "a flag" },
    { "count", ANDIRON_INT, AT(count), "7", -5, 100, NULL, "a number" },
    { "size", ANDIRON_BYTES, AT(size), "1k", 1, 1 << 20, NULL, "a size" },
    { "time", ANDIRON_DURATION, AT(time), "30s", 0, 60000, NULL, "a time" },
    { "text", ANDIRON_STRING, AT(text), "none", 0, 0, NULL, "a text" },
    { "path", ANDIRON_PATH, AT(path), "", 0, 0, NULL, "a path" },
    { "secret", ANDIRON_SECRET, AT(secret), "", 0, 0, NULL, "a secret" },
    { "choice", ANDIRON_CHOICE, AT(choice), "red", 0, 0, choices, "a colour" },
    { "list", ANDIRON_LIST, AT(list), "a", 0, 0, NULL, "a list" },
    { .name = NULL },
};

static char folder[] = "/tmp/andiron-test-XXXXXX";

struct filling {
    struct ini ini;
    struct problems problems;
    struct config config;
    const struct directive_value *values;
};

static void fill_with(struct filling *f, const struct andiron_directive *directives,
                      const char *lines, enum directives_secrets secrets)
{
    *f = (struct filling){ .ini = { .arena = arena_new() } };
    problems_init(&f->problems, f->ini.arena);
    const char *text = andiron_printf(f->ini.arena, "[plugin demo]\nmodule = demo.so\n%s", lines);
    ini_read(&f->ini, "demo.conf", andiron_str_of(text), &f->problems);
    struct directives_context context = {
        .arena = f->ini.arena, .dir = folder, .problems = &f->problems, .secrets = secrets
    };
    f->values =
        directives_fill(&context, "demo", directives, ini_find(&f->ini, "plugin demo"), &f->config);
}

static void fill(struct filling *f, const char *lines)
{
    fill_with(f, table, lines, SECRETS_READ);
}

static void end(struct filling *f)
{
    arena_free(f->ini.arena);
}

static void assert_refused(const char *lines, const char *words)
{
    struct filling f;
    fill(&f, lines);
    if (f.problems.errors != 1 || strstr(f.problems.list[0].text, words) == NULL) {
        problems_print(&f.problems, stderr);
        fail_msg("%s: expected one problem with \"%s\"", lines, words);
    }
    assert_string_equal(f.problems.list[0].file, "demo.conf");
    assert_int_equal(f.problems.list[0].line, 3);
    end(&f);
}

static void defaults_fill_the_struct(void **state)
{
    (void)state;
    struct filling f;
    fill(&f, "");
    assert_int_equal(f.problems.count, 0);
    assert_false(f.config.flag);
    assert_int_equal(f.config.count, 7);
    assert_int_equal(f.config.size, 1024);
    assert_int_equal(f.config.time, 30000);
    assert_string_equal(f.config.text, "none");
    assert_string_equal(f.config.path, "");
    assert_string_equal(f.config.secret, "");
    assert_int_equal(f.config.choice, 0);
    assert_string_equal(f.config.list[0], "a");
    assert_null(f.config.list[1]);
    assert_null(f.values[0].file);
    end(&f);
}

static void values_of_each_type_are_converted(void **state)
{
    (void)state;
    struct filling f;
    fill(&f, "flag = on\ncount = -3\nsize = 16k\ntime = 1m\ntext = a b  c\npath = sub/file\n"
             "secret = open sesame\nchoice = blue\nlist = one, two three,,four\n");
    assert_int_equal(f.problems.count, 0);
    assert_true(f.config.flag);
    assert_int_equal(f.config.count, -3);
    assert_int_equal(f.config.size, 16384);
    assert_int_equal(f.config.time, 60000);
    assert_string_equal(f.config.text, "a b  c");
    assert_int_equal(strncmp(f.config.path, folder, strlen(folder)), 0);
    assert_string_equal(f.config.path + strlen(folder), "/sub/file");
    assert_string_equal(f.config.secret, "open sesame");
    assert_int_equal(f.config.choice, 2);
    assert_string_equal(f.config.list[0], "one");
    assert_string_equal(f.config.list[1], "two");
    assert_string_equal(f.config.list[2], "three");
    assert_string_equal(f.config.list[3], "four");
    assert_null(f.config.list[4]);
    assert_int_equal(f.values[1].line, 4);
    assert_string_equal(f.values[1].file, "demo.conf");
    end(&f);
}

static void absolute_paths_stay_and_empty_lists_are_lists(void **state)
{
    (void)state;
    struct filling f;
    fill(&f, "path = /etc/x\nlist =\n");
    assert_string_equal(f.config.path, "/etc/x");
    assert_non_null(f.config.list);
    assert_null(f.config.list[0]);
    end(&f);
}

static void wrong_values_name_what_is_expected(void **state)
{
    (void)state;
    assert_refused("flag = maybe\n", "demo.flag: \"maybe\" is not yes, no, on or off");
    assert_refused("count = ten\n", "\"ten\" is not a whole number from -5 to 100");
    assert_refused("count = 101\n", "from -5 to 100");
    assert_refused("count = -6\n", "from -5 to 100");
    assert_refused("count = 99999999999999999999\n", "from -5 to 100");
    assert_refused("size = 2m\n", "a size such as 512k or 16m from 1 to 1m");
    assert_refused("size = -1\n", "a size such as");
    assert_refused("time = 30\n", "a duration such as 250ms, 30s, 5m, 1h or 7d from 0 to 1m");
    assert_refused("time = 2h\n", "from 0 to 1m");
    assert_refused("choice = Red\n", "\"Red\" is not red, green or blue");
}

static void unknown_directive_names_the_nearest(void **state)
{
    (void)state;
    assert_refused("chioce = red\n", "demo.chioce: unknown directive; did you mean \"choice\"?");
    assert_refused("something-else = 1\n", "demo.something-else: unknown directive");
}

static void required_directive_is_missed(void **state)
{
    (void)state;
    static const struct andiron_directive required[] = {
        { "issuer", ANDIRON_STRING, AT(text), NULL, 0, 0, NULL, "who signs" },
        { .name = NULL },
    };
    struct filling f;
    fill_with(&f, required, "", SECRETS_READ);
    assert_int_equal(f.problems.errors, 1);
    assert_string_equal(f.problems.list[0].text, "demo.issuer: is required: text (who signs)");
    assert_int_equal(f.problems.list[0].line, 1);
    end(&f);
}

static void write_file(const char *name, const char *text, mode_t mode)
{
    char path[200];
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    (void)fputs(text, file);
    (void)fclose(file);
    assert_int_equal(chmod(path, mode), 0);
}

static void secret_is_read_from_its_file(void **state)
{
    (void)state;
    struct filling f;
    write_file("token", "s3cret\n", 0600);
    fill(&f, "secret = @token\n");
    assert_int_equal(f.problems.count, 0);
    assert_string_equal(f.config.secret, "s3cret");
    assert_string_equal(f.values[6].text, "@token");
    end(&f);
    fill_with(&f, table, "secret = @token\n", SECRETS_SKIP);
    assert_string_equal(f.config.secret, "");
    end(&f);
}

static void a_secret_file_that_everybody_may_read_is_warned_of(void **state)
{
    (void)state;
    static const struct {
        mode_t mode;
        size_t warnings;
    } cases[] = { { 0644, 1 }, { 0604, 1 }, { 0602, 1 }, { 0640, 0 }, { 0600, 0 } };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct filling f;
        write_file("token", "s3cret\n", cases[i].mode);
        fill(&f, "secret = @token\n");
        assert_int_equal(f.problems.errors, 0);
        assert_int_equal(f.problems.count, cases[i].warnings);
        if (cases[i].warnings > 0) {
            assert_true(f.problems.list[0].is_warning);
            assert_int_equal(f.problems.list[0].line, 3);
            assert_non_null(strstr(f.problems.list[0].text, "demo.secret: "));
            assert_non_null(strstr(f.problems.list[0].text, "chmod o-rwx "));
        }
        assert_string_equal(f.config.secret, "s3cret");
        end(&f);
    }
}

static void missing_secret_file_is_an_error(void **state)
{
    (void)state;
    assert_refused("secret = @nowhere\n", "No such file");
    assert_refused("secret = @.\n", "Is a directory");
    assert_int_equal(mkfifo("/tmp/andiron-test-fifo", 0600), 0);
    assert_refused("secret = @/tmp/andiron-test-fifo\n", "is no regular file");
    assert_int_equal(unlink("/tmp/andiron-test-fifo"), 0);
}

static void unreadable_secret_is_a_warning_for_check_config_only(void **state)
{
    (void)state;
    struct filling f;
    if (geteuid() == 0)
        skip(); /* root may read everything */
    write_file("closed", "x", 0000);
    fill_with(&f, table, "secret = @closed\n", SECRETS_CHECK);
    assert_int_equal(f.problems.count, 1);
    assert_int_equal(f.problems.errors, 0);
    end(&f);
    assert_refused("secret = @closed\n", "Permission denied");
}

static void wrong_secret_text_is_not_repeated(void **state)
{
    (void)state;
    struct filling f;
    fill(&f, "secret = hunter2\nflag = x\n");
    for (size_t i = 0; i < f.problems.count; i++)
        assert_null(strstr(f.problems.list[i].text, "hunter2"));
    end(&f);
}

static void assert_table_fails(const struct andiron_directive *wrong, const char *words)
{
    struct andiron_error err;
    struct andiron_directive both[] = { table[0], *wrong, { .name = NULL } };
    assert_int_equal(directives_check(both, sizeof(struct config), &err), -1);
    if (strstr(err.message, words) == NULL)
        fail_msg("%s", err.message);
}

static void wrong_tables_are_found(void **state)
{
    (void)state;
    struct andiron_error err;
    assert_int_equal(directives_check(table, sizeof(struct config), &err), 0);
    assert_int_equal(directives_check(NULL, 0, &err), 0);
#define ROW(n, t, o, c, h) (&(struct andiron_directive){ n, t, o, "1", 0, 0, c, h })
    assert_table_fails(ROW("Name", ANDIRON_INT, 8, NULL, "h"), "lower-case");
    assert_table_fails(ROW("module", ANDIRON_INT, 8, NULL, "h"), "module");
    assert_table_fails(ROW("x", (enum andiron_type)99, 8, NULL, "h"), "type is not known");
    assert_table_fails(ROW("x", ANDIRON_INT, sizeof(struct config), NULL, "h"), "outside");
    assert_table_fails(ROW("x", ANDIRON_INT, SIZE_MAX - 3, NULL, "h"), "outside");
    assert_table_fails(ROW("x", ANDIRON_INT, 4, NULL, "h"), "alignment");
    assert_table_fails(ROW("x", ANDIRON_CHOICE, 8, NULL, "h"), "without choices");
    assert_table_fails(ROW("x", ANDIRON_INT, 8, NULL, NULL), "help");
    assert_table_fails(ROW("flag", ANDIRON_INT, 8, NULL, "h"), "twice");
}

/* ---- the whole folder --------------------------------------------------------- */

static void folder_environment_and_options_override_in_that_order(void **state)
{
    (void)state;
    static const char *const core[] = { "http", "init", NULL };
    char *environment[] = { "ANDIRON_HTTP__MAX_BODY=2m",       "ANDIRON_HTTP__LISTEN=env",
                            "ANDIRON_POLICY_X__SOME_NAME=env", "ANDIRON_INIT_BUNDLE=/b.json",
                            "ANDIRON_BIN=/usr/bin/andiron",    "PATH=/bin",
                            "ANDIRON_HTPP__LISTEN=x",          NULL };
    static const char *const options[] = { "http.listen=option", "policy-x.other=a=b", "http",
                                           "nobody.x=1", NULL };
    struct ini ini = { .arena = arena_new() };
    struct problems problems;
    char path[200];

    (void)snprintf(path, sizeof(path), "%s/conf.d", folder);
    assert_int_equal(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof(path), "%s/plugins.d", folder);
    assert_int_equal(mkdir(path, 0700), 0);
    write_file("andiron.conf", "[http]\nlisten = file\nmax-body = 1m\nmax-header = 8k\n", 0600);
    write_file("conf.d/b.conf", "[http]\nmax-header = 9k\n", 0600);
    write_file("conf.d/a.conf", "[http]\nmax-header = 10k\n", 0600);
    write_file("conf.d/a.conf.dpkg-old", "nonsense", 0600);
    write_file("plugins.d/50-x.conf", "[plugin policy-x]\nmodule = x.so\n", 0600);
    problems_init(&problems, ini.arena);
    struct config_sources sources = {
        .dir = folder, .core_sections = core, .overrides = options, .environment = environment
    };
    config_read(&sources, &ini, &problems);

    const struct ini_section *http = ini_find(&ini, "http");
    const struct ini_section *x = ini_find(&ini, "plugin policy-x");
    assert_string_equal(ini_value(http, "max-header")->text, "9k");
    assert_string_equal(ini_value(http, "max-body")->text, "2m");
    assert_string_equal(ini_value(http, "max-body")->file, "environment");
    assert_string_equal(ini_value(http, "listen")->text, "option");
    assert_string_equal(ini_value(http, "listen")->file, "-o");
    assert_string_equal(ini_value(x, "some-name")->text, "env");
    assert_string_equal(ini_value(x, "other")->text, "a=b");
    assert_string_equal(ini_value(ini_find(&ini, "init"), "bundle")->text, "/b.json");
    problems_sort(&problems);
    assert_int_equal(problems.count, 3);
    assert_non_null(strstr(problems.list[0].text, "expected section.name=value"));
    assert_non_null(strstr(problems.list[1].text, "\"nobody\""));
    assert_non_null(strstr(problems.list[2].text, "did you mean \"http\"?"));
    arena_free(ini.arena);
}

static void missing_main_file_and_dangling_link_are_problems(void **state)
{
    (void)state;
    static const char *const core[] = { "http", NULL };
    struct ini ini = { .arena = arena_new() };
    struct problems problems;
    char path[200], dir[100];

    (void)snprintf(dir, sizeof(dir), "%s/empty", folder);
    assert_int_equal(mkdir(dir, 0700), 0);
    (void)snprintf(path, sizeof(path), "%s/plugins.d", dir);
    assert_int_equal(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof(path), "%s/plugins.d/20-gone.conf", dir);
    assert_int_equal(symlink("../plugins-available/20-gone.conf", path), 0);
    problems_init(&problems, ini.arena);
    struct config_sources sources = { .dir = dir, .core_sections = core };
    config_read(&sources, &ini, &problems);
    problems_sort(&problems);
    assert_int_equal(problems.count, 2);
    assert_non_null(strstr(problems.list[0].text, "No such file"));
    assert_string_equal(problems.list[1].file, "plugins.d/20-gone.conf");
    assert_non_null(strstr(problems.list[1].text, "remove the link"));
    arena_free(ini.arena);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int remove_folder(void **state)
{
    char command[100];
    (void)state;
    (void)snprintf(command, sizeof(command), "rm -rf %s", folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_fill_the_struct),
        cmocka_unit_test(values_of_each_type_are_converted),
        cmocka_unit_test(absolute_paths_stay_and_empty_lists_are_lists),
        cmocka_unit_test(wrong_values_name_what_is_expected),
        cmocka_unit_test(unknown_directive_names_the_nearest),
        cmocka_unit_test(required_directive_is_missed),
        cmocka_unit_test(secret_is_read_from_its_file),
        cmocka_unit_test(a_secret_file_that_everybody_may_read_is_warned_of),
        cmocka_unit_test(missing_secret_file_is_an_error),
        cmocka_unit_test(unreadable_secret_is_a_warning_for_check_config_only),
        cmocka_unit_test(wrong_secret_text_is_not_repeated),
        cmocka_unit_test(wrong_tables_are_found),
        cmocka_unit_test(folder_environment_and_options_override_in_that_order),
        cmocka_unit_test(missing_main_file_and_dangling_link_are_problems),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
