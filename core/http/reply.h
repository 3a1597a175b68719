/*
 * The response of a request, as steps make it; how it reaches the socket is in send.c.
 */
#ifndef CORE_HTTP_REPLY_H
#define CORE_HTTP_REPLY_H

#include "http/request.h"

struct reply_issue {
    struct reply_issue *next;
    struct andiron_error error;
};

enum { REPLY_CHUNK_HEAD = 8 }; /* "00ffff\r\n" before the bytes a stream gathers */

/* The response is decided: an error becomes its body, an unsent stream a whole response. */
void reply_settle(struct andiron_request *req);

/* The gathered bytes become a chunk, where the stream is framed in chunks. */
void reply_frame(struct reply *reply, bool last);

#endif
