/*
 * gzip of responses: which ones, and where the work is done.
 */
#ifndef CORE_HTTP_COMPRESS_H
#define CORE_HTTP_COMPRESS_H

#include "http/request.h"

/*
 * Compresses the decided response of a request if it is worth it and the client takes
 * it. false: the pool works on it; the request's stage is entered again afterwards.
 */
bool compress_reply(struct andiron_request *req);

#endif
