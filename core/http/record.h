/*
 * What is kept of a request that is over: access line, metrics, statistics.
 */
#ifndef CORE_HTTP_RECORD_H
#define CORE_HTTP_RECORD_H

#include "http/request.h"

void record_request(struct andiron_request *req);

/* A connection whose bytes were no request: only a status, and why. */
void record_refusal(struct conn *conn, int status, const char *reason);

#endif
