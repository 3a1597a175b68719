/*
 * TLS for server connections, by GnuTLS directly over the socket.
 *
 * A context holds what all connections share (certificate, key, priorities, ticket
 * key) and is only read after it is made, so loops use it without a lock. A
 * session belongs to one connection and its loop. It does no event handling: its
 * functions behave like recv() and writev() on a non-blocking socket, and tell
 * which readiness to wait for.
 */
#ifndef CORE_HTTP_TLS_H
#define CORE_HTTP_TLS_H

#include <andiron/error.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "http/settings.h"

/* ---- context ---------------------------------------------------------------- */

struct tls_context;

/*
 * From the members tls_* of settings, which are not needed later. NULL and err, one sentence
 * that names directive and file: unreadable, not PEM, key and certificate that are no pair, a
 * key file that others may read, unknown priorities.
 */
struct tls_context *tls_context_new(const struct http_settings *settings,
                                    struct andiron_error *err);
void tls_context_free(struct tls_context *context);

/* When the server's certificate ends, in seconds since 1970; for metrics and warnings. */
int64_t tls_context_expiry(const struct tls_context *context);

/* ---- session ------------------------------------------------------------------ */

struct tls;

/* Results of the functions below, beside counts of bytes. */
enum {
    TLS_AGAIN = -1, /* wait until tls_wants_write(): writable, else: readable */
    TLS_LOST = -2   /* failed for good: tls_fault() says why */
};

/* A session over fd, a connected non-blocking socket that stays the caller's. NULL: no memory. */
struct tls *tls_new(const struct tls_context *context, int fd);
void tls_free(struct tls *tls);

/*
 * 0 when the session is up, TLS_AGAIN, TLS_LOST. A client certificate is asked for only with
 * tls.client-ca; one that is sent must be valid, none at all is fine.
 */
int tls_handshake(struct tls *tls);

/* Direction of the last TLS_AGAIN. */
bool tls_wants_write(const struct tls *tls);

/*
 * Bytes received, TLS_AGAIN, TLS_LOST, or 0 at the end. After a 0 answers may still be written; an
 * end without close_notify gives 0, too, and tls_ended_early(): complete requests are
 * framed and thus safe, an incomplete one is dropped in any case.
 */
ssize_t tls_recv(struct tls *tls, void *to, size_t room);
bool tls_ended_early(const struct tls *tls);

/* Whether tls_recv() would give bytes although the socket may have none: ask before waiting. */
bool tls_pending(const struct tls *tls);

/*
 * Bytes sent, at least 1 and perhaps fewer than all; TLS_AGAIN; TLS_LOST. After TLS_AGAIN
 * the next call must begin with the same bytes (they are encrypted already). Small pieces are
 * joined into one record.
 */
ssize_t tls_sendv(struct tls *tls, const struct iovec *pieces, int count);

/* Sends close_notify, once: 0, TLS_AGAIN, TLS_LOST. The caller then shuts the socket. */
int tls_close(struct tls *tls);

/* Words for the log; "" if nothing failed. */
const char *tls_fault(const struct tls *tls);

/* "TLS1.3", and whether the session was resumed; after the handshake. */
const char *tls_version(const struct tls *tls);
bool tls_resumed(const struct tls *tls);

/* The verified client certificate as DER, absent if there is none; lives as long as tls. */
andiron_str tls_peer_certificate(const struct tls *tls);
/* Its SHA-256 (RFC 8705 x5t#S256 is this in base64url): 32 bytes, or absent. */
andiron_str tls_peer_thumbprint(const struct tls *tls);

#endif
