/*
 * Listening sockets: addresses as they are written, binding, the control socket, and those
 * that systemd hands over. Used by the supervisor; settings.c checks addresses with it.
 */
#ifndef CORE_DAEMON_LISTEN_H
#define CORE_DAEMON_LISTEN_H

#include <sys/socket.h>
#include <sys/un.h>

#include <andiron/error.h>

enum { LISTEN_SOCKET_PATH_MAX = sizeof(((struct sockaddr_un *)0)->sun_path) };

struct listen_address {
    bool is_tls;
    const char *fd_name; /* of "fd:NAME": into the text; NULL: an address of our own */
    struct sockaddr_storage address;
    socklen_t len;
};

/* "127.0.0.1:8080", "[::1]:8080", "*:8080", "fd:http", each with "tls:" in front or not. */
ANDIRON_MUST_CHECK int listen_parse(const char *text, struct listen_address *ret,
                                    struct andiron_error *err);

/* Nobody but this machine can reach it. A socket of systemd's is trusted to be so. */
bool listen_is_local(const struct listen_address *address);

/*
 * A bound socket, not listening yet, close-on-exec and non-blocking; or one of systemd's. -1
 * and err on failure.
 */
ANDIRON_MUST_CHECK int listen_open(const struct listen_address *address, const char *text,
                                   struct andiron_error *err);

/*
 * The control socket, mode 0660. A socket file that nobody serves is replaced, one that is
 * served is an error. Makes the folder it lies in, if that is the only one missing.
 */
ANDIRON_MUST_CHECK int listen_open_control(const char *path, struct andiron_error *err);

#endif
