/*
 * Request bodies: from the wire, by length or in chunks, perhaps gzipped, to one view or to
 * pieces. Limits are checked before memory is taken.
 */
#ifndef CORE_HTTP_BODY_H
#define CORE_HTTP_BODY_H

#include "http/request.h"

struct http_server;

enum {
    BODY_WINDOW = 4096,        /* room behind the head for reading chunks */
    BODY_PIECE = 64 * 1024,    /* of an UPLOAD */
    BODY_SKIP_MAX = 64 * 1024, /* unwanted bytes that are read rather than closing */
    BODY_POOL_JSON = 512 * 1024
};

enum body_state { BODY_DONE, BODY_WAITS, BODY_FAILED };

/*
 * Begins to read the body of a request whose principal is known. FAILED: the request has its
 * error reply (413, 415, 503). WAITS: body_readable() will finish it.
 */
enum body_state body_begin(struct andiron_request *req);

/*
 * Receives more and takes it; called when the socket is readable. FAILED: the
 * request has its reply, or its connection is lost.
 */
enum body_state body_continue(struct andiron_request *req);

/* Sets json_state. The same as work for the pool. */
void body_parse_json(void *req);
/* Large enough to be parsed on the pool. */
bool body_is_large_json(const struct andiron_request *req);

/* A gzip body that has come, only the beginning of which is inflated: the rest is for the pool. */
bool body_is_packed(const struct andiron_request *req);
void body_unpack(void *req);
/* Back on the loop: whether that failed; then the request has its error reply (400, 413, 503). */
bool body_refuses(struct andiron_request *req);

/* The rest need not be read to keep the connection in order. */
bool body_can_skip(const struct andiron_request *req);

/* Frees what was gathered, and takes it off the server's account. Any thread. */
void body_release(struct body *body, struct http_server *server);

#endif
