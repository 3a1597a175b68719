/*
 * The worker: from configuration to serving, and back out of it.
 */
#ifndef CORE_DAEMON_WORKER_H
#define CORE_DAEMON_WORKER_H

#include "host/settings.h"

/*
 * Serves on what the supervisor handed over ("LINK:p5,a6,c7") until it is told to end. Returns
 * the exit status of the process: 0, or why it could not start.
 */
int worker_run(const struct invocation *invocation, const char *description);

#endif
