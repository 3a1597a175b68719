/* Needs the modules of tests/fixtures, built beside this program. */
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
#include "host/host.h"
#include "host/loader.h"
#include "http/route.h"

#define FIXTURES ANDIRON_BINARY_DIR "/fixtures"

static char folder[] = "/tmp/andiron-test-XXXXXX";

static void assert_rejected(const char *path, const char *words)
{
    struct andiron_plugin table = { .name = "untouched" };
    struct andiron_error err;
    assert_int_equal(loader_open(path, &table, &err), -1);
    if (strstr(err.message, words) == NULL)
        fail_msg("expected \"%s\" in: %s", words, err.message);
    assert_string_equal(table.name, "untouched");
}

static void right_module_gives_its_table(void **state)
{
    (void)state;
    struct andiron_plugin table;
    struct andiron_error err;
    assert_int_equal(loader_open(FIXTURES "/hello.so", &table, &err), 0);
    assert_string_equal(table.name, "hello");
    assert_string_equal(table.version, "1.2.3");
    assert_int_equal(directives_count(table.directives), 9);
}

static void members_past_a_shorter_table_read_as_zero(void **state)
{
    (void)state;
    struct andiron_plugin table;
    struct andiron_error err;
    assert_int_equal(loader_open(FIXTURES "/short-table.so", &table, &err), 0);
    assert_string_equal(table.name, "short-table");
    assert_null(table.routes);
    assert_null(table.hooks);
    assert_null(table.init);
    assert_null(table.stop);
}

static void each_hostile_module_gets_its_own_sentence(void **state)
{
    (void)state;
    assert_rejected(FIXTURES "/no-symbol.so", "is no Andiron module");
    assert_rejected(FIXTURES "/bad-magic.so", "that is no plugin table");
    assert_rejected(FIXTURES "/other-major.so", "was built for ABI 2, this andiron has 1.0");
    assert_rejected(FIXTURES "/newer-minor.so", "was built for ABI 1.3, this andiron has 1.0: "
                                                "update andiron, or build against andiron-dev 1.0");
    assert_rejected(FIXTURES "/missing-function.so",
                    "needs the function andiron_of_the_future, which this andiron (ABI 1.0) does "
                    "not have");
    assert_rejected(FIXTURES "/missing-symbol.so", "needs \"function_of_a_library\", which neither "
                                                   "andiron nor a library");
    assert_rejected(FIXTURES "/bad-table.so", "its offset lies outside config_size");
    assert_rejected(FIXTURES "/nowhere.so", "No such file");
    assert_rejected(FIXTURES, "is no regular file");
    assert_rejected(ANDIRON_SOURCE_DIR "/core/host/loader.c", "is no shared object");
}

/* A copy of hello.so in our folder, with that mode. */
static const char *copy_of_hello(const char *name, mode_t mode)
{
    static char path[200];
    char command[400];
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    (void)snprintf(command, sizeof(command), "cp %s/hello.so %s", FIXTURES, path);
    assert_int_equal(system(command), 0);
    assert_int_equal(chmod(path, mode), 0);
    return path;
}

static void writable_modules_are_refused(void **state)
{
    (void)state;
    assert_rejected(copy_of_hello("open.so", 0646), "may be written by others (mode 0646); run: "
                                                    "chmod go-w");
    assert_rejected(copy_of_hello("group.so", 0664), "may be written by others (mode 0664)");
    const char *path = copy_of_hello("fine.so", 0644);
    struct andiron_plugin table;
    struct andiron_error err;
    assert_int_equal(loader_open(path, &table, &err), 0);
    assert_int_equal(chmod(folder, 0777), 0);
    assert_rejected(path, "may be written by everybody; run: chmod o-w");
    assert_int_equal(chmod(folder, 0700), 0);
}

static void modules_of_others_are_refused(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip(); /* cannot give a file away */
    const char *path = copy_of_hello("foreign.so", 0644);
    assert_int_equal(chown(path, 12345, 0), 0);
    assert_rejected(path, "belongs to user id 12345");
}

static void modules_are_found_in_module_path_only(void **state)
{
    (void)state;
    const char *const path[] = { "/nonexistent", FIXTURES, NULL };
    struct andiron_arena *arena = arena_new();
    struct andiron_error err;
    assert_string_equal(loader_find(arena, "hello.so", path, &err), FIXTURES "/hello.so");
    assert_null(loader_find(arena, "ghost.so", path, &err));
    assert_non_null(strstr(err.message, "core.module-path (/nonexistent, "));
    assert_null(loader_find(arena, "../fixtures/hello.so", path, &err));
    assert_null(loader_find(arena, copy_of_hello("outside.so", 0644), path, &err));
    assert_non_null(strstr(err.message, "lies outside core.module-path"));
    assert_non_null(loader_find(arena, FIXTURES "/hello.so", path, &err));
    arena_free(arena);
}

static void service_names_have_a_form(void **state)
{
    (void)state;
    assert_true(loader_service_ok("store/1", false));
    assert_true(loader_service_ok("policy-engine/1:matcho", false));
    assert_false(loader_service_ok("policy-engine/1:", false));
    assert_true(loader_service_ok("policy-engine/1:", true));
    assert_false(loader_service_ok("store", false));
    assert_false(loader_service_ok("store/", false));
    assert_false(loader_service_ok("store/x", false));
    assert_false(loader_service_ok("/1", false));
    assert_false(loader_service_ok("store/1x", false));
}

/* ---- a whole configuration ------------------------------------------------------- */

static const struct host_section no_sections[] = { { NULL, NULL } };
static const struct andiron_plugin core = { .name = "core", .version = "0", .summary = "" };

/* Loads plugins named in files, "NN-name" each with its module; NULL ends the list. */
static struct host *load(const char *const *names, const char *extra)
{
    char path[300];
    static const char *const module_path[] = { FIXTURES, NULL };
    (void)snprintf(path, sizeof(path),
                   "rm -rf %s/etc && mkdir -p %s/etc/plugins.d %s/etc/plugins-available", folder,
                   folder, folder);
    assert_int_equal(system(path), 0);
    (void)snprintf(path, sizeof(path), "%s/etc/andiron.conf", folder);
    FILE *file = fopen(path, "w");
    (void)fclose(file);
    for (size_t i = 0; names[i] != NULL; i++) {
        (void)snprintf(path, sizeof(path), "%s/etc/plugins.d/%s.conf", folder, names[i]);
        file = fopen(path, "w");
        (void)fprintf(file, "[plugin %s]\nmodule = %s.so\n%s", names[i] + 3, names[i] + 3, extra);
        (void)fclose(file);
    }
    (void)snprintf(path, sizeof(path), "%s/etc/plugins-available/20-cycle-b.conf", folder);
    file = fopen(path, "w");
    (void)fputs("[plugin cycle-b]\nmodule = cycle-b.so\n", file);
    (void)fclose(file);

    static char dir[200], settings[1];
    (void)snprintf(dir, sizeof(dir), "%s/etc", folder);
    struct host_setup setup = { .dir = dir, .sections = no_sections, .settings = settings };
    struct host *host = host_read(&setup);
    host_load(host, &core, NULL, module_path);
    host_check_routes(host);
    problems_sort(host_problems(host));
    return host;
}

static void assert_problem(struct host *host, size_t index, const char *file, const char *words)
{
    const struct problems *p = host_problems(host);
    if (index >= p->count || strstr(p->list[index].text, words) == NULL) {
        problems_print(p, stderr);
        fail_msg("problem %zu: expected \"%s\"", index, words);
    }
    if (file != NULL)
        assert_string_equal(p->list[index].file, file);
}

static void broken_plugins_do_not_hide_the_others(void **state)
{
    (void)state;
    static const char *const names[] = { "10-no-symbol",       "20-hello", "30-other-name",
                                         "40-missing-service", "50-ghost", NULL };
    struct host *host = load(names, "");
    assert_int_equal(host_problems(host)->errors, 4);
    assert_problem(host, 0, "plugins.d/10-no-symbol.conf", "is no Andiron module");
    assert_problem(host, 1, "plugins.d/30-other-name.conf",
                   "holds plugin \"somebody-else\": write [plugin somebody-else]");
    assert_problem(host, 2, "plugins.d/40-missing-service.conf",
                   "missing-service: needs service ghost/1, which no enabled plugin provides");
    assert_problem(host, 3, "plugins.d/50-ghost.conf", "ghost.so is in no folder");
    assert_string_equal(host_plugin(host, 2)->name, "hello");
    assert_null(host_plugin(host, 6));
    host_free(host);
}

static void missing_service_names_the_command_that_helps(void **state)
{
    (void)state;
    static const char *const names[] = { "10-cycle-a", NULL };
    struct host *host = load(names, "");
    assert_problem(host, 0, NULL,
                   "needs service cycle-b/1, which no enabled plugin provides; run: andiron enable "
                   "cycle-b");
    host_free(host);
}

static void doubles_and_cycles_are_explained(void **state)
{
    (void)state;
    static const char *const names[] = { "10-cycle-a", "20-cycle-b", "30-hello", "40-double",
                                         NULL };
    struct host *host = load(names, "");
    assert_problem(host, 0, "plugins.d/10-cycle-a.conf", "cycle-a -> cycle-b -> cycle-a");
    assert_problem(host, 1, "plugins.d/40-double.conf",
                   "double: provides service health/1:hello, and so does hello");
    assert_problem(host, 2, NULL, "/hello");
    host_free(host);
}

static void directives_of_plugins_are_checked(void **state)
{
    (void)state;
    static const char *const names[] = { "10-hello", NULL };
    struct host *host = load(names, "times = 11\ntmies = 1\n");
    assert_int_equal(host_problems(host)->errors, 2);
    assert_problem(host, 0, "plugins.d/10-hello.conf", "hello.times: \"11\" is not a whole number");
    assert_problem(host, 1, "plugins.d/10-hello.conf", "did you mean \"times\"?");
    host_free(host);
}

static void init_failure_names_the_plugin(void **state)
{
    (void)state;
    static const char *const names[] = { "10-failing-init", NULL };
    static const struct http_settings http = { .dev_mode = true };
    struct host *host = load(names, "");
    const struct http_app *app;
    struct andiron_error err;
    assert_int_equal(host_problems(host)->errors, 0);
    assert_int_equal(host_init(host, &http, NULL, 0, &app, &err), -1);
    assert_string_equal(err.where, "failing-init");
    assert_string_equal(err.message, "the moon is not full");
    host_stop(host);
    host_free(host);
}

static void hooks_and_routes_reach_the_application(void **state)
{
    (void)state;
    static const char *const names[] = { "10-hello", NULL };
    static const struct http_settings http = { .dev_mode = true };
    struct host *host = load(names, "greeting = good morning\n");
    const struct http_app *app;
    struct andiron_error err;
    struct route_match match;
    assert_int_equal(host_init(host, &http, NULL, 0, &app, &err), 0);
    assert_int_equal(host_start(host, &err), 0);
    assert_int_equal(app->hook_count[ANDIRON_PHASE_RESPOND], 1);
    assert_int_equal(app->hook_count[ANDIRON_PHASE_RECEIVE], 0);
    route_find(app->routes, ROUTE_SIDE_PUBLIC, ANDIRON_STR("GET"), ANDIRON_STR("/hello"), &match);
    assert_non_null(match.route);
    assert_string_equal(match.route->owner->name, "hello");
    assert_ptr_equal(match.route->self, app->hooks[ANDIRON_PHASE_RESPOND][0].self);
    assert_non_null(match.route->metrics.requests[2]);

    struct andiron_service_ref ref;
    const char *name;
    size_t pos = 0;
    assert_true(host_service(host, "health/1:", &pos, &ref, &name));
    assert_string_equal(name, "health/1:hello");
    assert_ptr_equal(ref.self, match.route->self);
    assert_false(host_service(host, "health/1:", &pos, &ref, &name));
    host_stop(host);
    host_free(host);
}

/* Both libraries have json_object_get(), with other meanings: RTLD_LOCAL keeps them apart. */
static void modules_with_clashing_libraries_live_side_by_side(void **state)
{
    (void)state;
    static const char *const names[] = { "10-with-json-c", "20-with-jansson", NULL };
    static const struct http_settings http = { .dev_mode = true };
    struct andiron_error err = { .message = "" };
    const struct http_app *app;
    if (access(FIXTURES "/with-json-c.so", F_OK) != 0)
        skip(); /* json-c was not there at build time */
    struct host *host = load(names, "");
    assert_int_equal(host_problems(host)->errors, 0);
    if (host_init(host, &http, NULL, 0, &app, &err) != 0)
        fail_msg("%s: %s", err.where, err.message);
    host_stop(host);
    host_free(host);
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
        cmocka_unit_test(right_module_gives_its_table),
        cmocka_unit_test(members_past_a_shorter_table_read_as_zero),
        cmocka_unit_test(each_hostile_module_gets_its_own_sentence),
        cmocka_unit_test(writable_modules_are_refused),
        cmocka_unit_test(modules_of_others_are_refused),
        cmocka_unit_test(modules_are_found_in_module_path_only),
        cmocka_unit_test(service_names_have_a_form),
        cmocka_unit_test(broken_plugins_do_not_hide_the_others),
        cmocka_unit_test(missing_service_names_the_command_that_helps),
        cmocka_unit_test(doubles_and_cycles_are_explained),
        cmocka_unit_test(directives_of_plugins_are_checked),
        cmocka_unit_test(init_failure_names_the_plugin),
        cmocka_unit_test(hooks_and_routes_reach_the_application),
        cmocka_unit_test(modules_with_clashing_libraries_live_side_by_side),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
