/*
 * Parsing of listening addresses; numeric ones only, so nothing is looked up.
 */
#include "host/address.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>

#define FAIL(err, ...) andiron_error_set((err), ANDIRON_E_INVALID, "", __VA_ARGS__)

/* Splits "HOST:PORT" or "[HOST]:PORT"; host of at most 63 bytes. -1 if it is neither. */
static int split(const char *text, char host[64], const char **ret_port)
{
    bool is_bracketed = text[0] == '[';
    const char *start = text + is_bracketed;
    const char *end = is_bracketed ? strchr(start, ']') : strrchr(start, ':');

    if (end == NULL || end == start || end - start > 63)
        return -1;
    const char *colon = is_bracketed ? end + 1 : end;
    if (*colon != ':' || (!is_bracketed && memchr(start, ':', (size_t)(end - start)) != NULL))
        return -1;
    memcpy(host, start, (size_t)(end - start));
    host[end - start] = '\0';
    *ret_port = colon + 1;
    return 0;
}

static bool port_ok(const char *port)
{
    size_t len = strlen(port);
    if (len == 0 || len > 5 || strspn(port, "0123456789") != len)
        return false;
    return strtol(port, NULL, 10) <= 65535;
}

int address_parse(const char *text, struct address *ret, struct andiron_error *err)
{
    struct address address = { .is_tls = strncmp(text, "tls:", 4) == 0 };
    const char *rest = address.is_tls ? text + 4 : text, *port;
    char host[64];

    if (strncmp(rest, "fd:", 3) == 0 && rest[3] != '\0') {
        address.fd_name = rest + 3;
        *ret = address;
        return 0;
    }
    struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
                              .ai_socktype = SOCK_STREAM };
    struct addrinfo *found = NULL;
    if (split(rest, host, &port) != 0 || !port_ok(port))
        return FAIL(err,
                    "\"%.100s\" is no address such as 127.0.0.1:8080, [::1]:8080, *:8080 or "
                    "fd:http",
                    text);
    const char *node = strcmp(host, "*") == 0           ? "::"
                       : strcmp(host, "localhost") == 0 ? "127.0.0.1"
                                                        : host;
    if (getaddrinfo(node, port, &hints, &found) != 0)
        return FAIL(err, "\"%.100s\" is no numeric address; expected one such as 127.0.0.1:8080",
                    text);
    memcpy(&address.address, found->ai_addr, found->ai_addrlen);
    address.len = found->ai_addrlen;
    freeaddrinfo(found);
    *ret = address;
    return 0;
}

bool address_is_local(const struct address *a)
{
    if (a->fd_name != NULL)
        return true;
    if (a->address.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&a->address;
        return (ntohl(in->sin_addr.s_addr) >> 24) == 127;
    }
    return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)&a->address)->sin6_addr);
}
