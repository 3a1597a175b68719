/*
 * The policies in force while the store tells of changes, and while it cannot be read.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "host/host.h"
#include "http/test_client.h"
#include "http/test_server.h"
#include "policies.h"

#define POLICY "{\"resourceType\":\"AccessPolicy\",\"id\":\"a\",\"engine\":\"allow\"}"

static const struct andiron_policy_engine allow_table = { .size = sizeof(allow_table) };
static struct engine all[] = { { .name = "allow", .ref = { &allow_table, NULL }, .cost = 1 } };
static const struct engines engines = { .all = all, .count = 1 };

/* ---- a store with one policy or none ------------------------------------------------ */

static atomic_bool has_policy, is_broken;
static void (*tell)(void *arg, andiron_str type, andiron_str id);
static void *tell_arg;

static enum andiron_step answer(struct andiron_request *req, struct andiron_rows *ret,
                                andiron_step_fn then, void *state)
{
    static struct andiron_row row = {
        .ref = { .type = { "AccessPolicy", 12 }, .id = { "a", 1 }, .version = 1 },
        .body = { POLICY, sizeof(POLICY) - 1 }
    };
    static struct andiron_row gone = {
        .ref = { .type = { "AccessPolicy", 12 }, .id = { "a", 1 }, .version = 2 }, .deleted = true
    };
    if (is_broken)
        (void)andiron_error_set(&ret->error, ANDIRON_E_UNAVAILABLE, "", "the store is away");
    else
        ret->rows = has_policy ? &row : &gone;
    ret->count = is_broken ? 0 : 1;
    return andiron_ready(req, then, state);
}

static enum andiron_step store_read(void *self, struct andiron_request *req,
                                    const struct andiron_ref *refs, size_t count,
                                    struct andiron_rows *ret, andiron_step_fn then, void *state)
{
    (void)self;
    (void)refs;
    (void)count;
    return answer(req, ret, then, state);
}

static enum andiron_step store_search(void *self, struct andiron_request *req,
                                      const struct andiron_query *query, struct andiron_rows *ret,
                                      andiron_step_fn then, void *state)
{
    (void)self;
    (void)query;
    enum andiron_step step = answer(req, ret, then, state);
    if (!is_broken && !has_policy)
        ret->count = 0;
    return step;
}

static int store_watch(void *self, struct andiron_loop *loop, const char *type,
                       void (*changed)(void *arg, andiron_str type, andiron_str id), void *arg,
                       struct andiron_error *err)
{
    (void)self;
    (void)loop;
    (void)type;
    (void)err;
    tell = changed;
    tell_arg = arg;
    return 0;
}

static const struct andiron_store store = {
    .size = sizeof(store), .read = store_read, .search = store_search, .watch = store_watch
};

/* ---- a server that grants what policy "a" is in force for -------------------------------- */

static struct test_server server;
static struct route_table *routes;
static struct andiron_host host = { .name = "access" };
static struct policies *policies;
static struct policies_local *local;

static enum andiron_step authorize(struct andiron_request *req, void *self)
{
    struct set *set = policies_current(policies, local);
    if (set == NULL)
        return policies_load(policies, req, authorize, self);
    const struct policy *policy = set_find(set, ANDIRON_STR("a"));
    if (policy != NULL && policy->applies)
        andiron_request_grant(req, "AccessPolicy/a");
    return ANDIRON_NEXT;
}

static enum andiron_step handle(struct andiron_request *req, void *self)
{
    (void)self;
    return andiron_reply(req, 200, "text/plain", ANDIRON_STR("done"));
}

static const struct andiron_route route = { "GET", "/one", handle, "One", 0, NULL };

static int set_up(void **state)
{
    static struct http_owner owner = { .name = "test" };
    static struct http_route own[1];
    static const struct http_hook hook = { authorize, NULL, &owner };
    const struct andiron_service_ref ref = { &store, NULL };
    struct andiron_error err;

    (void)state;
    has_policy = true;
    is_broken = false;
    own[0] = (struct http_route){ .route = &route, .owner = &owner };
    routes = route_table_new(own, 1, &err);
    server = (struct test_server){ .settings = test_settings(), .loop_count = 1 };
    server.app.routes = routes;
    server.app.hooks[ANDIRON_PHASE_AUTHORIZE] = &hook;
    server.app.hook_count[ANDIRON_PHASE_AUTHORIZE] = 1;
    host.arena = arena_new();
    policies = policies_new(&host, &engines, ref);
    local = policies_local_new();
    if (pool_start(1, &err) != 0)
        return -1;
    test_server_start(&server);
    return policies_start(policies, server.loops[0], &err);
}

static int tear_down(void **state)
{
    (void)state;
    test_server_stop(&server);
    policies_local_free(local);
    policies_free(policies);
    route_table_free(routes);
    arena_free(host.arena);
    return 0;
}

static void tell_now(void *id)
{
    tell(tell_arg, ANDIRON_STR("AccessPolicy"), andiron_str_of(id));
}

static int get(void)
{
    struct client c = client_open(server.port);
    client_send(&c, "GET /one HTTP/1.1\r\nHost: a\r\n\r\n");
    struct answer a = client_read(&c, true);
    int status = a.status;
    answer_free(&a);
    client_close(&c);
    return status;
}

/* A change becomes known within a moment. */
static void assert_becomes(int status)
{
    int got = 0;
    for (int i = 0; i < 200 && (got = get()) != status; i++)
        client_pause(10);
    assert_int_equal(got, status);
}

static void a_change_by_others_is_in_force_once_told(void **state)
{
    (void)state;
    assert_int_equal(get(), 200);
    has_policy = false;
    andiron_loop_post(server.loops[0], tell_now, "a");
    assert_becomes(401);
}

static void what_may_have_been_taken_back_grants_nothing(void **state)
{
    static char *const told[] = { "a", "" };
    (void)state;
    for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
        assert_becomes(200);
        is_broken = true;
        has_policy = false;
        andiron_loop_post(server.loops[0], tell_now, told[i]);
        assert_becomes(503);
        assert_int_equal(get(), 503);
        is_broken = false;
        assert_int_equal(get(), 401);
        has_policy = true;
        andiron_loop_post(server.loops[0], tell_now, "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_change_by_others_is_in_force_once_told, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_may_have_been_taken_back_grants_nothing, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
