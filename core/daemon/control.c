/*
 * Routes of core and the metrics that only the daemon can read.
 */
#include "daemon/control.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/units.h"
#include "daemon/link.h"
#include "daemon/snapshot.h"
#include "host/metrics.h"
#include "loop/pool.h"

enum { STATUS_MAX = 1 << 20, REASON_MAX = 1024 };

/* A control request that waits for the outcome of a reload; in its arena. */
struct reload {
    struct andiron_request *req;
    struct reload *next;
    char why_not[REASON_MAX];
};

struct control {
    struct host *host;
    const struct settings *settings;
    struct http_server *server;
    struct health *health;
    int link;
    int64_t started_us;
    pthread_mutex_t lock;
    struct reload *reloads; /* under lock */
    atomic_uint reloads_ok, reloads_failed;
    _Atomic int64_t reloaded_at; /* since the epoch, us; 0: never */
};

struct control *control_new(struct host *host, const struct settings *settings, int link)
{
    struct control *c = andiron_new(host_problems(host)->arena, struct control);
    c->host = host;
    c->settings = settings;
    c->link = link;
    c->started_us = units_monotonic();
    c->health = health_new(host, settings);
    (void)pthread_mutex_init(&c->lock, NULL); /* cannot fail without attributes */
    return c;
}

void control_set_server(struct control *control, struct http_server *server)
{
    control->server = server;
}

struct health *control_health(struct control *control)
{
    return control->health;
}

/* ---- health ------------------------------------------------------------------ */

static enum andiron_step get_health(struct andiron_request *req, void *self)
{
    return health_get(req, ((struct control *)self)->health);
}

static enum andiron_step get_ready(struct andiron_request *req, void *self)
{
    return health_ready(req, ((struct control *)self)->health);
}

/* ---- status ------------------------------------------------------------------ */

static void put_plugins(struct andiron_json_writer *w, const struct host *host)
{
    const struct andiron_host *p;

    andiron_json_put_array(w, "plugins");
    for (size_t i = 1; (p = host_plugin(host, i)) != NULL; i++) {
        andiron_json_put_object(w, NULL);
        andiron_json_put_str(w, "name", andiron_str_of(p->name));
        andiron_json_put_str(w, "version", andiron_str_of(p->table.version));
        andiron_json_put_end(w);
    }
    andiron_json_put_end(w);
}

/* Two decimals, without printf's locale. */
static void put_rate(struct andiron_json_writer *w, struct andiron_arena *arena, double rate)
{
    int64_t hundredths = (int64_t)(rate * 100 + 0.5);
    const char *text =
        andiron_printf(arena, "%lld.%02d", (long long)(hundredths / 100), (int)(hundredths % 100));
    andiron_json_put_raw(w, "requestsPerSecond", andiron_str_of(text));
}

static enum andiron_step get_status(struct andiron_request *req, void *self)
{
    struct control *c = self;
    struct andiron_arena *arena = andiron_request_arena(req);
    struct andiron_json_writer *w = andiron_json_write(arena, STATUS_MAX);
    struct http_stats stats;
    char at[UNITS_INSTANT_MAX];

    http_server_stats(c->server, &stats);
    andiron_json_put_object(w, NULL);
    andiron_json_put_str(w, "version", ANDIRON_STR(ANDIRON_VERSION));
    andiron_json_put_int(w, "uptimeSeconds", (units_monotonic() - c->started_us) / 1000000);
    andiron_json_put_bool(w, "draining", http_server_draining(c->server));
    andiron_json_put_int(w, "connections", (int64_t)stats.connections);
    andiron_json_put_int(w, "requests", (int64_t)stats.requests_total);
    andiron_json_put_int(w, "rejected", (int64_t)stats.rejected_total);
    put_rate(w, arena, stats.requests_per_second);
    andiron_json_put_int(w, "p50Microseconds", stats.p50_us);
    andiron_json_put_int(w, "p99Microseconds", stats.p99_us);
    andiron_json_put_int(w, "poolQueued", (int64_t)pool_queued());
    andiron_json_put_int(w, "reloads", atomic_load(&c->reloads_ok));
    andiron_json_put_int(w, "reloadsFailed", atomic_load(&c->reloads_failed));
    if (atomic_load(&c->reloaded_at) > 0)
        andiron_json_put_str(w, "lastReload",
                             (andiron_str){ at, units_instant(atomic_load(&c->reloaded_at), at) });
    andiron_json_put_raw(w, "health", health_text(c->health, arena, true));
    put_plugins(w, c->host);
    andiron_json_put_end(w);
    return andiron_reply(req, 200, "application/json", andiron_json_written(w));
}

/* ---- commands ------------------------------------------------------------------- */

static enum andiron_step answer(struct andiron_request *req, int status, const char *result,
                                const char *reason)
{
    struct andiron_json_writer *w = andiron_json_write(andiron_request_arena(req), STATUS_MAX);
    andiron_json_put_object(w, NULL);
    andiron_json_put_str(w, "result", andiron_str_of(result));
    if (reason != NULL)
        andiron_json_put_str(w, "reason", andiron_str_of(reason));
    andiron_json_put_end(w);
    return andiron_reply(req, status, "application/json", andiron_json_written(w));
}

static enum andiron_step reload_over(struct andiron_request *req, void *state)
{
    const struct reload *r = state;
    if (r->why_not[0] != '\0')
        return answer(req, 422, "rejected", r->why_not);
    return answer(req, 200, "reloaded", NULL);
}

static enum andiron_step post_reload(struct andiron_request *req, void *self)
{
    struct control *c = self;
    struct reload *r = andiron_new(andiron_request_arena(req), struct reload);

    r->req = req;
    enum andiron_step step = andiron_wait(req, reload_over, r);
    (void)pthread_mutex_lock(&c->lock);
    r->next = c->reloads;
    c->reloads = r;
    (void)pthread_mutex_unlock(&c->lock);
    if (link_send(c->link, LINK_RELOAD, (andiron_str){ NULL, 0 }) != 0)
        control_reloaded(c, "the supervisor is gone");
    return step;
}

void control_reloaded(struct control *control, const char *why_not)
{
    (void)pthread_mutex_lock(&control->lock);
    struct reload *r = control->reloads;
    control->reloads = NULL;
    (void)pthread_mutex_unlock(&control->lock);
    while (r != NULL) {
        struct reload *next = r->next; /* resumed, it may be gone at once */
        (void)snprintf(r->why_not, sizeof(r->why_not), "%s", why_not);
        andiron_resume(r->req);
        r = next;
    }
}

static enum andiron_step post_stop(struct andiron_request *req, void *self)
{
    const struct control *c = self;
    if (link_send(c->link, LINK_STOP, (andiron_str){ NULL, 0 }) != 0)
        return answer(req, 503, "failed", "the supervisor is gone");
    return answer(req, 202, "stopping", NULL);
}

/* Takes this node out of a balancer's list: ready says no, and everything is still served. */
static enum andiron_step post_drain(struct andiron_request *req, void *self)
{
    struct control *c = self;
    bool back = andiron_str_eq(andiron_request_query(req), ANDIRON_STR("off"));
    health_withdraw(c->health, !back);
    return answer(req, 200, back ? "in service" : "out of service", NULL);
}

static enum andiron_step post_backup(struct andiron_request *req, void *self)
{
    const struct control *c = self;
    return snapshot_send(req, c->host, c->settings->state_dir);
}

/* ---- metrics ----------------------------------------------------------------------- */

static struct http_stats stats_of(void *self)
{
    struct http_stats stats;
    http_server_stats(((struct control *)self)->server, &stats);
    return stats;
}

static double connections(void *self)
{
    return (double)stats_of(self).connections;
}

static double connections_total(void *self)
{
    return (double)stats_of(self).connections_total;
}

static double bytes_in(void *self)
{
    return (double)stats_of(self).bytes_in;
}

static double bytes_out(void *self)
{
    return (double)stats_of(self).bytes_out;
}

static double certificate_expiry(void *self)
{
    return (double)http_server_certificate_expiry(((struct control *)self)->server);
}

struct rejected {
    struct control *control;
    unsigned reason;
};

static double rejected(void *self)
{
    const struct rejected *r = self;
    return (double)stats_of(r->control).rejected[r->reason];
}

static double pool_waiting(void *self)
{
    (void)self;
    return (double)pool_queued();
}

static double reloads_ok(void *self)
{
    return atomic_load(&((struct control *)self)->reloads_ok);
}

static double reloads_failed(void *self)
{
    return atomic_load(&((struct control *)self)->reloads_failed);
}

void control_counts(struct control *control, const char *text)
{
    char *end;
    unsigned long ok = strtoul(text, &end, 10);
    atomic_store(&control->reloads_ok, (unsigned)ok);
    atomic_store(&control->reloads_failed, (unsigned)strtoul(end, &end, 10));
    atomic_store(&control->reloaded_at, strtoll(end, NULL, 10)); /* 0 from an older supervisor */
}

void control_register_metrics(struct control *control)
{
    static const char reloads_help[] = "Reloads since the start of the supervisor";
    struct andiron_arena *arena = host_problems(control->host)->arena;

    andiron_gauge(NULL, "andiron_http_connections", NULL, "Open connections", connections, control);
    metrics_counter_of("andiron_http_connections_total", NULL, "Connections accepted",
                       connections_total, control);
    metrics_counter_of("andiron_http_request_bytes_total", NULL, "Bytes received", bytes_in,
                       control);
    metrics_counter_of("andiron_http_response_bytes_total", NULL, "Bytes sent", bytes_out, control);
    for (unsigned i = 0; i < HTTP_REJECTED_REASONS; i++) {
        struct rejected *r = andiron_new(arena, struct rejected);
        *r = (struct rejected){ control, i };
        metrics_counter_of("andiron_http_rejected_total",
                           andiron_printf(arena, "reason=\"%s\"", http_rejected_names[i]),
                           "Connections and requests turned away", rejected, r);
    }
    if (control->settings->http.tls_certificate != NULL)
        andiron_gauge(NULL, "andiron_tls_certificate_expiry_timestamp_seconds", NULL,
                      "End of the server's certificate, since the epoch", certificate_expiry,
                      control);
    andiron_gauge(NULL, "andiron_pool_queued", NULL, "Jobs that wait for a thread of the pool",
                  pool_waiting, NULL);
    metrics_counter_of("andiron_config_reloads_total", "result=\"ok\"", reloads_help, reloads_ok,
                       control);
    metrics_counter_of("andiron_config_reloads_total", "result=\"failed\"", reloads_help,
                       reloads_failed, control);
}

/* ---- the table ------------------------------------------------------------------------ */

static const struct andiron_route routes[] = {
    { "GET", "/health", get_health, "Health", ANDIRON_ROUTE_PUBLIC | ANDIRON_ROUTE_ADMIN, NULL },
    { "GET", "/health/live", health_live, "Health", ANDIRON_ROUTE_PUBLIC | ANDIRON_ROUTE_ADMIN,
      NULL },
    { "GET", "/health/ready", get_ready, "Health", ANDIRON_ROUTE_PUBLIC | ANDIRON_ROUTE_ADMIN,
      NULL },
    { "GET", "/control/status", get_status, NULL, ANDIRON_ROUTE_CONTROL, NULL },
    { "POST", "/control/reload", post_reload, NULL, ANDIRON_ROUTE_CONTROL | ANDIRON_ROUTE_STREAM,
      NULL },
    { "POST", "/control/stop", post_stop, NULL, ANDIRON_ROUTE_CONTROL, NULL },
    { "POST", "/control/drain", post_drain, NULL, ANDIRON_ROUTE_CONTROL, NULL },
    { "POST", "/control/backup", post_backup, NULL, ANDIRON_ROUTE_CONTROL | ANDIRON_ROUTE_STREAM,
      NULL },
    { .method = NULL },
};

const struct andiron_plugin control_plugin = {
    .magic = ANDIRON_PLUGIN_MAGIC,
    .abi_major = ANDIRON_ABI_MAJOR,
    .abi_minor = ANDIRON_ABI_MINOR,
    .size = sizeof(struct andiron_plugin),
    .name = "core",
    .version = ANDIRON_VERSION,
    .summary = "Health and control",
    .routes = routes,
};
