/*
 * URLs that this server may fetch from: parsed strictly, compared by origin, and checked for
 * addresses of inner networks. Pure functions, any thread.
 */
#ifndef JWKS_URL_H
#define JWKS_URL_H

#include <netinet/in.h>
#include <sys/socket.h>

#include <andiron/error.h>

enum { URL_MAX = 2048, URL_HOST_MAX = 253 };

struct url {
    bool https;
    char host[URL_HOST_MAX + 1]; /* lower case; an IPv6 address without brackets */
    uint16_t port;
    andiron_str path;                /* with query; "" if there is none; a view into the text */
    struct sockaddr_storage address; /* ss_family AF_UNSPEC: host is a name */
};

/*
 * An absolute http or https URL without user info, fragment, control characters, blanks or
 * backslash, and with a host in its only canonical spelling: no "127.1", no "0x7f.1".
 */
ANDIRON_MUST_CHECK int url_parse(andiron_str text, struct url *ret, struct andiron_error *err);

/* Same scheme, host and port. */
bool url_same_origin(const struct url *a, const struct url *b);

/* An address of the public internet: neither loopback, private, link-local, multicast, reserved,
   mapped nor translated. */
bool url_address_is_public(const struct sockaddr *address);

#endif
