/*
 * The HTTP side of a worker: listeners, connections and internal requests over
 * the worker's loops. Used by core/daemon; everything plugins see is in andiron/request.h.
 */
#ifndef CORE_HTTP_SERVER_H
#define CORE_HTTP_SERVER_H

#include <andiron/auth.h>

#include "http/app.h"
#include "http/route.h"
#include "loop/loop.h"

struct http_listener {
    int fd; /* bound and listening, non-blocking; owned by the caller */
    enum route_side side;
    bool tls;
};

struct http_server;

/*
 * Prepares per-loop state on loops that do not run yet, and TLS credentials. app, loops and
 * listeners must outlive the server. NULL and err on failure (a certificate that cannot be read).
 */
struct http_server *http_server_new(const struct http_app *app, struct andiron_loop *const *loops,
                                    size_t loop_count, const struct http_listener *listeners,
                                    size_t listener_count, struct andiron_error *err);

/* Begins to accept, on loop 0. Call once every loop runs. Any thread. */
void http_server_accept(struct http_server *server);

/*
 * Stops accepting, finishes requests, answers the next request of each kept-alive connection
 * with `Connection: close`, keeps idle ones for drain-grace; then, or after drain-timeout, calls
 * drained(arg) once, on loop 0. Any thread.
 */
void http_server_drain(struct http_server *server, void (*drained)(void *arg), void *arg);
bool http_server_draining(const struct http_server *server);

/*
 * After every loop has ended and every plugin has stopped, so that nobody resumes a request any
 * more. What the drain had to cut off is not freed: it may hold what plugins have given up already.
 */
void http_server_free(struct http_server *server);

/* Why a connection or request was turned away; names in http_rejected_names. */
enum http_rejected {
    HTTP_REJECTED_CONNECTIONS, /* max-connections and no idle one to close */
    HTTP_REJECTED_ADDRESS,     /* max-connections-per-address */
    HTTP_REJECTED_SYNTAX,      /* 400, 414, 417, 431, 501, 505 of the head or the framing */
    HTTP_REJECTED_TIMEOUT,     /* header-timeout, body-timeout, write-timeout */
    HTTP_REJECTED_DEADLINE,    /* request-timeout */
    HTTP_REJECTED_SIZE,        /* max-body */
    HTTP_REJECTED_MEMORY,      /* body-memory, request-memory */
    HTTP_REJECTED_REASONS
};
extern const char *const http_rejected_names[HTTP_REJECTED_REASONS];

/* What `status` and the metrics show. Any thread. */
struct http_stats {
    uint64_t connections; /* open now */
    uint64_t connections_total, requests_total, rejected_total;
    uint64_t rejected[HTTP_REJECTED_REASONS];
    uint64_t bytes_in, bytes_out;
    double requests_per_second; /* of the last minute */
    int64_t p50_us, p99_us;     /* of the last minute */
};
void http_server_stats(struct http_server *server, struct http_stats *ret);
/* End of the TLS certificate, in seconds since 1970; 0 without TLS. */
int64_t http_server_certificate_expiry(const struct http_server *server);

/*
 * Runs one request inside the worker as principal SYSTEM, on loop 0: the init bundle, control
 * commands of core. Calls done(arg, status, body) on that loop; body lives for the call. Any thread.
 */
void http_server_run(struct http_server *server, const struct andiron_inner *inner,
                     void (*done)(void *arg, int status, andiron_str body), void *arg);

#endif
