/*
 * Plugins of a worker: from configuration files to initialised modules, their services,
 * hooks and routes. core/daemon drives it; plugins see andiron/plugin.h.
 *
 * In this order: host_read, host_load (both run nothing of a plugin), host_init, host_start,
 * host_loop_start on each loop, and back: host_loop_stop, host_stop, host_free.
 */
#ifndef CORE_HOST_HOST_H
#define CORE_HOST_HOST_H

#include <andiron/plugin.h>

#include "host/directives.h"
#include "host/problems.h"
#include "http/app.h"

/* One of core's own sections. */
struct host_section {
    const char *name; /* "http"; NULL ends the table */
    const struct andiron_directive *directives;
};

struct host_setup {
    const char *dir;              /* configuration folder, absolute */
    const char *const *overrides; /* of -o, NULL-terminated, or NULL */
    char *const *environment;     /* or NULL */
    const struct host_section *sections;
    void *settings; /* zeroed struct that the sections fill */
    enum directives_secrets secrets;
};

/* A plugin of this process; the handle plugins call `host`. Read-only outside host.c. */
struct andiron_host {
    const char *name;
    const char *file; /* where its section begins */
    unsigned line;
    const char *module;                   /* path; NULL: core itself, or not found */
    const char *broken;                   /* why its table could not be used, or NULL */
    struct andiron_plugin table;          /* zeroed if broken */
    const struct directive_value *values; /* one for each directive */
    void *config, *self;
    bool is_up;
    struct andiron_arena *arena;
    struct http_owner owner;
    struct host *host;
};

struct host;

/* Reads configuration and core's settings; problems are in host_problems(). Never NULL. */
struct host *host_read(const struct host_setup *setup);

/* Problems so far; settings.c and the loader add to them. */
struct problems *host_problems(struct host *host);

/* A setting of core as written ("http", "base-url"), with its place; NULL if there is no such name. */
const struct directive_value *host_value(const struct host *host, const char *section,
                                         const char *name);
/* All values of one of core's sections, as many as its directives. */
const struct directive_value *host_values(const struct host *host, const char *section);

/*
 * Reads the table of each enabled plugin, checks directives and services, and orders them.
 * core is the plugin of core's own routes; it comes first and needs nothing.
 */
void host_load(struct host *host, const struct andiron_plugin *core, void *core_self,
               const char *const *module_path);

/* Plugins in their order, core (index 0) and broken ones included; NULL behind the last. */
const struct andiron_host *host_plugin(const struct host *host, size_t index);

/* Routes as the table would be built, checked for doubles: for check-config. Adds problems. */
void host_check_routes(struct host *host);

/* ---- life; host_problems() has no errors --------------------------------------- */

/* Runs init() of each; then hooks and routes stand in *ret_app. loops need not run yet. */
ANDIRON_MUST_CHECK int host_init(struct host *host, const struct http_settings *settings,
                                 struct andiron_loop *const *loops, size_t loop_count,
                                 const struct http_app **ret_app, struct andiron_error *err);
/* err->where names the plugin in these. */
ANDIRON_MUST_CHECK int host_start(struct host *host, struct andiron_error *err);
ANDIRON_MUST_CHECK int host_loop_start(struct host *host, struct andiron_loop *loop,
                                       struct andiron_error *err);
void host_loop_stop(struct host *host, struct andiron_loop *loop);
/* stop() of those that were started, in reverse. */
void host_stop(struct host *host);
/* NULL is allowed. Modules stay loaded. */
void host_free(struct host *host);

/* Like andiron_service_find(), whatever was declared: for core itself. */
bool host_service(const struct host *host, const char *name, size_t *pos,
                  struct andiron_service_ref *ret, const char **ret_name);

#endif
