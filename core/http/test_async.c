/*
 * Waits, inner requests and jobs: what plugins are promised by andiron/async.h, over a real server.
 */
#include "http/test_steps.h"

/* ---- waiting ---------------------------------------------------------------------------- */

static void a_hook_may_wait(void **state)
{
    (void)state;
    serve(test_settings());
    assert_get("/private", "Authorization: Bearer slow\r\nX-Grant: yes\r\n", 200, "done");
    assert_trail("receive authenticate waited authorize handle respond log:200 ");
    stop();
}

static void ready_results_cost_no_stack(void **state)
{
    (void)state;
    serve(test_settings());
    assert_get("/ready", "", 200, "flat");
    stop();
}

static void offloaded_work_runs_on_the_pool_and_goes_on_on_the_loop(void **state)
{
    (void)state;
    serve(test_settings());
    assert_get("/offload", "", 200, "right");
    stop();
}

static void request_memory_is_limited(void **state)
{
    struct http_settings settings = test_settings();
    (void)state;
    settings.request_memory = 8 << 20;
    serve(settings);
    struct answer a = get("/grows", "");
    assert_int_equal(a.status, 503);
    assert_non_null(head_value(a.head, "retry-after"));
    answer_free(&a);
    stop();
}

static void time_left_is_that_of_the_deadline(void **state)
{
    (void)state;
    serve(test_settings());
    struct answer a = get("/time-left", "");
    assert_in_range(atoi(a.body), 29000, 30000);
    answer_free(&a);
    stop();
}

static void slow_steps_are_counted(void **state)
{
    (void)state;
    serve(test_settings());
    assert_get("/slow", "", 200, "slow");
    assert_true(slow_steps_counted() >= 1);
    stop();
}

/* ---- inner requests ------------------------------------------------------------------------ */

static void inner_requests_are_judged_and_handled(void **state)
{
    (void)state;
    serve(test_settings());
    assert_get("/batch", "X-Target: /inner/yes?a=b\r\nX-Count: 1\r\n", 200, "1 0 done Conditional");
    assert_trail("receive receive authorize handle respond log:200 ");
    stop();
}

static void a_refused_inner_request_fails_alone(void **state)
{
    (void)state;
    serve(test_settings());
    struct answer a = get("/batch", "X-Target: /inner/no\r\nX-Count: 1\r\n");
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(a.body, "0 1 {\"resourceType\":\"OperationOutcome\""));
    answer_free(&a);
    a = get("/batch", "X-Target: /nowhere\r\nX-Count: 1\r\n");
    assert_non_null(strstr(a.body, "not-found"));
    answer_free(&a);
    a = get("/batch", "X-Target: /a//b\r\nX-Count: 1\r\n");
    assert_non_null(strstr(a.body, "\"invalid\""));
    answer_free(&a);
    stop();
}

static void check_only_asks_without_handling(void **state)
{
    (void)state;
    serve(test_settings());
    assert_get("/batch", "X-Check: only\r\nX-Target: /inner/yes\r\nX-Count: 1\r\n", 200,
               "1 0  Conditional");
    assert_trail("receive receive authorize respond log:200 ");
    assert_get("/batch", "X-Check: only\r\nX-Target: /inner/no\r\nX-Count: 1\r\n", 200, NULL);
    assert_trail("receive receive authorize respond log:200 ");
    stop();
}

static void thousands_of_inner_requests_cost_no_stack(void **state)
{
    (void)state;
    serve(test_settings());
    assert_get("/batch", "X-Target: /inner/yes\r\nX-Count: 20000\r\n", 200,
               "20000 0 done Conditional");
    stop();
}

/* ---- beside ------------------------------------------------------------------------------------ */

static void await_trail(const char *end)
{
    bool is_there = false;

    for (int i = 0; i < 2000 && !is_there; i++) {
        client_pause(5);
        pthread_mutex_lock(&lock);
        is_there = strstr(trail, end) != NULL;
        pthread_mutex_unlock(&lock);
    }
    assert_true(is_there);
}

static void what_runs_beside_a_request_has_its_principal_and_its_connection_goes_on(void **state)
{
    struct client c;
    struct answer a;
    (void)state;
    serve(test_settings());
    c = client_open(server.port);
    client_send(&c,
                "GET /beside HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer x\r\nX-Grant: yes\r\n\r\n"
                "GET /public HTTP/1.1\r\nHost: a\r\n\r\n");
    a = client_read(&c, true);
    assert_string_equal(a.body, "begun");
    answer_free(&a);
    a = client_read(&c, true);
    assert_string_equal(a.body, "done");
    answer_free(&a);
    client_close(&c);
    await_trail("receive authenticate authorize respond log:200 receive authorize handle "
                "beside:somebody:200 released:200 receive handle respond log:200 ");
    stop();
}

static void memory_of_a_request_stays_for_what_runs_beside_it(void **state)
{
    const struct linger at_once = { .l_onoff = 1, .l_linger = 0 }; /* it is reset, not ended */
    struct client c;
    struct answer a;
    (void)state;
    serve(test_settings());
    atomic_store(&beside_parked, NULL);
    c = client_open(server.port);
    client_send(&c, "GET /beside HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer x\r\nX-Grant: yes\r\n"
                    "X-Beside: parks\r\n\r\n");
    a = client_read(&c, true);
    assert_string_equal(a.body, "begun");
    answer_free(&a);
    for (int i = 0; i < 2000 && atomic_load(&beside_parked) == NULL; i++)
        client_pause(5);
    assert_int_equal(setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
    client_close(&c);
    client_pause(30);
    pthread_mutex_lock(&lock);
    assert_null(strstr(trail, "released"));
    pthread_mutex_unlock(&lock);
    andiron_resume(atomic_load(&beside_parked));
    await_trail("beside:somebody:0 released:200 "); /* as it was answered */
    stop();
}

/* ---- jobs ------------------------------------------------------------------------------------------- */

static struct andiron_request *_Atomic job_parked;
static atomic_uint job_state;

static enum andiron_step job_over(struct andiron_request *req, void *state)
{
    (void)state;
    assert(andiron_request_principal(req)->kind == ANDIRON_SYSTEM);
    atomic_store(&job_state, 2);
    return ANDIRON_NEXT;
}

static void job_released(void *arg)
{
    (void)arg;
    atomic_fetch_add(&job_state, 100);
}

static enum andiron_step job_first(struct andiron_request *req, void *state)
{
    enum andiron_step step = andiron_wait(req, job_over, state);

    atomic_store(&job_state, 1);
    andiron_at_release(andiron_request_arena(req), job_released, NULL);
    atomic_store(&job_parked, req);
    return step;
}

static void await_job(unsigned wanted)
{
    for (int i = 0; i < 400 && atomic_load(&job_state) != wanted; i++)
        client_pause(5);
    assert_int_equal(atomic_load(&job_state), wanted);
}

static void jobs_run_as_the_server_itself(void **state)
{
    (void)state;
    serve(test_settings());
    atomic_store(&job_state, 0);
    andiron_job_start(server.loops[0], "fill", 5000, job_first, NULL);
    await_job(1);
    client_pause(5);
    andiron_resume(atomic_load(&job_parked));
    await_job(102);
    stop();
}

static void a_job_past_its_deadline_goes_no_further(void **state)
{
    (void)state;
    serve(test_settings());
    atomic_store(&job_state, 0);
    andiron_job_start(server.loops[0], "fill", 50, job_first, NULL);
    await_job(1);
    client_pause(150);
    assert_int_equal(atomic_load(&job_state), 1); /* somebody may still use its arena */
    andiron_resume(atomic_load(&job_parked));
    await_job(101);
    stop();
}

static atomic_int run_status;
static char run_body[64];

static void on_run(void *arg, int status, andiron_str body)
{
    (void)arg;
    snprintf(run_body, sizeof(run_body), "%.*s", (int)body.len, body.data);
    atomic_store(&run_status, status);
}

static void the_server_itself_needs_no_grant(void **state)
{
    struct andiron_inner inner = { .size = sizeof(inner),
                                   .method = ANDIRON_STR("GET"),
                                   .target = ANDIRON_STR("/private") };
    (void)state;
    serve(test_settings());
    atomic_store(&run_status, 0);
    http_server_run(server.server, &inner, on_run, NULL);
    for (int i = 0; i < 400 && atomic_load(&run_status) == 0; i++)
        client_pause(5);
    assert_int_equal(atomic_load(&run_status), 200);
    assert_string_equal(run_body, "done");
    assert_trail("receive authorize handle ");
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hook_may_wait),
        cmocka_unit_test(ready_results_cost_no_stack),
        cmocka_unit_test(offloaded_work_runs_on_the_pool_and_goes_on_on_the_loop),
        cmocka_unit_test(request_memory_is_limited),
        cmocka_unit_test(time_left_is_that_of_the_deadline),
        cmocka_unit_test(slow_steps_are_counted),
        cmocka_unit_test(inner_requests_are_judged_and_handled),
        cmocka_unit_test(a_refused_inner_request_fails_alone),
        cmocka_unit_test(check_only_asks_without_handling),
        cmocka_unit_test(thousands_of_inner_requests_cost_no_stack),
        cmocka_unit_test(what_runs_beside_a_request_has_its_principal_and_its_connection_goes_on),
        cmocka_unit_test(memory_of_a_request_stays_for_what_runs_beside_it),
        cmocka_unit_test(jobs_run_as_the_server_itself),
        cmocka_unit_test(a_job_past_its_deadline_goes_no_further),
        cmocka_unit_test(the_server_itself_needs_no_grant),
    };
    return cmocka_run_group_tests(tests, make_counter, NULL);
}
