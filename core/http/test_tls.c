/*
 * TLS sessions against GnuTLS' own client over a socketpair, with certificates made here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <gnutls/crypto.h>
#include <gnutls/x509.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "http/tls.h"

/* ---- certificates -------------------------------------------------------------- */

struct identity {
    gnutls_x509_privkey_t key;
    gnutls_x509_crt_t crt;
};

static char folder[64];
static struct identity ca, server, client, stranger_ca, stranger, expired;

static const char *path_of(const char *name)
{
    static char paths[8][128];
    static unsigned next;
    char *path = paths[next++ % 8];

    (void)snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void write_file(const char *name, const void *data, size_t len, mode_t mode)
{
    int fd = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, len), len);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void make_identity(struct identity *who, const char *name, const struct identity *issuer,
                          const char *purpose, time_t end)
{
    static unsigned char serial = 1;

    assert_int_equal(gnutls_x509_privkey_init(&who->key), 0);
    assert_int_equal(gnutls_x509_privkey_generate(who->key, GNUTLS_PK_ECDSA,
                                                  GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1),
                                                  0),
                     0);
    assert_int_equal(gnutls_x509_crt_init(&who->crt), 0);
    gnutls_x509_crt_set_version(who->crt, 3);
    gnutls_x509_crt_set_serial(who->crt, &serial, 1);
    serial++;
    gnutls_x509_crt_set_activation_time(who->crt, time(NULL) - 7200);
    gnutls_x509_crt_set_expiration_time(who->crt, end);
    gnutls_x509_crt_set_dn_by_oid(who->crt, GNUTLS_OID_X520_COMMON_NAME, 0, name,
                                  (unsigned)strlen(name));
    gnutls_x509_crt_set_key(who->crt, who->key);
    gnutls_x509_crt_set_basic_constraints(who->crt, issuer == NULL, -1);
    if (purpose != NULL)
        gnutls_x509_crt_set_key_purpose_oid(who->crt, purpose, 0);
    gnutls_x509_crt_set_key_usage(who->crt, issuer == NULL ? GNUTLS_KEY_KEY_CERT_SIGN
                                                           : GNUTLS_KEY_DIGITAL_SIGNATURE);
    if (issuer == NULL)
        issuer = who;
    assert_int_equal(
        gnutls_x509_crt_sign2(who->crt, issuer->crt, issuer->key, GNUTLS_DIG_SHA256, 0), 0);
}

static void write_identity(const struct identity *who, const char *name)
{
    gnutls_datum_t text;
    char file[32];

    assert_int_equal(gnutls_x509_crt_export2(who->crt, GNUTLS_X509_FMT_PEM, &text), 0);
    (void)snprintf(file, sizeof file, "%s.crt", name);
    write_file(file, text.data, text.size, 0644);
    gnutls_free(text.data);
    assert_int_equal(gnutls_x509_privkey_export2(who->key, GNUTLS_X509_FMT_PEM, &text), 0);
    (void)snprintf(file, sizeof file, "%s.key", name);
    write_file(file, text.data, text.size, 0600);
    gnutls_free(text.data);
}

static int make_certificates(void **state)
{
    time_t end = time(NULL) + 86400;

    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/andiron-test-tls-XXXXXX");
    assert_non_null(mkdtemp(folder));
    make_identity(&ca, "Test CA", NULL, NULL, end);
    make_identity(&server, "localhost", &ca, GNUTLS_KP_TLS_WWW_SERVER, end);
    make_identity(&client, "app", &ca, GNUTLS_KP_TLS_WWW_CLIENT, end);
    make_identity(&stranger_ca, "Other CA", NULL, NULL, end);
    make_identity(&stranger, "app", &stranger_ca, GNUTLS_KP_TLS_WWW_CLIENT, end);
    make_identity(&expired, "app", &ca, GNUTLS_KP_TLS_WWW_CLIENT, time(NULL) - 3600);
    write_identity(&ca, "ca");
    write_identity(&server, "server");
    write_identity(&client, "client");
    return 0;
}

static int drop_certificates(void **state)
{
    static const char *const files[] = { "ca.crt",     "ca.key",     "server.crt", "server.key",
                                         "client.crt", "client.key", "tickets",    "text" };
    struct identity *all[] = { &ca, &server, &client, &stranger_ca, &stranger, &expired };

    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        (void)unlink(path_of(files[i]));
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        gnutls_x509_crt_deinit(all[i]->crt);
        gnutls_x509_privkey_deinit(all[i]->key);
    }
    return rmdir(folder);
}

/* ---- a client and a server that take turns --------------------------------------- */

static struct http_settings settings;

static struct tls_context *make_context(void)
{
    struct andiron_error err = { .code = ANDIRON_OK };
    struct tls_context *context = tls_context_new(&settings, &err);

    if (context == NULL)
        fail_msg("%s: %s", err.where, err.message);
    return context;
}

static int default_settings(void **state)
{
    static char certificate[128], key[128];

    (void)state;
    (void)snprintf(certificate, sizeof certificate, "%s/server.crt", folder);
    (void)snprintf(key, sizeof key, "%s/server.key", folder);
    settings = (struct http_settings){ .tls_certificate = certificate, .tls_key = key };
    return 0;
}

struct pair {
    int fds[2];
    struct tls *tls;
    gnutls_session_t peer;
    gnutls_certificate_credentials_t credentials;
    int peer_code; /* of the client's handshake */
};

static void open_pair(struct pair *p, const struct tls_context *context, const char *priorities,
                      const struct identity *who)
{
    memset(p, 0, sizeof *p);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p->fds), 0);
    p->tls = tls_new(context, p->fds[0]);
    assert_non_null(p->tls);
    assert_int_equal(gnutls_init(&p->peer, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL), 0);
    assert_int_equal(gnutls_priority_set_direct(p->peer, priorities, NULL), 0);
    assert_int_equal(gnutls_certificate_allocate_credentials(&p->credentials), 0);
    if (who != NULL)
        assert_int_equal(gnutls_certificate_set_x509_key(
                             p->credentials, (gnutls_x509_crt_t[]){ who->crt }, 1, who->key),
                         0);
    /* Also a certificate that the server did not ask for by its issuer is sent. */
    gnutls_credentials_set(p->peer, GNUTLS_CRD_CERTIFICATE, p->credentials);
    gnutls_transport_set_int(p->peer, p->fds[1]);
}

static void close_pair(struct pair *p)
{
    tls_free(p->tls);
    gnutls_deinit(p->peer);
    gnutls_certificate_free_credentials(p->credentials);
    close(p->fds[0]);
    if (p->fds[1] >= 0)
        close(p->fds[1]);
}

/* Result of the server's handshake. */
static int shake(struct pair *p)
{
    int mine = TLS_AGAIN;

    p->peer_code = GNUTLS_E_AGAIN;
    for (int i = 0; i < 50 && (mine == TLS_AGAIN || p->peer_code == GNUTLS_E_AGAIN); i++) {
        if (p->peer_code == GNUTLS_E_AGAIN)
            p->peer_code = gnutls_handshake(p->peer);
        if (mine == TLS_AGAIN)
            mine = tls_handshake(p->tls);
        if (mine == TLS_LOST)
            break;
    }
    return mine;
}

#define DEFAULT "NORMAL"
#define ONLY(version) "NORMAL:-VERS-ALL:+VERS-" version

static void assert_arrives(struct pair *p, const char *text)
{
    char got[64];
    size_t len = strlen(text);

    assert_int_equal(gnutls_record_send(p->peer, text, len), len);
    assert_int_equal(tls_recv(p->tls, got, sizeof got), len);
    assert_memory_equal(got, text, len);
}

static void assert_answered(struct pair *p, const char *text)
{
    const struct iovec pieces[] = { { (void *)(uintptr_t)text, 1 },
                                    { (void *)(uintptr_t)(text + 1), strlen(text + 1) } };
    char got[64];
    ssize_t n;

    assert_int_equal(tls_sendv(p->tls, pieces, 2), strlen(text));
    do
        n = gnutls_record_recv(p->peer, got, sizeof got);
    while (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED); /* behind a session ticket */
    assert_int_equal(n, strlen(text));                        /* one record */
    assert_memory_equal(got, text, strlen(text));
}

/* ---- sessions ------------------------------------------------------------------------ */

static void data_goes_both_ways_in_both_versions(void **state)
{
    static const char *const versions[][2] = { { ONLY("TLS1.3"), "TLS1.3" },
                                               { ONLY("TLS1.2"), "TLS1.2" },
                                               { DEFAULT, "TLS1.3" } };
    struct tls_context *context = make_context();
    struct pair p;
    char got[8];

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        open_pair(&p, context, versions[i][0], NULL);
        assert_int_equal(shake(&p), 0);
        assert_string_equal(tls_version(p.tls), versions[i][1]);
        assert_int_equal(tls_handshake(p.tls), 0); /* again is harmless */
        assert_int_equal(tls_recv(p.tls, got, sizeof got), TLS_AGAIN);
        assert_false(tls_wants_write(p.tls));
        assert_arrives(&p, "GET / HTTP/1.1");
        assert_answered(&p, "HTTP/1.1 200 OK");
        assert_null(tls_peer_certificate(p.tls).data);
        assert_null(tls_peer_thumbprint(p.tls).data);
        close_pair(&p);
    }
    tls_context_free(context);
}

static void what_was_decrypted_is_pending(void **state)
{
    struct tls_context *context = make_context();
    struct pair p;
    char got[4];

    (void)state;
    open_pair(&p, context, DEFAULT, NULL);
    assert_false(tls_pending(p.tls));
    assert_int_equal(shake(&p), 0);
    assert_int_equal(gnutls_record_send(p.peer, "abcdef", 6), 6);
    assert_int_equal(tls_recv(p.tls, got, 4), 4);
    assert_true(tls_pending(p.tls));
    assert_int_equal(tls_recv(p.tls, got, 4), 2);
    assert_false(tls_pending(p.tls));
    close_pair(&p);
    tls_context_free(context);
}

static void old_versions_are_refused(void **state)
{
    static const char *const priorities[] = { NULL, "NORMAL:+VERS-ALL" };
    struct pair p;

    (void)state;
    for (int i = 0; i < 2; i++) {
        settings.tls_priorities = priorities[i];
        struct tls_context *context = make_context();
        open_pair(&p, context, ONLY("TLS1.1"), NULL);
        assert_int_equal(shake(&p), TLS_LOST);
        assert_string_not_equal(tls_fault(p.tls), "");
        close_pair(&p);
        tls_context_free(context);
    }
}

static void min_version_holds(void **state)
{
    static const char *const priorities[] = { NULL, "NORMAL" };
    struct pair p;

    (void)state;
    settings.tls_min_version = "1.3";
    for (int i = 0; i < 2; i++) {
        settings.tls_priorities = priorities[i];
        struct tls_context *context = make_context();
        open_pair(&p, context, ONLY("TLS1.2"), NULL);
        assert_int_equal(shake(&p), TLS_LOST);
        close_pair(&p);
        open_pair(&p, context, ONLY("TLS1.3"), NULL);
        assert_int_equal(shake(&p), 0);
        close_pair(&p);
        tls_context_free(context);
    }
}

static void plain_http_is_refused(void **state)
{
    struct tls_context *context = make_context();
    struct pair p;

    (void)state;
    open_pair(&p, context, DEFAULT, NULL);
    assert_int_equal(write(p.fds[1], "GET / HTTP/1.1\r\n\r\n", 18), 18);
    assert_int_equal(tls_handshake(p.tls), TLS_LOST);
    close_pair(&p);
    tls_context_free(context);
}

static void a_client_that_leaves_in_the_handshake_is_lost(void **state)
{
    struct tls_context *context = make_context();
    struct pair p;

    (void)state;
    open_pair(&p, context, DEFAULT, NULL);
    assert_int_equal(tls_handshake(p.tls), TLS_AGAIN);
    assert_false(tls_wants_write(p.tls));
    assert_int_equal(shutdown(p.fds[1], SHUT_WR), 0);
    assert_int_equal(tls_handshake(p.tls), TLS_LOST);
    close_pair(&p);
    tls_context_free(context);
}

static void set_alpn(struct pair *p, const char *name)
{
    const gnutls_datum_t protocol = { (unsigned char *)(uintptr_t)name, (unsigned)strlen(name) };
    assert_int_equal(gnutls_alpn_set_protocols(p->peer, &protocol, 1, 0), 0);
}

static void other_protocols_are_refused(void **state)
{
    struct tls_context *context = make_context();
    struct pair p;

    (void)state;
    open_pair(&p, context, DEFAULT, NULL);
    set_alpn(&p, "http/1.1");
    assert_int_equal(shake(&p), 0);
    close_pair(&p);
    open_pair(&p, context, DEFAULT, NULL);
    set_alpn(&p, "ftp");
    assert_int_equal(shake(&p), TLS_LOST);
    close_pair(&p);
    tls_context_free(context);
}

static void close_notify_is_seen_and_answered(void **state)
{
    struct tls_context *context = make_context();
    struct pair p;
    char got[8];

    (void)state;
    open_pair(&p, context, DEFAULT, NULL);
    assert_int_equal(tls_close(p.tls), 0); /* before the handshake there is nothing to close */
    assert_int_equal(shake(&p), 0);
    assert_arrives(&p, "ping");
    assert_answered(&p, "pong"); /* takes the ticket along */
    assert_int_equal(gnutls_bye(p.peer, GNUTLS_SHUT_WR), 0);
    assert_int_equal(tls_recv(p.tls, got, sizeof got), 0);
    assert_false(tls_ended_early(p.tls));
    assert_answered(&p, "late answer");
    assert_int_equal(tls_close(p.tls), 0);
    assert_int_equal(tls_close(p.tls), 0);
    assert_int_equal(gnutls_record_recv(p.peer, got, sizeof got), 0);
    close_pair(&p);
    tls_context_free(context);
}

static void early_end_is_told_and_still_answered(void **state)
{
    struct tls_context *context = make_context();
    struct pair p;
    char got[8];

    (void)state;
    open_pair(&p, context, DEFAULT, NULL);
    assert_int_equal(shake(&p), 0);
    assert_arrives(&p, "ping");
    assert_int_equal(shutdown(p.fds[1], SHUT_WR), 0);
    assert_int_equal(tls_recv(p.tls, got, sizeof got), 0);
    assert_true(tls_ended_early(p.tls));
    assert_int_equal(tls_recv(p.tls, got, sizeof got), 0);
    assert_answered(&p, "late answer");
    close_pair(&p);
    tls_context_free(context);
}

static void a_vanished_peer_is_lost_without_a_signal(void **state)
{
    struct tls_context *context = make_context();
    struct iovec piece = { (void *)(uintptr_t) "answer", 6 };
    struct pair p;

    (void)state;
    open_pair(&p, context, DEFAULT, NULL);
    assert_int_equal(shake(&p), 0);
    close(p.fds[1]);
    p.fds[1] = -1;
    assert_int_equal(tls_sendv(p.tls, &piece, 1), TLS_LOST);
    assert_string_not_equal(tls_fault(p.tls), "");
    close_pair(&p);
    tls_context_free(context);
}

static void garbage_ends_the_session(void **state)
{
    struct tls_context *context = make_context();
    struct pair p;
    char got[8];

    (void)state;
    open_pair(&p, context, DEFAULT, NULL);
    assert_int_equal(shake(&p), 0);
    assert_int_equal(write(p.fds[1], "\x17\x03\x03\x00\x20 0123456789012345678901234567890", 37),
                     37);
    assert_int_equal(tls_recv(p.tls, got, sizeof got), TLS_LOST);
    close_pair(&p);
    tls_context_free(context);
}

static void a_slow_reader_gets_every_byte_once(void **state)
{
    enum { HEAD = 100, BODY = 1 << 20, TOTAL = HEAD + BODY };
    static unsigned char sent[TOTAL], got[TOTAL];
    struct tls_context *context = make_context();
    struct pair p;
    size_t out = 0, in = 0, waits = 0;

    (void)state;
    for (size_t i = 0; i < TOTAL; i++)
        sent[i] = (unsigned char)(i * 7 + i / 251);
    open_pair(&p, context, DEFAULT, NULL);
    assert_int_equal(shake(&p), 0);
    while (in < TOTAL) {
        while (out < TOTAL) {
            struct iovec pieces[2] = { { sent + out, out < HEAD ? HEAD - out : 0 },
                                       { sent + (out < HEAD ? HEAD : out),
                                         TOTAL - (out < HEAD ? HEAD : out) } };
            ssize_t n = tls_sendv(p.tls, pieces[0].iov_len > 0 ? pieces : pieces + 1,
                                  pieces[0].iov_len > 0 ? 2 : 1);
            if (n == TLS_AGAIN) {
                assert_true(tls_wants_write(p.tls));
                waits++;
                break;
            }
            assert_true(n > 0);
            out += (size_t)n;
        }
        ssize_t n = gnutls_record_recv(p.peer, got + in, TOTAL - in);
        if (n > 0)
            in += (size_t)n;
        else
            assert_int_equal(gnutls_error_is_fatal((int)n), 0);
    }
    assert_true(waits > 0);
    assert_memory_equal(sent, got, TOTAL);
    close_pair(&p);
    tls_context_free(context);
}

/* ---- resumption ------------------------------------------------------------------------ */

/* Whether a session that was begun with `first` goes on with `second`. */
static bool resumes(const struct tls_context *first, const struct tls_context *second,
                    const char *priorities)
{
    struct pair p;
    gnutls_datum_t saved;
    bool resumed;

    open_pair(&p, first, priorities, NULL);
    assert_int_equal(shake(&p), 0);
    assert_false(tls_resumed(p.tls));
    assert_answered(&p, "ticket first");
    assert_int_equal(gnutls_session_get_data2(p.peer, &saved), 0);
    close_pair(&p);

    open_pair(&p, second, priorities, NULL);
    assert_int_equal(gnutls_session_set_data(p.peer, saved.data, saved.size), 0);
    gnutls_free(saved.data);
    assert_int_equal(shake(&p), 0);
    resumed = tls_resumed(p.tls);
    assert_int_equal(resumed, gnutls_session_is_resumed(p.peer) != 0);
    assert_arrives(&p, "ping");
    close_pair(&p);
    return resumed;
}

static void tickets_resume_sessions(void **state)
{
    struct tls_context *one = make_context(), *two = make_context();

    (void)state;
    assert_true(resumes(one, one, ONLY("TLS1.3")));
    assert_true(resumes(one, one, ONLY("TLS1.2")));
    assert_false(resumes(one, two, ONLY("TLS1.3"))); /* each has its own key */
    tls_context_free(one);
    tls_context_free(two);
}

static void nodes_share_tickets_through_a_file(void **state)
{
    unsigned char key[64];
    struct tls_context *one, *two;

    (void)state;
    assert_int_equal(gnutls_rnd(GNUTLS_RND_RANDOM, key, sizeof key), 0);
    write_file("tickets", key, sizeof key, 0600);
    settings.tls_ticket_key = path_of("tickets");
    one = make_context();
    two = make_context();
    assert_true(resumes(one, two, ONLY("TLS1.3")));
    tls_context_free(one);
    tls_context_free(two);
}

/* ---- client certificates ------------------------------------------------------------------ */

static void client_certificate_is_shown(void **state)
{
    struct tls_context *context;
    struct pair p;
    gnutls_datum_t der;
    unsigned char hash[32];

    (void)state;
    settings.tls_client_ca = path_of("ca.crt");
    context = make_context();
    open_pair(&p, context, DEFAULT, &client);
    assert_int_equal(shake(&p), 0);
    assert_int_equal(gnutls_x509_crt_export2(client.crt, GNUTLS_X509_FMT_DER, &der), 0);
    assert_int_equal(tls_peer_certificate(p.tls).len, der.size);
    assert_memory_equal(tls_peer_certificate(p.tls).data, der.data, der.size);
    gnutls_hash_fast(GNUTLS_DIG_SHA256, der.data, der.size, hash);
    assert_int_equal(tls_peer_thumbprint(p.tls).len, 32);
    assert_memory_equal(tls_peer_thumbprint(p.tls).data, hash, 32);
    gnutls_free(der.data);
    close_pair(&p);

    open_pair(&p, context, DEFAULT, NULL); /* none is fine */
    assert_int_equal(shake(&p), 0);
    assert_null(tls_peer_certificate(p.tls).data);
    close_pair(&p);
    tls_context_free(context);
}

/* A client that sends its certificate whatever issuers the server names. */
static const struct identity *insisting;
static int insist(gnutls_session_t session, const gnutls_datum_t *issuers, int issuer_count,
                  const gnutls_pk_algorithm_t *algorithms, int algorithm_count,
                  gnutls_retr2_st *ret)
{
    (void)session, (void)issuers, (void)issuer_count, (void)algorithms, (void)algorithm_count;
    *ret = (gnutls_retr2_st){ .cert_type = GNUTLS_CRT_X509,
                              .cert.x509 = (gnutls_x509_crt_t *)(uintptr_t)&insisting->crt,
                              .ncerts = 1,
                              .key_type = GNUTLS_PRIVKEY_X509,
                              .key.x509 = insisting->key };
    return 0;
}

static void invalid_client_certificates_end_the_session(void **state)
{
    const struct identity *const bad[] = { &stranger, &expired, &server };
    struct tls_context *context;
    struct pair p;

    (void)state;
    settings.tls_client_ca = path_of("ca.crt");
    context = make_context();
    for (size_t i = 0; i < 3; i++) {
        insisting = bad[i];
        open_pair(&p, context, DEFAULT, NULL);
        gnutls_certificate_set_retrieve_function(p.credentials, insist);
        assert_int_equal(shake(&p), TLS_LOST);
        assert_non_null(strstr(tls_fault(p.tls), "tls.client-ca"));
        assert_null(tls_peer_certificate(p.tls).data);
        close_pair(&p);
    }
    tls_context_free(context);
}

static void client_certificate_is_not_asked_for_without_client_ca(void **state)
{
    struct tls_context *context = make_context();
    struct pair p;

    (void)state;
    insisting = &client;
    open_pair(&p, context, DEFAULT, NULL);
    gnutls_certificate_set_retrieve_function(p.credentials, insist);
    assert_int_equal(shake(&p), 0);
    assert_null(tls_peer_certificate(p.tls).data);
    close_pair(&p);
    tls_context_free(context);
}

/* ---- configuration --------------------------------------------------------------------------- */

static void assert_context_fails(const char *where, const char *part)
{
    struct andiron_error err = { .code = ANDIRON_OK };

    assert_null(tls_context_new(&settings, &err));
    assert_string_equal(err.where, where);
    if (strstr(err.message, part) == NULL)
        fail_msg("'%s' is not in: %s", part, err.message);
}

static void expiry_is_that_of_the_server_certificate(void **state)
{
    struct tls_context *context = make_context();

    (void)state;
    assert_int_equal(tls_context_expiry(context), gnutls_x509_crt_get_expiration_time(server.crt));
    tls_context_free(context);
}

static void pem_text_stands_for_its_file(void **state)
{
    gnutls_datum_t text;
    char key[4096];

    (void)state;
    assert_int_equal(gnutls_x509_privkey_export2(server.key, GNUTLS_X509_FMT_PEM, &text), 0);
    assert_true(text.size < sizeof key);
    memcpy(key, text.data, text.size);
    key[text.size] = '\0';
    gnutls_free(text.data);
    settings.tls_key = key;
    tls_context_free(make_context());
    key[40] ^= 1;
    assert_context_fails("tls.key", "the given text");
}

static void mistakes_are_explained(void **state)
{
    const char *good_key = settings.tls_key, *good_certificate = settings.tls_certificate;

    (void)state;
    settings.tls_key = NULL;
    assert_context_fails("tls.key", "is needed");
    settings.tls_key = "/nowhere/key.pem";
    assert_context_fails("tls.key", "cannot read \"/nowhere/key.pem\": No such file");
    settings.tls_key = folder;
    assert_context_fails("tls.key", "needs a regular file");
    settings.tls_key = path_of("client.key");
    assert_context_fails("tls.key", "is not the key of certificate");
    assert_int_equal(chmod(path_of("client.key"), 0644), 0);
    assert_context_fails("tls.key", "others may read or change");
    assert_int_equal(chmod(path_of("client.key"), 0660), 0);
    assert_context_fails("tls.key", "others may read or change");
    assert_int_equal(chmod(path_of("client.key"), 0640), 0);
    assert_context_fails("tls.key", "is not the key of certificate");
    write_file("text", "no PEM\n", 7, 0600);
    settings.tls_key = path_of("text");
    assert_context_fails("tls.key", "needs a PEM private key");
    settings.tls_key = good_key;
    settings.tls_certificate = NULL;
    assert_context_fails("tls.certificate", "is needed");
    settings.tls_certificate = path_of("text");
    assert_context_fails("tls.certificate", "needs PEM certificates");
    settings.tls_certificate = "/nowhere/crt.pem";
    assert_context_fails("tls.certificate", "cannot read");
    settings.tls_certificate = good_certificate;
    settings.tls_client_ca = path_of("text");
    assert_context_fails("tls.client-ca", "needs PEM certificates");
    settings.tls_client_ca = NULL;
    settings.tls_priorities = "NORMAL:+NONSENSE";
    assert_context_fails("tls.priorities", "NONSENSE");
    settings.tls_priorities = NULL;
    settings.tls_min_version = "1.1";
    assert_context_fails("tls.min-version", "must be 1.2 or 1.3");
    settings.tls_min_version = "1.2";
    settings.tls_ticket_key = path_of("text");
    assert_context_fails("tls.ticket-key", "64 random bytes");
    settings.tls_ticket_key = NULL;
    tls_context_free(make_context());
}

#define TEST(name) cmocka_unit_test_setup(name, default_settings)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(data_goes_both_ways_in_both_versions),
        TEST(what_was_decrypted_is_pending),
        TEST(old_versions_are_refused),
        TEST(min_version_holds),
        TEST(plain_http_is_refused),
        TEST(a_client_that_leaves_in_the_handshake_is_lost),
        TEST(other_protocols_are_refused),
        TEST(close_notify_is_seen_and_answered),
        TEST(early_end_is_told_and_still_answered),
        TEST(a_vanished_peer_is_lost_without_a_signal),
        TEST(garbage_ends_the_session),
        TEST(a_slow_reader_gets_every_byte_once),
        TEST(tickets_resume_sessions),
        TEST(nodes_share_tickets_through_a_file),
        TEST(client_certificate_is_shown),
        TEST(invalid_client_certificates_end_the_session),
        TEST(client_certificate_is_not_asked_for_without_client_ca),
        TEST(expiry_is_that_of_the_server_certificate),
        TEST(pem_text_stands_for_its_file),
        TEST(mistakes_are_explained),
    };
    return cmocka_run_group_tests(tests, make_certificates, drop_certificates);
}
