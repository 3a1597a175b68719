/*
 * andiron status, reload, stop, drain: thin clients of core's control routes.
 */
#include <stdio.h>

#include "base/arena.h"
#include "base/exits.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/control.h"

/* ---- status --------------------------------------------------------------------- */

static void print_line(const char *label, andiron_str value)
{
    (void)printf("%-20s %.*s\n", label, (int)value.len, value.data != NULL ? value.data : "");
}

static void print_checks(andiron_json checks)
{
    struct andiron_json_iter it = { .of = checks };
    while (andiron_json_next(&it)) {
        andiron_json check = andiron_json_at(it.value, 0);
        andiron_str status = andiron_json_str(andiron_json_get(check, "status"));
        andiron_str unit = andiron_json_str(andiron_json_get(check, "observedUnit"));
        andiron_str value = andiron_json_raw(andiron_json_get(check, "observedValue"));
        andiron_str output = andiron_json_str(andiron_json_get(check, "output"));
        (void)printf("  %-18.*s %-5.*s %.*s%s%.*s%s%.*s\n", (int)it.name.len, it.name.data,
                     (int)status.len, status.data, (int)value.len,
                     value.data != NULL ? value.data : "", value.len > 0 ? " " : "", (int)unit.len,
                     unit.data != NULL ? unit.data : "",
                     output.len > 0 && value.len > 0 ? ": " : "", (int)output.len,
                     output.data != NULL ? output.data : "");
    }
}

static void print_status(andiron_json s)
{
    static const struct {
        const char *label, *name;
    } numbers[] = {
        { "uptime, s", "uptimeSeconds" },
        { "connections", "connections" },
        { "requests", "requests" },
        { "rejected", "rejected" },
        { "requests/s", "requestsPerSecond" },
        { "p50, us", "p50Microseconds" },
        { "p99, us", "p99Microseconds" },
        { "pool queue", "poolQueued" },
        { "reloads", "reloads" },
        { "reloads failed", "reloadsFailed" },
    };
    print_line("andiron", andiron_json_str(andiron_json_get(s, "version")));
    print_line("health", andiron_json_str(andiron_json_path(s, "health.status")));
    if (andiron_json_true(andiron_json_get(s, "draining")))
        print_line("draining", ANDIRON_STR("yes"));
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        print_line(numbers[i].label, andiron_json_raw(andiron_json_get(s, numbers[i].name)));
    andiron_str last = andiron_json_str(andiron_json_get(s, "lastReload"));
    if (last.len > 0)
        print_line("last reload", last);
    (void)puts("checks");
    print_checks(andiron_json_path(s, "health.checks"));
    (void)puts("plugins");
    struct andiron_json_iter it = { .of = andiron_json_get(s, "plugins") };
    while (andiron_json_next(&it)) {
        andiron_str name = andiron_json_str(andiron_json_get(it.value, "name"));
        andiron_str version = andiron_json_str(andiron_json_get(it.value, "version"));
        (void)printf("  %-28.*s %.*s\n", (int)name.len, name.data, (int)version.len, version.data);
    }
}

int cmd_status(int argc, char **argv)
{
    static const char *const words[] = { "--json", NULL };
    struct andiron_arena *arena = arena_new();
    andiron_json answer;
    andiron_str body;
    long http = 0;

    if (!cli_words_ok(argc, argv, words)) {
        arena_free(arena);
        return EXIT_USAGE;
    }
    int status = control_call(arena, "GET", "/control/status", &http, &body, &answer);
    if (status == 0 && http != 200)
        status = cli_fail(EXIT_INTERNAL, NULL, "the server answered %ld", http);
    else if (status == 0 && cli_has(argc, argv, "--json"))
        (void)printf("%.*s\n", (int)body.len, body.data);
    else if (status == 0)
        print_status(answer);
    arena_free(arena);
    return status;
}

/* ---- commands without an answer of their own ----------------------------------------- */

/* With --json, what is so from now on. */
static int say(int status, bool is_json, const char *what, bool is_so)
{
    if (status == EXIT_DONE && is_json)
        (void)printf("{\"%s\":%s}\n", what, is_so ? "true" : "false");
    return status;
}

static int send_command(const char *target)
{
    struct andiron_arena *arena = arena_new();
    andiron_json answer;
    andiron_str body;
    long http = 0;

    int status = control_call(arena, "POST", target, &http, &body, &answer);
    if (status == 0 && (http < 200 || http > 299)) {
        andiron_str reason = andiron_json_str(andiron_json_get(answer, "reason"));
        status = cli_fail(EXIT_INTERNAL, NULL, "the server answered %ld %.*s", http,
                          (int)reason.len, reason.data != NULL ? reason.data : "");
    }
    arena_free(arena);
    return status;
}

int cmd_reload(int argc, char **argv)
{
    static const char *const words[] = { "--json", NULL };
    if (!cli_words_ok(argc, argv, words))
        return EXIT_USAGE;
    return say(control_reload(), cli_has(argc, argv, "--json"), "reloaded", true);
}

int cmd_stop(int argc, char **argv)
{
    static const char *const words[] = { "--json", NULL };
    if (!cli_words_ok(argc, argv, words))
        return EXIT_USAGE;
    return say(send_command("/control/stop"), cli_has(argc, argv, "--json"), "stopping", true);
}

int cmd_drain(int argc, char **argv)
{
    static const char *const words[] = { "--off", "--json", NULL };
    if (!cli_words_ok(argc, argv, words))
        return EXIT_USAGE;
    bool off = cli_has(argc, argv, "--off");
    return say(send_command(off ? "/control/drain?off" : "/control/drain"),
               cli_has(argc, argv, "--json"), "draining", !off);
}
