/*
 * For the tests: a loop, run by the test itself, with a store's connections on it.
 */
#ifndef STORE_POSTGRES_TEST_LOOP_H
#define STORE_POSTGRES_TEST_LOOP_H

#include "test_kit.h"

#include <limits.h>

#include <event2/event.h>

#include "connection.h"
#include "core/loop/loop.h"

struct wired {
    struct kit kit;
    struct andiron_loop *loop;
    struct wire_loop *wire;
    struct andiron_arena *arena;
    int over; /* batches and leases that are over */
};

static inline void wired_open(struct wired *w, struct andiron_arena *arena)
{
    struct andiron_error err = { .code = ANDIRON_OK };

    kit_reopen(&w->kit);
    w->arena = arena;
    w->over = 0;
    w->loop = loop_new(0, &err);
    assert_non_null(w->loop);
    w->wire = wire_loop_new(w->kit.store.wire, w->loop, &err);
    assert_non_null(w->wire);
}

static inline void wired_free(struct wired *w)
{
    wire_loop_free(w->wire);
    loop_free(w->loop);
    kit_end(&w->kit);
    andiron_arena_free(w->arena);
    free(w);
}

/* With other settings. */
static inline void wired_again(struct wired *w)
{
    wire_loop_free(w->wire);
    loop_free(w->loop);
    store_close(&w->kit.store);
    wired_open(w, w->arena);
}

static inline void batch_over(void *arg, struct wire_batch *b)
{
    (void)b;
    ((struct wired *)arg)->over++;
}

static inline void on_tick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
}

/* Runs the loop for some time, or until that many are over. */
static inline void run(struct wired *w, int64_t ms, int over)
{
    struct event_base *base = andiron_loop_base(w->loop);
    struct event *tick = event_new(base, -1, EV_PERSIST, on_tick, NULL);
    struct timeval wait = { .tv_usec = 5000 };
    int64_t end = connection_clock() + ms;

    event_add(tick, &wait);
    while (w->over < over && connection_clock() < end)
        event_base_loop(base, EVLOOP_ONCE);
    event_free(tick);
}

static inline void run_until(struct wired *w, int over)
{
    run(w, 15000, over);
    assert_int_equal(w->over, over);
}

static inline void run_for(struct wired *w, int ms)
{
    run(w, ms, INT_MAX);
}

#endif
