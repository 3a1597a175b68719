/*
 * Options and dispatch.
 */
#include "cli/cli.h"

#include <assert.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/exits.h"
#include "base/suggest.h"
#include "cli/commands.h"

enum { OVERRIDES_MAX = 256 };

enum kind { KIND_LOCAL, KIND_CONTROL, KIND_REMOTE };

static const struct command {
    const char *name;
    enum kind kind;
    int (*run)(int argc, char **argv);
    const char *arguments, *help;
} commands[] = {
    { "version", KIND_LOCAL, cmd_version, "[--json]", "versions of andiron and its libraries" },
    { "check-config", KIND_LOCAL, cmd_check_config, "[--json]",
      "checks all of the configuration; runs nothing of a plugin" },
    { "print-config", KIND_LOCAL, cmd_print_config, "[--diff] [--json]",
      "every setting, its value and where it comes from" },
    { "plugins", KIND_LOCAL, cmd_plugins, "[-v] [--all] [--json] [--directives]",
      "plugins in their order; -v with directives and routes, --all also those that are off;\n"
      "                   --directives: every directive, core's too, in columns divided by tabs" },
    { "migrate", KIND_LOCAL, cmd_migrate, "[--check] [--json]",
      "brings stored data up to date, which a start does as well; --check: says what is needed\n"
      "                   (exit 75)" },
    { "enable", KIND_LOCAL, cmd_enable, "NAME... [--now] [--json]", "switches plugins on" },
    { "disable", KIND_LOCAL, cmd_disable, "NAME... [--now] [--json]", "switches plugins off" },
    { "new", KIND_LOCAL, cmd_new, NULL, "a project for a plugin of your own" },
    { "test-plugin", KIND_LOCAL, cmd_test_plugin, NULL,
      "what a server would stumble over in a module" },
    { "explain-policy", KIND_LOCAL, cmd_explain_policy, NULL,
      "what an engine says of one policy and one request" },
    { "sample", KIND_LOCAL, cmd_sample, NULL, "synthetic patients as NDJSON" },
    { "sign-assertion", KIND_LOCAL, cmd_sign_assertion, NULL,
      "a test assertion with the server's own test key" },
    { "doctor", KIND_LOCAL, cmd_doctor, NULL, "a checklist with remedies: files, machine, server" },
    { "restore", KIND_LOCAL, cmd_restore, NULL, "puts a backup back; the server is stopped" },
    { "status", KIND_CONTROL, cmd_status, "[--json]", "what the running server does" },
    { "reload", KIND_CONTROL, cmd_reload, "[--json]", "takes the new configuration into force" },
    { "stop", KIND_CONTROL, cmd_stop, "[--json]", "finishes requests, then ends" },
    { "drain", KIND_CONTROL, cmd_drain, "[--off] [--json]",
      "/health/ready says no, for balancers; everything is still served" },
    { "keys", KIND_CONTROL, cmd_keys, NULL, "lists, rotates and retires the keys of tokens" },
    { "policies", KIND_CONTROL, cmd_policies, "[--unused] [--json]",
      "access policies with hits, last hit and mean time; --unused: those without a hit" },
    { "check", KIND_CONTROL, cmd_check, "[--repair] [--json]",
      "every index term recomputed and compared" },
    { "audit", KIND_CONTROL, cmd_audit, NULL, "whether the chain of audit events holds" },
    { "backup", KIND_CONTROL, cmd_backup, NULL,
      "store, keys and configuration in one file, while serving" },
    { "client", KIND_REMOTE, cmd_client, NULL, "registers, lists, shows and deletes Clients" },
    { "token", KIND_REMOTE, cmd_token, NULL, "an access token by a signed assertion" },
    { "explain", KIND_REMOTE, cmd_explain, NULL,
      "why a request is let through or refused, policy by policy" },
    { "import", KIND_REMOTE, cmd_import, NULL, "loads NDJSON, resources and Bundles" },
    { "export", KIND_REMOTE, cmd_export, NULL, "all of a Bulk Data server into files" },
    { .name = NULL },
};

static struct invocation invocation;
static const struct andiron_plugin *core_plugin;
static const char *overrides[OVERRIDES_MAX + 1];
static char program[PATH_MAX], folder[PATH_MAX];

const struct invocation *cli_invocation(void)
{
    return &invocation;
}

const struct andiron_plugin *cli_core(void)
{
    return core_plugin;
}

/* What to do where nothing closer is known: every error has a second line. */
static const char *usual_hint(int status)
{
    static const struct {
        int status;
        const char *hint;
    } hints[] = {
        { EXIT_USAGE, "andiron COMMAND --help shows what it takes" },
        { EXIT_BAD_DATA, "correct the input, then run it again" },
        { EXIT_NO_INPUT, "name a file that is there and may be read" },
        { EXIT_UNREACHABLE, "is the server running, and is this its address?" },
        { EXIT_INTERNAL, "see the log of the server; andiron doctor looks for usual causes" },
        { EXIT_NO_OUTPUT, "look at the path, its rights, and the room that is left" },
        { EXIT_TRY_AGAIN, "run it again in a moment" },
        { EXIT_REFUSED, "andiron explain tells which policy would have to change" },
        { EXIT_CONFIG, "andiron check-config lists every problem" },
    };
    for (size_t i = 0; i < sizeof(hints) / sizeof(hints[0]); i++)
        if (hints[i].status == status)
            return hints[i].hint;
    return NULL;
}

int cli_fail(int status, const char *hint, const char *fmt, ...)
{
    va_list args;

    if (hint == NULL)
        hint = usual_hint(status);
    (void)fputs("andiron: ", stderr);
    va_start(args, fmt);
    (void)vfprintf(stderr, fmt, args);
    va_end(args);
    (void)fprintf(stderr, "\n%s%s%s", hint != NULL ? "hint: " : "", hint != NULL ? hint : "",
                  hint != NULL ? "\n" : "");
    return status;
}

/* ---- options of every command ------------------------------------------------- */

/* The file this program was started from, so that a reload finds what an upgrade put there. */
static void find_program(const char *argv0)
{
    static const char deleted[] = " (deleted)";
    ssize_t len = readlink("/proc/self/exe", program, sizeof(program) - 1);
    if (len <= 0) {
        (void)snprintf(program, sizeof(program), "%s", argv0);
        return;
    }
    program[len] = '\0';
    size_t tail = sizeof(deleted) - 1;
    if ((size_t)len > tail && strcmp(program + len - tail, deleted) == 0)
        program[(size_t)len - tail] = '\0';
}

static int set_folder(const char *dir)
{
    char here[PATH_MAX];
    int len;

    if (dir[0] == '/')
        len = snprintf(folder, sizeof(folder), "%s", dir);
    else if (getcwd(here, sizeof(here)) != NULL)
        len = snprintf(folder, sizeof(folder), "%s/%s", here, dir);
    else
        return -1;
    while (len > 1 && len < (int)sizeof(folder) && folder[len - 1] == '/')
        folder[--len] = '\0';
    return len > 0 && len < (int)sizeof(folder) ? 0 : -1;
}

/* One of -c, -o, --worker with its value at argv[i + 1]. */
static int take_option(const char *option, const char *value, const char **ret_worker)
{
    static size_t count;
    if (value == NULL)
        return cli_fail(-1, "andiron --help", "%s needs a value", option);
    if (strcmp(option, "--worker") == 0) {
        *ret_worker = value;
        return 0;
    }
    if (strcmp(option, "-c") == 0) {
        if (set_folder(value) == 0)
            return 0;
        return cli_fail(-1, NULL, "cannot use the configuration folder '%s'", value);
    }
    if (count == OVERRIDES_MAX)
        return cli_fail(-1, NULL, "more than %d options -o", OVERRIDES_MAX);
    overrides[count++] = value;
    return 0;
}

int cli_options(int *argc, char **argv, const char **ret_worker)
{
    static const char *const valued[] = { "-c", "-o", "--worker", NULL };
    int kept = 1, i = 1;

    invocation.program = program;
    invocation.dir = folder;
    invocation.overrides = overrides;
    find_program(argv[0]);
    if (set_folder(ANDIRON_DEFAULT_CONF_DIR) != 0)
        return -1;
    for (; i < *argc && strcmp(argv[i], "--") != 0; i++) {
        const char *option = NULL;
        for (size_t v = 0; valued[v] != NULL; v++)
            if (strcmp(argv[i], valued[v]) == 0)
                option = valued[v];
        if (option == NULL) {
            argv[kept++] = argv[i];
            continue;
        }
        if (take_option(option, i + 1 < *argc ? argv[i + 1] : NULL, ret_worker) != 0)
            return -1;
        i++;
    }
    for (; i < *argc; i++)
        argv[kept++] = argv[i];
    argv[kept] = NULL;
    *argc = kept;
    return 0;
}

bool cli_has(int argc, char **argv, const char *word)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], word) == 0)
            return true;
    return false;
}

bool cli_words_ok(int argc, char **argv, const char *const *known)
{
    for (int i = 1; i < argc; i++) {
        bool ok = false;
        for (size_t k = 0; known[k] != NULL; k++)
            ok = ok || strcmp(argv[i], known[k]) == 0;
        if (ok)
            continue;
        const char *near = suggest(andiron_str_of(argv[i]), known);
        (void)cli_fail(EXIT_USAGE, NULL, "%s: unexpected argument '%s'%s%s%s", argv[0], argv[i],
                       near != NULL ? "; did you mean " : "", near != NULL ? near : "",
                       near != NULL ? "?" : "");
        return false;
    }
    return true;
}

enum { OPTIONS_MAX = 31 };

/* What is wrong with the option that getopt_long() did not take. */
static int wrong_option(int c, char **argv, const struct option *options)
{
    const char *names[OPTIONS_MAX + 2], *wrong = "has no option", *near = NULL;
    size_t count = 0;

    const char *given = argv[optind - 1];
    if (c == ':') {
        wrong = "needs a value for";
    } else if (optopt != 0) {
        wrong = "takes no value for";
    } else {
        for (; options[count].name != NULL; count++)
            names[count] = options[count].name;
        names[count] = NULL;
        near = suggest(andiron_str_of(given + strspn(given, "-")), names);
    }
    return cli_fail(EXIT_USAGE, NULL, "%s %s '%s'%s%s%s", argv[0], wrong, given,
                    near != NULL ? "; did you mean --" : "", near != NULL ? near : "",
                    near != NULL ? "?" : "");
}

/* Puts what was given where it belongs. */
static int put_option(const struct cli_option *option, const char *value)
{
    if (option->take != NULL)
        return option->take(option->arg, value);
    if (option->is_given != NULL)
        *option->is_given = true;
    else
        *option->value = value;
    return 0;
}

int cli_read_options(int argc, char **argv, const struct cli_option *options, const char *usage)
{
    struct option table[OPTIONS_MAX + 2];
    size_t count = 0;
    int c, status = 0;

    for (; options[count].name != NULL; count++) {
        assert(count < OPTIONS_MAX);
        table[count] =
            (struct option){ options[count].name,
                             options[count].is_given != NULL ? no_argument : required_argument,
                             NULL, (int)count + 1 };
    }
    table[count] = (struct option){ "help", no_argument, NULL, OPTIONS_MAX + 1 };
    table[count + 1] = (struct option){ NULL, 0, NULL, 0 };
    opterr = 0;
    while (status == 0 && (c = getopt_long(argc, argv, ":", table, NULL)) != -1) {
        if (c == OPTIONS_MAX + 1) {
            (void)fputs(usage, stdout);
            return EXIT_DONE;
        }
        status = c == '?' || c == ':' ? wrong_option(c, argv, table)
                                      : put_option(&options[c - 1], optarg);
    }
    return status != 0 ? status : CLI_GO_ON;
}

/* ---- dispatch ------------------------------------------------------------------- */

static void print_usage(FILE *out)
{
    static const char *const kinds[] = { "On files", "Over the control socket", "Over HTTP" };
    (void)fputs("usage: andiron [-c DIR] [-o section.name=value]...          serves\n"
                "       andiron [-c DIR] COMMAND [ARGUMENT]...               see below\n",
                out);
    for (enum kind kind = KIND_LOCAL; kind <= KIND_REMOTE; kind++) {
        bool is_first = true;
        for (const struct command *c = commands; c->name != NULL; c++) {
            if (c->kind != kind)
                continue;
            if (is_first)
                (void)fprintf(out, "\n%s:\n", kinds[kind]);
            is_first = false;
            (void)fprintf(out, "  %-16s %s\n", c->name, c->help);
        }
    }
    (void)fprintf(out, "\nEvery command has --help. The configuration is read from %s.\n",
                  ANDIRON_DEFAULT_CONF_DIR);
}

static const struct command *find_command(const char *name)
{
    for (const struct command *c = commands; c->name != NULL; c++)
        if (strcmp(c->name, name) == 0)
            return c;
    return NULL;
}

static int unknown_command(const char *name)
{
    const char *names[sizeof(commands) / sizeof(commands[0])];
    size_t count = 0;
    for (const struct command *c = commands; c->name != NULL; c++)
        names[count++] = c->name;
    names[count] = NULL;
    const char *near = suggest(andiron_str_of(name), names);
    if (near != NULL)
        return cli_fail(EXIT_USAGE, "andiron --help lists all", "no command '%s'; did you mean %s?",
                        name, near);
    return cli_fail(EXIT_USAGE, "andiron --help lists all", "no command '%s'", name);
}

int cli_main(int argc, char **argv, const struct andiron_plugin *core)
{
    core_plugin = core;
    if (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0 ||
        strcmp(argv[0], "help") == 0) {
        print_usage(stdout);
        return EXIT_DONE;
    }
    if (strcmp(argv[0], "--version") == 0)
        return cmd_version(1, argv);
    const struct command *c = find_command(argv[0]);
    if (c == NULL)
        return unknown_command(argv[0]);
    /* Commands with options of their own print their own help. */
    if (c->arguments != NULL && (cli_has(argc, argv, "--help") || cli_has(argc, argv, "-h"))) {
        (void)printf("usage: andiron %s%s%s\n\n%s\n", c->name, c->arguments[0] != '\0' ? " " : "",
                     c->arguments, c->help);
        return EXIT_DONE;
    }
    return c->run(argc, argv);
}
