/*
 * A server for tests of what policies see: its AUTHORIZE hook is the test's, its routes are a table of
 * the test's, and the request object of the request that was judged last is kept.
 */
#ifndef CORE_HTTP_TEST_JUDGED_H
#define CORE_HTTP_TEST_JUDGED_H

#include <andiron/policy.h>

#include "http/test_client.h"
#include "http/test_server.h"

enum { JUDGED_ROUTES_MAX = 16 };

static struct test_server server;
static struct route_table *routes;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char seen[8192]; /* under lock, or while no request is under way */

/* Keeps what policies see of req, and lets it pass. */
static inline enum andiron_step judged_grant(struct andiron_request *req)
{
    andiron_str whole = andiron_json_raw(andiron_policy_input(andiron_policy_begin(req), ""));
    pthread_mutex_lock(&lock);
    snprintf(seen, sizeof(seen), "%.*s", (int)whole.len, whole.data);
    pthread_mutex_unlock(&lock);
    andiron_request_grant(req, "AccessPolicy/test");
    return ANDIRON_NEXT;
}

/* A handler that has nothing to say. */
static inline enum andiron_step judged_handle(struct andiron_request *req, void *self)
{
    (void)self;
    return andiron_reply(req, 200, "text/plain", ANDIRON_STR("done"));
}

/* Answers as its inner request was answered. */
static inline enum andiron_step judged_inner_done(struct andiron_request *req, void *state)
{
    struct andiron_request **sub = state;
    return andiron_reply(req, andiron_reply_status(*sub), "text/plain", andiron_reply_body(*sub));
}

/* authenticate may be NULL. -1: it does not run. */
static inline int judged_start(const struct andiron_route *table, size_t count,
                               andiron_step_fn authenticate, andiron_step_fn authorize)
{
    static struct http_route own[JUDGED_ROUTES_MAX];
    static struct http_owner owner = { .name = "test" };
    static struct http_hook hooks[2];
    struct andiron_error err;

    assert(count <= JUDGED_ROUTES_MAX);
    for (size_t i = 0; i < count; i++)
        own[i] = (struct http_route){ .route = &table[i], .owner = &owner };
    hooks[0] = (struct http_hook){ authenticate, NULL, &owner };
    hooks[1] = (struct http_hook){ authorize, NULL, &owner };
    routes = route_table_new(own, count, &err);
    server = (struct test_server){ .settings = test_settings(), .loop_count = 1 };
    server.app.routes = routes;
    server.app.hooks[ANDIRON_PHASE_AUTHENTICATE] = &hooks[0];
    server.app.hook_count[ANDIRON_PHASE_AUTHENTICATE] = authenticate != NULL;
    server.app.hooks[ANDIRON_PHASE_AUTHORIZE] = &hooks[1];
    server.app.hook_count[ANDIRON_PHASE_AUTHORIZE] = 1;
    if (pool_start(1, &err) != 0)
        return -1;
    test_server_start(&server);
    return 0;
}

/* A cmocka teardown. */
static inline int judged_stop(void **state)
{
    (void)state;
    test_server_stop(&server);
    route_table_free(routes);
    return 0;
}

static inline void assert_seen(const char *part)
{
    if (strstr(seen, part) == NULL)
        fail_msg("%s is not in %s", part, seen);
}

static inline void assert_not_seen(const char *part)
{
    if (strstr(seen, part) != NULL)
        fail_msg("%s is in %s", part, seen);
}

#endif
