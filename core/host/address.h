/*
 * Listening addresses as they are written in http.listen and admin.listen.
 */
#ifndef CORE_HOST_ADDRESS_H
#define CORE_HOST_ADDRESS_H

#include <sys/socket.h>
#include <sys/un.h>

#include <andiron/error.h>

enum { ADDRESS_SOCKET_PATH_MAX = sizeof(((struct sockaddr_un *)0)->sun_path) };

struct address {
    bool is_tls;
    const char *fd_name; /* of "fd:NAME": into the text; NULL: an address of our own */
    struct sockaddr_storage address;
    socklen_t len;
};

/* "127.0.0.1:8080", "[::1]:8080", "*:8080", "fd:http", each with "tls:" in front or not. */
ANDIRON_MUST_CHECK int address_parse(const char *text, struct address *ret,
                                     struct andiron_error *err);

/* Nobody but this machine can reach it. A socket of systemd's is trusted to be so. */
bool address_is_local(const struct address *address);

#endif
