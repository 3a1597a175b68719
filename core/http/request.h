/*
 * struct andiron_request: what a request is inside core/http. Plugins see it through
 * andiron/request.h and andiron/async.h.
 *
 * It lies in its own arena, which is freed with it; an inner request lies in
 * the arena of the request it belongs to. Everything here happens on the
 * thread of its loop, except andiron_resume().
 */
#ifndef CORE_HTTP_REQUEST_H
#define CORE_HTTP_REQUEST_H

#include <stdatomic.h>

#include <andiron/async.h>
#include <andiron/auth.h>

#include "base/buffer.h"
#include "http/app.h"
#include "http/parse.h"
#include "http/route.h"
#include "http/timeouts.h"
#include "loop/loop.h"
#include "loop/pool.h"

struct conn;
struct http_loop;
struct inflate;

/* Where a request is. The order is the order of a request's life. */
enum request_stage {
    STAGE_JOB, /* only its own steps: andiron_job_start() */
    STAGE_RECEIVE,
    STAGE_ROUTED, /* no route: 404, 405 */
    STAGE_AUTHENTICATE,
    STAGE_BODY,  /* read, up to the limit for this principal */
    STAGE_PARSE, /* large JSON, on the pool */
    STAGE_AUTHORIZE,
    STAGE_GRANTED, /* default deny */
    STAGE_HANDLE,
    STAGE_RESPOND,
    STAGE_ENCODE, /* gzip, for large bodies on the pool */
    STAGE_SEND,   /* until the socket has taken it all */
    STAGE_LOG,
    STAGE_OVER
};

enum reply_kind {
    REPLY_NONE,
    REPLY_WHOLE,
    REPLY_STREAM, /* written piece by piece */
    REPLY_FILE
};

struct reply_header {
    const char *name;
    andiron_str value;
};

struct reply {
    enum reply_kind kind;
    int status;
    const char *type;
    struct reply_header *headers;
    uint16_t header_count, header_room;
    bool ended;     /* stream: nothing more will be written */
    bool responded; /* stream: RESPOND hooks have run */
    bool begun;     /* first bytes handed to the socket: the status is decided */
    bool chunked;   /* stream: framed in chunks */
    bool close;     /* the connection ends with this response */
    bool coded;     /* gzip; encode_tried: it has been looked at */
    bool encode_tried;
    bool last;   /* stream: the end has been framed */
    bool broken; /* failed after its first bytes: the connection must be cut */
    andiron_str body;
    struct buffer out; /* stream: bytes the socket has not taken, framed */
    size_t gather_at;  /* stream: where in out the unfinished chunk starts */
    int fd;            /* file */
    uint64_t offset, left;
    andiron_str unsent[2]; /* head and body that the socket did not take at once */
    uint64_t bytes;        /* sent or to be sent, without head */
    struct andiron_error error;
    struct reply_issue *issues; /* of andiron_fail_also() */
};

/* What is wrong with a body, as found where no reply can be given. */
enum body_fault {
    BODY_FAULT_NONE,
    BODY_FAULT_LARGE,
    BODY_FAULT_MEMORY,
    BODY_FAULT_CODING,
    BODY_FAULT_CUT
};

struct body {
    enum http_framing framing;
    bool wanted;        /* has been asked for: reading goes on */
    bool complete;      /* every byte has arrived */
    bool owes_continue; /* 100 Continue was asked for and not sent */
    bool piecewise;     /* UPLOAD: handed out piece by piece */
    uint64_t left;      /* Content-Length: bytes still to come */
    uint64_t limit;
    struct http_chunked chunked;
    struct inflate *inflate; /* of a gzip body */
    andiron_str coded;       /* received and not yet inflated; in the input buffer */
    bool inflate_on;         /* it had no room for all that came out */
    bool inflated;           /* its end has been seen */
    struct buffer gathered;  /* what does not fit beside the head */
    struct buffer packed;    /* of a long gzip body: what is yet to be inflated */
    enum body_fault fault;   /* found by body_unpack() */
    uint64_t reserved;       /* counted against body-memory */
    uint64_t bytes;          /* of the wire, for the access line */
    andiron_str view;
    andiron_str *ret_piece; /* UPLOAD: where the waiting handler wants the next piece */
};

struct request_note {
    struct request_note *next;
    const char *name;
    andiron_str value;
};

struct request_narrowing {
    struct request_narrowing *next;
    const struct andiron_narrowing *with; /* or, if NULL, one of a single type: */
    const char *type;
    struct andiron_limit limit;
};

struct request_param {
    andiron_str name, value;
};

struct andiron_request {
    struct andiron_arena *arena;
    struct http_loop *home;
    struct conn *conn;                   /* NULL: internal, or its client has left */
    struct andiron_request *parent;      /* of an inner request, else NULL */
    struct andiron_request *host;        /* of a job beside a request, else NULL */
    unsigned guests;                     /* jobs beside it that have not ended */
    struct andiron_request *next, *prev; /* all of this loop, without inner ones */

    /* the phase engine */
    uint8_t stage;
    uint16_t hook; /* next hook of the stage */
    andiron_step_fn then;
    void *then_state;
    const struct http_owner *then_owner;
    bool ready;   /* `then` need not be waited for */
    bool waiting; /* andiron_resume() will come */
    bool blocked; /* a stream waits for the socket */
    bool reading; /* waits for bytes of the body */
    bool dead;    /* client gone or out of time: continuations are skipped */
    bool is_head; /* HEAD, handled as GET */
    bool sampled; /* its steps are timed */
    bool check_only;
    bool routed_only;
    bool public_too;               /* needs a grant though its route is public */
    bool running;                  /* the phase engine is at work on it */
    struct andiron_request *inner; /* the one it waits for */
    atomic_bool resumable;
    struct loop_post post;
    struct pool_job job;
    void (*work)(void *state);
    void *work_state;

    /* what came in */
    struct http_head head;
    char *in;                              /* the bytes head's spans point into */
    char *owned_in;                        /* the same, once the connection has gone */
    uint32_t in_room;                      /* size of owned_in */
    const struct andiron_inner *presented; /* inner: headers come from here */
    andiron_str id, trace_parent, trace_id, method, path, query, base, remote;
    struct route_match match;
    const char *operation;
    enum route_side side;
    struct body body;
    struct request_param *params;
    size_t param_count;
    bool params_read;
    enum { JSON_UNREAD, JSON_READ, JSON_BAD } json_state;
    andiron_json json;
    struct andiron_error *json_error;

    /* who asks, what they may do */
    const struct andiron_principal *principal;
    const char *granted;
    struct request_note *notes;
    struct request_narrowing *narrowings;

    struct reply reply;
    struct timeout timeout; /* TIMEOUT_REQUEST */
    int64_t started_us;     /* monotonic; the first byte of the head */
    int64_t deadline_ms;    /* of timeouts_now(); INT64_MAX: none */
    const char *name;       /* of a job */
    struct event *job_timer;
};

extern const struct andiron_principal request_system;

/* A request in an arena of its own, in STAGE_RECEIVE, linked into its loop. */
struct andiron_request *request_new(struct http_loop *home);
/* The one whose connection, deadline and arena an inner request shares; itself if it is not one. */
static inline struct andiron_request *request_root(struct andiron_request *req)
{
    while (req->parent != NULL)
        req = req->parent;
    return req;
}
/* The one that came in over the wire, whose headers it is about; itself if there is none. */
static inline const struct andiron_request *request_origin(const struct andiron_request *req)
{
    while (req->parent != NULL || req->host != NULL)
        req = req->parent != NULL ? req->parent : req->host;
    return req;
}
/* Unlinks it and gives back its memory, body and buffers. Not for inner requests. */
void request_free(struct andiron_request *req);

/* ---- for http/policy.c ---------------------------------------------------------- */

/*
 * Walks the headers in order, *pos from 0; false at the end. Names are in lower case. Of an
 * inner request: those that its struct andiron_inner stands for.
 */
bool request_header_next(const struct andiron_request *req, size_t *pos, andiron_str *ret_name,
                         andiron_str *ret_value);
/* Variables of the matched route: NULL behind the last. */
const struct route_var *request_route_var(const struct andiron_request *req, size_t index);
/* Bundle this inner request is an entry of: "batch", "transaction", or NULL. */
const char *request_bundle(const struct andiron_request *req, size_t *ret_index);
/* "https" if it came by TLS or base-url says so. */
const char *request_scheme(const struct andiron_request *req);
bool request_is_public(const struct andiron_request *req);
bool request_is_oauth(const struct andiron_request *req);

/* Pattern of its route, or "" before routing and where there is none. */
andiron_str request_route(const struct andiron_request *req);

/*
 * Reads the parameters of query and form body. -1 and err: 400, too many of them or bad
 * percent-encoding. Later calls do nothing.
 */
ANDIRON_MUST_CHECK int request_params_read(struct andiron_request *req, struct andiron_error *err);

#endif
