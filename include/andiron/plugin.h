/*
 * andiron/plugin.h - what a plugin is: one constant table.
 *
 * A module is a shared object that defines exactly one ANDIRON_PLUGIN. The table
 * says everything the host must know before any of the plugin's code runs: its
 * directives, the services it provides and needs, its routes and its hooks. So
 * `andiron plugins` and `andiron check-config` can show and check a plugin
 * without running it.
 */
#ifndef ANDIRON_PLUGIN_H
#define ANDIRON_PLUGIN_H

#include <andiron/async.h>
#include <andiron/config.h>
#include <andiron/log.h>
#include <andiron/metrics.h>
#include <andiron/request.h>

struct andiron_host; /* one per plugin: its name, arena, log and services */

/*
 * Phases of a request. Hooks of one phase run in plugin order: after the plugins
 * they need, then by file name in plugins.d.
 */
enum andiron_phase {
    ANDIRON_PHASE_RECEIVE,      /* headers read, route known, no body yet: limits, CORS */
    ANDIRON_PHASE_AUTHENTICATE, /* who: set the principal, or leave it anonymous */
    ANDIRON_PHASE_AUTHORIZE,    /* may they: grant, narrow or fail; the body is here */
    /* HANDLE is not a phase to hook: the route has one handler. */
    ANDIRON_PHASE_RESPOND, /* response decided, not yet sent: add headers, transform */
    ANDIRON_PHASE_LOG      /* response sent or dropped: record; must not wait */
};

struct andiron_hook {
    enum andiron_phase phase;
    andiron_step_fn run;
};

enum andiron_route_flags {
    ANDIRON_ROUTE_PUBLIC = 1 << 0,  /* needs no grant: token endpoint, JWKS, metadata */
    ANDIRON_ROUTE_OAUTH = 1 << 1,   /* OAuth errors; the handler authenticates the client itself */
    ANDIRON_ROUTE_ADMIN = 1 << 2,   /* on the admin listener, where it needs no grant: metrics */
    ANDIRON_ROUTE_STREAM = 1 << 3,  /* may take its time, no request-timeout: bulk files. An inner
                                     request to it is refused (501): nothing limits what it sends */
    ANDIRON_ROUTE_UPLOAD = 1 << 4,  /* handler reads the body piece by piece; no max-body */
    ANDIRON_ROUTE_CONTROL = 1 << 5, /* only on the control socket, without a grant: commands */
    ANDIRON_ROUTE_SHARED = 1 << 6   /* methods that this literal path lacks are those of the {name}
                                     in its place: DELETE /Session beside GET /{type} */
};

/*
 * A literal segment wins over {name}; {name} matches one segment. Two plugins
 * with the same method and pattern are a configuration error.
 */
struct andiron_route {
    const char *method;  /* "GET" also answers HEAD */
    const char *pattern; /* "/fhir/{type}/{id}" */
    andiron_step_fn handle;
    const char *operation;  /* name an AccessPolicy may link to, "FhirRead"; or NULL */
    unsigned flags;         /* enum andiron_route_flags */
    const char *definition; /* canonical URL of its OperationDefinition, for /metadata; or NULL */
};

/*
 * Services: named function tables through which plugins reach each other.
 * A name is "kind/major" for a service with one provider ("store/1") and
 * "kind/major:instance" for one with many ("policy-engine/1:matcho"). The
 * header that defines the kind defines the struct. A needed service that is
 * missing, or provided twice under one name, stops the start and is explained.
 */
struct andiron_service {
    const char *name;
    const void *table;
};

/* A service found: its functions, and the self to hand them; { NULL, NULL } if there is none. */
struct andiron_service_ref {
    const void *table;
    void *self;
};

struct andiron_plugin {
    uint32_t magic;     /* filled in by ANDIRON_PLUGIN */
    uint16_t abi_major; /* filled in by ANDIRON_PLUGIN */
    uint16_t abi_minor; /* filled in by ANDIRON_PLUGIN */
    size_t size;        /* filled in by ANDIRON_PLUGIN; members past it read as 0 */

    const char *name;    /* as in the module's file name and its config section */
    const char *version; /* the plugin's own */
    const char *summary; /* one line for `andiron plugins` */

    /* Tables; each ends with an all-zero entry, or is NULL. */
    const struct andiron_directive *directives;
    size_t config_size; /* sizeof the struct that the directives fill */
    const struct andiron_service *provides;
    const char *const *needs; /* service names; the start fails without them */
    const char *const *wants; /* used if there; "policy-engine/1:" means every instance */
    const char *const *uses;  /* like wants, but called only while requests run: does not order,
                                 so that two plugins can use each other */
    const struct andiron_route *routes;
    const struct andiron_hook *hooks;

    /*
     * Life, in this order, each optional; -1 and err stop the start. config is
     * the filled struct; it lives as long as the plugin. Without init(), self is
     * config.
     *   init        once per worker, before any other plugin is looked at
     *   start       once per worker, when all are initialised; services may be found
     *   loop_start  on each loop's thread; *ret_local is that loop's own state
     *   loop_stop   on each loop's thread, after its last request
     *   stop        once, last; in reverse order of start; after init() alone if the start failed
     */
    int (*init)(struct andiron_host *host, const void *config, void **ret_self,
                struct andiron_error *err);
    int (*start)(struct andiron_host *host, void *self, struct andiron_error *err);
    int (*loop_start)(struct andiron_loop *loop, void *self, void **ret_local,
                      struct andiron_error *err);
    void (*loop_stop)(struct andiron_loop *loop, void *self, void *local);
    void (*stop)(void *self);
};

#define ANDIRON_PLUGIN_MAGIC 0x414e4452u /* "ANDR" */

/*
 * Defines the module's table. The symbol's name carries the ABI major, so that
 * a host can tell "other major" from "not an Andiron module".
 *
 *     ANDIRON_PLUGIN(.name = "hello", .version = "1.0", .routes = routes);
 */
#define ANDIRON_PLUGIN(...)                                                                        \
    ANDIRON_API const struct andiron_plugin andiron_plugin_v1;                                     \
    const struct andiron_plugin andiron_plugin_v1 = { .magic = ANDIRON_PLUGIN_MAGIC,               \
                                                      .abi_major = ANDIRON_ABI_MAJOR,              \
                                                      .abi_minor = ANDIRON_ABI_MINOR,              \
                                                      .size = sizeof(struct andiron_plugin),       \
                                                      __VA_ARGS__ }

/* ---- what the host does for a plugin -------------------------------------- */

ANDIRON_API struct andiron_arena *andiron_host_arena(struct andiron_host *host);

/*
 * A directive of core's own sections as text, in the plugin's arena: "core.state-dir",
 * "http.base-url", "dev.mode"; NULL if there is none of that name. From init() on.
 */
ANDIRON_API const char *andiron_host_setting(struct andiron_host *host, const char *name);

/*
 * Finds a service this plugin declared in needs, wants or uses; from start() on.
 * *pos walks all instances of a kind ("policy-engine/1:"); it starts at 0, and
 * false ends the walk. pos may be NULL for a single one.
 */
ANDIRON_API bool andiron_service_find(struct andiron_host *host, const char *name, size_t *pos,
                                      struct andiron_service_ref *ret, const char **ret_name);

/* Routes of all plugins in order, for /Operation and /metadata; NULL at the end; from start(). */
ANDIRON_API const struct andiron_route *andiron_host_route(struct andiron_host *host, size_t index,
                                                           const char **ret_plugin);

/*
 * Service "discovery/1:<name>": what a plugin adds to the documents in which the
 * server describes itself. A JSON object in arena, or absent; arrays are joined,
 * other members may be set by one plugin only. Asked at start and when a
 * SearchParameter changes. capability_rest() gives members of CapabilityStatement.rest, and
 * perhaps `instantiates`, which goes to the statement itself.
 */
#define ANDIRON_DISCOVERY "discovery/1:"

struct andiron_discovery {
    size_t size;
    andiron_str (*smart_configuration)(void *self, struct andiron_arena *arena, andiron_str base);
    andiron_str (*capability_rest)(void *self, struct andiron_arena *arena, andiron_str base);
};

/* All loops of this worker, for start-up jobs and caches: index from 0, NULL at the end. */
ANDIRON_API struct andiron_loop *andiron_host_loop(struct andiron_host *host, size_t index);

#endif
