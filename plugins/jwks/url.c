/*
 * Strict URLs and the guard against server-side request forgery.
 */
#include "url.h"

#include <arpa/inet.h>
#include <stdio.h>

/* ---- addresses -------------------------------------------------------------------- */

struct range4 {
    uint32_t prefix;
    uint8_t bits;
};

/* IANA IPv4 special-purpose registry (RFC 6890 and later), multicast, reserved. */
static const struct range4 inner4[] = {
    { 0x00000000, 8 },  /* this network */
    { 0x0a000000, 8 },  /* private */
    { 0x64400000, 10 }, /* carrier-grade NAT */
    { 0x7f000000, 8 },  /* loopback */
    { 0xa83f8110, 32 }, /* a cloud's metadata service outside the reserved ranges */
    { 0xa9fe0000, 16 }, /* link-local, and metadata services */
    { 0xac100000, 12 }, /* private */
    { 0xc0000000, 24 }, /* IETF protocol assignments */
    { 0xc0000200, 24 }, /* documentation */
    { 0xc0586300, 24 }, /* 6to4 relay */
    { 0xc0a80000, 16 }, /* private */
    { 0xc6120000, 15 }, /* benchmarking */
    { 0xc6336400, 24 }, /* documentation */
    { 0xcb007100, 24 }, /* documentation */
    { 0xe0000000, 4 },  /* multicast */
    { 0xf0000000, 4 },  /* reserved, broadcast */
};

struct range6 {
    uint8_t prefix[8];
    uint8_t bits;
};

/* Parts of 2000::/3 that are not ordinary; what is outside of 2000::/3 is refused anyway. */
static const struct range6 inner6[] = {
    { { 0x20, 0x01, 0x00 }, 23 },       /* IETF assignments: Teredo, ORCHID */
    { { 0x20, 0x01, 0x0d, 0xb8 }, 32 }, /* documentation */
    { { 0x20, 0x02 }, 16 },             /* 6to4: an IPv4 address inside */
    { { 0x3f, 0xff, 0x00 }, 20 },       /* documentation */
};

static bool has_prefix(const uint8_t *bytes, const uint8_t *prefix, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;
    if (memcmp(bytes, prefix, whole) != 0)
        return false;
    return rest == 0 || ((bytes[whole] ^ prefix[whole]) >> (8 - rest)) == 0;
}

static bool is_public4(uint32_t address)
{
    for (size_t i = 0; i < sizeof(inner4) / sizeof(inner4[0]); i++)
        if ((address ^ inner4[i].prefix) >> (32 - inner4[i].bits) == 0)
            return false;
    return true;
}

static bool is_public6(const uint8_t address[16])
{
    if ((address[0] & 0xe0) != 0x20)
        return false;
    for (size_t i = 0; i < sizeof(inner6) / sizeof(inner6[0]); i++)
        if (has_prefix(address, inner6[i].prefix, inner6[i].bits))
            return false;
    return true;
}

bool url_address_is_public(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET)
        return is_public4(
            ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr));
    if (address->sa_family == AF_INET6)
        return is_public6(((const struct sockaddr_in6 *)(const void *)address)->sin6_addr.s6_addr);
    return false;
}

/* ---- parsing ----------------------------------------------------------------------- */

static int refuse(struct andiron_error *err, const char *why)
{
    return andiron_error_set(err, ANDIRON_E_VALUE, "", "%s", why);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Whatever inet_aton() or a browser might read as a number: it must be a plain dotted quad. */
static bool looks_numeric(const char *host)
{
    const char *label = strrchr(host, '.');
    label = label != NULL ? label + 1 : host;
    if (label[0] == '0' && label[1] == 'x')
        return true;
    while (is_digit(*label))
        label++;
    return *label == '\0';
}

static int read_numeric(struct url *url, struct andiron_error *err)
{
    struct sockaddr_in *in = (struct sockaddr_in *)(void *)&url->address;
    char again[INET_ADDRSTRLEN];

    if (inet_pton(AF_INET, url->host, &in->sin_addr) != 1 ||
        inet_ntop(AF_INET, &in->sin_addr, again, sizeof(again)) == NULL ||
        strcmp(again, url->host) != 0)
        return refuse(err, "the host's address must be four decimal numbers, as in 192.0.2.1");
    in->sin_family = AF_INET;
    in->sin_port = htons(url->port);
    return 0;
}

/* RFC 1123 names: labels of letters, digits and hyphens. */
static int read_name(andiron_str host, struct url *url, struct andiron_error *err)
{
    size_t label = 0;

    if (host.len == 0 || host.len > URL_HOST_MAX)
        return refuse(err, "must have a host of 1 to 253 characters");
    for (size_t i = 0; i < host.len; i++) {
        char c = host.data[i];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c + ('a' - 'A'));
        url->host[i] = c;
        if (c == '.') {
            if (label == 0 || host.data[i - 1] == '-')
                return refuse(err, "has an empty or malformed part in its host name");
            label = 0;
            continue;
        }
        if ((c < 'a' || c > 'z') && !is_digit(c) && (c != '-' || label == 0) && c != '_')
            return refuse(err, "may have letters, digits, '-' and '.' only in its host name");
        if (++label > 63)
            return refuse(err, "has a part longer than 63 characters in its host name");
    }
    if (label == 0 || host.data[host.len - 1] == '-')
        return refuse(err, "must not end its host name with '.' or '-'");
    return looks_numeric(url->host) ? read_numeric(url, err) : 0;
}

static int read_ipv6(andiron_str host, struct url *url, struct andiron_error *err)
{
    struct sockaddr_in6 *in = (struct sockaddr_in6 *)(void *)&url->address;

    if (host.len >= INET6_ADDRSTRLEN)
        return refuse(err, "has no IPv6 address between the brackets");
    memcpy(url->host, host.data, host.len);
    if (inet_pton(AF_INET6, url->host, &in->sin6_addr) != 1)
        return refuse(err, "has no IPv6 address between the brackets");
    /* One spelling, so that origins can be compared as text. */
    if (inet_ntop(AF_INET6, &in->sin6_addr, url->host, sizeof(url->host)) == NULL)
        return refuse(err, "has no IPv6 address between the brackets");
    in->sin6_family = AF_INET6;
    in->sin6_port = htons(url->port);
    return 0;
}

static int read_port(andiron_str text, struct url *url, struct andiron_error *err)
{
    unsigned port = 0;

    url->port = url->https ? 443 : 80;
    if (text.data == NULL)
        return 0;
    if (text.len == 0 || text.len > 5 || text.data[0] == '0')
        return refuse(err, "port must be a number from 1 to 65535");
    for (size_t i = 0; i < text.len; i++) {
        if (!is_digit(text.data[i]))
            return refuse(err, "port must be a number from 1 to 65535");
        port = port * 10 + (unsigned)(text.data[i] - '0');
    }
    if (port > 65535)
        return refuse(err, "port must be a number from 1 to 65535");
    url->port = (uint16_t)port;
    return 0;
}

static int read_authority(andiron_str text, struct url *url, struct andiron_error *err)
{
    andiron_str host = text, port = { NULL, 0 };
    bool bracketed = text.len != 0 && text.data[0] == '[';
    const char *colon = text.len != 0 ? memrchr(text.data, ':', text.len) : NULL;

    if (bracketed) {
        const char *end = memchr(text.data, ']', text.len);
        if (end == NULL)
            return refuse(err, "has no ']' behind its IPv6 address");
        size_t used = (size_t)(end - text.data) + 1;
        if (used < text.len && text.data[used] != ':')
            return refuse(err, "has something other than a port behind ']'");
        host = (andiron_str){ text.data + 1, used - 2 };
        if (used < text.len)
            port = (andiron_str){ text.data + used + 1, text.len - used - 1 };
    } else if (colon != NULL) {
        host.len = (size_t)(colon - text.data);
        port = (andiron_str){ colon + 1, text.len - host.len - 1 };
    }
    if (read_port(port, url, err) != 0)
        return -1;
    return bracketed ? read_ipv6(host, url, err) : read_name(host, url, err);
}

static bool takes(andiron_str *text, const char *scheme)
{
    size_t len = strlen(scheme);
    if (text->len < len || strncasecmp(text->data, scheme, len) != 0)
        return false;
    text->data += len;
    text->len -= len;
    return true;
}

int url_parse(andiron_str text, struct url *ret, struct andiron_error *err)
{
    struct url url = { .https = false };

    if (text.len == 0 || text.len > URL_MAX)
        return refuse(err, "must be a URL of at most 2048 characters");
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] <= ' ' || text.data[i] > '~' ||
            strchr("\"<>\\^`{|}", text.data[i]) != NULL)
            return refuse(err, "must not hold blanks, control characters, backslashes or other "
                               "characters that a URL has no place for");
    if (memchr(text.data, '#', text.len) != NULL)
        return refuse(err, "must not have a fragment");
    if (takes(&text, "https://"))
        url.https = true;
    else if (!takes(&text, "http://"))
        return refuse(err, "must begin with https://");
    size_t authority = 0;
    while (authority < text.len && text.data[authority] != '/' && text.data[authority] != '?')
        authority++;
    if (memchr(text.data, '@', authority) != NULL)
        return refuse(err, "must not carry a user name or password");
    if (read_authority((andiron_str){ text.data, authority }, &url, err) != 0)
        return -1;
    url.path = (andiron_str){ text.data + authority, text.len - authority };
    *ret = url;
    return 0;
}

bool url_same_origin(const struct url *a, const struct url *b)
{
    return a->https == b->https && a->port == b->port && strcmp(a->host, b->host) == 0;
}
