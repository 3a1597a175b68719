/*
 * struct http_server: what the loops of a worker share. Read-only once they run, except
 * the atomics, and the listeners, which belong to loop 0.
 */
#ifndef CORE_HTTP_SHARED_H
#define CORE_HTTP_SHARED_H

#include <pthread.h>
#include <stdatomic.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "http/parse.h"
#include "http/per_loop.h"
#include "http/remote.h"
#include "http/server.h"

enum { HTTP_LINGER_MS = 2000, HTTP_HEAD_MAX = 256 * 1024 };

struct http_server {
    const struct http_app *app;
    struct http_loop *loops;
    size_t loop_count;
    const struct http_listener *listeners;
    size_t listener_count;
    struct tls_context *tls;
    struct http_limits limits;
    andiron_str base;
    struct remote_range *proxies;
    size_t proxy_count;
    int64_t started_us;
    _Atomic uint64_t body_bytes;
    struct watch *watch;

    /* accept.c, loop 0 */
    struct acceptor *acceptors; /* one per listener */
    struct addresses *addresses;
    struct event retry; /* accepting was paused: no descriptors */
    bool paused;
    bool shortage_logged;

    /* drain, loop 0 */
    atomic_bool draining;
    bool idle_closed, all_closed;
    int64_t drain_started_us;
    struct event drain_timer;
    void (*drained)(void *arg);
    void *drained_arg;
};

#endif
