/*
 * What may be fetched: URLs in their one spelling, public addresses only.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>

#include "url.h"

static void only_plain_absolute_urls_are_taken(void **state)
{
    (void)state;
    static const char *const good[] = {
        "https://a.example/jwks",       "HTTPS://A.example",          "http://a:8080/x?y=z",
        "https://192.0.2.1/",           "https://[2001:db8::1]:8443", "https://a-b.c_d.example/%2e",
        "https://a.example/~u/(x);y,z", "https://1a.example",         "https://a.example?x",
    };
    static const char *const bad[] = {
        "",
        "a.example/jwks",
        "//a.example/",
        "ftp://a.example/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https:///x",
        "https://",
        "https://user@a.example/",
        "https://user:pw@a.example/",
        "https://a.example@b.example/",
        "https://a.example/#x",
        "https://a.example/ x",
        "https://a.example/\\x",
        "https://a.example\\@b.example/",
        "https://a.example/\r\nHost: b",
        "https://a.example/\x7f",
        "https://b\xc3\xbc"
        "cher.example/",
        "https://a..example/",
        "https://.example/",
        "https://a.example./",
        "https://-a.example/",
        "https://a-.example/",
        "https://a.example:/",
        "https://a.example:0/",
        "https://a.example:080/",
        "https://a.example:65536/",
        "https://a.example:1x/",
        "https://a%2eexample/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f.0.0.1/",
        "https://0x7f000001/",
        "https://0177.0.0.1/",
        "https://127.0.0.01/",
        "https://1.2.3.256/",
        "https://1.2.3.4.5/",
        "https://a.0x1/",
        "https://[::1/",
        "https://[::1]x/",
        "https://[127.0.0.1]/",
        "https://[fe80::1%25eth0]/",
        "https://::1/",
    };
    struct url url;
    struct andiron_error err;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        if (url_parse(andiron_str_of(good[i]), &url, &err) != 0)
            fail_msg("%s: %s", good[i], err.message);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (url_parse(andiron_str_of(bad[i]), &url, &err) == 0)
            fail_msg("accepted: %s", bad[i]);
    assert_int_equal(url_parse(ANDIRON_STR("https://a.example/\0x"), &url, &err), -1);
    assert_int_equal(url_parse((andiron_str){ NULL, 0 }, &url, &err), -1);
}

static void origins_are_compared_after_parsing(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool same;
    } rows[] = {
        { "https://a.example", "https://A.EXAMPLE:443/x", true },
        { "http://a.example:80/", "http://a.example", true },
        { "https://a.example", "http://a.example", false },
        { "https://a.example", "https://a.example:8443", false },
        { "https://a.example", "https://a.example.evil", false },
        { "http://[::1]:80/", "http://[0:0:0:0:0:0:0:1]", true },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct url a, b;
        assert_int_equal(url_parse(andiron_str_of(rows[i].a), &a, NULL), 0);
        assert_int_equal(url_parse(andiron_str_of(rows[i].b), &b, NULL), 0);
        if (url_same_origin(&a, &b) != rows[i].same)
            fail_msg("%s, %s", rows[i].a, rows[i].b);
    }
}

static void inner_addresses_are_not_public(void **state)
{
    (void)state;
    static const struct {
        const char *address;
        bool is_public;
    } rows[] = {
        { "0.0.0.0", false },
        { "0.1.2.3", false },
        { "10.0.0.1", false },
        { "100.64.0.1", false },
        { "100.127.255.255", false },
        { "100.128.0.1", true },
        { "127.0.0.1", false },
        { "127.255.255.254", false },
        { "168.63.129.16", false },
        { "168.63.129.17", true },
        { "169.254.169.254", false },
        { "172.15.255.255", true },
        { "172.16.0.1", false },
        { "172.31.255.255", false },
        { "172.32.0.1", true },
        { "192.0.0.8", false },
        { "192.0.2.1", false },
        { "192.168.1.1", false },
        { "192.169.0.1", true },
        { "198.18.0.1", false },
        { "198.19.255.255", false },
        { "198.20.0.1", true },
        { "203.0.113.9", false },
        { "224.0.0.1", false },
        { "239.255.255.255", false },
        { "240.0.0.1", false },
        { "255.255.255.255", false },
        { "8.8.8.8", true },
        { "::", false },
        { "::1", false },
        { "::ffff:8.8.8.8", false },
        { "::ffff:127.0.0.1", false },
        { "::8.8.8.8", false },
        { "64:ff9b::808:808", false },
        { "64:ff9b:1::1", false },
        { "100::1", false },
        { "fe80::1", false },
        { "fec0::1", false },
        { "fc00::1", false },
        { "fd00:ec2::254", false },
        { "ff02::1", false },
        { "2001::1", false },
        { "2001:1ff::1", false },
        { "2001:200::1", true },
        { "2001:db8::1", false },
        { "2002:7f00:1::", false },
        { "3fff::1", false },
        { "3fff:fff::1", false },
        { "3fff:1000::1", true },
        { "2606:4700::1111", true },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct sockaddr_in v4 = { .sin_family = AF_INET };
        struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
        const struct sockaddr *address = (const struct sockaddr *)&v4;
        if (inet_pton(AF_INET, rows[i].address, &v4.sin_addr) != 1) {
            assert_int_equal(inet_pton(AF_INET6, rows[i].address, &v6.sin6_addr), 1);
            address = (const struct sockaddr *)&v6;
        }
        if (url_address_is_public(address) != rows[i].is_public)
            fail_msg("%s", rows[i].address);
    }
    struct sockaddr other = { .sa_family = AF_UNIX };
    assert_false(url_address_is_public(&other));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_plain_absolute_urls_are_taken),
        cmocka_unit_test(origins_are_compared_after_parsing),
        cmocka_unit_test(inner_addresses_are_not_public),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
