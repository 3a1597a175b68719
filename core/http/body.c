/*
 * Request bodies: framing off, coding off, gathered or handed out in pieces.
 *
 * A body of known length that fits beside its head stays in the connection's
 * input buffer. A longer one is received straight into memory of its size;
 * chunked and coded ones pass through the input buffer piece by piece.
 */
#include "http/body.h"

#include <stdlib.h>

#include "http/coding.h"
#include "http/conn.h"
#include "http/phases.h"
#include "http/stats.h"

/* New pages are cleared as they are written: a quarter of a megabyte at once is 0.1 to 0.2 ms. */
enum { RESERVE_STEP = 64 * 1024, RECEIVE_STEP = 256 * 1024 };

/* What takes a loop about 0.2 ms. */
enum { INFLATE_AT_ONCE = 64 * 1024 };

static const char continue_line[] = "HTTP/1.1 100 Continue\r\n\r\n";

/* Where only the content is wrong: it is known where the next request begins. */
static enum body_state refuse_content(struct andiron_request *req, enum andiron_code code,
                                      const char *reason)
{
    req->reading = false;
    (void)andiron_fail(req, code, "%s", reason);
    return BODY_FAILED;
}

static enum body_state refuse(struct andiron_request *req, enum andiron_code code,
                              const char *reason)
{
    req->reply.close = true;
    return refuse_content(req, code, reason);
}

static enum body_state too_large(struct andiron_request *req)
{
    stats_add(&req->home->stats.rejected[HTTP_REJECTED_SIZE], 1);
    (void)refuse(req, ANDIRON_E_TOO_LARGE, "");
    (void)andiron_fail(req, ANDIRON_E_TOO_LARGE, "the body may have at most %llu bytes here",
                       (unsigned long long)req->body.limit);
    return BODY_FAILED;
}

static enum body_state no_memory(struct andiron_request *req)
{
    stats_add(&req->home->stats.rejected[HTTP_REJECTED_MEMORY], 1);
    return refuse(req, ANDIRON_E_UNAVAILABLE,
                  "too many large requests at a time; try again in a moment");
}

/* Counts memory for `bytes` of body in all against body-memory. */
static bool reserve(struct andiron_request *req, uint64_t bytes)
{
    struct body *body = &req->body;
    uint64_t wanted;

    if (bytes <= body->reserved)
        return true;
    wanted = body->framing == HTTP_BODY_LENGTH && body->inflate == NULL
                 ? bytes
                 : (bytes + RESERVE_STEP - 1) / RESERVE_STEP * RESERVE_STEP;
    if (!server_reserve(req->home->server, wanted - body->reserved))
        return false;
    body->reserved = wanted;
    return true;
}

static uint64_t limit_of(const struct andiron_request *req)
{
    const struct http_settings *settings = req->home->settings;
    unsigned flags = req->match.route->route->flags;
    int64_t limit = settings->max_body;

    if ((flags & ANDIRON_ROUTE_UPLOAD) != 0)
        return UINT64_MAX;
    if (req->principal->kind == ANDIRON_ANONYMOUS)
        limit = settings->max_body_anonymous;
    return limit > 0 ? (uint64_t)limit : UINT64_MAX;
}

/* ---- framing ------------------------------------------------------------------ */

/*
 * The next piece of the body that has been received, as a view into the input
 * buffer; empty: none yet, or the end (complete is set).
 */
static int next_raw(struct andiron_request *req, andiron_str *ret)
{
    struct body *body = &req->body;
    struct conn *conn = req->conn;
    size_t have = conn->len - conn->body_at, used = 0;
    const char *at = conn->in + conn->body_at;

    *ret = (andiron_str){ NULL, 0 };
    if (body->framing == HTTP_BODY_LENGTH) {
        used = have < body->left ? have : (size_t)body->left;
        *ret = (andiron_str){ at, used };
        body->left -= used;
        body->complete = body->left == 0;
    } else if (have != 0) {
        switch (http_chunked_next(&body->chunked, at, have, &used, ret)) {
        case HTTP_CHUNK_ERROR:
            return -1;
        case HTTP_CHUNK_END:
            body->complete = true;
            break;
        case HTTP_CHUNK_MORE:
            *ret = (andiron_str){ NULL, 0 };
            break;
        case HTTP_CHUNK_DATA:
            break;
        }
    }
    conn->body_at += (uint32_t)used;
    body->bytes += used;
    return 0;
}

static enum body_state chunk_error(struct andiron_request *req)
{
    stats_add(&req->home->stats.rejected[HTTP_REJECTED_SYNTAX], 1);
    return refuse(req, ANDIRON_E_INVALID, req->body.chunked.reason);
}

/* Receives into the input buffer, from behind the head again when all before is used. */
static ssize_t fill(struct andiron_request *req)
{
    struct conn *conn = req->conn;

    if (conn->body_at == conn->len)
        conn->body_at = conn->len = conn->at + req->head.bytes;
    return conn_fill(conn);
}

/* ---- gathering -------------------------------------------------------------------- */

static enum body_state finish(struct andiron_request *req, andiron_str view)
{
    req->body.complete = true;
    req->body.view = view;
    req->reading = false;
    return BODY_DONE;
}

static enum body_state add(struct andiron_request *req, andiron_str piece)
{
    struct body *body = &req->body;

    if (piece.len > body->limit - body->gathered.len)
        return too_large(req);
    if (!reserve(req, body->gathered.len + piece.len))
        return no_memory(req);
    (void)buffer_add(&body->gathered, piece.data, piece.len); /* its maximum is above the limit */
    return BODY_WAITS;
}

/*
 * Inflates what has come until there are `enough` bytes, or a piece of an UPLOAD is full. Touches
 * nothing of the request that a thread of the pool may not.
 */
static enum body_fault inflate_until(struct andiron_request *req, size_t enough)
{
    struct body *body = &req->body;
    struct buffer *out = &body->gathered;

    while ((body->coded.len != 0 || body->inflate_on) && out->len < enough) {
        size_t step = out->cap < RESERVE_STEP ? RESERVE_STEP : out->cap, len;
        enum coding_result result;

        if (out->len == out->cap) {
            if (body->piecewise && out->cap != 0)
                return BODY_FAULT_NONE;
            /* The maximum lies above the limit: there is room to see that a body passes it. */
            if (step > out->max - out->len)
                step = out->max - out->len;
            if (!reserve(req, out->len + step + body->packed.len))
                return BODY_FAULT_MEMORY;
            if (buffer_reserve(out, step) != 0)
                return BODY_FAULT_LARGE;
        }
        result = coding_inflate(body->inflate, &body->coded, out->data + out->len,
                                out->cap - out->len, &len);
        out->len += len;
        body->inflate_on = result == CODING_FULL;
        if (result == CODING_ERROR)
            return coding_inflate_status(body->inflate) == 413 ? BODY_FAULT_LARGE
                                                               : BODY_FAULT_CODING;
        if (result == CODING_END)
            body->inflated = true;
    }
    return BODY_FAULT_NONE;
}

static enum body_state refuse_fault(struct andiron_request *req, enum body_fault fault)
{
    switch (fault) {
    case BODY_FAULT_NONE:
        break;
    case BODY_FAULT_MEMORY:
        return no_memory(req);
    case BODY_FAULT_LARGE:
        return too_large(req);
    case BODY_FAULT_CODING:
        return refuse_content(req, ANDIRON_E_INVALID, coding_inflate_reason(req->body.inflate));
    case BODY_FAULT_CUT:
        return refuse_content(req, ANDIRON_E_INVALID, "the gzip body was cut off");
    }
    return BODY_WAITS;
}

static enum body_state inflate(struct andiron_request *req, size_t enough)
{
    return refuse_fault(req, inflate_until(req, enough));
}

/* A coded piece: its beginning is inflated at once, what is behind waits for the pool. */
static enum body_state add_coded(struct andiron_request *req)
{
    struct body *body = &req->body;

    if (inflate(req, INFLATE_AT_ONCE) == BODY_FAILED)
        return BODY_FAILED;
    if (body->coded.len > body->limit - body->packed.len)
        return too_large(req);
    if (!reserve(req, body->gathered.cap + body->packed.len + body->coded.len))
        return no_memory(req);
    (void)buffer_add(&body->packed, body->coded.data, body->coded.len); /* its maximum: as above */
    body->coded.len = 0;
    return BODY_WAITS;
}

bool body_is_packed(const struct andiron_request *req)
{
    return req->body.packed.len != 0 || (req->body.inflate_on && !req->body.piecewise);
}

void body_unpack(void *arg)
{
    struct andiron_request *req = arg;
    struct body *body = &req->body;

    body->coded = buffer_str(&body->packed);
    body->fault = inflate_until(req, SIZE_MAX);
    if (body->fault == BODY_FAULT_NONE && !body->inflated)
        body->fault = BODY_FAULT_CUT;
    body->inflate_on = false;
    body->coded.len = 0;
    buffer_free(&body->packed);
    body->view = buffer_str(&body->gathered);
}

bool body_refuses(struct andiron_request *req)
{
    return refuse_fault(req, req->body.fault) == BODY_FAILED;
}

/* Chunked and coded bodies. */
static enum body_state gather(struct andiron_request *req)
{
    struct body *body = &req->body;
    andiron_str piece;

    do {
        if (next_raw(req, &piece) != 0)
            return chunk_error(req);
        body->coded = piece;
        if (body->inflate != NULL ? add_coded(req) == BODY_FAILED
                                  : piece.len != 0 && add(req, piece) == BODY_FAILED)
            return BODY_FAILED;
    } while (piece.len != 0 && !body->complete);
    if (!body->complete)
        return BODY_WAITS;
    if (body->inflate != NULL && !body->inflated && !body_is_packed(req))
        return refuse_fault(req, BODY_FAULT_CUT);
    return finish(req, buffer_str(&body->gathered));
}

/* A body of known length in memory of that size. */
static enum body_state receive_long(struct andiron_request *req)
{
    struct body *body = &req->body;
    andiron_str piece;

    if (next_raw(req, &piece) != 0) /* what came along with the head */
        return chunk_error(req);
    if (piece.len != 0) {
        memcpy(body->gathered.data + body->gathered.len, piece.data, piece.len);
        body->gathered.len += piece.len;
    }
    return body->complete ? finish(req, buffer_str(&body->gathered)) : BODY_WAITS;
}

static enum body_state receive_in_place(struct andiron_request *req)
{
    struct conn *conn = req->conn;
    andiron_str view;

    if (conn->len - conn->body_at < req->body.left)
        return BODY_WAITS;
    view = (andiron_str){ conn->in + conn->body_at, (size_t)req->body.left };
    conn->body_at += (uint32_t)req->body.left;
    req->body.bytes = req->body.left;
    req->body.left = 0;
    return finish(req, view);
}

static bool fits_in_place(const struct andiron_request *req)
{
    const struct conn *conn = req->conn;

    return req->body.framing == HTTP_BODY_LENGTH && req->head.coding == HTTP_CODING_IDENTITY &&
           req->body.gathered.data == NULL && req->body.left <= conn->room - conn->body_at;
}

static bool is_long(const struct andiron_request *req)
{
    return req->body.framing == HTTP_BODY_LENGTH && req->head.coding == HTTP_CODING_IDENTITY;
}

/* ---- in pieces ------------------------------------------------------------------------ */

/* The next piece as it came, or empty with complete or WAITS. */
static enum body_state plain_piece(struct andiron_request *req, andiron_str *ret)
{
    struct body *body = &req->body;

    ret->len = 0;
    while (!body->complete && ret->len == 0) {
        uint32_t before = req->conn->body_at;

        if (next_raw(req, ret) != 0)
            return chunk_error(req);
        if (ret->len == 0 && !body->complete && req->conn->body_at == before)
            return BODY_WAITS;
    }
    return BODY_DONE;
}

static enum body_state inflated_piece(struct andiron_request *req, andiron_str *ret)
{
    struct body *body = &req->body;
    enum body_state state = BODY_DONE;

    body->gathered.len = 0;
    while (body->gathered.len == 0 && state == BODY_DONE) {
        if (body->coded.len == 0 && !body->inflate_on) {
            if (body->complete)
                break;
            state = plain_piece(req, &body->coded);
            if (state == BODY_FAILED)
                return state;
        }
        if (inflate(req, SIZE_MAX) == BODY_FAILED)
            return BODY_FAILED;
    }
    *ret = buffer_str(&body->gathered);
    if (ret->len != 0)
        return BODY_DONE;
    if (body->complete && !body->inflated)
        return refuse_fault(req, BODY_FAULT_CUT);
    return state;
}

static enum body_state take_piece(struct andiron_request *req)
{
    struct body *body = &req->body;
    andiron_str piece = { NULL, 0 };
    enum body_state state =
        body->inflate != NULL ? inflated_piece(req, &piece) : plain_piece(req, &piece);

    if (state != BODY_DONE)
        return state;
    req->reading = false;
    *body->ret_piece = piece.len != 0 ? piece : (andiron_str){ NULL, 0 };
    return BODY_DONE;
}

/* ---- the whole --------------------------------------------------------------------------- */

static enum body_state take(struct andiron_request *req)
{
    if (req->body.piecewise)
        return take_piece(req);
    if (fits_in_place(req))
        return receive_in_place(req);
    if (is_long(req))
        return receive_long(req);
    return gather(req);
}

/* Memory for what will not fit beside the head. */
static enum body_state prepare(struct andiron_request *req)
{
    struct body *body = &req->body;

    size_t most = body->limit < SIZE_MAX / 4 ? (size_t)body->limit + RESERVE_STEP : SIZE_MAX / 4;

    buffer_init(&body->gathered, most);
    buffer_init(&body->packed, most);
    if (req->head.coding == HTTP_CODING_GZIP) {
        struct coding_limits limits = { .bytes = body->limit,
                                        .ratio = body->piecewise ? 0 : CODING_RATIO };

        body->inflate = coding_inflate_new(req->arena, &limits);
    }
    if (body->piecewise)
        return BODY_WAITS;
    if (fits_in_place(req) || !is_long(req))
        return BODY_WAITS;
    if (!reserve(req, body->left))
        return no_memory(req);
    if (buffer_reserve(&body->gathered, (size_t)body->left) != 0)
        return too_large(req);
    return BODY_WAITS;
}

static enum body_state send_continue(struct andiron_request *req)
{
    struct iovec line = { .iov_base = (char *)(uintptr_t)continue_line,
                          .iov_len = sizeof(continue_line) - 1 };

    req->body.owes_continue = false;
    /* A client that already sends does not wait for it. */
    if (req->conn->len != req->conn->body_at)
        return BODY_WAITS;
    /* Nothing else is on its way out, so a socket that has no room for this is broken. */
    if (conn_send(req->conn, &line, 1, false) != (ssize_t)line.iov_len) {
        conn_lost(req->conn);
        return BODY_FAILED;
    }
    return BODY_WAITS;
}

static void wait_for_bytes(struct andiron_request *req)
{
    req->reading = true;
    conn_read_on(req->conn);
    timeout_start(&req->home->timeouts, &req->conn->timeout, TIMEOUT_BODY);
}

enum body_state body_begin(struct andiron_request *req)
{
    struct body *body = &req->body;
    enum body_state state;

    if (body->framing == HTTP_BODY_NONE) {
        body->complete = true;
        return BODY_DONE;
    }
    body->limit = limit_of(req);
    if (req->head.coding == HTTP_CODING_OTHER)
        return refuse_content(req, ANDIRON_E_MEDIA_TYPE,
                              "Content-Encoding must be absent, \"identity\" or \"gzip\"");
    if (body->left > body->limit)
        return too_large(req);
    body->piecewise = (req->match.route->route->flags & ANDIRON_ROUTE_UPLOAD) != 0;
    if (prepare(req) == BODY_FAILED)
        return BODY_FAILED;
    if (body->owes_continue && send_continue(req) == BODY_FAILED)
        return BODY_FAILED;
    if (body->piecewise)
        return BODY_DONE;
    state = take(req);
    if (state == BODY_WAITS)
        wait_for_bytes(req);
    return state;
}

enum body_state body_continue(struct andiron_request *req)
{
    struct body *body = &req->body;
    struct conn *conn = req->conn;
    enum body_state state;
    ssize_t got;

    if (!body->piecewise && is_long(req) && !fits_in_place(req) && conn->body_at == conn->len) {
        got = conn_recv(conn, body->gathered.data + body->gathered.len,
                        body->left < RECEIVE_STEP ? (size_t)body->left : RECEIVE_STEP);
        if (got > 0) {
            body->gathered.len += (size_t)got;
            body->left -= (uint64_t)got;
            body->bytes += (uint64_t)got;
            body->complete = body->left == 0;
        }
    } else {
        got = fill(req);
    }
    if (got == IO_AGAIN)
        return BODY_WAITS;
    if (got <= 0) { /* it ended in the middle of the body */
        conn_lost(conn);
        return BODY_FAILED;
    }
    state = body->complete ? finish(req, buffer_str(&body->gathered)) : take(req);
    if (state == BODY_WAITS)
        timeout_start(&req->home->timeouts, &conn->timeout, TIMEOUT_BODY);
    else if (req->conn != NULL)
        timeout_stop(&conn->timeout);
    return state;
}

enum andiron_step andiron_request_read(struct andiron_request *req, andiron_str *ret_piece,
                                       andiron_step_fn then, void *state)
{
    struct body *body = &req->body;
    andiron_str none = { NULL, 0 };

    req->then = then;
    req->then_state = state;
    req->ready = true;
    *ret_piece = none;
    if (!body->piecewise) { /* also where there is no body, and for inner requests */
        *ret_piece = body->view;
        body->view = none;
        return ANDIRON_AGAIN;
    }
    if (req->conn == NULL)
        return ANDIRON_AGAIN; /* the client has left: the phase engine will notice */
    body->ret_piece = ret_piece;
    switch (take_piece(req)) {
    case BODY_DONE:
        return ANDIRON_AGAIN;
    case BODY_FAILED:
        req->ready = false;
        req->then = NULL; /* or it would be called, as if the body had come to its end */
        return ANDIRON_DONE;
    default:
        req->ready = false;
        wait_for_bytes(req);
        return ANDIRON_AGAIN;
    }
}

/* ---- JSON ------------------------------------------------------------------------------------ */

bool body_is_large_json(const struct andiron_request *req)
{
    andiron_str type;

    if (req->body.view.len < BODY_POOL_JSON)
        return false;
    type = andiron_request_header(req, "content-type");
    return type.data == NULL || memmem(type.data, type.len, "json", 4) != NULL;
}

void body_parse_json(void *arg)
{
    struct andiron_request *req = arg;
    struct andiron_error err = { 0 };

    if (req->body.view.len == 0)
        (void)andiron_error_set(&err, ANDIRON_E_STRUCTURE, "", "a JSON body is needed here");
    else if (andiron_json_parse(req->arena, req->body.view, &req->json, &err) == 0) {
        req->json_state = JSON_READ;
        return;
    }
    req->json_error = andiron_new(req->arena, struct andiron_error);
    *req->json_error = err;
    req->json_state = JSON_BAD;
}

bool body_can_skip(const struct andiron_request *req)
{
    const struct body *body = &req->body;

    if (body->complete || body->framing == HTTP_BODY_NONE)
        return true;
    return !body->owes_continue && body->left <= BODY_SKIP_MAX;
}

void body_release(struct body *body, struct http_server *server)
{
    buffer_free(&body->gathered);
    buffer_free(&body->packed);
    server_release(server, body->reserved);
    body->reserved = 0;
}
