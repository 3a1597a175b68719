/*
 * Trying out a module for `andiron test-plugin`. Runs in a process of its own, since a module may
 * crash, hang or fill the memory.
 */
#ifndef CORE_CLI_PROBE_H
#define CORE_CLI_PROBE_H

#include "cli/alone.h"

struct probe {
    andiron_str policy, request;  /* JSON; absent: only made-up ones */
    const struct alone *alone;    /* the module, and a configuration that enables it */
    const char *const *overrides; /* of -o */
    int out;                      /* where findings go, see below */
};

/*
 * Writes lines "LEVEL<tab>CHECK<tab>SENTENCE": LEVEL is ok, warn, fail, or "step", which says what
 * is tried next. Ends the process: 0, or EXIT_CONFIG if the module cannot be loaded.
 */
_Noreturn void probe_run(const struct probe *probe);

#endif
