/*
 * Addresses of clients, also behind trusted proxies.
 */
#ifndef CORE_HTTP_REMOTE_H
#define CORE_HTTP_REMOTE_H

#include <netinet/in.h>
#include <sys/socket.h>

#include <andiron/error.h>

/* An address range; IPv4 as ::ffff:a.b.c.d. */
struct remote_range {
    struct in6_addr address;
    unsigned bits;
};

/* "10.0.0.0/8", "::1", "192.0.2.7": -1 and err if it is none of these. */
int remote_range_parse(const char *text, struct remote_range *ret, struct andiron_error *err);
bool remote_in(const struct in6_addr *address, const struct remote_range *ranges, size_t count);

/* From accept(): all zero for a local socket. */
void remote_address(const struct sockaddr *from, struct in6_addr *ret);
/* Text: "192.0.2.7", "2001:db8::1", "local". */
void remote_text(const struct in6_addr *address, char out[INET6_ADDRSTRLEN]);

/*
 * The address nearest to us in X-Forwarded-For that is no trusted proxy: proxies append, so
 * the list is read from its end. Absent if forwarded holds none that can be read.
 */
andiron_str remote_forwarded(andiron_str forwarded, const struct remote_range *ranges,
                             size_t count);

#endif
