/*
 * andiron audit verify: whether the chain of audit events holds, over the control socket.
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/exits.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/control.h"

enum { EXIT_BROKEN = 1, EXPECT_MAX = 96 };

static const char usage[] =
    "usage: andiron audit verify [--expect NUMBER:HASH] [--json]\n"
    "\n"
    "Reads every audit event that is kept and makes the hash chain again. Exit status 1: an event "
    "was\n"
    "changed or removed. What it prints last can be noted elsewhere and given to a later run:\n"
    "\n"
    "  --expect NUMBER:HASH  this event must still have this hash, so that nobody made all anew\n";

static int report(andiron_json answer, andiron_str body, bool is_json)
{
    struct andiron_json_iter it = { .of = andiron_json_get(answer, "problems") };
    int64_t problems = andiron_json_int(andiron_json_get(answer, "problem-count"), 0);
    andiron_str hash = andiron_json_str(andiron_json_get(answer, "hash"));

    if (is_json) {
        (void)printf("%.*s\n", (int)body.len, body.data);
        return problems > 0 ? EXIT_BROKEN : EXIT_DONE;
    }
    while (andiron_json_next(&it)) {
        andiron_str event = andiron_json_str(andiron_json_get(it.value, "event"));
        andiron_str what = andiron_json_str(andiron_json_get(it.value, "problem"));
        (void)printf("AuditEvent/%.*s %.*s\n", (int)event.len, event.data, (int)what.len,
                     what.data);
    }
    if (problems > 0)
        (void)printf("%lld problems, ", (long long)problems);
    (void)printf("%lld events verified, up to %lld:%.*s\n",
                 (long long)andiron_json_int(andiron_json_get(answer, "verified"), 0),
                 (long long)andiron_json_int(andiron_json_get(answer, "last"), 0), (int)hash.len,
                 hash.data);
    return problems > 0 ? EXIT_BROKEN : EXIT_DONE;
}

/* Digits, a colon, and base64url: nothing that means something in a URL. */
static bool is_expectation(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    return digits > 0 && strlen(text) < EXPECT_MAX && text[digits] == ':' &&
           text[digits + 1 +
                strspn(text + digits + 1, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                          "0123456789-_")] == '\0';
}

static int verify(const char *expect, bool is_json)
{
    struct andiron_arena *arena = arena_new();
    const char *target = expect == NULL
                             ? "/control/audit/verify"
                             : andiron_printf(arena, "/control/audit/verify?expect=%s", expect);
    andiron_json answer;
    andiron_str body;
    long http = 0;

    int status = control_call(arena, "POST", target, &http, &body, &answer);
    if (status == 0 && http == 404)
        status = cli_fail(EXIT_CONFIG, "andiron enable audit", "this server keeps no audit events");
    else if (status == 0 && http == 400)
        status = cli_fail(EXIT_USAGE, "it is what an earlier run printed last",
                          "--expect is not NUMBER:HASH");
    else if (status == 0 && http != 200)
        status =
            cli_fail(EXIT_TRY_AGAIN, "see the log of the server", "the server answered %ld", http);
    else if (status == 0)
        status = report(answer, body, is_json);
    arena_free(arena);
    return status;
}

int cmd_audit(int argc, char **argv)
{
    const char *expect = NULL;
    bool is_json = false;
    const struct cli_option options[] = { { .name = "expect", .value = &expect },
                                          { .name = "json", .is_given = &is_json },
                                          { .name = NULL } };
    int status = cli_read_options(argc, argv, options, usage);

    if (status != CLI_GO_ON)
        return status;
    if (optind + 1 != argc || strcmp(argv[optind], "verify") != 0)
        return cli_fail(EXIT_USAGE, "andiron audit --help", "what to do is missing: verify");
    if (expect != NULL && !is_expectation(expect))
        return cli_fail(EXIT_USAGE, "it is what an earlier run printed last",
                        "--expect is not NUMBER:HASH");
    return verify(expect, is_json);
}
