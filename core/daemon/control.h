/*
 * Core's own routes, in the same kind of table as any plugin's: health for everybody, commands
 * on the control socket. What concerns processes is passed on to the supervisor.
 */
#ifndef CORE_DAEMON_CONTROL_H
#define CORE_DAEMON_CONTROL_H

#include "daemon/health.h"
#include "http/server.h"

struct control;

/* What core's routes work on. link is the worker's end; lives in host's arena. */
struct control *control_new(struct host *host, const struct settings *settings, int link);

/* The plugin "core"; its self is the struct control. */
extern const struct andiron_plugin control_plugin;

/* Once it exists; before requests come. */
void control_set_server(struct control *control, struct http_server *server);
struct health *control_health(struct control *control);

/* What the supervisor said: the outcome of a reload ("" for success); reloads so far. Any thread. */
void control_reloaded(struct control *control, const char *why_not);
void control_counts(struct control *control, const char *text);

/* Registers andiron_http_* and andiron_config_reloads_total. */
void control_register_metrics(struct control *control);

#endif
