/*
 * TLS contexts and sessions. Reads certificate, key and ticket-key files when a
 * context is made; after that only the sockets it is given.
 */
#include "http/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/crypto.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    FILE_BYTES_MAX = 1024 * 1024,
    TICKET_KEY_BYTES = 64,
    RECORD_BYTES = 16 * 1024,          /* RFC 8446 section 5.1 */
    HANDSHAKE_MESSAGE_MAX = 64 * 1024, /* a client's certificate chain is the largest */
    IGNORED_ALERTS_MAX = 8             /* in one call; more is a flood */
};

struct tls_context {
    gnutls_certificate_credentials_t credentials;
    gnutls_priority_t priorities;
    gnutls_datum_t ticket_key;
    bool asks_client;
    int64_t expiry;
};

struct tls {
    gnutls_session_t session;
    int fd;
    bool is_up, is_unsent, is_ended_early, is_closed;
    bool has_peer;
    gnutls_datum_t peer; /* DER, owned by session */
    unsigned char thumbprint[32];
    const char *fault;
};

/* ---- context: files ------------------------------------------------------------ */

static int fail(struct andiron_error *err, const char *directive, const char *why, const char *name,
                const char *detail)
{
    return andiron_error_set(err, ANDIRON_E_INVALID, directive, "%s \"%s\"%s%s", why, name,
                             detail[0] != '\0' ? ": " : "", detail);
}

static void wipe(gnutls_datum_t *data)
{
    if (data->data != NULL)
        gnutls_memset(data->data, 0, data->size);
    gnutls_free(data->data);
    *data = (gnutls_datum_t){ NULL, 0 };
}

static int read_all(int fd, gnutls_datum_t *ret)
{
    size_t room = 4096, len = 0;
    unsigned char *data = gnutls_malloc(room);

    while (data != NULL) {
        ssize_t n = read(fd, data + len, room - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0) {
            *ret = (gnutls_datum_t){ data, (unsigned)len };
            return 0;
        }
        len += n > 0 ? (size_t)n : 0;
        if (n < 0 || len > FILE_BYTES_MAX)
            break;
        if (len == room) {
            /* By hand instead of realloc: no copy of a key may stay behind. */
            unsigned char *larger = gnutls_malloc(room * 2);
            if (larger != NULL)
                memcpy(larger, data, len);
            gnutls_memset(data, 0, len);
            gnutls_free(data);
            data = larger;
            room *= 2;
        }
    }
    if (data != NULL)
        gnutls_memset(data, 0, len);
    gnutls_free(data);
    return -1;
}

/*
 * Bytes of the file that a directive names; a value that came from "@file" in the
 * configuration is the text itself already.
 */
static int load(const char *directive, const char *value, bool is_secret, gnutls_datum_t *ret,
                struct andiron_error *err)
{
    struct stat info;
    int fd;

    if (strncmp(value, "-----BEGIN", 10) == 0) {
        *ret = (gnutls_datum_t){ gnutls_malloc(strlen(value)), (unsigned)strlen(value) };
        if (ret->data == NULL)
            return fail(err, directive, "no memory for", directive, "");
        memcpy(ret->data, value, ret->size);
        return 0;
    }
    fd = open(value, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return fail(err, directive, "cannot read", value, strerror(errno));
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        (void)close(fd);
        return fail(err, directive, "needs a regular file, not", value, "");
    }
    if (is_secret && (info.st_mode & (S_IRWXO | S_IWGRP)) != 0) {
        (void)close(fd);
        return fail(err, directive, "others may read or change", value,
                    "it must have mode 0600 or 0640");
    }
    if (read_all(fd, ret) != 0) {
        (void)close(fd);
        return fail(err, directive, "cannot read", value,
                    "it must be readable, and smaller than 1 MiB");
    }
    (void)close(fd); /* was only read */
    return 0;
}

/* Values that are PEM text are not repeated in messages. */
static const char *shown(const char *value)
{
    return strncmp(value, "-----BEGIN", 10) == 0 ? "the given text" : value;
}

/* ---- context: its parts --------------------------------------------------------- */

static int set_pair(struct tls_context *context, const struct http_settings *settings,
                    gnutls_x509_crt_t *chain, unsigned count, gnutls_x509_privkey_t key,
                    struct andiron_error *err)
{
    int code = gnutls_certificate_set_x509_key(context->credentials, chain, (int)count, key);

    if (code == GNUTLS_E_CERTIFICATE_KEY_MISMATCH)
        return andiron_error_set(err, ANDIRON_E_INVALID, "tls.key",
                                 "\"%s\" is not the key of certificate \"%s\"",
                                 shown(settings->tls_key), shown(settings->tls_certificate));
    if (code < 0)
        return fail(err, "tls.certificate", "cannot use", shown(settings->tls_certificate),
                    gnutls_strerror(code));
    context->expiry = (int64_t)gnutls_x509_crt_get_expiration_time(chain[0]);
    return 0;
}

static int load_key(const struct http_settings *settings, gnutls_x509_privkey_t key,
                    struct andiron_error *err)
{
    gnutls_datum_t text = { NULL, 0 };
    int code;

    if (settings->tls_key == NULL)
        return andiron_error_set(err, ANDIRON_E_INVALID, "tls.key",
                                 "is needed beside tls.certificate");
    if (load("tls.key", settings->tls_key, true, &text, err) != 0)
        return -1;
    code = gnutls_x509_privkey_import2(key, &text, GNUTLS_X509_FMT_PEM, NULL, 0);
    wipe(&text);
    if (code < 0)
        return fail(err, "tls.key", "needs a PEM private key without password, which is not in",
                    shown(settings->tls_key), gnutls_strerror(code));
    return 0;
}

static int load_pair(struct tls_context *context, const struct http_settings *settings,
                     struct andiron_error *err)
{
    gnutls_datum_t text = { NULL, 0 };
    gnutls_x509_crt_t *chain = NULL;
    gnutls_x509_privkey_t key = NULL;
    unsigned count = 0;
    int code, result = -1;

    if (settings->tls_certificate == NULL)
        return andiron_error_set(err, ANDIRON_E_INVALID, "tls.certificate",
                                 "is needed by a listener with tls:");
    if (load("tls.certificate", settings->tls_certificate, false, &text, err) != 0)
        return -1;
    code = gnutls_x509_crt_list_import2(&chain, &count, &text, GNUTLS_X509_FMT_PEM,
                                        GNUTLS_X509_CRT_LIST_SORT);
    wipe(&text);
    if (code < 0 || count == 0) {
        (void)fail(err, "tls.certificate", "needs PEM certificates, which are not in",
                   shown(settings->tls_certificate), code < 0 ? gnutls_strerror(code) : "");
        goto out;
    }
    if (gnutls_x509_privkey_init(&key) < 0) {
        (void)andiron_error_set(err, ANDIRON_E_INTERNAL, "tls.key", "no memory for a key");
        goto out;
    }
    if (load_key(settings, key, err) == 0)
        result = set_pair(context, settings, chain, count, key, err);
out:
    for (unsigned i = 0; i < count; i++)
        gnutls_x509_crt_deinit(chain[i]);
    gnutls_free(chain);
    gnutls_x509_privkey_deinit(key);
    return result;
}

static int load_client_ca(struct tls_context *context, const char *value, struct andiron_error *err)
{
    gnutls_datum_t text = { NULL, 0 };
    int code;

    if (value == NULL)
        return 0;
    if (load("tls.client-ca", value, false, &text, err) != 0)
        return -1;
    code = gnutls_certificate_set_x509_trust_mem(context->credentials, &text, GNUTLS_X509_FMT_PEM);
    wipe(&text);
    if (code <= 0)
        return fail(err, "tls.client-ca", "needs PEM certificates, which are not in", shown(value),
                    code < 0 ? gnutls_strerror(code) : "");
    context->asks_client = true;
    return 0;
}

/* GnuTLS derives the keys of tickets from this one, and changes those by itself. */
static int make_ticket_key(struct tls_context *context, const char *value,
                           struct andiron_error *err)
{
    if (value == NULL) {
        if (gnutls_session_ticket_key_generate(&context->ticket_key) < 0)
            return andiron_error_set(err, ANDIRON_E_INTERNAL, "tls.ticket-key",
                                     "no random bytes for a key");
        return 0;
    }
    if (load("tls.ticket-key", value, true, &context->ticket_key, err) != 0)
        return -1;
    if (context->ticket_key.size != TICKET_KEY_BYTES)
        return fail(err, "tls.ticket-key", "needs exactly 64 random bytes, which are not in", value,
                    "");
    return 0;
}

static int make_priorities(struct tls_context *context, const struct http_settings *settings,
                           struct andiron_error *err)
{
    const char *version = settings->tls_min_version, *wish = settings->tls_priorities, *at = NULL;
    bool is_strict = version != NULL && strcmp(version, "1.3") == 0;
    char text[1024];
    int len, code;

    if (version != NULL && !is_strict && strcmp(version, "1.2") != 0)
        return fail(err, "tls.min-version", "must be 1.2 or 1.3, not", version, "");
    if (wish == NULL || wish[0] == '\0')
        wish = "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2";
    /* min-version holds for own priorities, too. */
    len = snprintf(text, sizeof text, "%s:-VERS-TLS1.1:-VERS-TLS1.0%s", wish,
                   is_strict ? ":-VERS-TLS1.2" : "");
    if (len < 0 || (size_t)len >= sizeof text)
        return fail(err, "tls.priorities", "must be shorter than 1000 bytes, not", wish, "");
    code = gnutls_priority_init(&context->priorities, text, &at);
    if (code < 0)
        return andiron_error_set(err, ANDIRON_E_INVALID, "tls.priorities",
                                 "must be a priority string of GnuTLS, which fails at \"%s\"",
                                 at != NULL ? at : text);
    return 0;
}

struct tls_context *tls_context_new(const struct http_settings *settings, struct andiron_error *err)
{
    struct tls_context *context = calloc(1, sizeof *context);

    if (context == NULL || gnutls_certificate_allocate_credentials(&context->credentials) < 0) {
        free(context);
        (void)andiron_error_set(err, ANDIRON_E_INTERNAL, "tls", "no memory for a context");
        return NULL;
    }
    if (load_pair(context, settings, err) != 0 ||
        load_client_ca(context, settings->tls_client_ca, err) != 0 ||
        make_ticket_key(context, settings->tls_ticket_key, err) != 0 ||
        make_priorities(context, settings, err) != 0) {
        tls_context_free(context);
        return NULL;
    }
    return context;
}

void tls_context_free(struct tls_context *context)
{
    if (context == NULL)
        return;
    gnutls_certificate_free_credentials(context->credentials);
    if (context->priorities != NULL)
        gnutls_priority_deinit(context->priorities);
    wipe(&context->ticket_key);
    free(context);
}

int64_t tls_context_expiry(const struct tls_context *context)
{
    return context->expiry;
}

/* ---- session ------------------------------------------------------------------------ */

/*
 * recv() that hides the end of input from GnuTLS, which would refuse to send after an end
 * without close_notify: a client that shuts its side still gets its answer.
 */
static ssize_t pull(gnutls_transport_ptr_t transport, void *to, size_t room)
{
    struct tls *tls = transport;
    ssize_t n = tls->is_ended_early ? 0 : recv(tls->fd, to, room, 0);

    if (n == 0) {
        tls->is_ended_early = true;
        gnutls_transport_set_errno(tls->session, EAGAIN);
        return -1;
    }
    if (n < 0)
        gnutls_transport_set_errno(tls->session, errno);
    return n;
}

static int set_up_session(struct tls *tls, const struct tls_context *context)
{
    gnutls_session_t session = tls->session;
    static unsigned char name[] = "http/1.1";
    const gnutls_datum_t alpn = { name, sizeof name - 1 };
    int code = gnutls_priority_set(session, context->priorities);

    if (code >= 0)
        code = gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, context->credentials);
    if (code >= 0)
        code = gnutls_session_ticket_enable_server(session, &context->ticket_key);
    /* A client that speaks only something else must not be answered in HTTP (RFC 7301). */
    if (code >= 0)
        code = gnutls_alpn_set_protocols(session, &alpn, 1, GNUTLS_ALPN_MANDATORY);
    if (code < 0)
        return code;
    gnutls_certificate_server_set_request(session, context->asks_client ? GNUTLS_CERT_REQUEST
                                                                        : GNUTLS_CERT_IGNORE);
    gnutls_handshake_set_max_packet_length(session, HANDSHAKE_MESSAGE_MAX);
    gnutls_handshake_set_timeout(session, 0); /* the connection has its own */
    gnutls_transport_set_ptr2(session, tls, (gnutls_transport_ptr_t)(intptr_t)tls->fd);
    gnutls_transport_set_pull_function(session, pull);
    return 0;
}

struct tls *tls_new(const struct tls_context *context, int fd)
{
    struct tls *tls = calloc(1, sizeof *tls);

    if (tls == NULL)
        return NULL;
    if (gnutls_init(&tls->session, GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL) < 0) {
        free(tls);
        return NULL;
    }
    tls->fd = fd;
    tls->fault = "";
    if (set_up_session(tls, context) < 0) {
        tls_free(tls);
        return NULL;
    }
    return tls;
}

void tls_free(struct tls *tls)
{
    if (tls == NULL)
        return;
    gnutls_deinit(tls->session);
    free(tls);
}

static int lost(struct tls *tls, const char *fault)
{
    tls->fault = fault;
    return TLS_LOST;
}

/* The alert says more than "a fatal alert was received". */
static int lost_by(struct tls *tls, int code)
{
    const char *words = NULL;

    if (code == GNUTLS_E_FATAL_ALERT_RECEIVED)
        words = gnutls_alert_get_name(gnutls_alert_get(tls->session));
    return lost(tls, words != NULL ? words : gnutls_strerror(code));
}

static bool is_again(int code)
{
    return code == GNUTLS_E_AGAIN || code == GNUTLS_E_INTERRUPTED;
}

/* A client certificate counts only when it is valid for clients; a bad one ends the session. */
static int judge_peer(struct tls *tls)
{
    gnutls_typed_vdata_st purpose = { .type = GNUTLS_DT_KEY_PURPOSE_OID,
                                      .data = (unsigned char *)GNUTLS_KP_TLS_WWW_CLIENT };
    unsigned count = 0, status = 0;
    const gnutls_datum_t *chain = gnutls_certificate_get_peers(tls->session, &count);

    if (chain == NULL || count == 0)
        return 0;
    if (gnutls_certificate_verify_peers(tls->session, &purpose, 1, &status) < 0 || status != 0 ||
        gnutls_hash_fast(GNUTLS_DIG_SHA256, chain[0].data, chain[0].size, tls->thumbprint) < 0) {
        (void)gnutls_alert_send(tls->session, GNUTLS_AL_FATAL, GNUTLS_A_BAD_CERTIFICATE);
        return lost(tls, "the client's certificate is not valid under tls.client-ca");
    }
    tls->peer = chain[0];
    tls->has_peer = true;
    return 0;
}

int tls_handshake(struct tls *tls)
{
    int code = GNUTLS_E_AGAIN;

    if (tls->is_up)
        return 0;
    for (int i = 0; i < IGNORED_ALERTS_MAX; i++) {
        code = gnutls_handshake(tls->session);
        if (code == 0) {
            if (judge_peer(tls) != 0)
                return TLS_LOST;
            tls->is_up = true;
            return 0;
        }
        if (code == GNUTLS_E_AGAIN)
            return tls->is_ended_early ? lost(tls, "the client left during the handshake")
                                       : TLS_AGAIN;
        if (gnutls_error_is_fatal(code))
            break;
    }
    /* Tells a client what to change; it may be full, then the close says enough. */
    (void)gnutls_alert_send_appropriate(tls->session, code);
    return lost_by(tls, code);
}

bool tls_wants_write(const struct tls *tls)
{
    return gnutls_record_get_direction(tls->session) == 1;
}

ssize_t tls_recv(struct tls *tls, void *to, size_t room)
{
    ssize_t n = 0;

    for (int i = 0; i < IGNORED_ALERTS_MAX; i++) {
        n = gnutls_record_recv(tls->session, to, room);
        if (n >= 0)
            return n;
        if (n == GNUTLS_E_AGAIN)
            return tls->is_ended_early ? 0 : TLS_AGAIN;
        if (n == GNUTLS_E_REHANDSHAKE) {
            /* TLS 1.2 only, and expensive: RFC 5746 leaves it to the server. */
            (void)gnutls_alert_send(tls->session, GNUTLS_AL_WARNING, GNUTLS_A_NO_RENEGOTIATION);
            return lost(tls, "the client wanted to renegotiate");
        }
        if (gnutls_error_is_fatal((int)n))
            break;
    }
    return lost_by(tls, (int)n);
}

bool tls_ended_early(const struct tls *tls)
{
    return tls->is_ended_early;
}

bool tls_pending(const struct tls *tls)
{
    return tls->is_up && gnutls_record_check_pending(tls->session) > 0;
}

/* Up to a record's worth of pieces, without copying when the first one fills it. */
static const void *join(const struct iovec *pieces, int count, char *room, size_t *ret_len)
{
    size_t len = 0;

    if (count == 1 || (count > 0 && pieces[0].iov_len >= RECORD_BYTES)) {
        *ret_len = pieces[0].iov_len < RECORD_BYTES ? pieces[0].iov_len : RECORD_BYTES;
        return pieces[0].iov_base;
    }
    for (int i = 0; i < count && len < RECORD_BYTES; i++) {
        size_t piece = pieces[i].iov_len;
        if (piece > RECORD_BYTES - len)
            piece = RECORD_BYTES - len;
        if (piece > 0)
            memcpy(room + len, pieces[i].iov_base, piece);
        len += piece;
    }
    *ret_len = len;
    return room;
}

ssize_t tls_sendv(struct tls *tls, const struct iovec *pieces, int count)
{
    char room[RECORD_BYTES];
    const void *data = NULL;
    size_t len = 0;
    ssize_t n;

    /* An encrypted record that did not fit into the socket waits in the session: push it on. */
    if (!tls->is_unsent) {
        data = join(pieces, count, room, &len);
        if (len == 0)
            return 0;
    }
    do
        n = gnutls_record_send(tls->session, data, len);
    while (n == GNUTLS_E_INTERRUPTED);
    tls->is_unsent = n == GNUTLS_E_AGAIN;
    if (tls->is_unsent)
        return TLS_AGAIN;
    return n < 0 ? lost_by(tls, (int)n) : n;
}

int tls_close(struct tls *tls)
{
    int code;

    if (!tls->is_up || tls->is_closed)
        return 0;
    code = gnutls_bye(tls->session, GNUTLS_SHUT_WR);
    if (is_again(code))
        return TLS_AGAIN;
    tls->is_closed = true;
    return code < 0 ? lost_by(tls, code) : 0;
}

const char *tls_fault(const struct tls *tls)
{
    return tls->fault;
}

const char *tls_version(const struct tls *tls)
{
    return gnutls_protocol_get_name(gnutls_protocol_get_version(tls->session));
}

bool tls_resumed(const struct tls *tls)
{
    return gnutls_session_is_resumed(tls->session) != 0;
}

andiron_str tls_peer_certificate(const struct tls *tls)
{
    if (!tls->has_peer)
        return (andiron_str){ NULL, 0 };
    return (andiron_str){ (const char *)tls->peer.data, tls->peer.size };
}

andiron_str tls_peer_thumbprint(const struct tls *tls)
{
    if (!tls->has_peer)
        return (andiron_str){ NULL, 0 };
    return (andiron_str){ (const char *)tls->thumbprint, sizeof tls->thumbprint };
}
