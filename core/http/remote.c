/*
 * Addresses of clients, also behind trusted proxies.
 */
#include "http/remote.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/units.h"

static void map_v4(const struct in_addr *v4, struct in6_addr *ret)
{
    *ret = (struct in6_addr){ .s6_addr = { [10] = 0xff, [11] = 0xff } };
    memcpy(&ret->s6_addr[12], v4, sizeof(*v4));
}

static bool is_v4(const struct in6_addr *address)
{
    return IN6_IS_ADDR_V4MAPPED(address);
}

static int parse_address(andiron_str text, struct in6_addr *ret)
{
    char copy[INET6_ADDRSTRLEN];
    struct in_addr v4;

    if (text.len == 0 || text.len >= sizeof(copy))
        return -1;
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    if (inet_pton(AF_INET, copy, &v4) == 1) {
        map_v4(&v4, ret);
        return 0;
    }
    return inet_pton(AF_INET6, copy, ret) == 1 ? 0 : -1;
}

int remote_range_parse(const char *text, struct remote_range *ret, struct andiron_error *err)
{
    const char *slash = strchr(text, '/');
    andiron_str address = { text, slash != NULL ? (size_t)(slash - text) : strlen(text) };
    int64_t bits = 128, most = 128;

    if (parse_address(address, &ret->address) != 0)
        goto bad;
    if (is_v4(&ret->address))
        bits = most = 32;
    if (slash != NULL &&
        (units_int(andiron_str_of(slash + 1), &bits) != 0 || bits < 0 || bits > most))
        goto bad;
    ret->bits = (unsigned)(bits + 128 - most);
    return 0;

bad:
    return andiron_error_set(err, ANDIRON_E_INVALID, "http.trusted-proxies",
                             "\"%s\" must be an address, or a range such as 10.0.0.0/8", text);
}

static bool in_range(const struct in6_addr *address, const struct remote_range *range)
{
    unsigned bytes = range->bits / 8, rest = range->bits % 8;
    unsigned char mask = (unsigned char)(0xff00u >> rest);

    return memcmp(address, &range->address, bytes) == 0 &&
           (rest == 0 || ((address->s6_addr[bytes] ^ range->address.s6_addr[bytes]) & mask) == 0);
}

bool remote_in(const struct in6_addr *address, const struct remote_range *ranges, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (in_range(address, &ranges[i]))
            return true;
    }
    return false;
}

void remote_address(const struct sockaddr *from, struct in6_addr *ret)
{
    *ret = (struct in6_addr){ 0 };
    if (from->sa_family == AF_INET)
        map_v4(&((const struct sockaddr_in *)(const void *)from)->sin_addr, ret);
    else if (from->sa_family == AF_INET6)
        *ret = ((const struct sockaddr_in6 *)(const void *)from)->sin6_addr;
}

void remote_text(const struct in6_addr *address, char out[INET6_ADDRSTRLEN])
{
    const char *text;

    if (IN6_IS_ADDR_UNSPECIFIED(address)) {
        memcpy(out, "local", sizeof("local"));
        return;
    }
    if (is_v4(address))
        text = inet_ntop(AF_INET, &address->s6_addr[12], out, INET6_ADDRSTRLEN);
    else
        text = inet_ntop(AF_INET6, address, out, INET6_ADDRSTRLEN);
    if (text == NULL) /* cannot be: the room is enough for both */
        out[0] = '\0';
}

static andiron_str trim(andiron_str s)
{
    while (s.len != 0 && (s.data[0] == ' ' || s.data[0] == '\t')) {
        s.data++;
        s.len--;
    }
    while (s.len != 0 && (s.data[s.len - 1] == ' ' || s.data[s.len - 1] == '\t'))
        s.len--;
    return s;
}

andiron_str remote_forwarded(andiron_str forwarded, const struct remote_range *ranges, size_t count)
{
    andiron_str found = { NULL, 0 };

    while (forwarded.len != 0) {
        size_t at = forwarded.len;
        struct in6_addr address;
        andiron_str item;

        while (at != 0 && forwarded.data[at - 1] != ',')
            at--;
        item = trim((andiron_str){ forwarded.data + at, forwarded.len - at });
        if (parse_address(item, &address) != 0)
            return found; /* what is before it cannot be trusted either */
        found = item;
        if (!remote_in(&address, ranges, count))
            return found;
        forwarded.len = at != 0 ? at - 1 : 0;
    }
    return found;
}
