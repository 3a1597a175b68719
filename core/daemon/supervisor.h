/*
 * The supervisor: owns the listening sockets, starts and replaces the worker. Loads no plugin
 * and holds no key, so that little can go wrong in it.
 */
#ifndef CORE_DAEMON_SUPERVISOR_H
#define CORE_DAEMON_SUPERVISOR_H

#include "host/settings.h"

/* Serves until it is told to stop; returns the exit status of the program. */
int supervisor_run(const struct invocation *invocation);

#endif
