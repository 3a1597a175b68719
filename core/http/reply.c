/*
 * Responses: whole, streamed, from a file, or failed; and their headers.
 *
 * Nothing is sent here. A stream gathers its pieces in reply.out, behind
 * room for the head of one chunk; the phase engine hands them to the socket.
 */
#include "http/reply.h"

#include <stdarg.h>
#include <stdio.h>
#include <strings.h>
#include <unistd.h>

#include <andiron/log.h>

#include "base/arena.h"
#include "http/outcome.h"

static const struct andiron_error no_error;

/* ---- headers ------------------------------------------------------------------- */

/* Most names differ in their first letter; then nothing needs to be called. */
static inline bool same_name(const char *a, const char *b)
{
    return ((a[0] ^ b[0]) & ~0x20) == 0 && strcasecmp(a, b) == 0;
}

/* What core writes itself, since a wrong one would break the framing. */
static bool is_framing(const char *name)
{
    return same_name(name, "content-length") || same_name(name, "transfer-encoding") ||
           same_name(name, "connection");
}

/* RFC 9110 section 5.5: a value with CR, LF or NUL could add lines of its own. */
static bool is_clean(andiron_str value)
{
    const uint64_t ones = UINT64_MAX / 0xff, tops = ones << 7;
    uint64_t word;
    size_t i = 0;

    /* Eight at a time while there is surely none of them: 0x7f and below 0x20 have a top bit here. */
    for (; value.len - i >= sizeof(word); i += sizeof(word)) {
        memcpy(&word, value.data + i, sizeof(word));
        uint64_t other = word ^ (ones * 0x7f); /* 0 where it is 0x7f */
        if ((((word - ones * 0x20) & ~word) | ((other - ones) & ~other)) & tops)
            break;
    }
    for (; i < value.len; i++) {
        unsigned char c = (unsigned char)value.data[i];

        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

static void header_remove(struct reply *reply, size_t index)
{
    memmove(&reply->headers[index], &reply->headers[index + 1],
            (reply->header_count - index - 1) * sizeof(reply->headers[0]));
    reply->header_count--;
}

void andiron_reply_header(struct andiron_request *req, const char *name, andiron_str value)
{
    struct reply *reply = &req->reply;
    size_t at = 0;

    if (is_framing(name) || !is_clean(value)) {
        andiron_request_log(req, ANDIRON_LOG_ERROR, "plugin.fault",
                            "response header %s cannot be set to such a value", name);
        return;
    }
    while (at < reply->header_count && !same_name(reply->headers[at].name, name))
        at++;
    if (value.data == NULL) {
        if (at < reply->header_count)
            header_remove(reply, at);
        return;
    }
    if (at == reply->header_room) {
        uint16_t room = (uint16_t)(reply->header_room != 0 ? 2 * reply->header_room : 8);
        struct reply_header *grown = arena_take(req->arena, room * sizeof(*grown));

        if (at != 0)
            memcpy(grown, reply->headers, at * sizeof(*grown));
        reply->headers = grown;
        reply->header_room = room;
    }
    reply->headers[at] = (struct reply_header){ .name = name, .value = value };
    if (at == reply->header_count)
        reply->header_count++;
}

andiron_str andiron_replied_header(const struct andiron_request *req, const char *name)
{
    const struct reply *reply = &req->reply;

    for (size_t i = 0; i < reply->header_count; i++) {
        if (same_name(reply->headers[i].name, name))
            return reply->headers[i].value;
    }
    return (andiron_str){ NULL, 0 };
}

/* An error tells nothing about the representation it is given instead of. */
static void drop_representation(struct reply *reply)
{
    static const char *const names[] = { "etag",
                                         "last-modified",
                                         "location",
                                         "content-type",
                                         "content-encoding",
                                         "content-location",
                                         "content-disposition",
                                         "content-range",
                                         "accept-ranges" };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        for (size_t at = 0; at < reply->header_count; at++) {
            if (same_name(reply->headers[at].name, names[i])) {
                header_remove(reply, at);
                break;
            }
        }
    }
}

/* ---- whole ------------------------------------------------------------------------ */

/* Forgets an earlier answer; false if its first bytes are on their way. */
static bool restart(struct andiron_request *req)
{
    struct reply *reply = &req->reply;

    if (reply->begun)
        return false;
    if (reply->kind == REPLY_STREAM)
        buffer_free(&reply->out);
    reply->error = no_error;
    reply->body = (andiron_str){ NULL, 0 };
    reply->ended = false;
    return true;
}

enum andiron_step andiron_reply(struct andiron_request *req, int status, const char *content_type,
                                andiron_str body)
{
    struct reply *reply = &req->reply;

    if (!restart(req))
        return andiron_fail(req, ANDIRON_E_INTERNAL, "a second response after a stream had begun");
    reply->kind = REPLY_WHOLE;
    reply->status = status;
    reply->type = content_type;
    reply->body = body.data != NULL ? body : ANDIRON_STR("");
    return ANDIRON_DONE;
}

int andiron_reply_status(const struct andiron_request *req)
{
    return req->reply.status;
}

andiron_str andiron_reply_body(const struct andiron_request *req)
{
    return req->reply.body;
}

/* ---- errors ------------------------------------------------------------------------- */

enum andiron_step andiron_fail_with(struct andiron_request *req, const struct andiron_error *err)
{
    struct reply *reply = &req->reply;

    if (!restart(req)) {
        /* The status is out: all that is left is to let the client see a broken transfer. */
        reply->broken = true;
        andiron_request_log(req, ANDIRON_LOG_ERROR, "http.stream-broken", "%s", err->message);
        return ANDIRON_DONE;
    }
    drop_representation(reply);
    reply->kind = REPLY_WHOLE;
    reply->error = *err;
    if (reply->error.code == ANDIRON_OK)
        reply->error.code = ANDIRON_E_INTERNAL;
    reply->status = andiron_code_http(reply->error.code);
    return ANDIRON_DONE;
}

enum andiron_step andiron_fail(struct andiron_request *req, enum andiron_code code, const char *fmt,
                               ...)
{
    struct andiron_error err = { .code = code };
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(err.message, sizeof(err.message), fmt, args); /* cut if too long */
    va_end(args);
    return andiron_fail_with(req, &err);
}

void andiron_fail_also(struct andiron_request *req, const struct andiron_error *err)
{
    struct reply_issue *issue = andiron_new(req->arena, struct reply_issue), **end;

    issue->error = *err;
    for (end = &req->reply.issues; *end != NULL; end = &(*end)->next)
        ;
    *end = issue;
}

void reply_settle(struct andiron_request *req)
{
    struct reply *reply = &req->reply;

    if (reply->kind == REPLY_WHOLE && reply->error.code != ANDIRON_OK && reply->body.data == NULL)
        outcome_render(req);
    if (reply->kind == REPLY_STREAM && reply->ended && !reply->begun) {
        size_t skip = reply->chunked ? REPLY_CHUNK_HEAD : 0;

        reply->kind = REPLY_WHOLE;
        reply->body = reply->out.len > skip
                          ? (andiron_str){ reply->out.data + skip, reply->out.len - skip }
                          : ANDIRON_STR("");
    }
}

/* ---- streams ---------------------------------------------------------------------------- */

static void free_buffer(void *buffer)
{
    buffer_free(buffer);
}

void andiron_reply_start(struct andiron_request *req, int status, const char *content_type)
{
    struct reply *reply = &req->reply;

    if (!restart(req))
        return;
    reply->kind = REPLY_STREAM;
    reply->status = status;
    reply->type = content_type;
    reply->chunked = req->conn != NULL && req->head.minor == 1;
    buffer_init(&reply->out, SIZE_MAX / 2);
    reply->gather_at = 0;
    if (req->parent != NULL)
        andiron_at_release(req->arena, free_buffer, &reply->out);
}

enum andiron_step andiron_reply_write(struct andiron_request *req, andiron_str piece,
                                      andiron_step_fn then, void *state)
{
    struct reply *reply = &req->reply;

    req->then = then;
    req->then_state = state;
    req->ready = true;
    if (reply->kind != REPLY_STREAM || reply->ended || (req->is_head && reply->begun))
        return ANDIRON_AGAIN;
    if (piece.len == 0)
        return ANDIRON_AGAIN;
    if (reply->chunked && reply->out.len == reply->gather_at)
        (void)buffer_add(&reply->out, "00000000", REPLY_CHUNK_HEAD);
    (void)buffer_add(&reply->out, piece.data, piece.len); /* its maximum is out of reach */
    reply->bytes += piece.len;
    return ANDIRON_AGAIN;
}

enum andiron_step andiron_reply_end(struct andiron_request *req)
{
    req->reply.ended = true;
    return ANDIRON_DONE;
}

/* RFC 9112 section 7.1; leading zeros are allowed, and let the size be written afterwards. */
void reply_frame(struct reply *reply, bool last)
{
    static const char hex[] = "0123456789abcdef";
    size_t size = reply->out.len - reply->gather_at;

    if (!reply->chunked)
        return;
    if (size > REPLY_CHUNK_HEAD) {
        char *head = reply->out.data + reply->gather_at;

        size -= REPLY_CHUNK_HEAD;
        for (int i = REPLY_CHUNK_HEAD - 3; i >= 0; i--, size >>= 4)
            head[i] = hex[size & 15];
        memcpy(head + REPLY_CHUNK_HEAD - 2, "\r\n", 2);
        (void)buffer_add(&reply->out, "\r\n", 2);
    }
    if (last)
        (void)buffer_add(&reply->out, "0\r\n\r\n", 5);
    reply->gather_at = reply->out.len;
}

/* ---- files ---------------------------------------------------------------------------------- */

static void close_file(void *fd)
{
    (void)close((int)(intptr_t)fd); /* only read from: nothing can be lost */
}

enum andiron_step andiron_reply_file(struct andiron_request *req, int status,
                                     const char *content_type, int fd, uint64_t offset,
                                     uint64_t length)
{
    struct reply *reply = &req->reply;

    andiron_at_release(req->arena, close_file, (void *)(intptr_t)fd);
    if (!restart(req))
        return andiron_fail(req, ANDIRON_E_INTERNAL, "a second response after a stream had begun");
    reply->kind = REPLY_FILE;
    reply->status = status;
    reply->type = content_type;
    reply->fd = fd;
    reply->offset = offset;
    reply->left = length;
    return ANDIRON_DONE;
}
