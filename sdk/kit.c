/*
 * The test kit's host: what a policy engine calls while it is initialised, compiles and evaluates,
 * without a server, a loop or a configuration. Public side: andiron-plugin-test.h.
 */
#include "andiron-plugin-test.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/arena.h"
#include "base/units.h"

enum { SERVICES_MAX = 32, THREADS_MAX = 64, REASON_MAX = 512, PENDING_LIMIT_S = 5 };

struct andiron_host {
    struct andiron_arena *arena;
    const char *name;
    struct andiron_service services[SERVICES_MAX];
    void *selves[SERVICES_MAX];
    size_t service_count;
};

struct andiron_request {
    struct andiron_arena *arena;
};

/* The verdict of a call that was PENDING. */
struct outcome {
    pthread_mutex_t lock;
    pthread_cond_t done;
    bool finished;
    enum andiron_verdict verdict;
};

struct andiron_policy_call {
    struct andiron_request *req;
    andiron_json input;
    struct andiron_policy_call *parent; /* the one that asked; NULL: the test */
    struct outcome *outcome;            /* where parent is NULL */
    andiron_verdict_fn then;            /* else */
    void *state;
    andiron_str reason;
};

struct andiron_test {
    struct andiron_plugin plugin; /* members that the plugin does not know are 0 */
    struct andiron_host host;
    void *self;
    const struct andiron_policy_engine *engine;
    struct andiron_arena *policy_arena, *request_arena;
    void *compiled;
    struct andiron_error error;
    const char *reason;
};

/* ---- clock, log, threads: of the process --------------------------------------------- */

static _Atomic(andiron_usec) clock_set = -1;

void andiron_test_clock(andiron_usec now)
{
    atomic_store(&clock_set, now);
}

andiron_usec andiron_now(void)
{
    andiron_usec set = atomic_load(&clock_set);
    struct timespec ts;
    if (set >= 0)
        return set;
    (void)clock_gettime(CLOCK_REALTIME, &ts); /* cannot fail for this clock */
    return (andiron_usec)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

void andiron_log(struct andiron_host *host, enum andiron_level level, const char *event,
                 const char *fmt, ...)
{
    static const char *const words[] = { "error", "warning", "info", "debug" };
    va_list args;
    (void)fprintf(stderr, "%s: %s: %s: ", host->name,
                  (unsigned)level <= ANDIRON_LOG_DEBUG ? words[level] : "?", event);
    va_start(args, fmt);
    (void)vfprintf(stderr, fmt, args);
    va_end(args);
    (void)fputc('\n', stderr);
}

void andiron_request_log(struct andiron_request *req, enum andiron_level level, const char *event,
                         const char *fmt, ...)
{
    va_list args;
    (void)req;
    (void)level;
    (void)fprintf(stderr, "request: %s: ", event);
    va_start(args, fmt);
    (void)vfprintf(stderr, fmt, args);
    va_end(args);
    (void)fputc('\n', stderr);
}

static pthread_t threads[THREADS_MAX];
static size_t thread_count;
static pthread_mutex_t threads_lock = PTHREAD_MUTEX_INITIALIZER;

struct work {
    void (*run)(void *arg);
    void *arg;
};

static void *run_work(void *arg)
{
    struct work work = *(struct work *)arg;
    free(arg);
    work.run(work.arg);
    return NULL;
}

/* A thread for each: tests have few. */
void andiron_pool_post(void (*work)(void *arg), void *arg)
{
    struct work *w = malloc(sizeof(*w));
    (void)pthread_mutex_lock(&threads_lock);
    if (w != NULL)
        *w = (struct work){ work, arg };
    if (w == NULL || thread_count == THREADS_MAX ||
        pthread_create(&threads[thread_count], NULL, run_work, w) != 0) {
        (void)fprintf(stderr, "andiron-test: more than %d jobs on the pool\n", THREADS_MAX);
        abort();
    }
    thread_count++;
    (void)pthread_mutex_unlock(&threads_lock);
}

static void join_threads(void)
{
    for (;;) {
        pthread_t thread = pthread_self();
        (void)pthread_mutex_lock(&threads_lock);
        bool is_any = thread_count > 0;
        if (is_any)
            thread = threads[--thread_count];
        (void)pthread_mutex_unlock(&threads_lock);
        if (!is_any)
            return;
        (void)pthread_join(thread, NULL);
    }
}

/* ---- host ------------------------------------------------------------------------------ */

struct andiron_arena *andiron_host_arena(struct andiron_host *host)
{
    return host->arena;
}

const char *andiron_host_setting(struct andiron_host *host, const char *name)
{
    (void)host;
    (void)name;
    return NULL;
}

bool andiron_service_find(struct andiron_host *host, const char *name, size_t *pos,
                          struct andiron_service_ref *ret, const char **ret_name)
{
    size_t len = strlen(name), at = pos != NULL ? *pos : 0;
    bool is_kind = len > 0 && name[len - 1] == ':';

    for (; at < host->service_count; at++) {
        const char *have = host->services[at].name;
        if (is_kind ? strncmp(have, name, len) != 0 : strcmp(have, name) != 0)
            continue;
        *ret = (struct andiron_service_ref){ host->services[at].table, host->selves[at] };
        if (ret_name != NULL)
            *ret_name = have;
        if (pos != NULL)
            *pos = at + 1;
        return true;
    }
    return false;
}

/* Metrics are counted nowhere: any address will do. */
static char nothing_counted;

struct andiron_counter *andiron_counter(struct andiron_host *host, const char *name,
                                        const char *labels, const char *help)
{
    (void)host;
    (void)name;
    (void)labels;
    (void)help;
    return (struct andiron_counter *)(void *)&nothing_counted;
}

void andiron_count(struct andiron_counter *counter, uint64_t by)
{
    (void)counter;
    (void)by;
}

void andiron_gauge(struct andiron_host *host, const char *name, const char *labels,
                   const char *help, double (*read)(void *self), void *self)
{
    (void)host;
    (void)name;
    (void)labels;
    (void)help;
    (void)read;
    (void)self;
}

struct andiron_histogram *andiron_histogram(struct andiron_host *host, const char *name,
                                            const char *labels, const char *help)
{
    (void)host;
    (void)name;
    (void)labels;
    (void)help;
    return (struct andiron_histogram *)(void *)&nothing_counted;
}

void andiron_observe(struct andiron_histogram *histogram, andiron_usec duration)
{
    (void)histogram;
    (void)duration;
}

/* ---- the request behind a call ------------------------------------------------------------ */

struct andiron_arena *andiron_request_arena(struct andiron_request *req)
{
    return req->arena;
}

andiron_str andiron_request_id(const struct andiron_request *req)
{
    (void)req;
    return ANDIRON_STR("test");
}

struct andiron_loop *andiron_request_loop(const struct andiron_request *req)
{
    (void)req;
    return NULL; /* as under `andiron explain-policy` */
}

int64_t andiron_request_time_left(const struct andiron_request *req)
{
    (void)req;
    return PENDING_LIMIT_S * 1000;
}

/* ---- calls --------------------------------------------------------------------------------- */

struct andiron_request *andiron_policy_request(struct andiron_policy_call *call)
{
    return call->req;
}

andiron_json andiron_policy_input(struct andiron_policy_call *call, const char *path)
{
    return path[0] == '\0' ? call->input : andiron_json_path(call->input, path);
}

bool andiron_policy_wants_reasons(const struct andiron_policy_call *call)
{
    return call != NULL;
}

andiron_str andiron_policy_reason(struct andiron_policy_call *call)
{
    return call->reason;
}

static void give_reason(struct andiron_policy_call *call, const char *fmt, va_list args)
{
    char text[REASON_MAX];
    if (vsnprintf(text, sizeof(text), fmt, args) < 0)
        text[0] = '\0';
    andiron_str reason = andiron_str_of(andiron_copy(call->req->arena, andiron_str_of(text)));
    for (; call != NULL; call = call->parent)
        call->reason = reason;
}

enum andiron_verdict andiron_policy_no_match(struct andiron_policy_call *call, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    give_reason(call, fmt, args);
    va_end(args);
    return ANDIRON_NO_MATCH;
}

enum andiron_verdict andiron_policy_fault(struct andiron_policy_call *call, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    give_reason(call, fmt, args);
    va_end(args);
    return ANDIRON_FAULT;
}

void andiron_policy_finish(struct andiron_policy_call *call, enum andiron_verdict verdict)
{
    if (call->outcome == NULL) {
        call->then(call->state, verdict);
        return;
    }
    struct outcome *o = call->outcome;
    (void)pthread_mutex_lock(&o->lock);
    if (o->finished) {
        (void)fputs("andiron-test: andiron_policy_finish() was called twice\n", stderr);
        abort();
    }
    o->finished = true;
    o->verdict = verdict;
    (void)pthread_cond_signal(&o->done);
    (void)pthread_mutex_unlock(&o->lock);
}

enum andiron_verdict andiron_policy_ask(struct andiron_policy_call *call,
                                        const struct andiron_service_ref *engine,
                                        const void *compiled, andiron_verdict_fn then, void *state)
{
    const struct andiron_policy_engine *table = engine->table;
    struct andiron_policy_call *asked = andiron_new(call->req->arena, struct andiron_policy_call);
    *asked = (struct andiron_policy_call){
        .req = call->req, .input = call->input, .parent = call, .then = then, .state = state
    };
    call->reason = (andiron_str){ NULL, 0 };
    return table->evaluate(engine->self, compiled, asked);
}

/* The verdict, or FAULT after the limit. */
static enum andiron_verdict wait_for(struct outcome *o)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PENDING_LIMIT_S;
    enum andiron_verdict verdict = ANDIRON_FAULT;
    (void)pthread_mutex_lock(&o->lock);
    while (!o->finished && pthread_cond_timedwait(&o->done, &o->lock, &until) == 0)
        continue;
    if (o->finished)
        verdict = o->verdict;
    (void)pthread_mutex_unlock(&o->lock);
    return verdict;
}

/* ---- what a test calls ------------------------------------------------------------------------ */

struct andiron_test *andiron_test_open(const struct andiron_plugin *plugin, const void *config)
{
    struct andiron_test *t = calloc(1, sizeof(*t));
    if (t == NULL)
        abort();
    memcpy(&t->plugin, plugin, plugin->size < sizeof(t->plugin) ? plugin->size : sizeof(t->plugin));
    t->host.arena = arena_new();
    t->host.name = t->plugin.name;
    t->reason = "";
    t->self = (void *)(uintptr_t)config; /* without an init(), self is config */
    if (t->plugin.init == NULL || t->plugin.init(&t->host, config, &t->self, &t->error) == 0)
        return t;
    (void)fprintf(stderr, "%s: init: %s\n", t->plugin.name, t->error.message);
    t->plugin.stop = NULL;
    andiron_test_close(t);
    return NULL;
}

void andiron_test_provide(struct andiron_test *t, const char *name, const void *table, void *self)
{
    if (t->host.service_count == SERVICES_MAX) {
        (void)fprintf(stderr, "andiron-test: more than %d services\n", SERVICES_MAX);
        abort();
    }
    t->host.services[t->host.service_count] = (struct andiron_service){ name, table };
    t->host.selves[t->host.service_count++] = self;
}

int andiron_test_start(struct andiron_test *t)
{
    t->error = (struct andiron_error){ .code = ANDIRON_OK };
    return t->plugin.start != NULL ? t->plugin.start(&t->host, t->self, &t->error) : 0;
}

static void release_policy(struct andiron_test *t)
{
    join_threads(); /* an engine that was too late may still use both */
    if (t->engine != NULL && t->engine->release != NULL && t->compiled != NULL)
        t->engine->release(t->self, t->compiled);
    arena_free(t->request_arena);
    arena_free(t->policy_arena);
    t->engine = NULL;
    t->compiled = NULL;
    t->policy_arena = t->request_arena = NULL;
    t->reason = "";
}

void andiron_test_close(struct andiron_test *t)
{
    if (t == NULL)
        return;
    release_policy(t);
    if (t->plugin.stop != NULL)
        t->plugin.stop(t->self);
    arena_free(t->host.arena);
    free(t);
}

static const struct andiron_policy_engine *engine_of(const struct andiron_test *t, andiron_str name)
{
    static const char kind[] = ANDIRON_POLICY_ENGINE;
    for (const struct andiron_service *s = t->plugin.provides; s != NULL && s->name != NULL; s++)
        if (strncmp(s->name, kind, sizeof(kind) - 1) == 0 &&
            andiron_str_eq(andiron_str_of(s->name + sizeof(kind) - 1), name))
            return s->table;
    return NULL;
}

int andiron_test_policy(struct andiron_test *t, const char *policy_json)
{
    andiron_json policy;
    release_policy(t);
    t->policy_arena = arena_new();
    t->error = (struct andiron_error){ .code = ANDIRON_OK };
    if (andiron_json_parse(t->policy_arena, andiron_str_of(policy_json), &policy, &t->error) != 0)
        return -1;
    andiron_str name = andiron_json_str(andiron_json_get(policy, "engine"));
    const struct andiron_policy_engine *engine = engine_of(t, name);
    if (engine == NULL)
        return andiron_error_set(&t->error, ANDIRON_E_UNPROCESSABLE, "AccessPolicy.engine",
                                 "%s has no engine \"%.*s\"", t->plugin.name, (int)name.len,
                                 name.len > 0 ? name.data : "");
    if (engine->compile != NULL &&
        engine->compile(t->self, t->policy_arena, policy, &t->compiled, &t->error) != 0)
        return -1;
    t->engine = engine;
    return 0;
}

const struct andiron_error *andiron_test_error(const struct andiron_test *t)
{
    return &t->error;
}

enum andiron_verdict andiron_test_ask(struct andiron_test *t, const char *request_json)
{
    struct andiron_error err;
    andiron_json input;
    join_threads();
    arena_free(t->request_arena);
    t->request_arena = arena_new();
    t->reason = "";
    if (t->engine == NULL ||
        andiron_json_parse(t->request_arena, andiron_str_of(request_json), &input, &err) != 0) {
        t->reason = t->engine == NULL ? "no policy was compiled" : "the request is not JSON";
        return ANDIRON_FAULT;
    }
    struct andiron_request *req = andiron_new(t->request_arena, struct andiron_request);
    struct outcome *o = andiron_new(t->request_arena, struct outcome);
    struct andiron_policy_call *call = andiron_new(t->request_arena, struct andiron_policy_call);
    req->arena = t->request_arena;
    (void)pthread_mutex_init(&o->lock, NULL); /* cannot fail for default attributes */
    (void)pthread_cond_init(&o->done, NULL);
    *call = (struct andiron_policy_call){ .req = req, .input = input, .outcome = o };
    enum andiron_verdict verdict = t->engine->evaluate(t->self, t->compiled, call);
    if (verdict == ANDIRON_PENDING)
        verdict = wait_for(o);
    if (call->reason.data != NULL)
        t->reason = call->reason.data; /* NUL-terminated by give_reason() */
    return verdict;
}

const char *andiron_test_reason(const struct andiron_test *t)
{
    return t->reason;
}
