/*
 * URLs of key sets: what is taken has one canonical host, and an address never passes as a name.
 */
#include <arpa/inet.h>

#include "base/arena.h"
#include "plugins/jwks/url.h"
#include "target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct url url, again;
    struct andiron_error err;
    andiron_str text = { (const char *)data, size };
    struct in_addr address;

    if (url_parse(text, &url, &err) != 0)
        return 0;
    FUZZ_CHECK(url.host[0] != '\0' && url.port != 0);
    FUZZ_CHECK(memchr(data, '@', size) == NULL || url.path.len != 0);
    /* Whatever the C library reads as an IPv4 address, we have read as the same one. */
    if (inet_aton(url.host, &address) != 0) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)&url.address;
        FUZZ_CHECK(url.address.ss_family == AF_INET && in->sin_addr.s_addr == address.s_addr);
    }
    FUZZ_CHECK(url_parse(text, &again, &err) == 0 && url_same_origin(&url, &again));
    return 0;
}
