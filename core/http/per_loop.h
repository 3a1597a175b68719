/*
 * What the HTTP layer keeps for each loop: caches, timeouts, counters. Touched by that
 * loop's thread only, except the atomics.
 */
#ifndef CORE_HTTP_PER_LOOP_H
#define CORE_HTTP_PER_LOOP_H

#include <stdatomic.h>

#include "base/buffer.h"
#include "base/units.h"
#include "http/server.h"
#include "http/stats.h"
#include "http/timeouts.h"

struct conn;
struct deflater;
struct http_field;
struct http_limits;
struct tls_context;

enum {
    INPUT_BYTES = 16 * 1024,  /* of the usual input buffer */
    INPUT_SECRET = 64 * 1024, /* of a larger one, as much is overwritten when it is given back */
    INPUT_CACHED = 32         /* idle buffers a loop keeps */
};

/* What runs at the moment, for the watchdog's thread; crash reports read base/current.h. */
struct http_running {
    _Atomic(const struct http_owner *) owner; /* NULL: no step */
    atomic_uint steps;                        /* counts steps, so that two of one owner differ */
};

struct http_loop {
    struct http_server *server;
    const struct http_app *app;
    const struct http_settings *settings;
    struct andiron_loop *loop;
    struct event_base *base;
    struct timeouts timeouts;

    struct conn *conns;               /* all of this loop */
    struct andiron_request *requests; /* all of this loop, without inner ones */
    void *inputs;                     /* cached input buffers, linked through their first word */
    unsigned input_count;
    struct deflater *deflater;        /* of response bodies; made when first needed */
    struct shown_cache *shown;        /* what policies see of Clients and Users */
    struct http_field *fields;        /* where heads are parsed that arrive whole */
    struct buffer head;               /* where response heads are written */
    char date[ANDIRON_HTTP_DATE_LEN]; /* Date of this second */
    int64_t date_second;
    uint64_t id_seed, id_count; /* of request ids */
    unsigned begun;             /* requests, for sampling */
    bool closed;                /* the loop runs no more: nothing of plugins may be called */

    atomic_uint conn_count, idle_count;
    struct http_running running;
    struct stats stats;
};

/* An input buffer of INPUT_BYTES, and back; what it was used for is overwritten. */
char *input_take(struct http_loop *home);
void input_give(struct http_loop *home, char *input, size_t room, size_t used);

/* X-Request-Id of a request that brought none: 16 hex digits, NUL-terminated in arena. */
enum { REQUEST_ID_BYTES = 16 };
void per_loop_request_id(struct http_loop *home, char out[REQUEST_ID_BYTES + 1]);

/* The client's address behind proxies that we trust, or `remote` itself. */
andiron_str server_remote(const struct http_server *server, const struct conn *conn,
                          andiron_str forwarded);
/* What heads may have, and base-url (absent: from Host). */
const struct http_limits *server_limits(const struct http_server *server);
andiron_str server_base(const struct http_server *server);
/* TLS credentials of the listeners, or NULL. */
const struct tls_context *server_tls(const struct http_server *server);
/* A connection has ended: the counts per address. */
void server_conn_closed(struct http_server *server, const struct conn *conn);

/* Bytes of request bodies in flight, over all loops: false if the limit would be passed. */
bool server_reserve(struct http_server *server, uint64_t bytes);
void server_release(struct http_server *server, uint64_t bytes);

#endif
