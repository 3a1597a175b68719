/*
 * The two things that systemd and a service say to each other: sockets handed over at start,
 * and notifications. Does nothing where the environment names neither.
 */
#ifndef CORE_DAEMON_SYSTEMD_H
#define CORE_DAEMON_SYSTEMD_H

#include <sys/socket.h>

/*
 * Descriptor of the socket with that FileDescriptorName=, close-on-exec and non-blocking; -1 if
 * none was passed. sd_listen_fds(3) has the protocol.
 */
int systemd_socket(const char *name);

/*
 * Descriptor of a passed socket that is bound to this address, likewise; -1 if there is none. So a
 * socket unit for an address that is configured anyway needs no other configuration.
 */
int systemd_socket_at(const struct sockaddr_storage *address);

/* Sends "READY=1\nSTATUS=..." as sd_notify(3) has it. */
void systemd_notify(const char *state);

/* "RELOADING=1" with the time that Type=notify-reload wants. */
void systemd_notify_reloading(void);

#endif
