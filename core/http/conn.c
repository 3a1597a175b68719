/*
 * Connections: sockets, input, one request after the other, and how they end.
 *
 * Every entry from the loop (readable, writable, a timeout, a resumed request)
 * ends with conn_leave(); until then a closed connection stays in memory, so
 * that the functions on the way out may still look at it.
 */
#include "http/conn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/arena.h"
#include "http/begin.h"
#include "http/body.h"
#include "http/outcome.h"
#include "http/phases.h"
#include "http/record.h"
#include "http/send.h"
#include "http/tls.h"

enum { LINGER_MOST = 8 * 1024 * 1024 };

/* ---- socket --------------------------------------------------------------------- */

ssize_t conn_recv(struct conn *conn, void *to, size_t room)
{
    ssize_t got;

    if (conn->tls != NULL) {
        got = tls_recv(conn->tls, to, room);
        if (got == TLS_AGAIN && tls_wants_write(conn->tls))
            conn_want_write(conn);
        return got == TLS_AGAIN ? IO_AGAIN : got == TLS_LOST ? IO_LOST : got;
    }
    do
        got = recv(conn->fd, to, room, 0);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return errno == EAGAIN ? IO_AGAIN : IO_LOST;
    return got;
}

ssize_t conn_send(struct conn *conn, struct iovec *pieces, int count, bool more)
{
    struct msghdr message = { .msg_iov = pieces, .msg_iovlen = (size_t)count };
    ssize_t sent;

    if (conn->tls != NULL) {
        sent = tls_sendv(conn->tls, pieces, count);
        return sent == TLS_AGAIN ? IO_AGAIN : sent == TLS_LOST ? IO_LOST : sent;
    }
    do
        sent = sendmsg(conn->fd, &message, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
    while (sent < 0 && errno == EINTR);
    if (sent < 0)
        return errno == EAGAIN ? IO_AGAIN : IO_LOST;
    return sent;
}

void conn_want_read(struct conn *conn, bool wanted)
{
    if (wanted == conn->reading)
        return;
    conn->reading = wanted;
    if (wanted)
        (void)event_add(&conn->read_event, NULL); /* fails only without memory */
    else
        (void)event_del(&conn->read_event);
}

void conn_want_write(struct conn *conn)
{
    (void)event_add(&conn->write_event, NULL); /* fails only without memory */
}

ssize_t conn_fill(struct conn *conn)
{
    ssize_t got;

    if (conn->len == conn->room) {
        conn_want_read(conn, false);
        return IO_AGAIN;
    }
    got = conn_recv(conn, conn->in + conn->len, conn->room - conn->len);
    if (got > 0)
        conn->len += (uint32_t)got;
    else if (got == 0) {
        conn->eof = true;
        conn_want_read(conn, false);
    }
    return got;
}

/* ---- input buffer ------------------------------------------------------------------ */

static void input_drop(struct conn *conn)
{
    if (conn->in != NULL)
        input_give(conn->home, conn->in, conn->room, conn->len);
    conn->in = NULL;
    conn->room = conn->at = conn->len = 0;
}

/* Moves the current request to the front, or to a larger buffer, until `room` bytes fit. */
static void input_grow(struct conn *conn, size_t room)
{
    uint32_t used = conn->len - conn->at;
    char *larger;

    if (room <= conn->room) {
        memmove(conn->in, conn->in + conn->at, used);
    } else {
        larger = malloc(room);
        if (larger == NULL)
            abort(); /* out of memory: as in base/arena.c */
        memcpy(larger, conn->in + conn->at, used);
        input_give(conn->home, conn->in, conn->room, conn->len);
        conn->in = larger;
        conn->room = (uint32_t)room;
    }
    conn->at = 0;
    conn->len = used;
}

/* ---- the end of a connection ---------------------------------------------------------- */

void conn_close(struct conn *conn)
{
    struct http_loop *home = conn->home;

    if (conn->state == CONN_CLOSED)
        return;
    if (conn->state == CONN_IDLE) {
        atomic_fetch_sub_explicit(&home->idle_count, 1, memory_order_relaxed);
        if (conn->tls != NULL)
            (void)tls_close(conn->tls); /* a courtesy: nothing is lost if it does not arrive */
    }
    conn->state = CONN_CLOSED;
    timeout_stop(&conn->timeout);
    (void)event_del(&conn->read_event);
    (void)event_del(&conn->write_event);
    tls_free(conn->tls);
    (void)close(conn->fd); /* nothing is lost that the peer was promised */
    input_drop(conn);
    if (conn->prev != NULL)
        conn->prev->next = conn->next;
    else
        home->conns = conn->next;
    if (conn->next != NULL)
        conn->next->prev = conn->prev;
    server_conn_closed(home->server, conn);
}

void conn_leave(struct conn *conn)
{
    if (conn->state == CONN_CLOSED)
        free(conn);
}

/* Gives the request all it needs to outlive its connection. */
static void detach(struct conn *conn, int status)
{
    struct andiron_request *req = conn->req;
    bool unfinished_head = conn->state == CONN_HEAD;

    if (req == NULL)
        return;
    conn->req = NULL;
    req->conn = NULL;
    req->owned_in = conn->in;
    req->in_room = conn->room;
    conn->in = NULL;
    conn->room = conn->at = conn->len = 0;
    if (unfinished_head)
        request_free(req);
    else
        phases_abandon(req, status);
}

void conn_lost(struct conn *conn)
{
    detach(conn, 499);
    conn_close(conn);
}

/*
 * All is written; what the peer still sends is read and dropped for a while, since
 * closing a socket with unread bytes would make the peer's kernel drop the answer.
 */
static void linger(struct conn *conn)
{
    if (conn->tls != NULL)
        (void)tls_close(conn->tls); /* if it cannot be sent now, the shutdown says the same */
    if (conn->eof || shutdown(conn->fd, SHUT_WR) != 0) {
        conn_close(conn);
        return;
    }
    input_drop(conn);
    conn->state = CONN_LINGER;
    conn->skip_left = LINGER_MOST;
    (void)event_del(&conn->write_event);
    conn_want_read(conn, true);
    timeout_start(&conn->home->timeouts, &conn->timeout, TIMEOUT_LINGER);
}

static void linger_read(struct conn *conn)
{
    char dropped[16 * 1024];
    ssize_t got;

    do
        got = recv(conn->fd, dropped, sizeof(dropped), 0);
    while (got < 0 && errno == EINTR);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0 || (uint64_t)got > conn->skip_left)
        conn_close(conn);
    else
        conn->skip_left -= (uint64_t)got;
}

/* The answer is out; the connection ends in good order. */
static void finish(struct conn *conn)
{
    bool unread = conn->len != conn->at || conn->skip_left != 0;

    if (unread || conn->tls != NULL)
        linger(conn);
    else
        conn_close(conn);
}

void conn_refuse(struct conn *conn, int status, enum andiron_code code, const char *message)
{
    char body[OUTCOME_PLAIN_MAX], head[512], id[REQUEST_ID_BYTES + 1];
    andiron_str line = send_status_line(status);
    struct andiron_request *req = conn->req;
    bool oauth = req != NULL && request_is_oauth(req);
    size_t len = 0;
    struct iovec pieces[2];
    int head_len;

    per_loop_request_id(conn->home, id);
    if (message != NULL)
        len = outcome_plain(body, oauth, code, message);
    head_len = snprintf(head, sizeof(head),
                        "%.*sDate: %s\r\nX-Request-Id: %.*s\r\n%sContent-Length: "
                        "%zu\r\n%sConnection: close\r\n\r\n",
                        (int)line.len, line.data, send_date(conn->home),
                        req != NULL && req->id.len != 0 ? (int)req->id.len : REQUEST_ID_BYTES,
                        req != NULL && req->id.len != 0 ? req->id.data : id,
                        len == 0 ? ""
                        : oauth  ? "Content-Type: application/json\r\n"
                                   "Cache-Control: no-store\r\nPragma: no-cache\r\n"
                                 : "Content-Type: application/fhir+json\r\n",
                        len, status == 503 || status == 504 ? "Retry-After: 2\r\n" : "");
    pieces[0] = (struct iovec){ .iov_base = head, .iov_len = (size_t)head_len };
    pieces[1] = (struct iovec){ .iov_base = body, .iov_len = len };
    if (req != NULL && req->is_head)
        len = 0;
    detach(conn, status);
    /* Nothing was sent before, so a socket without room for this is not worth waiting for. */
    if (conn_send(conn, pieces, len != 0 ? 2 : 1, false) < 0)
        conn_close(conn);
    else
        linger(conn);
}

/* ---- from one request to the next ------------------------------------------------------- */

static void go_idle(struct conn *conn)
{
    input_drop(conn);
    if (conn->state != CONN_IDLE) {
        conn->state = CONN_IDLE;
        atomic_fetch_add_explicit(&conn->home->idle_count, 1, memory_order_relaxed);
    }
    /* A client that has never had an answer stays under header-timeout, from accept on. */
    if (conn->served)
        timeout_start(&conn->home->timeouts, &conn->timeout, TIMEOUT_IDLE);
}

static void leave_idle(struct conn *conn, enum conn_state state)
{
    if (conn->state == CONN_IDLE)
        atomic_fetch_sub_explicit(&conn->home->idle_count, 1, memory_order_relaxed);
    conn->state = (uint8_t)state;
}

void conn_request_over(struct conn *conn, struct andiron_request *req)
{
    const struct body *body = &req->body;

    conn->req = NULL;
    conn->served = true;
    conn->at = conn->body_at;
    timeout_stop(&conn->timeout);
    conn->skip_left = 0;
    if (!body->complete && body->framing != HTTP_BODY_NONE) {
        conn->skip_chunked = body->framing == HTTP_BODY_CHUNKED;
        conn->skip_left = conn->skip_chunked ? BODY_SKIP_MAX : body->left;
        conn->chunked = body->chunked;
    }
    if (req->reply.close)
        finish(conn);
    else
        conn->state = conn->skip_left != 0 ? CONN_SKIP : CONN_HEAD;
}

/* Reads on in a body that nobody wants; true: it is over. */
static bool skip(struct conn *conn)
{
    while (conn->at != conn->len) {
        size_t have = conn->len - conn->at, used = have;
        andiron_str piece;
        enum http_chunk kind = HTTP_CHUNK_MORE;

        if (conn->skip_chunked) {
            kind = http_chunked_next(&conn->chunked, conn->in + conn->at, have, &used, &piece);
            if (kind == HTTP_CHUNK_ERROR || used > conn->skip_left) {
                linger(conn);
                return false;
            }
        } else if (used > conn->skip_left) {
            used = (size_t)conn->skip_left;
        }
        conn->at += (uint32_t)used;
        conn->skip_left -= used;
        if (kind == HTTP_CHUNK_END || (!conn->skip_chunked && conn->skip_left == 0)) {
            conn->skip_left = 0;
            return true;
        }
    }
    conn->at = conn->len = 0;
    return false;
}

static void refuse_head(struct conn *conn, const struct http_head *head)
{
    /* Only a request line is needed to see that it is for the FHIR side. */
    bool fhir = (head->status == 414 || head->status == 431) &&
                memmem(conn->in + conn->at, conn->len - conn->at < 32 ? conn->len - conn->at : 32,
                       " /fhir", 6) != NULL;
    int status = head->status;
    const char *reason = head->reason;

    stats_add(&conn->home->stats.rejected[HTTP_REJECTED_SYNTAX], 1);
    record_refusal(conn, status, reason);
    conn_refuse(conn, status, ANDIRON_E_TOO_LARGE, fhir ? reason : NULL);
}

/* A body that comes in pieces needs some room behind its head to be received into. */
static void make_body_room(struct conn *conn, const struct http_head *head)
{
    size_t used = conn->len - conn->at, wanted = head->bytes;

    if (head->framing == HTTP_BODY_NONE)
        return;
    if (head->framing == HTTP_BODY_LENGTH && head->content_length <= INPUT_BYTES - head->bytes &&
        head->bytes < INPUT_BYTES)
        wanted += (size_t)head->content_length;
    else
        wanted += BODY_WINDOW;
    if (wanted < used)
        wanted = used;
    if (wanted > conn->room - conn->at)
        input_grow(conn, wanted > INPUT_BYTES ? wanted + BODY_WINDOW : INPUT_BYTES);
}

/* Reads a head out of the input; false: more bytes are needed, or the connection is ending. */
static bool next_request(struct conn *conn)
{
    struct http_loop *home = conn->home;
    struct andiron_request *req = conn->req;

    if (req == NULL) {
        req = begin_request(conn);
        conn->req = req;
        leave_idle(conn, CONN_HEAD);
    }
    switch (http_head_parse(&req->head, server_limits(home->server), conn->in + conn->at,
                            conn->len - conn->at)) {
    case HTTP_MORE:
        begin_wait(req);
        if (conn->len == conn->room)
            input_grow(conn, conn->at != 0 ? conn->room : 2 * (size_t)conn->room);
        if (!conn->head_timed) {
            conn->head_timed = true;
            timeout_start(&home->timeouts, &conn->timeout, TIMEOUT_HEADER);
        }
        return false;
    case HTTP_ERROR:
        refuse_head(conn, &req->head);
        return false;
    case HTTP_COMPLETE:
        break;
    }
    timeout_stop(&conn->timeout);
    conn->head_timed = false;
    conn->state = CONN_REQUEST;
    make_body_room(conn, &req->head);
    conn->body_at = conn->at + req->head.bytes;
    begin_head(req);
    phases_begin(req);
    return true;
}

void conn_read_on(struct conn *conn)
{
    conn_want_read(conn, true);
    /* The session may hold bytes that the socket will not announce again. */
    if (conn->tls != NULL && tls_pending(conn->tls))
        event_active(&conn->read_event, EV_READ, 0);
}

void conn_turn(struct conn *conn)
{
    while (conn->state < CONN_LINGER && conn->state != CONN_REQUEST) {
        if (conn->state == CONN_SKIP) {
            if (!skip(conn)) {
                if (conn->state == CONN_SKIP) /* it may be ending: a bad chunk, too much of it */
                    timeout_start(&conn->home->timeouts, &conn->timeout, TIMEOUT_BODY);
                break;
            }
            conn->state = CONN_HEAD;
        }
        if (conn->at == conn->len) {
            if (conn->req == NULL)
                go_idle(conn);
            break;
        }
        if (!next_request(conn))
            break;
    }
    if (conn->state >= CONN_LINGER)
        return;
    if (conn->eof) {
        if (conn->state == CONN_REQUEST)
            return;
        if (conn->tls != NULL)
            (void)tls_close(conn->tls); /* answers close_notify; it need not arrive */
        conn_lost(conn);                /* nothing more will come, and nothing is owed */
        return;
    }
    if (conn->in == NULL || conn->len < conn->room)
        conn_read_on(conn);
}

/* ---- entries from the loop ------------------------------------------------------------------ */

static void handshake(struct conn *conn)
{
    int result = tls_handshake(conn->tls);

    if (result == TLS_AGAIN) {
        if (tls_wants_write(conn->tls))
            conn_want_write(conn);
        return;
    }
    if (result == TLS_LOST) {
        conn_close(conn);
        return;
    }
    conn->state = CONN_IDLE;
    atomic_fetch_add_explicit(&conn->home->idle_count, 1, memory_order_relaxed);
    conn_turn(conn);
}

static void read_body(struct conn *conn)
{
    struct andiron_request *req = conn->req;
    enum body_state state = body_continue(req);

    /* A lost connection has given its request up already. */
    if (state != BODY_WAITS && conn->req != NULL)
        phases_body(req, state);
    conn_turn(conn);
}

static void read_input(struct conn *conn)
{
    if (conn->in == NULL) {
        conn->in = input_take(conn->home);
        conn->room = INPUT_BYTES;
    }
    if (conn_fill(conn) == IO_LOST)
        conn_lost(conn);
    else
        conn_turn(conn);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct conn *conn = arg;

    (void)fd;
    (void)what;
    if (conn->state == CONN_HANDSHAKE)
        handshake(conn);
    else if (conn->state == CONN_LINGER)
        linger_read(conn);
    else if (conn->req != NULL && conn->req->reading)
        read_body(conn);
    else
        read_input(conn);
    conn_leave(conn);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct conn *conn = arg;

    (void)fd;
    (void)what;
    if (conn->state == CONN_HANDSHAKE) {
        handshake(conn);
    } else if (conn->req != NULL && conn->req->reply.begun) {
        send_writable(conn);
        conn_turn(conn);
    } else if (conn->state != CONN_LINGER) {
        on_readable(fd, EV_READ, conn); /* TLS had to write before it could read on */
        return;
    }
    conn_leave(conn);
}

static struct conn *conn_of(struct timeout *timeout)
{
    return (struct conn *)(void *)((char *)timeout - offsetof(struct conn, timeout));
}

static void request_too_late(struct andiron_request *req)
{
    struct conn *conn = req->conn;

    stats_add(&req->home->stats.rejected[HTTP_REJECTED_DEADLINE], 1);
    andiron_request_log(req, ANDIRON_LOG_WARN, "http.request-timeout",
                        "no answer within http.request-timeout; it waits for what %s began",
                        phases_waits_for(req));
    conn_refuse(conn, 504, ANDIRON_E_TIMEOUT, "the answer took too long");
    conn_leave(conn);
}

void conn_timeout_ended(struct timeout *timeout, enum timeout_class class)
{
    struct conn *conn = conn_of(timeout);

    if (class == TIMEOUT_REQUEST) {
        request_too_late((void *)((char *)timeout - offsetof(struct andiron_request, timeout)));
        return;
    }
    if (class == TIMEOUT_HEADER || class == TIMEOUT_BODY || class == TIMEOUT_WRITE)
        stats_add(&conn->home->stats.rejected[HTTP_REJECTED_TIMEOUT], 1);
    /* Who has sent part of a request is told; who has sent nothing is not waiting for anything. */
    if ((class == TIMEOUT_HEADER && conn->len != conn->at) ||
        (class == TIMEOUT_BODY && conn->req != NULL && !conn->req->reply.begun)) {
        record_refusal(conn, 408, "the request was not sent in time");
        conn_refuse(conn, 408, ANDIRON_E_TIMEOUT, NULL);
    } else {
        conn_lost(conn);
    }
    conn_leave(conn);
}

/* ---- the beginning of a connection ------------------------------------------------------------- */

void conn_open(struct http_loop *home, struct conn *conn)
{
    if (home->closed) { /* it was handed over when the loop had ended already */
        (void)close(conn->fd);
        server_conn_closed(home->server, conn);
        free(conn);
        return;
    }
    conn->home = home;
    conn->next = home->conns;
    if (conn->next != NULL)
        conn->next->prev = conn;
    home->conns = conn;
    stats_add(&home->stats.connections, 1);
    (void)event_assign(&conn->read_event, home->base, conn->fd, EV_READ | EV_PERSIST, on_readable,
                       conn);
    (void)event_assign(&conn->write_event, home->base, conn->fd, EV_WRITE, on_writable, conn);
    conn->head_timed = true;
    timeout_start(&home->timeouts, &conn->timeout, TIMEOUT_HEADER);
    if (conn->listener->tls) {
        conn->state = CONN_HANDSHAKE;
        conn->tls = tls_new(server_tls(home->server), conn->fd);
        if (conn->tls == NULL)
            conn_close(conn);
        else
            conn_want_read(conn, true);
    } else {
        conn->state = CONN_IDLE;
        atomic_fetch_add_explicit(&home->idle_count, 1, memory_order_relaxed);
        /* The request is often there by the time a connection is accepted. */
        read_input(conn);
    }
    conn_leave(conn);
}

void conn_close_idle(struct http_loop *home)
{
    struct conn *conn = home->conns;

    while (conn != NULL) {
        struct conn *next = conn->next;

        if (conn->state == CONN_IDLE || conn->state == CONN_HANDSHAKE) {
            conn_close(conn);
            conn_leave(conn);
        }
        conn = next;
    }
}

void conn_close_oldest_idle(struct http_loop *home)
{
    struct timeout *oldest = timeouts_first(&home->timeouts, TIMEOUT_IDLE);
    struct conn *conn;

    if (oldest == NULL) /* nor has anybody been served: then who has been silent longest */
        oldest = timeouts_first(&home->timeouts, TIMEOUT_HEADER);
    if (oldest == NULL)
        return;
    conn = conn_of(oldest);
    conn_lost(conn);
    conn_leave(conn);
}

void conn_close_all(struct http_loop *home)
{
    struct conn *conn;

    while ((conn = home->conns) != NULL) {
        conn_lost(conn); /* NOLINT(clang-analyzer-unix.Malloc): conn_leave() takes it off the list */
        conn_leave(conn);
    }
}
