/*
 * andiron doctor: what an operator should know before going live, as a list with remedies. Looks
 * at files itself, and asks the running server over its control socket; changes nothing.
 */
#include "cli/doctor.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/exits.h"
#include "cli/cli.h"
#include "cli/commands.h"

enum { JSON_MAX = 1 << 20, EXIT_ILL = 1 };

static const char usage[] =
    "usage: andiron doctor [--json]\n"
    "\n"
    "Checks configuration, modules, file modes, clock, disk, certificate and base-url, and asks "
    "the\n"
    "running server for its health, the age of its keys, and policies that let everybody in. Each "
    "line is\n"
    "ok, warn or fail; behind the last two stands what to do. Changes nothing.\n"
    "\n"
    "Exit status: 0 if nothing fails, 1 otherwise.\n";

static const char *const verdicts[] = { "ok", "warn", "fail" };

void doctor_say(struct doctor *d, enum verdict verdict, const char *check, const char *remedy,
                const char *fmt, ...)
{
    char text[512];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    d->counts[verdict]++;
    if (d->writer == NULL) {
        (void)printf("%-4s  %-12s %s\n", verdicts[verdict], check, text);
        if (verdict != DOCTOR_OK && remedy != NULL)
            (void)printf("      %-12s -> %s\n", "", remedy);
        return;
    }
    andiron_json_put_object(d->writer, NULL);
    andiron_json_put_str(d->writer, "check", andiron_str_of(check));
    andiron_json_put_str(d->writer, "status", andiron_str_of(verdicts[verdict]));
    andiron_json_put_str(d->writer, "text", andiron_str_of(text));
    if (verdict != DOCTOR_OK && remedy != NULL)
        andiron_json_put_str(d->writer, "remedy", andiron_str_of(remedy));
    andiron_json_put_end(d->writer);
}

static void begin_json(struct doctor *d)
{
    d->writer = andiron_json_write(d->arena, JSON_MAX);
    andiron_json_put_object(d->writer, NULL);
    andiron_json_put_array(d->writer, "checks");
}

static void end_json(struct doctor *d)
{
    andiron_json_put_end(d->writer);
    for (size_t i = 0; i < sizeof(verdicts) / sizeof(verdicts[0]); i++)
        andiron_json_put_int(d->writer, verdicts[i], (int64_t)d->counts[i]);
    andiron_json_put_end(d->writer);
    andiron_str text = andiron_json_written(d->writer);
    (void)printf("%.*s\n", (int)text.len, text.data != NULL ? text.data : "");
}

int cmd_doctor(int argc, char **argv)
{
    struct doctor d = { .arena = NULL };
    bool json = false;
    const struct cli_option options[] = { { .name = "json", .is_given = &json }, { .name = NULL } };
    int status = cli_read_options(argc, argv, options, usage);

    if (status != CLI_GO_ON)
        return status;
    if (optind < argc)
        return cli_fail(EXIT_USAGE, "andiron doctor --help", "unexpected argument '%s'",
                        argv[optind]);
    d.arena = arena_new();
    if (json)
        begin_json(&d);
    d.host = loaded_config(&d.settings);
    doctor_files(&d);
    doctor_server(&d);
    host_free(d.host);
    if (json)
        end_json(&d);
    else
        (void)printf("%zu ok, %zu warn, %zu fail\n", d.counts[DOCTOR_OK], d.counts[DOCTOR_WARN],
                     d.counts[DOCTOR_FAIL]);
    arena_free(d.arena);
    return d.counts[DOCTOR_FAIL] > 0 ? EXIT_ILL : EXIT_DONE;
}
