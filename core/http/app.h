/*
 * What the HTTP layer must know of the plugins: hooks, routes and who owns them.
 * Built by core/host before the loops start, read-only after that.
 */
#ifndef CORE_HTTP_APP_H
#define CORE_HTTP_APP_H

#include <andiron/plugin.h>

#include "http/settings.h"

/* A plugin as the HTTP layer sees it: for "current plugin", step times and log lines. */
struct http_owner {
    const char *name;
    struct andiron_counter *steps_slow;  /* steps above 20 ms; may be NULL */
    struct andiron_histogram *step_time; /* sampled, 1 request in 64; may be NULL */
};

struct http_hook {
    andiron_step_fn run;
    void *self;
    const struct http_owner *owner;
};

/*
 * What is counted per route; each may be NULL. Of requests that found no route: those of struct
 * http_app.
 */
struct http_metrics {
    struct andiron_counter *requests[6]; /* by class of status: [2] is 2xx */
    struct andiron_histogram *duration;
};

struct http_route {
    const struct andiron_route *route;
    void *self;
    const struct http_owner *owner;
    struct http_metrics metrics;
};

enum { HTTP_PHASES = ANDIRON_PHASE_LOG + 1 };

struct http_app {
    const struct http_settings *settings;
    const struct http_hook *hooks[HTTP_PHASES];
    size_t hook_count[HTTP_PHASES];
    const struct route_table *routes; /* http/route.h */
    struct http_metrics unrouted;
};

#endif
