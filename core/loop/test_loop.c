/*
 * Loops and the pool: posts from other threads, their order, local state.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/arena.h"
#include "loop/loop.h"
#include "loop/pool.h"

enum { POSTERS = 4, POSTS = 20000 };

static void *run_loop(void *arg)
{
    loop_run(arg);
    return NULL;
}

static struct andiron_loop *new_loop(void)
{
    struct andiron_error err;
    struct andiron_loop *loop = loop_new(7, &err);

    assert_non_null(loop);
    return loop;
}

struct poster {
    struct andiron_loop *loop;
    unsigned next; /* expected by the loop: it alone writes */
    bool out_of_order;
};

struct numbered {
    struct poster *poster;
    unsigned number;
};

static atomic_uint arrived;

static void on_number(void *arg)
{
    struct numbered *n = arg;

    if (loop_current() != n->poster->loop || n->number != n->poster->next++)
        n->poster->out_of_order = true;
    free(n);
    atomic_fetch_add(&arrived, 1);
}

static void *post_all(void *arg)
{
    for (unsigned i = 0; i < POSTS; i++) {
        struct numbered *n = malloc(sizeof(*n));

        *n = (struct numbered){ arg, i };
        andiron_loop_post(((struct poster *)arg)->loop, on_number, n);
    }
    return NULL;
}

static void posts_of_a_thread_run_in_order_on_the_loop(void **state)
{
    struct andiron_loop *loop = new_loop();
    struct poster posters[POSTERS] = { 0 };
    pthread_t threads[POSTERS], loop_thread;

    (void)state;
    atomic_store(&arrived, 0);
    assert_int_equal(pthread_create(&loop_thread, NULL, run_loop, loop), 0);
    for (int i = 0; i < POSTERS; i++) {
        posters[i].loop = loop;
        assert_int_equal(pthread_create(&threads[i], NULL, post_all, &posters[i]), 0);
    }
    for (int i = 0; i < POSTERS; i++)
        pthread_join(threads[i], NULL);
    loop_quit(loop); /* posted behind all others */
    pthread_join(loop_thread, NULL);
    assert_int_equal(atomic_load(&arrived), POSTERS * POSTS);
    for (int i = 0; i < POSTERS; i++)
        assert_false(posters[i].out_of_order);
    loop_free(loop);
}

struct chain {
    struct andiron_loop *loop;
    struct loop_post post;
    unsigned left, timers;
    struct event *timer;
};

static void again(void *arg)
{
    struct chain *c = arg;

    if (c->left-- == 0) {
        loop_quit(c->loop);
        return;
    }
    loop_post_own(c->loop, &c->post);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct chain *c = arg;
    static const struct timeval soon = { .tv_usec = 100 };

    (void)fd;
    (void)what;
    c->timers++;
    event_add(c->timer, &soon);
}

static void post_from_a_post_lets_others_have_their_turn(void **state)
{
    struct chain c = { .loop = new_loop(), .left = 200000 };
    static const struct timeval soon = { .tv_usec = 100 };

    (void)state;
    c.post = (struct loop_post){ .fn = again, .arg = &c };
    c.timer = evtimer_new(andiron_loop_base(c.loop), on_timer, &c);
    event_add(c.timer, &soon);
    loop_post_own(c.loop, &c.post);
    loop_run(c.loop);
    assert_int_equal(c.left, (unsigned)-1);
    assert_true(c.timers > 3);
    event_free(c.timer);
    loop_free(c.loop);
}

static void late(void *arg)
{
    ++*(int *)arg;
}

/* By then plugins have stopped, and theirs must not run; core's own memory waits for its post. */
static void late_posts_of_core_run_and_those_of_plugins_are_dropped(void **state)
{
    struct andiron_loop *loop = new_loop();
    int own_ran = 0, ran = 0;
    struct loop_post own = { .fn = late, .arg = &own_ran };

    (void)state;
    andiron_loop_post(loop, late, &ran);
    loop_post_own(loop, &own);
    loop_free(loop);
    assert_int_equal(own_ran, 1);
    assert_int_equal(ran, 0);
}

static void state_is_kept_per_plugin(void **state)
{
    struct andiron_loop *loop = new_loop();
    int a, b, c;

    (void)state;
    loop_set_state(loop, &a, &b);
    loop_set_state(loop, &b, &c);
    loop_set_state(loop, &a, &c);
    assert_ptr_equal(andiron_loop_state(loop, &a), &c);
    assert_ptr_equal(andiron_loop_state(loop, &b), &c);
    assert_null(andiron_loop_state(loop, &c));
    assert_int_equal(loop_index(loop), 7);
    assert_null(loop_current());
    loop_free(loop);
}

static atomic_uint jobs_done;

static void count_job(void *arg)
{
    struct timespec t = { 0, 1000000 };

    (void)arg;
    nanosleep(&t, NULL);
    atomic_fetch_add(&jobs_done, 1);
}

static void pool_runs_what_is_queued_before_it_stops(void **state)
{
    struct andiron_error err;
    static struct pool_job own = { .work = count_job };

    (void)state;
    atomic_store(&jobs_done, 0);
    andiron_pool_post(count_job, NULL); /* queued before there is a thread */
    assert_int_equal(pool_queued(), 1);
    assert_int_equal(pool_start(3, &err), 0);
    for (int i = 0; i < 50; i++)
        andiron_pool_post(count_job, NULL);
    pool_post_own(&own);
    pool_stop();
    assert_int_equal(atomic_load(&jobs_done), 52);
    assert_int_equal(pool_queued(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(posts_of_a_thread_run_in_order_on_the_loop),
        cmocka_unit_test(post_from_a_post_lets_others_have_their_turn),
        cmocka_unit_test(late_posts_of_core_run_and_those_of_plugins_are_dropped),
        cmocka_unit_test(state_is_kept_per_plugin),
        cmocka_unit_test(pool_runs_what_is_queued_before_it_stops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
