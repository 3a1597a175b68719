/*
 * A configuration in which one module is enabled, and nothing else: for commands that try a module
 * file.
 */
#ifndef CORE_CLI_ALONE_H
#define CORE_CLI_ALONE_H

#include "host/settings.h"

struct alone {
    const char *module; /* absolute path */
    char dir[64];       /* the configuration folder, and state-dir */
};

/*
 * Makes the folder; path leads to the module. 0, or -1 and err: EXIT_CONFIG if there is no such
 * module. What is made is in arena.
 */
ANDIRON_MUST_CHECK int alone_make(struct andiron_arena *arena, const char *path, struct alone *ret,
                                  struct andiron_error *err);

/* With what the module put there: links are not followed. */
void alone_remove(const struct alone *alone);

/* The module loaded, its directives as `overrides` (of -o) and defaults say. host_free() ends it. */
struct host *alone_load(struct andiron_arena *arena, const struct alone *alone,
                        const char *const *overrides, struct settings *settings);

/* The plugin of that name, or NULL; what is wrong with its directives is *ret_problem, or NULL. */
const struct andiron_host *alone_plugin(struct host *host, const char *name,
                                        const char **ret_problem);

#endif
