/*
 * Connections over TLS: the same transport rules, with what GnuTLS holds back in between.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <sys/stat.h>

#include "http/test_client.h"
#include "http/test_server.h"

static const struct http_owner owner = { .name = "test" };
static struct test_server server;
static struct route_table *routes;
static char text[300 * 1024];
static char folder[] = "/tmp/andiron-test-XXXXXX";
static char certificate[64], key[64], file_path[64];

static enum andiron_step echo(struct andiron_request *req, void *self)
{
    (void)self;
    return andiron_reply(req, 200, "text/plain", andiron_request_body(req));
}

static enum andiron_step large(struct andiron_request *req, void *self)
{
    (void)self;
    return andiron_reply(req, 200, "text/plain", (andiron_str){ text, sizeof(text) });
}

static enum andiron_step file(struct andiron_request *req, void *self)
{
    (void)self;
    return andiron_reply_file(req, 200, "text/plain", open(file_path, O_RDONLY | O_CLOEXEC), 0,
                              sizeof(text));
}

static enum andiron_step stream_on(struct andiron_request *req, void *state)
{
    size_t *left = state, n = *left < 7000 ? *left : 7000;

    if (n == 0)
        return andiron_reply_end(req);
    *left -= n;
    return andiron_reply_write(req, (andiron_str){ text, n }, stream_on, left);
}

static enum andiron_step stream(struct andiron_request *req, void *self)
{
    size_t *left = andiron_new(andiron_request_arena(req), size_t);

    (void)self;
    *left = 20000000;
    andiron_reply_start(req, 200, "text/plain");
    return stream_on(req, left);
}

static enum andiron_step base(struct andiron_request *req, void *self)
{
    (void)self;
    return andiron_reply(req, 200, "text/plain", andiron_request_base(req));
}

#define PUBLIC ANDIRON_ROUTE_PUBLIC
static const struct andiron_route table[] = {
    { "POST", "/echo", echo, NULL, PUBLIC, NULL },
    { "GET", "/large", large, NULL, PUBLIC, NULL },
    { "GET", "/file", file, NULL, PUBLIC, NULL },
    { "GET", "/base", base, NULL, PUBLIC, NULL },
    { "GET", "/stream", stream, NULL, PUBLIC, NULL },
};
enum { ROUTES = sizeof(table) / sizeof(table[0]) };

/* ---- a client ----------------------------------------------------------------------- */

struct secure {
    int fd;
    gnutls_session_t session;
    gnutls_certificate_credentials_t credentials;
};

static struct secure secure_open(void)
{
    struct client c = client_open(server.port);
    struct secure s = { .fd = c.fd };

    assert_int_equal(gnutls_certificate_allocate_credentials(&s.credentials), 0);
    assert_int_equal(gnutls_init(&s.session, GNUTLS_CLIENT | GNUTLS_NO_SIGNAL), 0);
    assert_int_equal(gnutls_set_default_priority(s.session), 0);
    assert_int_equal(gnutls_credentials_set(s.session, GNUTLS_CRD_CERTIFICATE, s.credentials), 0);
    gnutls_transport_set_int(s.session, s.fd);
    gnutls_handshake_set_timeout(s.session, CLIENT_WAIT_MS);
    assert_int_equal(gnutls_handshake(s.session), 0);
    gnutls_record_set_timeout(s.session, CLIENT_WAIT_MS);
    return s;
}

static void secure_close(struct secure *s)
{
    gnutls_deinit(s->session);
    gnutls_certificate_free_credentials(s->credentials);
    (void)close(s->fd);
}

static void secure_send(struct secure *s, const void *bytes, size_t len)
{
    const char *at = bytes;

    while (len != 0) {
        ssize_t n = gnutls_record_send(s->session, at, len);

        assert_true(n > 0);
        at += n;
        len -= (size_t)n;
    }
}

static ssize_t secure_recv(struct secure *s, char *to, size_t room)
{
    ssize_t n;

    do
        n = gnutls_record_recv(s->session, to, room);
    while (n == GNUTLS_E_INTERRUPTED || n == GNUTLS_E_AGAIN);
    return n;
}

/* Reads exactly `count` responses of `body` bytes each. */
static void assert_bodies(struct secure *s, int count, const char *body, size_t len)
{
    size_t room = 70000, have = 0;
    char *data = malloc(room + len);

    for (int i = 0; i < count; i++) {
        char *end;

        while ((end = have != 0 ? memmem(data, have, "\r\n\r\n", 4) : NULL) == NULL ||
               have < (size_t)(end + 4 - data) + len) {
            ssize_t n = secure_recv(s, data + have, room + len - have);

            assert_true(n > 0);
            have += (size_t)n;
        }
        assert_memory_equal(data, "HTTP/1.1 200 ", 13);
        assert_memory_equal(end + 4, body, len);
        have -= (size_t)(end + 4 - data) + len;
        memmove(data, end + 4 + len, have);
    }
    free(data);
}

/* ---- claims ---------------------------------------------------------------------------- */

static void requests_in_one_record_are_all_answered(void **state)
{
    static const char one[] = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    char all[50 * sizeof(one)] = "";
    size_t len = 0;
    struct secure s = secure_open();
    (void)state;
    for (int i = 0; i < 50; i++, len += sizeof(one) - 1)
        memcpy(all + len, one, sizeof(one));
    secure_send(&s, all, len);
    assert_bodies(&s, 50, "abc", 3);
    secure_send(&s, all, len);
    assert_bodies(&s, 50, "abc", 3);
    secure_close(&s);
}

static void long_bodies_pass_both_ways(void **state)
{
    static const char head[] = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 65000\r\n\r\n";
    static const char chunked[] =
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nea60\r\n";
    struct secure s = secure_open();
    (void)state;
    for (int i = 0; i < 5; i++) {
        secure_send(&s, head, sizeof(head) - 1);
        secure_send(&s, text, 65000);
        assert_bodies(&s, 1, text, 65000);
        secure_send(&s, chunked, sizeof(chunked) - 1);
        secure_send(&s, text, 60000);
        secure_send(&s, "\r\n0\r\n\r\n", 7);
        assert_bodies(&s, 1, text, 60000);
    }
    secure_close(&s);
}

static void slow_reader_gets_all_of_it(void **state)
{
    static const char get[] = "GET /large HTTP/1.1\r\nHost: a\r\n\r\n";
    struct secure s = secure_open();
    (void)state;
    for (int i = 0; i < 60; i++)
        secure_send(&s, get, sizeof(get) - 1);
    client_pause(200);
    assert_bodies(&s, 60, text, sizeof(text));
    secure_close(&s);
}

static void file_passes_through_memory(void **state)
{
    static const char get[] = "GET /file HTTP/1.1\r\nHost: a\r\n\r\n";
    struct secure s = secure_open();
    (void)state;
    for (int i = 0; i < 20; i++)
        secure_send(&s, get, sizeof(get) - 1);
    client_pause(100);
    assert_bodies(&s, 20, text, sizeof(text));
    secure_close(&s);
}

static void stream_ends_with_its_last_chunk(void **state)
{
    static const char get[] = "GET /stream HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    static char data[70000];
    size_t total = 0;
    ssize_t n;
    char end[5] = "";
    struct secure s = secure_open();
    (void)state;
    secure_send(&s, get, sizeof(get) - 1);
    client_pause(100);
    while ((n = secure_recv(&s, data, sizeof(data))) > 0) {
        total += (size_t)n;
        if (n >= 5)
            memcpy(end, data + n - 5, 5);
    }
    assert_int_equal(n, 0); /* close_notify */
    assert_memory_equal(end, "0\r\n\r\n", 5);
    assert_true(total > 20000000);
    secure_close(&s);
}

static void half_closed_client_gets_its_answer(void **state)
{
    static const char post[] = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    struct secure s = secure_open();
    (void)state;
    secure_send(&s, post, sizeof(post) - 1);
    assert_int_equal(gnutls_bye(s.session, GNUTLS_SHUT_WR), 0);
    assert_bodies(&s, 1, "abc", 3);
    secure_close(&s);
}

static void base_from_host_is_https(void **state)
{
    static const char get[] = "GET /base HTTP/1.1\r\nHost: a:8\r\n\r\n";
    struct secure s = secure_open();
    (void)state;
    secure_send(&s, get, sizeof(get) - 1);
    assert_bodies(&s, 1, "https://a:8", 11);
    secure_close(&s);
}

static void plain_text_on_a_tls_port_is_cut(void **state)
{
    struct client c = client_open(server.port);
    (void)state;
    client_send(&c, "GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_true(client_ends(&c, 2000));
    assert_true(c.len < 100); /* an alert at most */
    client_close(&c);
}

/* ---- set-up -------------------------------------------------------------------------------- */

static void write_file(const char *path, const void *data, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, len), len);
    (void)close(fd);
}

static void make_certificate(void)
{
    gnutls_x509_privkey_t k;
    gnutls_x509_crt_t crt;
    gnutls_datum_t pem;

    gnutls_x509_privkey_init(&k);
    assert_int_equal(gnutls_x509_privkey_generate(
                         k, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0),
                     0);
    gnutls_x509_crt_init(&crt);
    gnutls_x509_crt_set_version(crt, 3);
    gnutls_x509_crt_set_serial(crt, "\1", 1);
    gnutls_x509_crt_set_activation_time(crt, time(NULL) - 3600);
    gnutls_x509_crt_set_expiration_time(crt, time(NULL) + 3600);
    gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, "localhost", 9);
    gnutls_x509_crt_set_key(crt, k);
    assert_int_equal(gnutls_x509_crt_sign2(crt, crt, k, GNUTLS_DIG_SHA256, 0), 0);
    assert_int_equal(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem), 0);
    write_file(certificate, pem.data, pem.size);
    gnutls_free(pem.data);
    assert_int_equal(gnutls_x509_privkey_export2(k, GNUTLS_X509_FMT_PEM, &pem), 0);
    write_file(key, pem.data, pem.size);
    gnutls_free(pem.data);
    gnutls_x509_crt_deinit(crt);
    gnutls_x509_privkey_deinit(k);
}

static int start(void **state)
{
    static struct http_route own[ROUTES];
    struct andiron_error err;

    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(certificate, sizeof(certificate), "%s/crt", folder);
    snprintf(key, sizeof(key), "%s/key", folder);
    snprintf(file_path, sizeof(file_path), "%s/file", folder);
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)('a' + i % 23 + (i / 1000) % 3);
    write_file(file_path, text, sizeof(text));
    make_certificate();
    for (size_t i = 0; i < ROUTES; i++)
        own[i] = (struct http_route){ .route = &table[i], .owner = &owner };
    routes = route_table_new(own, ROUTES, &err);
    server.settings = test_settings();
    server.settings.base_url = NULL;
    server.settings.tls_certificate = certificate;
    server.settings.tls_key = key;
    server.settings.tls_min_version = "1.2";
    server.listener.tls = true;
    server.loop_count = 2;
    server.app.routes = routes;
    if (pool_start(1, &err) != 0)
        return -1;
    test_server_start(&server);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    test_server_stop(&server);
    route_table_free(routes);
    (void)unlink(certificate);
    (void)unlink(key);
    (void)unlink(file_path);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_in_one_record_are_all_answered),
        cmocka_unit_test(long_bodies_pass_both_ways),
        cmocka_unit_test(slow_reader_gets_all_of_it),
        cmocka_unit_test(file_passes_through_memory),
        cmocka_unit_test(stream_ends_with_its_last_chunk),
        cmocka_unit_test(half_closed_client_gets_its_answer),
        cmocka_unit_test(base_from_host_is_https),
        cmocka_unit_test(plain_text_on_a_tls_port_is_cut),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
