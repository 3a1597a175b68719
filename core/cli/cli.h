/*
 * The command line: options of every command, and the table of subcommands.
 */
#ifndef CORE_CLI_CLI_H
#define CORE_CLI_CLI_H

#include <andiron/base.h>

#include "host/settings.h"

/*
 * Takes -c DIR and -o section.name=value out of argv wherever they stand (up to "--"), and
 * --worker, which supervisors pass. -1: told on stderr.
 */
ANDIRON_MUST_CHECK int cli_options(int *argc, char **argv, const char **ret_worker);

/* What those options said; strings live as long as the program. */
const struct invocation *cli_invocation(void);

/* Runs the subcommand argv[0]; returns the exit status. core is the plugin of core's own routes. */
int cli_main(int argc, char **argv, const struct andiron_plugin *core);
const struct andiron_plugin *cli_core(void);

/*
 * For commands whose options are words without values: true if argv has it. Anything that is
 * not in known (NULL-terminated) is told on stderr by cli_words_ok(), which then returns false;
 * "--help" prints usage and the caller ends with EXIT_DONE.
 */
bool cli_has(int argc, char **argv, const char *word);
bool cli_words_ok(int argc, char **argv, const char *const *known);

/* An option with a value, and where the value goes; or one without, and what it sets. */
struct cli_option {
    const char *name;
    const char **value;
    bool *is_given;
    int (*take)(void *arg, const char *value); /* instead of value: 0, or an exit status if told */
    void *arg;
};

/*
 * Reads options, the last of which has no name, from anywhere in argv; --help prints usage. CLI_GO_ON,
 * and optind is the first of the words; or the status to exit with.
 */
enum { CLI_GO_ON = -1 };
int cli_read_options(int argc, char **argv, const struct cli_option *options, const char *usage);

/*
 * Two lines on stderr, "andiron: what" and "hint: what to do"; NULL: what usually helps with that status.
 * Returns status.
 */
int cli_fail(int status, const char *hint, const char *fmt, ...) ANDIRON_PRINTF(3, 4);

#endif
