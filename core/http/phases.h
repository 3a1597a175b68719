/*
 * The phase engine: takes a request through its stages, and is the only caller of steps.
 */
#ifndef CORE_HTTP_PHASES_H
#define CORE_HTTP_PHASES_H

#include "http/body.h"
#include "http/request.h"

/* Starts on a request whose head is complete. */
void phases_begin(struct andiron_request *req);
/* Its body, or the piece it waited for, has arrived or failed. */
void phases_body(struct andiron_request *req, enum body_state state);

/* Goes on with a request until it waits or is over (then it is freed). Not for inner ones. */
void phases_run(struct andiron_request *req);

/* A wait has ended, or a connection's turn has come: goes on with it and then its connection. */
void phases_resume(void *req);

/*
 * The client has gone, or the answer was given without the request (504): continuations are
 * skipped, LOG hooks see `status`. The connection must no longer refer to it. Frees it as soon as
 * nobody works for it.
 */
void phases_abandon(struct andiron_request *req, int status);

/* Somebody outside of the loop's thread may still use its arena. */
bool phases_busy(const struct andiron_request *req);

/* Name of the plugin whose step began the wait that a request is in. */
const char *phases_waits_for(const struct andiron_request *req);

/* Bytes that a stream gathers before they are sent, and beyond which its writer waits. */
size_t phases_stream_limit(const struct http_settings *settings);

#endif
