/*
 * Watchdog: a thread that sees which step holds a loop for too long, and names its plugin.
 */
#ifndef CORE_HTTP_WATCH_H
#define CORE_HTTP_WATCH_H

#include "http/shared.h"

/* Both do nothing the second time. Any thread. */
void watch_start(struct http_server *server);
void watch_stop(struct http_server *server);

#endif
