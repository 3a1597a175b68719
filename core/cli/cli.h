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

/* The same for options with values, as getopt_long() has them: val, -1 at the end, '?': told. */
struct option;
int cli_getopt(int argc, char **argv, const struct option *options);

/* Two lines on stderr, "andiron: what" and, unless NULL, "hint: what to do". Returns status. */
int cli_fail(int status, const char *hint, const char *fmt, ...) ANDIRON_PRINTF(3, 4);

#endif
