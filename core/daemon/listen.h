/*
 * Listening sockets: binding, the control socket, and those that systemd hands over. Used by
 * the supervisor, and by the worker to begin to listen.
 */
#ifndef CORE_DAEMON_LISTEN_H
#define CORE_DAEMON_LISTEN_H

#include "host/address.h"

/*
 * A bound socket, not listening yet, close-on-exec and non-blocking; or one of systemd's. -1
 * and err on failure.
 */
ANDIRON_MUST_CHECK int listen_open(const struct address *address, const char *text,
                                   struct andiron_error *err);

/* listen(), whose errors name the address. */
ANDIRON_MUST_CHECK int listen_begin(int fd, int backlog, struct andiron_error *err);

/*
 * The control socket, mode 0660. A socket file that nobody serves is replaced, one that is
 * served is an error. Makes the folders it lies in.
 */
ANDIRON_MUST_CHECK int listen_open_control(const char *path, struct andiron_error *err);

#endif
