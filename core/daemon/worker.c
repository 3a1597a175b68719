/*
 * A worker's life. The main thread starts everything, then listens to the supervisor; each
 * loop has a thread of its own.
 */
#include "daemon/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/exits.h"
#include "daemon/bundle.h"
#include "daemon/changes.h"
#include "daemon/control.h"
#include "daemon/crash.h"
#include "daemon/link.h"
#include "daemon/listen.h"
#include "host/metrics.h"
#include "host/privileges.h"
#include "http/server.h"
#include "loop/loop.h"
#include "loop/pool.h"

enum {
    LISTENERS_MAX = 64,
    LOOPS_MAX = 64,
    BACKLOG = 4096,
    LONE_BLOCK = 256 * 1024, /* an arena's largest: what only large requests have */
    KEPT_FREE = 1024 * 1024
};

struct worker;

/* A loop with its thread. */
struct lane {
    struct worker *worker;
    struct andiron_loop *loop;
    pthread_t thread;
    bool runs; /* has a thread */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool settled; /* loop_start() is over: status and err say how */
    int status;
    struct andiron_error err;
};

struct worker {
    const struct invocation *invocation;
    struct settings settings;
    struct host *host;
    struct control *control;
    struct http_listener listeners[LISTENERS_MAX];
    size_t listener_count;
    int link, signals, drained_fd;
    struct lane lanes[LOOPS_MAX];
    struct andiron_loop *loops[LOOPS_MAX];
    size_t lane_count;
    bool pool_runs, logs, draining, port_is_taken;
    struct http_server *server;
    struct link_message message; /* scratch: too large for the stack */
};

#define FAIL(err, ...) andiron_error_set((err), ANDIRON_E_INVALID, "", __VA_ARGS__)

/* ---- what the supervisor handed over -------------------------------------------- */

static int take_listener(struct worker *w, char kind, int fd)
{
    static const struct {
        char kind;
        enum route_side side;
        bool tls;
    } kinds[] = { { 'p', ROUTE_SIDE_PUBLIC, false },
                  { 't', ROUTE_SIDE_PUBLIC, true },
                  { 'a', ROUTE_SIDE_ADMIN, false },
                  { 'c', ROUTE_SIDE_CONTROL, false } };
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (kinds[i].kind != kind)
            continue;
        if (w->listener_count == LISTENERS_MAX || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
            return -1;
        w->listeners[w->listener_count++] =
            (struct http_listener){ .fd = fd, .side = kinds[i].side, .tls = kinds[i].tls };
        return 0;
    }
    return -1; /* of a newer supervisor: then a restart is needed */
}

/* "LINK:p5,a6,c7" */
static int take_over(struct worker *w, const char *description)
{
    char *end;
    w->link = (int)strtol(description, &end, 10);
    if (end == description || *end != ':' || fcntl(w->link, F_SETFD, FD_CLOEXEC) != 0)
        return -1;
    while (*end == ':' || *end == ',') {
        char kind = end[1];
        if (*end == ':' && kind == '\0')
            return 0;
        const char *number = end + 2;
        int fd = (int)strtol(number, &end, 10);
        if (end == number || take_listener(w, kind, fd) != 0)
            return -1;
    }
    return *end == '\0' ? 0 : -1;
}

/* ---- loops -------------------------------------------------------------------------- */

static void *run_lane(void *arg)
{
    struct lane *lane = arg;
    struct andiron_error err;

    crash_thread();
    int status = host_loop_start(lane->worker->host, lane->loop, &err);
    (void)pthread_mutex_lock(&lane->lock);
    lane->status = status;
    lane->err = err;
    lane->settled = true;
    (void)pthread_cond_signal(&lane->changed);
    (void)pthread_mutex_unlock(&lane->lock);
    if (status != 0)
        return NULL;
    loop_run(lane->loop);
    host_loop_stop(lane->worker->host, lane->loop);
    arena_cache_drop();
    return NULL;
}

/* One after the other: a plugin's loop_start() need not fear itself on another thread. */
static int start_lane(struct lane *lane, struct andiron_error *err)
{
    char name[16];

    if (pthread_create(&lane->thread, NULL, run_lane, lane) != 0)
        return FAIL(err, "cannot start a thread: %s", strerror(errno));
    lane->runs = true;
    (void)snprintf(name, sizeof(name), "loop %u", loop_index(lane->loop));
    (void)pthread_setname_np(lane->thread, name); /* only for those who look at threads */
    (void)pthread_mutex_lock(&lane->lock);
    while (!lane->settled)
        (void)pthread_cond_wait(&lane->changed, &lane->lock);
    (void)pthread_mutex_unlock(&lane->lock);
    if (lane->status != 0)
        *err = lane->err;
    return lane->status;
}

static int make_loops(struct worker *w, struct andiron_error *err)
{
    for (size_t i = 0; i < (size_t)w->settings.io_threads; i++) {
        struct lane *lane = &w->lanes[i];
        lane->worker = w;
        (void)pthread_mutex_init(&lane->lock, NULL); /* cannot fail without attributes */
        (void)pthread_cond_init(&lane->changed, NULL);
        lane->loop = loop_new((unsigned)i, err);
        if (lane->loop == NULL)
            return -1;
        w->loops[i] = lane->loop;
        w->lane_count++;
    }
    return 0;
}

/* Runs fn(arg) on loop 0 and waits for it. */
struct errand {
    void (*fn)(struct worker *w);
    struct worker *worker;
    pthread_mutex_t lock;
    pthread_cond_t over;
    bool is_over;
};

static void run_errand(void *arg)
{
    struct errand *e = arg;
    e->fn(e->worker);
    (void)pthread_mutex_lock(&e->lock);
    e->is_over = true;
    (void)pthread_cond_signal(&e->over);
    (void)pthread_mutex_unlock(&e->lock);
}

static void on_first_loop(struct worker *w, void (*fn)(struct worker *w))
{
    struct errand e = {
        .fn = fn, .worker = w, .lock = PTHREAD_MUTEX_INITIALIZER, .over = PTHREAD_COND_INITIALIZER
    };
    andiron_loop_post(w->loops[0], run_errand, &e);
    (void)pthread_mutex_lock(&e.lock);
    while (!e.is_over)
        (void)pthread_cond_wait(&e.over, &e.lock);
    (void)pthread_mutex_unlock(&e.lock);
}

static void start_health(struct worker *w)
{
    health_start(control_health(w->control), w->loops, w->lane_count);
}

static void stop_health(struct worker *w)
{
    health_stop(control_health(w->control));
}

/* ---- start --------------------------------------------------------------------------- */

static void send_failure(const struct worker *w, const char *text)
{
    (void)link_send(w->link, LINK_FAILED, andiron_str_of(text)); /* its own end is seen anyway */
}

/* All problems, for stderr and for whoever asked for a reload. */
static int problems_found(struct worker *w)
{
    struct problems *problems = host_problems(w->host);
    char *text = NULL;
    size_t len = 0;

    problems_sort(problems);
    problems_print(problems, stderr);
    if (problems->errors == 0)
        return 0;
    FILE *file = open_memstream(&text, &len);
    if (file != NULL) {
        problems_print(problems, file);
        (void)fclose(file); /* in memory */
    }
    send_failure(w, text != NULL ? text : "wrong configuration");
    free(text);
    return -1;
}

/* Configuration, identity, module tables. No code of a plugin has run after this. */
static int read_all(struct worker *w, struct andiron_error *err)
{
    struct identity identity;

    w->host = settings_read(w->invocation, SECRETS_READ, &w->settings);
    if (host_problems(w->host)->errors == 0) {
        if (privileges_identity(&w->settings, &identity, err) != 0 ||
            privileges_drop(&identity, err) != 0)
            return -1;
        privileges_harden();
    }
    w->control = control_new(w->host, &w->settings, w->link);
    host_load(w->host, &control_plugin, w->control, w->settings.module_path);
    host_check_routes(w->host);
    if (problems_found(w) != 0)
        return FAIL(err, "%s", "");
    return 0;
}

static int open_signals(void)
{
    sigset_t set;
    struct sigaction ignore = { .sa_handler = SIG_IGN };

    /* The terminal's ^C and a hang-up reach the whole group; the supervisor answers for it. */
    (void)sigaction(SIGINT, &ignore, NULL);
    (void)sigaction(SIGHUP, &ignore, NULL);
    (void)sigaction(SIGPIPE, &ignore, NULL);
    (void)sigaction(SIGUSR1, &ignore, NULL);
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0)
        return -1;
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void log_plugins(const struct worker *w)
{
    const struct andiron_host *p;
    for (size_t i = 1; (p = host_plugin(w->host, i)) != NULL; i++) {
        struct log_fields fields = LOG_FIELDS_NONE;
        fields.plugin = p->name;
        log_event(ANDIRON_LOG_INFO, "plugin.loaded", &fields, "version %s, %s", p->table.version,
                  p->module);
    }
    if (geteuid() == 0)
        log_event(ANDIRON_LOG_WARN, "start.root", NULL,
                  "runs as root: set core.user, or give %s to the user it should run as",
                  w->settings.state_dir);
    if (w->settings.http.dev_mode)
        log_event(ANDIRON_LOG_WARN, "start.dev", NULL,
                  "dev.mode is on: safety rules are relaxed, never use it with real data");
}

/* Sockets begin to listen here, when everything else has worked; a second time does no harm. */
static int listen_all(struct worker *w, struct andiron_error *err)
{
    for (size_t i = 0; i < w->listener_count; i++) {
        if (listen_begin(w->listeners[i].fd, BACKLOG, err) != 0) {
            w->port_is_taken = err->code == ANDIRON_E_UNAVAILABLE;
            return -1;
        }
    }
    return 0;
}

static int start(struct worker *w, struct andiron_error *err)
{
    const struct http_app *app;

    if (make_loops(w, err) != 0)
        return -1;
    metrics_register_process();
    control_register_metrics(w->control);
    if (pool_start((unsigned)w->settings.worker_threads, err) != 0)
        return -1;
    w->pool_runs = true;
    if (host_init(w->host, &w->settings.http, w->loops, w->lane_count, &app, err) != 0)
        return -1;
    w->server = http_server_new(app, w->loops, w->lane_count, w->listeners, w->listener_count, err);
    if (w->server == NULL)
        return -1;
    control_set_server(w->control, w->server);
    if (host_start(w->host, err) != 0)
        return -1;
    for (size_t i = 0; i < w->lane_count; i++)
        if (start_lane(&w->lanes[i], err) != 0)
            return -1;
    if (w->settings.init_bundle[0] != '\0' &&
        bundle_apply(w->server, app->routes, w->settings.init_bundle, err) != 0)
        return -1;
    on_first_loop(w, start_health);
    if (listen_all(w, err) != 0)
        return -1;
    http_server_accept(w->server);
    return 0;
}

/* ---- the supervisor's words --------------------------------------------------------------- */

static void on_drained(void *arg)
{
    struct worker *w = arg;
    uint64_t one = 1;
    (void)!write(w->drained_fd, &one, sizeof(one)); /* an eventfd takes it */
}

/* So that nobody is left waiting in the queue of a socket that is accepted from no more. */
static void close_listeners(void *arg)
{
    struct worker *w = arg;
    for (size_t i = 0; i < w->listener_count; i++)
        (void)close(w->listeners[i].fd); /* others may hold it: the new worker */
    w->listener_count = 0;
}

static void drain(struct worker *w)
{
    if (w->draining)
        return;
    w->draining = true;
    health_withdraw(control_health(w->control), true);
    http_server_drain(w->server, on_drained, w);
    /* Behind what the server posted to the same loop: it no longer watches them. */
    andiron_loop_post(w->loops[0], close_listeners, w);
}

static void reloaded(void *arg)
{
    struct worker *w = arg;
    control_reloaded(w->control, "");
}

static void on_message(struct worker *w, const struct link_message *m)
{
    switch (m->kind) {
    case LINK_DRAIN:
    case LINK_END:
        drain(w);
        break;
    case LINK_REOPEN:
        log_reopen();
        break;
    case LINK_RELOADED:
        if (m->text[0] != '\0')
            control_reloaded(w->control, m->text);
        else /* behind close_listeners() */
            andiron_loop_post(w->loops[0], reloaded, w);
        break;
    case LINK_COUNTS:
        control_counts(w->control, m->text);
        break;
    default:
        break; /* of a newer supervisor: not for us */
    }
}

/* Until everything is drained. */
static void attend(struct worker *w)
{
    struct pollfd fds[] = { { .fd = w->link, .events = POLLIN },
                            { .fd = w->signals, .events = POLLIN },
                            { .fd = w->drained_fd, .events = POLLIN } };
    struct signalfd_siginfo info;

    for (;;) {
        if (poll(fds, 3, -1) < 0 && errno != EINTR)
            abort(); /* cannot be: our own descriptors */
        int got = 1;
        while (fds[0].fd >= 0 && (got = link_receive(w->link, &w->message)) > 0)
            on_message(w, &w->message);
        if (got < 0) {
            fds[0].fd = -1; /* the supervisor is gone: nobody would ever tell us to end */
            drain(w);
        }
        if (read(w->signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
            drain(w);
        if ((fds[2].revents & POLLIN) != 0)
            return;
    }
}

/* ---- end ------------------------------------------------------------------------------------ */

/* Ends loops, pool and plugins, in that order; only what is freed is still there then. */
static void wind_down(struct worker *w)
{
    bool all_run = w->lane_count > 0 && w->lanes[0].runs && w->lanes[0].status == 0;

    if (all_run)
        on_first_loop(w, stop_health);
    for (size_t i = 0; i < w->lane_count; i++) {
        if (!w->lanes[i].runs)
            continue;
        loop_quit(w->lanes[i].loop);
        (void)pthread_join(w->lanes[i].thread, NULL);
    }
    if (w->pool_runs)
        pool_stop();
    if (w->host != NULL)
        host_stop(w->host);
}

static void free_all(struct worker *w)
{
    /* After the plugins: their threads may have ended waits of requests that were cut off. */
    if (w->server != NULL)
        http_server_free(w->server);
    for (size_t i = 0; i < w->lane_count; i++)
        loop_free(w->lanes[i].loop);
    host_free(w->host);
    arena_cache_drop();
    free(w);
}

/*
 * What large requests took goes back to the kernel when they end. Left alone, glibc takes the
 * largest block it has seen as usual, and keeps twice as much in the heap of every thread.
 */
static void limit_heap(void)
{
#ifdef __GLIBC__
    /* Only advice: it fails for values out of range, which these are not. */
    (void)mallopt(M_MMAP_THRESHOLD, LONE_BLOCK);
    (void)mallopt(M_TRIM_THRESHOLD, KEPT_FREE);
#endif
}

static int serve(struct worker *w)
{
    struct andiron_error err = { .code = ANDIRON_OK };

    limit_heap();
    w->signals = open_signals();
    w->drained_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (w->signals < 0 || w->drained_fd < 0)
        return EXIT_INTERNAL;
    if (read_all(w, &err) == 0 && log_open(&w->settings.log, &err) == 0) {
        w->logs = true;
        crash_install(w->link);
        json_set_limits(&w->settings.json);
        log_plugins(w);
        if (start(w, &err) == 0) {
            (void)link_send(w->link, LINK_READY,
                            changes_text(w->host, w->settings.http.drain_timeout));
            attend(w);
            return 0;
        }
    }
    if (err.message[0] == '\0')
        return EXIT_CONFIG; /* told already */
    char text[sizeof(err.where) + sizeof(err.message) + 4];
    (void)snprintf(text, sizeof(text), "%s%s%s", err.where, err.where[0] != '\0' ? ": " : "",
                   err.message);
    (void)fprintf(stderr, "andiron: %s\n", text);
    send_failure(w, text);
    return w->port_is_taken ? EXIT_TRY_AGAIN : EXIT_CONFIG;
}

int worker_run(const struct invocation *invocation, const char *description)
{
    struct worker *w = calloc(1, sizeof(*w));
    if (w == NULL)
        return EXIT_INTERNAL;
    w->invocation = invocation;
    w->link = -1;
    if (take_over(w, description) != 0) {
        (void)fprintf(stderr, "andiron: --worker is for andiron itself\n");
        free(w);
        return EXIT_USAGE;
    }
    (void)prctl(PR_SET_NAME, "andiron: worker", 0, 0, 0); /* only for those who look at processes */
    int status = serve(w);
    wind_down(w);
    if (w->logs)
        log_close();
    /* A start that failed leaves jobs behind that wait for each other; the kernel tidies up. */
    if (status != 0)
        _exit(status);
    free_all(w);
    return 0;
}
