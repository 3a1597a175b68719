/*
 * Supervision: sockets, signals, workers. One thread, one poll(); see architecture.md section 13.
 *
 * Workers are told what to do over their links and answer there; signals are for operators.
 */
#include "daemon/supervisor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/exits.h"
#include "base/units.h"
#include "daemon/changes.h"
#include "daemon/link.h"
#include "daemon/listen.h"
#include "daemon/systemd.h"
#include "host/privileges.h"
#include "host/unfinished.h"

enum {
    LISTENERS_MAX = 64,
    WORKERS_MAX = 16,       /* one serves, one starts, the others drain */
    KILL_AFTER_MS = 5000,   /* beyond drain-timeout */
    BACKOFF_MAX_MS = 30000, /* between restarts */
    EXTEND_EVERY_MS = 5000, /* while the first worker starts */
    HEALTHY_MS = 60000      /* a worker that served so long was no part of a crash loop */
};

enum state { STATE_NONE, STATE_STARTING, STATE_SERVING, STATE_DRAINING };

struct worker {
    enum state state;
    pid_t pid;
    int link;
    bool link_closed;             /* by its end: SIGCHLD follows */
    bool asked_reload;            /* a control command waits for the outcome */
    int64_t since_ms, kill_at_ms; /* 0: not to be killed */
    char reason[1024];            /* why it failed or crashed, in its own words */
    char *configured;             /* text of LINK_READY, malloc'ed */
};

struct supervisor {
    const struct invocation *invocation;
    struct settings settings;
    struct identity identity;
    int signals;
    int listeners[LISTENERS_MAX];
    char kinds[LISTENERS_MAX]; /* p, t (public, TLS), a (admin), c (control) */
    size_t listener_count;
    struct worker workers[WORKERS_MAX];
    bool was_ready, reload_again, stopping, done;
    int64_t restart_at_ms; /* 0: no restart is due */
    int64_t extend_at_ms;  /* 0: the first worker has started */
    int64_t backoff_ms;
    unsigned reloads_ok, reloads_failed;
    andiron_usec reloaded_at; /* the last that worked, or 0 */
    int exit_status;
    struct link_message message; /* scratch: too large for the stack */
};

static int64_t now_ms(void)
{
    return units_monotonic() / 1000;
}

static struct worker *in_state(struct supervisor *s, enum state state)
{
    for (size_t i = 0; i < WORKERS_MAX; i++)
        if (s->workers[i].state == state)
            return &s->workers[i];
    return NULL;
}

/* ---- listening --------------------------------------------------------------- */

static int add_listener(struct supervisor *s, int fd, char kind)
{
    if (fd < 0)
        return -1;
    s->listeners[s->listener_count] = fd;
    s->kinds[s->listener_count++] = kind;
    return 0;
}

static int open_list(struct supervisor *s, const char *const *list, bool is_admin,
                     struct andiron_error *err)
{
    for (size_t i = 0; list[i] != NULL; i++) {
        struct address address;
        if (s->listener_count + 1 >= LISTENERS_MAX)
            return andiron_error_set(err, ANDIRON_E_INVALID, "", "more than %d addresses",
                                     LISTENERS_MAX - 1);
        if (address_parse(list[i], &address, err) != 0)
            return -1;
        char kind = is_admin ? 'a' : address.is_tls ? 't' : 'p';
        if (add_listener(s, listen_open(&address, list[i], err), kind) != 0)
            return -1;
    }
    return 0;
}

static int open_listeners(struct supervisor *s, struct andiron_error *err)
{
    const char *control = s->settings.control_socket;

    if (open_list(s, s->settings.listen, false, err) != 0 ||
        open_list(s, s->settings.admin_listen, true, err) != 0)
        return -1;
    if (control[0] == '\0')
        return 0;
    if (add_listener(s, listen_open_control(control, err), 'c') != 0)
        return -1;
    /* Its group may use it too: members of the daemon's group are its operators. */
    if (s->identity.changes && chown(control, 0, s->identity.gid) != 0)
        return andiron_error_set(err, ANDIRON_E_INVALID, "", "cannot give %s to its group: %s",
                                 control, strerror(errno));
    return 0;
}

static void close_listeners(struct supervisor *s)
{
    bool had_control = false;
    for (size_t i = 0; i < s->listener_count; i++) {
        had_control = had_control || s->kinds[i] == 'c';
        (void)close(s->listeners[i]); /* workers hold them too, as long as they drain */
    }
    if (had_control)
        (void)unlink(s->settings.control_socket); /* gone already: as it should be */
    s->listener_count = 0;
}

/* ---- workers ------------------------------------------------------------------------ */

/* "LINK:p5,t6,c7": what a worker inherits, for worker_run(). */
static void describe(const struct supervisor *s, int link, char *out, size_t room)
{
    size_t len = (size_t)snprintf(out, room, "%d:", link);
    for (size_t i = 0; i < s->listener_count && len < room; i++)
        len += (size_t)snprintf(out + len, room - len, "%s%c%d", i > 0 ? "," : "", s->kinds[i],
                                s->listeners[i]);
}

static const char **arguments(const struct supervisor *s, const char *description)
{
    const struct invocation *v = s->invocation;
    size_t overrides = 0, n = 0;
    while (v->overrides[overrides] != NULL)
        overrides++;
    const char **argv = calloc(2 * overrides + 6, sizeof(*argv));
    if (argv == NULL)
        return NULL;
    argv[n++] = v->program;
    argv[n++] = "-c";
    argv[n++] = v->dir;
    for (size_t i = 0; i < overrides; i++) {
        argv[n++] = "-o";
        argv[n++] = v->overrides[i];
    }
    argv[n++] = "--worker";
    argv[n++] = description;
    return argv;
}

/* The program on disk with the listening sockets and its end of the link, and nothing else. */
static int spawn(struct supervisor *s, int link, pid_t *ret_pid)
{
    char description[LISTENERS_MAX * 12 + 16];
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none, all;

    describe(s, link, description, sizeof(description));
    const char **argv = arguments(s, description);
    if (argv == NULL)
        return ENOMEM;
    (void)sigemptyset(&none);
    (void)sigfillset(&all);
    int error = posix_spawn_file_actions_init(&files);
    if (error == 0)
        error = posix_spawnattr_init(&attributes);
    /* A descriptor "duplicated" onto itself loses its close-on-exec. */
    for (size_t i = 0; error == 0 && i < s->listener_count; i++)
        error = posix_spawn_file_actions_adddup2(&files, s->listeners[i], s->listeners[i]);
    if (error == 0)
        error = posix_spawn_file_actions_adddup2(&files, link, link);
    if (error == 0) {
        (void)posix_spawnattr_setsigmask(&attributes, &none);
        (void)posix_spawnattr_setsigdefault(&attributes, &all);
        (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
        error = posix_spawn(ret_pid, s->invocation->program, &files, &attributes,
                            (char *const *)(uintptr_t)argv, environ);
    }
    (void)posix_spawn_file_actions_destroy(&files);
    (void)posix_spawnattr_destroy(&attributes);
    free(argv);
    return error;
}

static void schedule_restart(struct supervisor *s)
{
    s->restart_at_ms = now_ms() + s->backoff_ms;
    s->backoff_ms = s->backoff_ms == 0 ? 1000 : 2 * s->backoff_ms;
    if (s->backoff_ms > BACKOFF_MAX_MS)
        s->backoff_ms = BACKOFF_MAX_MS;
}

static int start_worker(struct supervisor *s)
{
    struct worker *w = in_state(s, STATE_NONE);
    int pair[2] = { -1, -1 };

    if (w == NULL)
        return -1; /* that many still drain: their deadlines come */
    int error = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0 ? errno : 0;
    *w = (struct worker){ .link = pair[0], .since_ms = now_ms() };
    if (error == 0)
        error = spawn(s, pair[1], &w->pid);
    if (pair[1] >= 0)
        (void)close(pair[1]); /* the worker's end now */
    if (error == 0) {
        w->state = STATE_STARTING;
        return 0;
    }
    if (pair[0] >= 0)
        (void)close(pair[0]); /* nobody is there */
    log_event(ANDIRON_LOG_ERROR, "worker.failed", NULL, "cannot start %s: %s",
              s->invocation->program, strerror(error));
    return -1;
}

static void tell(const struct worker *w, enum link_kind kind, const char *text)
{
    /* A worker that is gone reads nothing; SIGCHLD brings the rest. */
    (void)link_send(w->link, kind, andiron_str_of(text));
}

static void drain(struct worker *w, enum link_kind how)
{
    w->state = STATE_DRAINING;
    w->kill_at_ms = now_ms() + changes_drain_ms(w->configured) + KILL_AFTER_MS;
    tell(w, how, "");
}

static void tell_counts(const struct supervisor *s, const struct worker *w)
{
    char text[96];
    (void)snprintf(text, sizeof(text), "%u %u %lld", s->reloads_ok, s->reloads_failed,
                   (long long)s->reloaded_at);
    tell(w, LINK_COUNTS, text);
}

/* ---- reload ------------------------------------------------------------------------- */

static void reload_failed(struct supervisor *s, const char *why)
{
    struct worker *serving = in_state(s, STATE_SERVING);

    s->reloads_failed++;
    log_event(ANDIRON_LOG_ERROR, "config.rejected", NULL,
              "reload failed, the old configuration stays in force: %s", why);
    systemd_notify("READY=1\nSTATUS=Reload failed; the old configuration is in force");
    if (serving == NULL)
        return;
    if (serving->asked_reload)
        tell(serving, LINK_RELOADED, why);
    serving->asked_reload = false;
    tell_counts(s, serving);
}

static void reload(struct supervisor *s)
{
    if (s->stopping)
        return;
    if (in_state(s, STATE_STARTING) != NULL) {
        s->reload_again = true; /* what starts now may have read the files already */
        return;
    }
    s->restart_at_ms = 0; /* this is the restart, if one was due */
    systemd_notify_reloading();
    if (start_worker(s) != 0)
        reload_failed(s, "cannot start a second worker");
}

static void on_ready(struct supervisor *s, struct worker *w, const char *text)
{
    struct worker *old = in_state(s, STATE_SERVING);
    bool is_first = !s->was_ready;

    w->state = STATE_SERVING;
    w->since_ms = now_ms();
    w->configured = strdup(text);
    s->was_ready = true;
    s->extend_at_ms = 0;
    if (old != NULL) {
        char changed[512];
        changes_describe(old->configured, w->configured, changed, sizeof(changed));
        s->reloads_ok++;
        s->reloaded_at = andiron_now();
        log_event(ANDIRON_LOG_INFO, "config.reloaded", NULL, "%s", changed);
        drain(old, LINK_DRAIN);
        if (old->asked_reload) /* behind the drain: who asked meets the new worker from then on */
            tell(old, LINK_RELOADED, "");
    } else {
        log_event(ANDIRON_LOG_INFO, is_first ? "start" : "worker.restarted", NULL,
                  "andiron %s serves, worker %d", ANDIRON_VERSION, (int)w->pid);
    }
    tell_counts(s, w);
    systemd_notify("READY=1\nSTATUS=Serving, andiron " ANDIRON_VERSION);
}

/* ---- messages and ends ---------------------------------------------------------------- */

static void stop(struct supervisor *s);

static void on_message(struct supervisor *s, struct worker *w, const struct link_message *m)
{
    switch (m->kind) {
    case LINK_READY:
        if (w->state == STATE_STARTING && !s->stopping)
            on_ready(s, w, m->text);
        break;
    case LINK_FAILED:
    case LINK_CRASH:
        (void)snprintf(w->reason, sizeof(w->reason), "%.*s", (int)sizeof(w->reason) - 1, m->text);
        break;
    case LINK_RELOAD:
        w->asked_reload = true;
        reload(s);
        break;
    case LINK_STOP:
        stop(s);
        break;
    default:
        break; /* of a newer andiron that was started by a reload: not for us */
    }
}

/* False when the other end is gone. */
static bool read_link(struct supervisor *s, struct worker *w)
{
    int got;
    while ((got = link_receive(w->link, &s->message)) > 0)
        on_message(s, w, &s->message);
    return got == 0;
}

/* "SIGSEGV in auth, request 7f..": its last words, or else what wait() says. */
static void explain_end(const struct worker *w, int status, char *out, size_t room)
{
    if (w->reason[0] != '\0')
        (void)snprintf(out, room, "%s", w->reason);
    else if (WIFSIGNALED(status))
        (void)snprintf(out, room, "killed by signal %d (%s)", WTERMSIG(status),
                       strsignal(WTERMSIG(status)));
    else
        (void)snprintf(out, room, "ended with status %d", WEXITSTATUS(status));
}

static void serving_ended(struct supervisor *s, const struct worker *w, const char *why)
{
    if (now_ms() - w->since_ms > HEALTHY_MS)
        s->backoff_ms = 0;
    /* A reload that is under way brings the new worker anyway. */
    bool is_replaced = in_state(s, STATE_STARTING) != NULL;
    if (!is_replaced)
        schedule_restart(s);
    log_event(ANDIRON_LOG_ERROR, "worker.crashed", NULL, "worker %d: %s; %s", (int)w->pid, why,
              is_replaced                          ? "a new one is starting"
              : s->restart_at_ms <= now_ms() + 100 ? "restarting at once"
                                                   : "restarting after a pause");
}

static void starting_ended(struct supervisor *s, int status, const char *why)
{
    if (!s->was_ready) {
        s->exit_status =
            WIFEXITED(status) && WEXITSTATUS(status) != 0 ? WEXITSTATUS(status) : EXIT_INTERNAL;
        if (!WIFEXITED(status))
            (void)fprintf(stderr, "andiron: the worker could not start: %s\n", why);
        s->done = true;
    } else if (in_state(s, STATE_SERVING) != NULL) {
        reload_failed(s, why);
    } else {
        log_event(ANDIRON_LOG_ERROR, "worker.failed", NULL, "cannot start a new worker: %s", why);
        schedule_restart(s);
    }
}

static void on_end(struct supervisor *s, struct worker *w, int status)
{
    char why[sizeof(w->reason) + 64];

    (void)read_link(s, w);
    explain_end(w, status, why, sizeof(why));
    struct worker ended = *w;
    *w = (struct worker){ .state = STATE_NONE };
    (void)close(ended.link);
    if (!s->stopping && ended.state == STATE_SERVING)
        serving_ended(s, &ended, why);
    else if (!s->stopping && ended.state == STATE_STARTING)
        starting_ended(s, status, why);
    free(ended.configured);
}

static void reap(struct supervisor *s)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (size_t i = 0; i < WORKERS_MAX; i++)
            if (s->workers[i].state != STATE_NONE && s->workers[i].pid == pid)
                on_end(s, &s->workers[i], status);
}

/* ---- stopping and signals ------------------------------------------------------------------ */

static void kill_all(const struct supervisor *s)
{
    for (size_t i = 0; i < WORKERS_MAX; i++)
        if (s->workers[i].state != STATE_NONE)
            (void)kill(s->workers[i].pid, SIGKILL);
}

static void stop(struct supervisor *s)
{
    if (s->stopping) {
        kill_all(s); /* asked twice: at once */
        return;
    }
    s->stopping = true;
    s->restart_at_ms = 0;
    log_event(ANDIRON_LOG_INFO, "drain.started", NULL, "stopping: finishing requests");
    systemd_notify("STOPPING=1\nSTATUS=Finishing requests");
    for (size_t i = 0; i < WORKERS_MAX; i++) {
        struct worker *w = &s->workers[i];
        if (w->state == STATE_SERVING)
            drain(w, LINK_END);
        else if (w->state == STATE_STARTING)
            (void)kill(w->pid, SIGKILL); /* serves nobody yet, and stores survive it */
    }
    close_listeners(s);
}

static void on_signal(struct supervisor *s, unsigned number)
{
    switch (number) {
    case SIGTERM:
    case SIGINT:
        stop(s);
        break;
    case SIGHUP:
        reload(s);
        break;
    case SIGUSR1:
        privileges_log_file(s->settings.log.target, &s->identity);
        log_reopen();
        for (size_t i = 0; i < WORKERS_MAX; i++)
            if (s->workers[i].state != STATE_NONE)
                tell(&s->workers[i], LINK_REOPEN, "");
        break;
    case SIGCHLD:
        reap(s);
        break;
    default:
        break;
    }
}

static int open_signals(void)
{
    static const int numbers[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGCHLD };
    sigset_t set;

    (void)sigemptyset(&set);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        (void)sigaddset(&set, numbers[i]);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return -1;
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* ---- the loop --------------------------------------------------------------------------------- */

/*
 * Bringing a large store up to date takes longer than systemd waits for a start; it would kill that, and
 * the next start would begin it anew. A start that hangs is seen by this status, and ends by `systemctl stop`.
 */
static void extend_start(struct supervisor *s)
{
    systemd_notify("EXTEND_TIMEOUT_USEC=60000000\nSTATUS=Starting, andiron " ANDIRON_VERSION);
    s->extend_at_ms = now_ms() + EXTEND_EVERY_MS;
}

static void run_timers(struct supervisor *s)
{
    int64_t now = now_ms();

    if (s->extend_at_ms != 0 && s->extend_at_ms <= now && !s->stopping)
        extend_start(s);
    for (size_t i = 0; i < WORKERS_MAX; i++) {
        struct worker *w = &s->workers[i];
        if (w->state == STATE_NONE || w->kill_at_ms == 0 || w->kill_at_ms > now)
            continue;
        w->kill_at_ms = 0;
        log_event(ANDIRON_LOG_WARN, "worker.killed", NULL,
                  "worker %d did not end within drain-timeout and is killed", (int)w->pid);
        (void)kill(w->pid, SIGKILL);
    }
    if (s->restart_at_ms == 0 || s->restart_at_ms > now || s->stopping)
        return;
    s->restart_at_ms = 0;
    if (start_worker(s) != 0)
        schedule_restart(s);
}

/* Milliseconds until the next timer, or -1. */
static int time_left(const struct supervisor *s)
{
    int64_t next = s->restart_at_ms != 0 ? s->restart_at_ms : INT64_MAX;
    if (s->extend_at_ms != 0 && s->extend_at_ms < next && !s->stopping)
        next = s->extend_at_ms;
    for (size_t i = 0; i < WORKERS_MAX; i++)
        if (s->workers[i].state != STATE_NONE && s->workers[i].kill_at_ms != 0 &&
            s->workers[i].kill_at_ms < next)
            next = s->workers[i].kill_at_ms;
    if (next == INT64_MAX)
        return -1;
    int64_t left = next - now_ms();
    return left < 0 ? 0 : left > 60000 ? 60000 : (int)left;
}

static bool is_over(const struct supervisor *s)
{
    if (s->done)
        return true;
    for (size_t i = 0; i < WORKERS_MAX; i++)
        if (s->workers[i].state != STATE_NONE)
            return false;
    return s->stopping;
}

static bool is_watched(const struct worker *w)
{
    return w->state != STATE_NONE && !w->link_closed;
}

static void watch(struct supervisor *s)
{
    struct pollfd fds[WORKERS_MAX + 1];
    struct signalfd_siginfo info;

    fds[0] = (struct pollfd){ .fd = s->signals, .events = POLLIN };
    for (size_t i = 0; i < WORKERS_MAX; i++)
        fds[i + 1] = (struct pollfd){ .fd = is_watched(&s->workers[i]) ? s->workers[i].link : -1,
                                      .events = POLLIN };
    if (poll(fds, WORKERS_MAX + 1, time_left(s)) < 0 && errno != EINTR)
        abort(); /* cannot be: our own descriptors */
    for (size_t i = 0; i < WORKERS_MAX; i++) {
        struct worker *w = &s->workers[i];
        if (fds[i + 1].revents != 0 && is_watched(w) && !read_link(s, w))
            w->link_closed = true;
    }
    while (read(s->signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
        on_signal(s, info.ssi_signo);
    run_timers(s);
    if (s->reload_again && s->was_ready && in_state(s, STATE_STARTING) == NULL) {
        s->reload_again = false;
        reload(s);
    }
}

/* ---- start --------------------------------------------------------------------------------------- */

/* Folders must be there before the worker gives up the right to make them. */
static int prepare(struct supervisor *s, struct andiron_error *err)
{
    const struct settings *set = &s->settings;

    if (unfinished_check(s->invocation->dir, err) != 0 ||
        unfinished_check(set->state_dir, err) != 0)
        return -1;
    if (privileges_identity(set, &s->identity, err) != 0)
        return -1;
    if (privileges_folder(set->state_dir, &s->identity, err) != 0)
        return -1;
    if (set->cache_dir[0] != '\0' && privileges_folder(set->cache_dir, &s->identity, err) != 0)
        return -1;
    return open_listeners(s, err);
}

static int report(const struct andiron_error *err)
{
    (void)fprintf(stderr, "andiron: %s%s%s\n", err->where, err->where[0] != '\0' ? ": " : "",
                  err->message);
    return err->code == ANDIRON_E_UNAVAILABLE ? EXIT_TRY_AGAIN : EXIT_CONFIG;
}

/* Shows every problem of all files, those of plugins' sections too. */
static int report_problems(struct host *host, const struct settings *settings)
{
    static const struct andiron_plugin core = { .name = "core" };
    host_load(host, &core, NULL, settings->module_path);
    problems_sort(host_problems(host));
    problems_print(host_problems(host), stderr);
    return EXIT_CONFIG;
}

static int serve(struct supervisor *s)
{
    struct andiron_error err;

    privileges_raise_files();
    (void)umask(077);
    if (prepare(s, &err) != 0)
        return report(&err);
    s->signals = open_signals();
    if (s->signals < 0) {
        (void)andiron_error_set(&err, ANDIRON_E_INTERNAL, "", "cannot watch signals: %s",
                                strerror(errno));
        return report(&err);
    }
    privileges_log_file(s->settings.log.target, &s->identity);
    if (log_open(&s->settings.log, &err) != 0)
        return report(&err);
    if (start_worker(s) != 0)
        s->done = true;
    extend_start(s);
    s->exit_status = s->done ? EXIT_INTERNAL : 0;
    while (!is_over(s))
        watch(s);
    close_listeners(s);
    if (s->was_ready)
        log_event(ANDIRON_LOG_INFO, "stop", NULL, "andiron has stopped");
    log_close();
    return s->exit_status;
}

int supervisor_run(const struct invocation *invocation)
{
    struct supervisor *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return EXIT_INTERNAL;
    s->invocation = invocation;
    struct host *host = settings_read(invocation, SECRETS_SKIP, &s->settings);
    int status = host_problems(host)->errors > 0 ? report_problems(host, &s->settings) : serve(s);
    host_free(host);
    free(s);
    return status;
}
