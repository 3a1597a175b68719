/*
 * The gate on a real loop. All jobs of a test are posted before its thread starts: it runs them one
 * after the other, and no timer comes between them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <semaphore.h>

#include "gate.h"
#include "http/request.h"
#include "http/test_server.h"

static struct test_server server;
static struct gate *gate;
static sem_t over;
static struct andiron_request *visitor, *waiting[GATE_MANY + 1];
static struct gate_visit visits[GATE_LOW + 1];
static size_t waiters, passed, expected;

static void start(size_t expect)
{
    struct andiron_error err;

    waiters = passed = 0;
    expected = expect;
    server = (struct test_server){ .settings = test_settings(), .loop_count = 1 };
    server.app.settings = &server.settings;
    server.listener.fd = test_listen(&server.port);
    server.loops[0] = loop_new(0, &err);
    server.server = http_server_new(&server.app, server.loops, 1, &server.listener, 1, &err);
    assert_non_null(server.server);
    gate = gate_new(server.loops[0]);
    assert_non_null(gate);
    sem_init(&over, 0, 0);
}

static void job(andiron_step_fn step)
{
    andiron_job_start(server.loops[0], "test", 20000, step, NULL);
}

static void run(void)
{
    (void)pthread_create(&server.threads[0], NULL, test_loop_thread, server.loops[0]);
    sem_wait(&over);
    loop_quit(server.loops[0]);
    (void)pthread_join(server.threads[0], NULL);
    gate_free(gate);
    http_server_free(server.server);
    loop_free(server.loops[0]);
    (void)close(server.listener.fd);
    arena_cache_drop();
}

static enum andiron_step leave_one(struct andiron_request *req, void *state)
{
    (void)req;
    (void)state;
    gate_leave(&visits[0]);
    return ANDIRON_DONE;
}

static void enter(struct andiron_request *req, size_t count)
{
    for (size_t i = 0; i < count; i++)
        gate_enter(gate, req, &visits[i]);
}

static enum andiron_step crowd(struct andiron_request *req, void *state)
{
    (void)state;
    enter(req, GATE_LOW + 1);
    visitor = req;
    return andiron_wait(req, leave_one, NULL);
}

static enum andiron_step few(struct andiron_request *req, void *state)
{
    (void)state;
    enter(req, GATE_LOW);
    visitor = req;
    return andiron_wait(req, leave_one, NULL);
}

static enum andiron_step let_go(struct andiron_request *req, void *state)
{
    (void)req;
    (void)state;
    andiron_resume(visitor);
    return ANDIRON_DONE;
}

static enum andiron_step through(struct andiron_request *req, void *state)
{
    (void)req;
    (void)state;
    if (++passed == expected)
        sem_post(&over);
    return ANDIRON_DONE;
}

static enum andiron_step pass(struct andiron_request *req, void *state)
{
    (void)state;
    waiting[waiters++] = req;
    return gate_pass(gate, req, through, NULL);
}

static enum andiron_step nobody_is_through(struct andiron_request *req, void *state)
{
    (void)req;
    (void)state;
    assert_int_equal(passed, 0);
    for (size_t i = 0; i < waiters; i++)
        assert_true(atomic_load(&waiting[i]->resumable));
    return ANDIRON_DONE;
}

static enum andiron_step all_are_called(struct andiron_request *req, void *state)
{
    (void)req;
    (void)state;
    for (size_t i = 0; i < waiters; i++)
        assert_false(atomic_load(&waiting[i]->resumable));
    return ANDIRON_DONE;
}

static enum andiron_step two_are_through(struct andiron_request *req, void *state)
{
    (void)req;
    (void)state;
    assert_int_equal(passed, 2);
    return ANDIRON_DONE;
}

static void beside_few_visits_nobody_waits(void **state)
{
    (void)state;
    start(3);
    job(few);
    job(pass);
    job(pass);
    job(two_are_through);
    job(let_go);
    job(pass);
    run();
}

static void tokens_wait_while_the_pool_is_crowded_and_go_on_together(void **state)
{
    (void)state;
    start(3);
    job(crowd);
    job(pass);
    job(pass);
    job(pass);
    job(nobody_is_through);
    job(leave_one);
    job(all_are_called);
    job(let_go);
    run();
    assert_int_equal(passed, 3);
}

static void many_do_not_wait_for_more(void **state)
{
    (void)state;
    start(GATE_MANY);
    job(crowd);
    for (size_t i = 0; i + 1 < GATE_MANY; i++)
        job(pass);
    job(nobody_is_through);
    job(pass);
    job(all_are_called);
    job(let_go);
    run();
}

static void nobody_waits_for_work_that_does_not_end(void **state)
{
    (void)state;
    start(1);
    job(crowd);
    job(pass);
    job(nobody_is_through);
    run(); /* by the timer */
    assert_int_equal(passed, 1);
}

static enum andiron_step crowd_and_end(struct andiron_request *req, void *state)
{
    (void)state;
    enter(req, GATE_LOW + 1);
    return ANDIRON_DONE;
}

static void visit_ends_with_its_request(void **state)
{
    (void)state;
    start(2);
    job(crowd_and_end);
    job(pass);
    job(pass);
    job(two_are_through);
    run();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(beside_few_visits_nobody_waits),
        cmocka_unit_test(tokens_wait_while_the_pool_is_crowded_and_go_on_together),
        cmocka_unit_test(many_do_not_wait_for_more),
        cmocka_unit_test(nobody_waits_for_work_that_does_not_end),
        cmocka_unit_test(visit_ends_with_its_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
