/*
 * From a received head to a request that the phase engine can take.
 */
#ifndef CORE_HTTP_BEGIN_H
#define CORE_HTTP_BEGIN_H

#include "http/conn.h"

/* An empty request whose head is about to be parsed. */
struct andiron_request *begin_request(struct conn *conn);

/* Its head is incomplete: other requests may be parsed before the rest comes. */
void begin_wait(struct andiron_request *req);

/*
 * Its head is complete and stays where it is: id, path, route, client address. What is wrong
 * with them becomes the request's reply.
 */
void begin_head(struct andiron_request *req);

#endif
