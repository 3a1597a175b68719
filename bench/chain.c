/*
 * What request filters cost, without sockets: requests inside of a job, through core's own phases,
 * with the RECEIVE hooks of the modules that are named, and without.
 *
 *     bench-chain pass-0.so pass-1.so ...     prints nanoseconds that all of them add to a request
 */
#include <dlfcn.h>
#include <stdatomic.h>
#include <time.h>

#include <andiron/plugin.h>

#include "http/test_server.h"

enum { REQUESTS = 20000, ROUNDS = 40, MODULES_MAX = 64 };

static struct http_owner owners[MODULES_MAX];
static struct http_hook hooks[MODULES_MAX];

static int64_t cpu_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static enum andiron_step handle(struct andiron_request *req, void *self)
{
    (void)self;
    return andiron_reply(req, 200, "text/plain", ANDIRON_STR("done"));
}

static const struct andiron_route route = { "GET", "/one", handle, "One", ANDIRON_ROUTE_PUBLIC,
                                            NULL };

/* ---- a job of many requests --------------------------------------------------------------- */

struct round {
    unsigned left;
    struct andiron_arena *arena; /* of the request under way */
    struct andiron_request *sub;
    int64_t begun, took;
    atomic_bool is_over;
};

static enum andiron_step go_on(struct andiron_request *req, void *state)
{
    struct round *r = state;
    if (r->arena != NULL)
        andiron_arena_free(r->arena);
    r->arena = NULL;
    if (r->left-- == 0) {
        r->took = cpu_ns() - r->begun;
        atomic_store(&r->is_over, true);
        return ANDIRON_DONE;
    }
    r->arena = andiron_arena_new(0);
    const struct andiron_inner inner = { .size = sizeof(inner),
                                         .method = ANDIRON_STR("GET"),
                                         .target = ANDIRON_STR("/one"),
                                         .arena = r->arena };
    return andiron_request_run(req, &inner, &r->sub, go_on, r);
}

static enum andiron_step begin(struct andiron_request *req, void *state)
{
    struct round *r = state;
    r->begun = cpu_ns();
    return go_on(req, r);
}

/* Nanoseconds of one request. */
static double measure(struct test_server *server)
{
    static struct round r;
    r = (struct round){ .left = REQUESTS };
    andiron_job_start(server->loops[0], "bench", 60000, begin, &r);
    while (!atomic_load(&r.is_over))
        (void)usleep(1000);
    return (double)r.took / REQUESTS;
}

/* ---- two servers ------------------------------------------------------------------------------ */

static void start(struct test_server *server, const struct route_table *routes, size_t count)
{
    *server = (struct test_server){ .settings = test_settings(), .loop_count = 1 };
    server->app.routes = routes;
    server->app.hooks[ANDIRON_PHASE_RECEIVE] = hooks;
    server->app.hook_count[ANDIRON_PHASE_RECEIVE] = count;
    test_server_start(server);
}

int main(int argc, char **argv)
{
    static struct test_server without, with;
    static struct http_owner owner = { .name = "bench" };
    static struct http_route own = { .route = &route, .owner = &owner };
    struct andiron_error err;
    size_t count = 0;

    for (int i = 1; i < argc && count < MODULES_MAX; i++) {
        void *module = dlopen(argv[i], RTLD_NOW | RTLD_LOCAL);
        const struct andiron_plugin *table =
            module != NULL ? dlsym(module, "andiron_plugin_v1") : NULL;
        if (table == NULL) {
            fprintf(stderr, "%s\n", dlerror());
            return 1;
        }
        owners[count].name = table->name;
        hooks[count] = (struct http_hook){ table->hooks[0].run, NULL, &owners[count] };
        count++;
    }
    struct route_table *routes = route_table_new(&own, 1, &err);
    if (routes == NULL || pool_start(1, &err) != 0)
        return 1;
    start(&without, routes, 0);
    start(&with, routes, count);
    double least[2] = { 1e18, 1e18 };
    for (int round = 0; round < ROUNDS; round++) {
        double a = measure(&without), b = measure(&with);
        least[0] = a < least[0] ? a : least[0];
        least[1] = b < least[1] ? b : least[1];
    }
    printf("%.1f %.1f\n", least[0], least[1]);
    (void)fflush(stdout);
    _exit(0); /* what is left ends with the process */
}
