/*
 * Responses onto the socket.
 *
 * A whole response is one sendmsg() of a head, built in a buffer of the loop, and
 * the body where it lies. Only what the socket does not take is kept: the
 * rest of the head is copied into the request's arena, the body stays where it is.
 */
#include "http/send.h"

#include <errno.h>
#include <stdio.h>
#include <sys/sendfile.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "http/body.h"
#include "http/conn.h"
#include "http/per_loop.h"
#include "http/phases.h"
#include "http/reply.h"
#include "http/server.h"

enum {
    HEAD_MAX = 256 * 1024,
    FILE_TURN = 1024 * 1024, /* of one file, until others have their turn */
    FILE_BLOCK = 16 * 1024   /* read at a time where sendfile() cannot be used */
};

/* ---- heads ----------------------------------------------------------------------- */

#define LINE(code, words) [code - 200] = "HTTP/1.1 " #code " " words "\r\n"

static const char status_lines[][48] = {
    LINE(200, "OK"),
    LINE(201, "Created"),
    LINE(202, "Accepted"),
    LINE(204, "No Content"),
    LINE(206, "Partial Content"),
    LINE(301, "Moved Permanently"),
    LINE(302, "Found"),
    LINE(303, "See Other"),
    LINE(304, "Not Modified"),
    LINE(307, "Temporary Redirect"),
    LINE(308, "Permanent Redirect"),
    LINE(400, "Bad Request"),
    LINE(401, "Unauthorized"),
    LINE(403, "Forbidden"),
    LINE(404, "Not Found"),
    LINE(405, "Method Not Allowed"),
    LINE(406, "Not Acceptable"),
    LINE(408, "Request Timeout"),
    LINE(409, "Conflict"),
    LINE(410, "Gone"),
    LINE(412, "Precondition Failed"),
    LINE(413, "Content Too Large"),
    LINE(414, "URI Too Long"),
    LINE(415, "Unsupported Media Type"),
    LINE(416, "Range Not Satisfiable"),
    LINE(417, "Expectation Failed"),
    LINE(422, "Unprocessable Content"),
    LINE(428, "Precondition Required"),
    LINE(429, "Too Many Requests"),
    LINE(431, "Request Header Fields Too Large"),
    LINE(500, "Internal Server Error"),
    LINE(501, "Not Implemented"),
    LINE(503, "Service Unavailable"),
    LINE(504, "Gateway Timeout"),
    LINE(505, "HTTP Version Not Supported"),
    LINE(507, "Insufficient Storage"),
};

andiron_str send_status_line(int status)
{
    static _Thread_local char other[32];
    size_t index = (size_t)status - 200;

    if (index < sizeof(status_lines) / sizeof(status_lines[0]) && status_lines[index][0] != '\0')
        return andiron_str_of(status_lines[index]);
    (void)snprintf(other, sizeof(other), "HTTP/1.1 %03d \r\n", status < 1000 ? status : 500);
    return andiron_str_of(other);
}

const char *send_date(struct http_loop *home)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME_COARSE, &now); /* cannot fail for this clock */
    if (now.tv_sec != home->date_second) {
        home->date_second = now.tv_sec;
        andiron_http_date((andiron_usec)now.tv_sec * 1000000, home->date);
    }
    return home->date;
}

struct head_writer {
    char *at;
};

static void put(struct head_writer *w, const char *bytes, size_t len)
{
    memcpy(w->at, bytes, len);
    w->at += len;
}
#define PUT(w, literal) put(w, literal, sizeof(literal) - 1)

static void put_number(struct head_writer *w, uint64_t n)
{
    char digits[20];
    size_t at = sizeof(digits);

    do
        digits[--at] = (char)('0' + n % 10);
    while ((n /= 10) != 0);
    put(w, digits + at, sizeof(digits) - at);
}

static bool has_no_body(int status)
{
    return status == 204 || status == 304;
}

static size_t head_room(const struct andiron_request *req)
{
    const struct reply *reply = &req->reply;
    size_t room = 512 + req->id.len + (reply->type != NULL ? strlen(reply->type) : 0);

    for (size_t i = 0; i < reply->header_count; i++)
        room += strlen(reply->headers[i].name) + reply->headers[i].value.len + 4;
    return room;
}

static void put_framing(struct head_writer *w, const struct andiron_request *req)
{
    const struct reply *reply = &req->reply;

    if (has_no_body(reply->status))
        return;
    if (reply->kind == REPLY_STREAM) {
        if (reply->chunked)
            PUT(w, "Transfer-Encoding: chunked\r\n");
        return;
    }
    PUT(w, "Content-Length: ");
    put_number(w, reply->kind == REPLY_FILE ? reply->left : reply->body.len);
    PUT(w, "\r\n");
}

/* The head into the loop's buffer; absent if it is longer than any sane one. */
static andiron_str write_head(struct andiron_request *req)
{
    struct http_loop *home = req->home;
    struct reply *reply = &req->reply;
    struct head_writer w;
    andiron_str line = send_status_line(reply->status);

    home->head.len = 0;
    if (buffer_reserve(&home->head, head_room(req)) != 0)
        return (andiron_str){ NULL, 0 };
    w.at = home->head.data;
    put(&w, line.data, line.len);
    PUT(&w, "Date: ");
    put(&w, send_date(home), 29);
    PUT(&w, "\r\nX-Request-Id: ");
    put(&w, req->id.data, req->id.len);
    PUT(&w, "\r\n");
    if (reply->type != NULL && !has_no_body(reply->status)) {
        PUT(&w, "Content-Type: ");
        put(&w, reply->type, strlen(reply->type));
        PUT(&w, "\r\n");
    }
    put_framing(&w, req);
    if (reply->close)
        PUT(&w, "Connection: close\r\n");
    else if (req->head.minor == 0)
        PUT(&w, "Connection: keep-alive\r\n");
    for (size_t i = 0; i < reply->header_count; i++) {
        const struct reply_header *header = &reply->headers[i];

        put(&w, header->name, strlen(header->name));
        PUT(&w, ": ");
        put(&w, header->value.data, header->value.len);
        PUT(&w, "\r\n");
    }
    PUT(&w, "\r\n");
    return (andiron_str){ home->head.data, (size_t)(w.at - home->head.data) };
}

/* Whether the connection can be used again, which the head must say. */
static void decide_close(struct andiron_request *req)
{
    struct reply *reply = &req->reply;

    if (!req->head.keep_alive || (req->conn->eof && req->conn->body_at == req->conn->len) ||
        http_server_draining(req->home->server) || !body_can_skip(req) ||
        (reply->kind == REPLY_STREAM && !reply->chunked))
        reply->close = true;
}

static void begin(struct andiron_request *req)
{
    req->reply.begun = true;
    timeout_stop(&req->timeout);
    decide_close(req);
}

/* ---- whole responses ----------------------------------------------------------------- */

static enum send_state wait_writable(struct conn *conn)
{
    conn_want_write(conn);
    timeout_start(&conn->home->timeouts, &conn->timeout, TIMEOUT_WRITE);
    return SEND_BLOCKED;
}

/* Takes `sent` bytes off the front of two views. */
static void advance(andiron_str pieces[2], size_t sent)
{
    for (int i = 0; i < 2; i++) {
        size_t part = sent < pieces[i].len ? sent : pieces[i].len;

        pieces[i].data += part;
        pieces[i].len -= part;
        sent -= part;
    }
}

static enum send_state send_pieces(struct conn *conn, andiron_str pieces[2], bool more)
{
    while (pieces[0].len + pieces[1].len != 0) {
        struct iovec iov[2];
        int count = 0;
        ssize_t sent;

        for (int i = 0; i < 2; i++) {
            if (pieces[i].len != 0)
                iov[count++] = (struct iovec){ .iov_base = (char *)(uintptr_t)pieces[i].data,
                                               .iov_len = pieces[i].len };
        }
        sent = conn_send(conn, iov, count, more);
        if (sent == IO_LOST)
            return SEND_LOST;
        if (sent == IO_AGAIN)
            return wait_writable(conn);
        advance(pieces, (size_t)sent);
    }
    return SEND_DONE;
}

static enum send_state send_whole(struct andiron_request *req)
{
    struct reply *reply = &req->reply;
    andiron_str *unsent = reply->unsent;
    enum send_state state;
    bool fresh = !reply->begun;

    if (fresh) {
        begin(req);
        unsent[0] = write_head(req);
        if (unsent[0].data == NULL)
            return SEND_LOST;
        if (!req->is_head && !has_no_body(reply->status)) {
            unsent[1] = reply->body;
            reply->bytes = reply->body.len;
        }
    }
    state = send_pieces(req->conn, unsent, false);
    /* The loop's buffer is for the next response. */
    if (fresh && state == SEND_BLOCKED && unsent[0].len != 0)
        unsent[0].data = andiron_copy(req->arena, unsent[0]);
    return state;
}

/* ---- files ------------------------------------------------------------------------------- */

/* Through memory: for TLS. What is read and not sent at once is read again. */
static ssize_t copy_file(struct conn *conn, struct reply *reply, size_t most)
{
    char block[FILE_BLOCK];
    ssize_t got =
        pread(reply->fd, block, most < sizeof(block) ? most : sizeof(block), (off_t)reply->offset);
    struct iovec piece = { .iov_base = block };

    if (got <= 0)
        return IO_LOST;
    piece.iov_len = (size_t)got;
    return conn_send(conn, &piece, 1, reply->left > (uint64_t)got);
}

static ssize_t send_block(struct conn *conn, struct reply *reply, size_t most)
{
    off_t offset = (off_t)reply->offset;
    ssize_t sent;

    if (conn->tls != NULL)
        return copy_file(conn, reply, most);
    do
        sent = sendfile(conn->fd, reply->fd, &offset, most);
    while (sent < 0 && errno == EINTR);
    if (sent < 0)
        return errno == EAGAIN ? IO_AGAIN : IO_LOST;
    return sent > 0 ? sent : IO_LOST; /* 0: the file is shorter than was promised */
}

static enum send_state send_file(struct andiron_request *req)
{
    struct reply *reply = &req->reply;
    struct conn *conn = req->conn;
    size_t turn = FILE_TURN;
    enum send_state state;

    if (!reply->begun) {
        begin(req);
        reply->unsent[0] = write_head(req);
        if (reply->unsent[0].data == NULL)
            return SEND_LOST;
        if (req->is_head || has_no_body(reply->status))
            reply->left = 0;
        reply->bytes = reply->left;
        /* A file takes its turns: the head must outlive this one. */
        reply->unsent[0].data = andiron_copy(req->arena, reply->unsent[0]);
    }
    state = send_pieces(conn, reply->unsent, reply->left != 0);
    if (state != SEND_DONE)
        return state;
    while (reply->left != 0) {
        size_t most = reply->left < turn ? (size_t)reply->left : turn;
        ssize_t sent = most != 0 ? send_block(conn, reply, most) : IO_AGAIN;

        if (sent == IO_LOST)
            return SEND_LOST;
        if (sent == IO_AGAIN)
            return wait_writable(conn);
        reply->offset += (uint64_t)sent;
        reply->left -= (uint64_t)sent;
        turn -= (size_t)sent;
    }
    return SEND_DONE;
}

/* ---- streams -------------------------------------------------------------------------------- */

/* The head goes in front of what is gathered, so that both leave in one call. */
static bool begin_stream(struct andiron_request *req)
{
    struct reply *reply = &req->reply;
    andiron_str head;

    begin(req);
    head = write_head(req);
    if (head.data == NULL)
        return false;
    if (req->is_head || has_no_body(reply->status)) {
        reply->out.len = reply->gather_at = 0;
        reply->chunked = false;
        reply->bytes = 0;
    }
    if (buffer_reserve(&reply->out, head.len) != 0)
        return false;
    memmove(reply->out.data + head.len, reply->out.data, reply->out.len);
    memcpy(reply->out.data, head.data, head.len);
    reply->out.len += head.len;
    reply->gather_at += head.len;
    return true;
}

static enum send_state send_out(struct andiron_request *req)
{
    struct reply *reply = &req->reply;
    andiron_str pieces[2] = { buffer_str(&reply->out), { NULL, 0 } };
    enum send_state state = send_pieces(req->conn, pieces, false);

    reply->gather_at -= reply->out.len - pieces[0].len;
    buffer_drop(&reply->out, reply->out.len - pieces[0].len);
    return state;
}

enum send_state send_stream(struct andiron_request *req, bool all)
{
    struct reply *reply = &req->reply;
    enum send_state state;

    if (reply->broken)
        return SEND_LOST;
    if (!reply->begun && !begin_stream(req))
        return SEND_LOST;
    reply_frame(reply, false);
    if (!reply->chunked)
        reply->gather_at = reply->out.len;
    state = send_out(req);
    if (state == SEND_BLOCKED && !all &&
        reply->out.len < phases_stream_limit(req->home->settings) / 2)
        return SEND_DONE;
    return state;
}

static enum send_state finish_stream(struct andiron_request *req)
{
    struct reply *reply = &req->reply;

    if (reply->broken || (!reply->begun && !begin_stream(req)))
        return SEND_LOST;
    if (!reply->last) {
        reply->last = true;
        reply_frame(reply, true);
    }
    return send_out(req);
}

enum send_state send_response(struct andiron_request *req)
{
    switch (req->reply.kind) {
    case REPLY_STREAM:
        return finish_stream(req);
    case REPLY_FILE:
        return send_file(req);
    case REPLY_WHOLE:
    case REPLY_NONE:
        break;
    }
    return send_whole(req);
}

void send_writable(struct conn *conn)
{
    struct andiron_request *req = conn->req;
    enum send_state state;

    timeout_stop(&conn->timeout);
    if (req->stage == STAGE_SEND) {
        phases_run(req);
        return;
    }
    /* A stream in the making: its writer goes on when there is room. */
    state = send_stream(req, false);
    if (state == SEND_LOST) {
        conn_lost(conn);
    } else if (state == SEND_DONE && req->blocked) {
        req->blocked = false;
        req->ready = false;
        phases_run(req);
    }
}
