/*
 * Responses onto the socket: head and body in one call, streams by what the peer takes, files by
 * sendfile. On the loop's thread.
 */
#ifndef CORE_HTTP_SEND_H
#define CORE_HTTP_SEND_H

#include "http/request.h"

enum send_state {
    SEND_DONE,    /* the socket has taken all */
    SEND_BLOCKED, /* it will be writable later: send_writable() */
    SEND_LOST     /* the connection is of no use any more */
};

/* Sends the decided response, or goes on with it. */
enum send_state send_response(struct andiron_request *req);

/*
 * Sends what a stream has gathered; without `all`, BLOCKED only while more than half of the
 * stream's limit is unsent.
 */
enum send_state send_stream(struct andiron_request *req, bool all);

/* The socket of a connection with a request can be written to. */
void send_writable(struct conn *conn);

/* Date of this second, "Sun, 06 Nov 1994 08:49:37 GMT". */
const char *send_date(struct http_loop *home);
/* "HTTP/1.1 404 Not Found\r\n" */
andiron_str send_status_line(int status);

#endif
