/*
 * Health checks and their routes. Runs on one loop; other threads only read the last answers,
 * which are copied under a lock for a few microseconds.
 */
#include "daemon/health.h"

#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/statvfs.h>

#include "base/log.h"
#include "base/units.h"
#include "daemon/lag.h"
#include "http/request.h"

enum {
    CHECKS_MAX = 64,
    MEASURES_MAX = 8,
    NAME_MAX_BYTES = 64,
    DISK_EVERY = 30,
    TEXT_MAX = 64 * 1024
};
enum { LAG_WARN_MS = 100, DISK_WARN_PERCENT = 10, STARTING_US = 5000000 };

enum status { STATUS_PASS, STATUS_WARN, STATUS_FAIL };
static const char *const status_names[] = { "pass", "warn", "fail" };

struct check {
    char name[NAME_MAX_BYTES]; /* "store", "disk:free" */
    const char *component;     /* health+json's componentType */
    enum status status;
    int64_t observed; /* negative: none */
    const char *unit;
    andiron_usec at;
    char output[200];                   /* why not */
    const struct andiron_health *table; /* NULL: core's own, or a measure of a plugin */
    void *self;
};

struct health {
    const struct settings *settings;
    struct host *host;
    atomic_bool withdrawn;
    pthread_mutex_t lock;
    struct check checks[CHECKS_MAX]; /* under lock, but for name, table and self */
    size_t count;                    /* under lock; only the loop adds some */
    size_t plugin_count;             /* of count, core's own and one for each plugin that has one */
    bool asked;                      /* under lock */
    /* on the loop only */
    struct event *timer;
    struct lag *lag;
    int64_t started_us;
    unsigned rounds;
};

/* Core's own come first. */
enum { CHECK_UPTIME, CHECK_DISK, CHECK_LAG, CHECKS_CORE };

struct health *health_new(struct host *host, const struct settings *settings)
{
    struct health *h = andiron_new(host_problems(host)->arena, struct health);
    h->host = host;
    h->settings = settings;
    h->started_us = units_monotonic();
    (void)pthread_mutex_init(&h->lock, NULL); /* cannot fail without attributes */
    h->checks[CHECK_UPTIME] =
        (struct check){ .name = "uptime", .component = "system", .unit = "s", .observed = -1 };
    h->checks[CHECK_DISK] =
        (struct check){ .name = "disk:free", .component = "system", .unit = "%", .observed = -1 };
    h->checks[CHECK_LAG] =
        (struct check){ .name = "loop:lag", .component = "system", .unit = "ms", .observed = -1 };
    h->count = CHECKS_CORE;
    return h;
}

/* Services stand in tables, their selfs only after init. */
static void find_checks(struct health *h)
{
    struct andiron_service_ref ref;
    const char *name;
    size_t pos = 0;

    while (h->count < CHECKS_MAX && host_service(h->host, ANDIRON_HEALTH, &pos, &ref, &name)) {
        struct check *c = &h->checks[h->count++];
        *c = (struct check){
            .component = "component", .observed = -1, .table = ref.table, .self = ref.self
        };
        (void)snprintf(c->name, sizeof(c->name), "%s", name + sizeof(ANDIRON_HEALTH) - 1);
    }
    h->plugin_count = h->count;
}

/* ---- asking ------------------------------------------------------------------ */

static void publish(struct health *h, size_t i, enum status status, int64_t observed,
                    const char *output)
{
    struct check *c = &h->checks[i];
    enum status before = c->status;

    (void)pthread_mutex_lock(&h->lock);
    c->status = status;
    c->observed = observed;
    c->at = andiron_now();
    (void)snprintf(c->output, sizeof(c->output), "%s", output);
    (void)pthread_mutex_unlock(&h->lock);
    if (status != before)
        log_event(status == STATUS_PASS ? ANDIRON_LOG_INFO : ANDIRON_LOG_WARN, "health.changed",
                  NULL, "check %s: %s%s%s", c->name, status_names[status],
                  output[0] != '\0' ? ": " : "", output);
}

static void ask_plugin(struct health *h, size_t i)
{
    struct andiron_error err = { .code = ANDIRON_OK };
    bool well = h->checks[i].table->check(h->checks[i].self, &err) == 0;
    publish(h, i, well ? STATUS_PASS : STATUS_FAIL, -1, well ? "" : err.message);
}

/* The check that shows a plugin's measure of that name; CHECKS_MAX: there are too many. */
static size_t place_of(struct health *h, const struct andiron_measure *measure)
{
    size_t i = h->plugin_count;

    while (i < h->count && strncmp(h->checks[i].name, measure->name, NAME_MAX_BYTES - 1) != 0)
        i++;
    if (i < h->count || i == CHECKS_MAX)
        return i;
    (void)pthread_mutex_lock(&h->lock);
    h->checks[i] =
        (struct check){ .component = "component", .observed = -1, .unit = measure->unit };
    (void)snprintf(h->checks[i].name, sizeof(h->checks[i].name), "%s", measure->name);
    h->count++;
    (void)pthread_mutex_unlock(&h->lock);
    return i;
}

static void ask_measures(struct health *h, size_t plugin)
{
    const struct andiron_health *table = h->checks[plugin].table;
    struct andiron_measure measures[MEASURES_MAX] = { 0 };

    if (table->size <= offsetof(struct andiron_health, measure) || table->measure == NULL)
        return;
    size_t count = table->measure(h->checks[plugin].self, measures, MEASURES_MAX);
    for (size_t i = 0; i < count; i++) {
        size_t at = place_of(h, &measures[i]);
        if (at < CHECKS_MAX)
            publish(h, at, measures[i].warning[0] != '\0' ? STATUS_WARN : STATUS_PASS,
                    measures[i].value, measures[i].warning);
    }
}

static void ask_disk(struct health *h)
{
    struct statvfs fs;
    if (statvfs(h->settings->state_dir, &fs) != 0 || fs.f_blocks == 0)
        return; /* the store will say more */
    int64_t percent = (int64_t)(fs.f_bavail * 100 / fs.f_blocks);
    publish(h, CHECK_DISK, percent < DISK_WARN_PERCENT ? STATUS_WARN : STATUS_PASS, percent, "");
}

static void ask_all(struct health *h)
{
    int64_t lag_ms = lag_worst_ms(h->lag);

    publish(h, CHECK_UPTIME, STATUS_PASS, (units_monotonic() - h->started_us) / 1000000, "");
    publish(h, CHECK_LAG, lag_ms > LAG_WARN_MS ? STATUS_WARN : STATUS_PASS, lag_ms, "");
    if (h->rounds++ % DISK_EVERY == 0)
        ask_disk(h);
    for (size_t i = CHECKS_CORE; i < h->plugin_count; i++) {
        ask_plugin(h, i);
        ask_measures(h, i);
    }
    (void)pthread_mutex_lock(&h->lock);
    h->asked = true;
    (void)pthread_mutex_unlock(&h->lock);
}

/* A plugin may have begun something that ends in a moment: to wait a second would be too long. */
static bool is_starting_up(const struct health *h)
{
    if (units_monotonic() - h->started_us > STARTING_US)
        return false;
    for (size_t i = 0; i < h->count; i++) /* only this thread writes them */
        if (h->checks[i].status == STATUS_FAIL)
            return true;
    return false;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    static const struct timeval second = { .tv_sec = 1 }, moment = { .tv_usec = 20000 };
    struct health *h = arg;
    (void)fd;
    (void)what;

    ask_all(h);
    lag_ask(h->lag); /* answered until the next time */
    /* Fails only without memory: then the last answers stay. */
    (void)evtimer_add(h->timer, is_starting_up(h) ? &moment : &second);
}

void health_start(struct health *health, struct andiron_loop *const *loops, size_t loop_count)
{
    find_checks(health);
    health->lag = lag_new(host_problems(health->host)->arena, loops, loop_count);
    health->timer = evtimer_new(andiron_loop_base(loops[0]), on_timer, health);
    if (health->timer != NULL)
        on_timer(-1, 0, health);
}

void health_stop(struct health *health)
{
    if (health->timer != NULL)
        event_free(health->timer);
    health->timer = NULL;
}

void health_withdraw(struct health *health, bool withdrawn)
{
    atomic_store(&health->withdrawn, withdrawn);
}

/* ---- answering -------------------------------------------------------------------- */

/* The worst of all checks; *ret_failing in arena is the first that fails, or NULL. */
static enum status overall(struct health *h, struct andiron_arena *arena, const char **ret_failing)
{
    enum status worst = STATUS_PASS;
    const char *failing = NULL;

    (void)pthread_mutex_lock(&h->lock);
    if (!h->asked)
        failing = "start";
    for (size_t i = 0; i < h->count; i++) {
        if (h->checks[i].status > worst)
            worst = h->checks[i].status;
        if (h->checks[i].status == STATUS_FAIL && failing == NULL)
            failing = andiron_copy(arena, andiron_str_of(h->checks[i].name));
    }
    (void)pthread_mutex_unlock(&h->lock);
    if (atomic_load(&h->withdrawn))
        failing = "drain";
    *ret_failing = failing;
    return failing != NULL ? STATUS_FAIL : worst;
}

static void put_check(struct andiron_json_writer *w, const struct check *c)
{
    char at[UNITS_INSTANT_MAX];

    andiron_json_put_array(w, c->name);
    andiron_json_put_object(w, NULL);
    andiron_json_put_str(w, "componentType", andiron_str_of(c->component));
    if (c->observed >= 0) {
        andiron_json_put_int(w, "observedValue", c->observed);
        andiron_json_put_str(w, "observedUnit", andiron_str_of(c->unit));
    }
    andiron_json_put_str(w, "status", andiron_str_of(status_names[c->status]));
    if (c->at != 0)
        andiron_json_put_str(w, "time", (andiron_str){ at, units_instant(c->at, at) });
    if (c->output[0] != '\0')
        andiron_json_put_str(w, "output", andiron_str_of(c->output));
    andiron_json_put_end(w);
    andiron_json_put_end(w);
}

andiron_str health_text(struct health *health, struct andiron_arena *arena, bool with_details)
{
    struct andiron_json_writer *w = andiron_json_write(arena, TEXT_MAX);
    const char *failing;
    enum status status = overall(health, arena, &failing);

    andiron_json_put_object(w, NULL);
    andiron_json_put_str(w, "status", andiron_str_of(status_names[status]));
    if (with_details) {
        andiron_json_put_str(w, "version", ANDIRON_STR("1"));
        andiron_json_put_str(w, "releaseId", ANDIRON_STR(ANDIRON_VERSION));
        if (health->settings->http.dev_mode)
            andiron_json_put_str(w, "notes", ANDIRON_STR("dev.mode is on"));
        andiron_json_put_object(w, "checks");
        (void)pthread_mutex_lock(&health->lock);
        for (size_t i = 0; i < health->count; i++)
            put_check(w, &health->checks[i]);
        (void)pthread_mutex_unlock(&health->lock);
        andiron_json_put_end(w);
    }
    andiron_json_put_end(w);
    return andiron_json_written(w);
}

enum andiron_step health_live(struct andiron_request *req, void *state)
{
    (void)state;
    andiron_reply_header(req, "Cache-Control", ANDIRON_STR("no-store"));
    return andiron_reply(req, 200, "application/json", ANDIRON_STR("{\"status\":\"pass\"}"));
}

enum andiron_step health_ready(struct andiron_request *req, void *state)
{
    struct andiron_arena *arena = andiron_request_arena(req);
    const char *failing;

    andiron_reply_header(req, "Cache-Control", ANDIRON_STR("no-store"));
    enum status status = overall(state, arena, &failing);
    if (failing == NULL)
        return andiron_reply(req, 200, "application/json",
                             status == STATUS_WARN ? ANDIRON_STR("{\"status\":\"warn\"}")
                                                   : ANDIRON_STR("{\"status\":\"pass\"}"));
    struct andiron_json_writer *w = andiron_json_write(arena, TEXT_MAX);
    andiron_json_put_object(w, NULL);
    andiron_json_put_str(w, "status", ANDIRON_STR("fail"));
    andiron_json_put_object(w, "checks");
    andiron_json_put_str(w, failing, ANDIRON_STR("fail"));
    andiron_json_put_end(w);
    andiron_json_put_end(w);
    return andiron_reply(req, 503, "application/json", andiron_json_written(w));
}

enum andiron_step health_get(struct andiron_request *req, void *state)
{
    struct andiron_arena *arena = andiron_request_arena(req);
    const char *failing;
    bool is_fit = overall(state, arena, &failing) != STATUS_FAIL;

    andiron_reply_header(req, "Cache-Control", ANDIRON_STR("no-store"));
    return andiron_reply(req, is_fit ? 200 : 503, "application/health+json",
                         health_text(state, arena, req->side != ROUTE_SIDE_PUBLIC));
}
