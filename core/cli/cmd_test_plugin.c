/*
 * andiron test-plugin: what a server would stumble over in a module. The module runs in a child
 * process (probe.c); this side sets it up, watches it and prints what it finds.
 *
 * Exit status: 0 nothing failed, 1 something did, 64 usage, 65 or 66 policy or request, 78 module
 * not loadable.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/exits.h"
#include "cli/alone.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/probe.h"
#include "cli/remote.h"

static const char usage[] =
    "usage: andiron test-plugin MODULE.so [--policy JSON] [--request JSON] [--json]\n"
    "\n"
    "Loads a module into a process of its own and checks its file, table, directives and "
    "services.\n"
    "Policy engines are given policies and requests, right and wrong ones, and watched for "
    "crashes,\n"
    "rejections without a reason, time and leaks. @FILE, or the name of a file, reads JSON from "
    "it.\n"
    "Directives of the module are set by -o NAME.directive=value.\n"
    "\n"
    "  --policy   an AccessPolicy that the engine accepts; without it little of the engine is "
    "tried\n"
    "  --request  a request object, as policies see it (request-method, uri, params, client ...)\n"
    "  --json     findings as one object\n"
    "\n"
    "Ends with 0 if nothing failed, 1 if something did, 78 if the module cannot be loaded.\n";

enum { JSON_MAX = 1024 * 1024, STEP_MS = 20000, LINE_MAX_BYTES = 4096, FAILED = 1 };

struct tested {
    struct andiron_arena *arena;
    const char *module, *policy, *request;
    bool is_json;
    struct andiron_json_writer *out;
    size_t failed, warned;
    char check[64], step[1024]; /* what is being tried */
};

/* ---- findings ------------------------------------------------------------------------- */

static void found(struct tested *t, const char *level, const char *check, const char *text)
{
    t->failed += strcmp(level, "fail") == 0;
    t->warned += strcmp(level, "warn") == 0;
    if (!t->is_json) {
        (void)printf("%-4s  %s: %s\n", strcmp(level, "fail") == 0 ? "FAIL" : level, check, text);
        (void)fflush(stdout);
        return;
    }
    andiron_json_put_object(t->out, NULL);
    andiron_json_put_str(t->out, "level", andiron_str_of(level));
    andiron_json_put_str(t->out, "check", andiron_str_of(check));
    andiron_json_put_str(t->out, "text", andiron_str_of(text));
    andiron_json_put_end(t->out);
}

/* A line of the child: "LEVEL<tab>CHECK<tab>SENTENCE". Changes it. */
static void take_line(struct tested *t, char *line)
{
    char *check = strchr(line, '\t'), *text = check != NULL ? strchr(check + 1, '\t') : NULL;
    if (text == NULL)
        return;
    *check++ = '\0';
    *text++ = '\0';
    if (strcmp(line, "step") != 0) {
        found(t, line, check, text);
        return;
    }
    (void)snprintf(t->check, sizeof(t->check), "%s", check);
    (void)snprintf(t->step, sizeof(t->step), "%s", text);
}

/* Lines as they come, until the child closes its end; false: a step took too long. */
static bool take_lines(struct tested *t, int in)
{
    char line[LINE_MAX_BYTES];
    size_t used = 0;
    for (;;) {
        struct pollfd wait = { .fd = in, .events = POLLIN };
        int ready = poll(&wait, 1, STEP_MS);
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0)
            return false;
        ssize_t n = read(in, line + used, sizeof(line) - 1 - used);
        if (n <= 0)
            return true;
        used += (size_t)n;
        line[used] = '\0';
        char *from = line;
        for (char *end; (end = strchr(from, '\n')) != NULL; from = end + 1) {
            *end = '\0';
            take_line(t, from);
        }
        used -= (size_t)(from - line);
        memmove(line, from, used);
        if (used == sizeof(line) - 1) /* longer than the child writes */
            used = 0;
    }
}

/* ---- the child --------------------------------------------------------------------------- */

/* How the child ended: a finding unless it came to its end. Returns the exit status. */
static int judge_end(struct tested *t, int status, bool in_time)
{
    if (!in_time)
        found(t, "fail", t->check,
              andiron_printf(t->arena, "no end within %d s while %s", STEP_MS / 1000, t->step));
    else if (WIFSIGNALED(status))
        found(
            t, "fail", t->check,
            andiron_printf(t->arena, "crash (%s) while %s", strsignal(WTERMSIG(status)), t->step));
    else if (WEXITSTATUS(status) == EXIT_CONFIG)
        return EXIT_CONFIG;
    else if (WEXITSTATUS(status) != 0)
        found(t, "fail", t->check,
              andiron_printf(t->arena, "the process ended with status %d while %s",
                             WEXITSTATUS(status), t->step));
    return t->failed > 0 ? FAILED : EXIT_DONE;
}

static int run_child(struct tested *t, struct probe *probe)
{
    int ends[2], status = 0;
    (void)fflush(stdout);
    if (pipe2(ends, O_CLOEXEC) != 0)
        return cli_fail(EXIT_INTERNAL, NULL, "pipe: %s", strerror(errno));
    pid_t child = fork();
    if (child == 0) {
        (void)close(ends[0]);
        (void)dup2(STDERR_FILENO, STDOUT_FILENO); /* what the module prints is no finding */
        probe->out = ends[1];
        probe_run(probe);
    }
    (void)close(ends[1]);
    if (child < 0) {
        (void)close(ends[0]);
        return cli_fail(EXIT_INTERNAL, NULL, "fork: %s", strerror(errno));
    }
    bool in_time = take_lines(t, ends[0]);
    (void)close(ends[0]);
    if (!in_time)
        (void)kill(child, SIGKILL);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    return judge_end(t, status, in_time);
}

/* ---- the command --------------------------------------------------------------------------- */

/* JSON text, @FILE or FILE, checked. */
static int read_json(struct tested *t, const char *name, const char *value, andiron_str *ret)
{
    andiron_json parsed;
    struct andiron_error err;
    if (value == NULL)
        return 0;
    *ret = andiron_str_of(value);
    if (value[strspn(value, " \t\n")] != '{') {
        struct buffer file;
        int status = remote_read_file(value + (value[0] == '@'), JSON_MAX, &file);
        if (status == 0)
            *ret =
                (andiron_str){ andiron_copy(t->arena, buffer_str(&file)), buffer_str(&file).len };
        buffer_free(&file);
        if (status != 0)
            return status;
    }
    if (andiron_json_parse(t->arena, *ret, &parsed, &err) != 0)
        return cli_fail(EXIT_BAD_DATA, NULL, "--%s: %s: %s", name, err.where, err.message);
    if (andiron_json_type(parsed) != ANDIRON_JSON_OBJECT)
        return cli_fail(EXIT_BAD_DATA, NULL, "--%s must be a JSON object", name);
    return 0;
}

static int test_module(struct tested *t)
{
    struct probe probe = { .overrides = cli_invocation()->overrides };
    struct alone alone;
    struct andiron_error err;
    int status = read_json(t, "policy", t->policy, &probe.policy);
    if (status == 0)
        status = read_json(t, "request", t->request, &probe.request);
    if (status != 0)
        return status;
    if (alone_make(t->arena, t->module, &alone, &err) != 0)
        return cli_fail(err.code == ANDIRON_E_NOT_FOUND ? EXIT_CONFIG : EXIT_NO_OUTPUT, NULL, "%s",
                        err.message);
    probe.alone = &alone;
    t->out = andiron_json_write(t->arena, JSON_MAX);
    andiron_json_put_object(t->out, NULL);
    andiron_json_put_str(t->out, "module", andiron_str_of(alone.module));
    andiron_json_put_array(t->out, "findings");
    status = run_child(t, &probe);
    alone_remove(&alone);
    andiron_json_put_end(t->out);
    andiron_json_put_bool(t->out, "passed", t->failed == 0);
    andiron_json_put_end(t->out);
    andiron_str text = andiron_json_written(t->out);
    if (t->is_json)
        (void)printf("%.*s\n", (int)text.len, text.data);
    else
        (void)printf("%zu failed, %zu warnings\n", t->failed, t->warned);
    return status;
}

int cmd_test_plugin(int argc, char **argv)
{
    struct tested t = { .check = "table", .step = "it is loaded" };
    const struct cli_option options[] = { { .name = "policy", .value = &t.policy },
                                          { .name = "request", .value = &t.request },
                                          { .name = "json", .is_given = &t.is_json },
                                          { .name = NULL } };
    int status = cli_read_options(argc, argv, options, usage);

    if (status != CLI_GO_ON)
        return status;
    if (argc - optind != 1)
        return cli_fail(EXIT_USAGE, "andiron test-plugin --help", "test-plugin wants one module");
    t.module = argv[optind];
    t.arena = arena_new();
    status = test_module(&t);
    arena_free(t.arena);
    return status;
}
