/*
 * Listeners: loop 0 accepts and deals connections to the loop that has the fewest.
 */
#ifndef CORE_HTTP_ACCEPT_H
#define CORE_HTTP_ACCEPT_H

#include "http/shared.h"

void accept_prepare(struct http_server *server);
/* On loop 0. */
void accept_stop(struct http_server *server);
void accept_free(struct http_server *server);
/* After the last connection has ended. */
void accept_counts_free(struct http_server *server);

#endif
