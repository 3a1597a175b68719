/*
 * A connection: socket, input buffer, and the request that is being answered.
 *
 * It lives on one loop and answers one request after the other. The bytes of a
 * request's head, and a body that fits beside it, stay where they were received:
 * the request's views point into the input buffer, which is not moved or filled
 * from its start again until the request is over. An idle connection has
 * neither buffer nor request.
 */
#ifndef CORE_HTTP_CONN_H
#define CORE_HTTP_CONN_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <netinet/in.h>
#include <sys/uio.h>

#include "http/per_loop.h"
#include "http/request.h"

struct tls;

enum conn_state {
    CONN_HANDSHAKE, /* TLS */
    CONN_IDLE,      /* no byte of a request */
    CONN_HEAD,      /* req exists, its head is incomplete */
    CONN_REQUEST,   /* req is being answered */
    CONN_SKIP,      /* the rest of a body nobody wanted is read and dropped */
    CONN_LINGER,    /* all is written and our side shut: read and drop, then close */
    CONN_CLOSED     /* to be freed by whoever entered it */
};

struct conn {
    struct http_loop *home;
    struct conn *next, *prev;
    const struct http_listener *listener;
    struct andiron_request *req;
    struct tls *tls; /* NULL: plain */
    int fd;
    uint8_t state;
    bool eof;        /* the peer has shut its side */
    bool served;     /* has had an answer: then falls under idle-timeout */
    bool reading;    /* read event is on */
    bool counted;    /* in the table of addresses */
    bool head_timed; /* header-timeout runs */

    /* in[at .. len): bytes not yet used; at: first byte of the current request */
    char *in;
    uint32_t room, at, len;
    uint32_t body_at; /* first byte behind head and body of the current request, so far */

    /* CONN_SKIP */
    uint64_t skip_left; /* at most */
    bool skip_chunked;
    struct http_chunked chunked;

    struct timeout timeout;
    struct event read_event, write_event;
    struct loop_post post;   /* how loop 0 hands it over */
    struct in6_addr address; /* IPv4 as ::ffff:a.b.c.d; all zero on a local socket */
    char remote[INET6_ADDRSTRLEN];
};

/*
 * Takes over an accepted socket; to be called on home's thread. The address is that of accept().
 */
void conn_open(struct http_loop *home, struct conn *conn);

/* What follows after a request of conn has moved on by itself: the next one, or idleness. */
void conn_turn(struct conn *conn);
/* Ends an entry from the loop: frees it if it was closed meanwhile. */
void conn_leave(struct conn *conn);

/* The client has gone, or must go, at once; its request is abandoned. */
void conn_lost(struct conn *conn);
/* Its request is over and answered. Frees nothing of the request. */
void conn_request_over(struct conn *conn, struct andiron_request *req);
/* Answers with core's words outside of any request's arena, then closes. */
void conn_refuse(struct conn *conn, int status, enum andiron_code code, const char *message);

void conn_close(struct conn *conn);
/* Drops connections without a request; see drain-grace. */
void conn_close_idle(struct http_loop *home);
/* The one that has been idle longest, or else the one that has sent no whole head for longest. */
void conn_close_oldest_idle(struct http_loop *home);

/* All of them, at the end of a drain; their requests are abandoned. */
void conn_close_all(struct http_loop *home);

/* Timeouts of its loop. */
void conn_timeout_ended(struct timeout *timeout, enum timeout_class class);

/* ---- input and output, also used by body.c and send.c --------------------------- */

enum { IO_AGAIN = -1, IO_LOST = -2 };

/* Bytes received, 0 at the end of input, IO_AGAIN, IO_LOST. */
ssize_t conn_recv(struct conn *conn, void *to, size_t room);
/* Bytes sent (perhaps fewer than all), IO_AGAIN, IO_LOST. more: a further send follows at once. */
ssize_t conn_send(struct conn *conn, struct iovec *pieces, int count, bool more);

/* Receives into the input buffer, behind what is there: as conn_recv(), 0 room gives IO_AGAIN. */
ssize_t conn_fill(struct conn *conn);

void conn_want_read(struct conn *conn, bool wanted);
/* The same, and bytes that TLS holds back are announced, too. */
void conn_read_on(struct conn *conn);
/* on_writable() of send.c follows. */
void conn_want_write(struct conn *conn);

#endif
