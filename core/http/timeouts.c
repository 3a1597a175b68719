/*
 * Timeouts of connections and requests on one loop.
 */
#include "http/timeouts.h"

#include <time.h>

int64_t timeouts_now(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now); /* cannot fail for this clock */
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void arm(struct timeouts *all, int64_t ends_ms, int64_t now_ms)
{
    /* One more millisecond: the coarse clock must have passed the end when the timer fires. */
    int64_t left = ends_ms > now_ms ? ends_ms - now_ms + 1 : 1;
    struct timeval after = { .tv_sec = left / 1000, .tv_usec = left % 1000 * 1000 };

    all->armed_ms = ends_ms;
    (void)event_add(&all->timer, &after); /* fails only without memory for a heap of timers */
}

static void unlink_timeout(struct timeout *timeout)
{
    timeout->prev->next = timeout->next;
    timeout->next->prev = timeout->prev;
    timeout->next = timeout->prev = NULL;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct timeouts *all = arg;
    int64_t now = timeouts_now(), next = INT64_MAX;

    (void)fd;
    (void)what;
    all->armed_ms = INT64_MAX;
    for (int class = 0; class < TIMEOUT_CLASSES; class ++) {
        struct timeout *ring = &all->lists[class];

        while (ring->next != ring && ring->next->ends_ms <= now) {
            struct timeout *timeout = ring->next;

            unlink_timeout(timeout);
            all->ended(timeout, (enum timeout_class) class);
        }
        if (ring->next != ring && ring->next->ends_ms < next)
            next = ring->next->ends_ms;
    }
    if (next < all->armed_ms)
        arm(all, next, now);
}

void timeouts_init(struct timeouts *all, struct event_base *base,
                   const int64_t length_ms[TIMEOUT_CLASSES], timeout_fn ended)
{
    all->ended = ended;
    all->armed_ms = INT64_MAX;
    for (int class = 0; class < TIMEOUT_CLASSES; class ++) {
        all->lists[class].next = all->lists[class].prev = &all->lists[class];
        all->length_ms[class] = length_ms[class];
    }
    (void)evtimer_assign(&all->timer, base, on_timer, all);
}

void timeouts_close(struct timeouts *all)
{
    (void)evtimer_del(&all->timer);
}

void timeout_start(struct timeouts *all, struct timeout *timeout, enum timeout_class class)
{
    struct timeout *ring = &all->lists[class];
    int64_t now;

    if (timeout->next != NULL)
        unlink_timeout(timeout);
    now = timeouts_now();
    timeout->ends_ms = all->length_ms[class] > 0 ? now + all->length_ms[class] : INT64_MAX;
    timeout->prev = ring->prev;
    timeout->next = ring;
    ring->prev->next = timeout;
    ring->prev = timeout;
    /* An armed timer that fires later than this one ends must fire earlier. */
    if (timeout->ends_ms < all->armed_ms)
        arm(all, timeout->ends_ms, now);
}

void timeout_stop(struct timeout *timeout)
{
    if (timeout->next != NULL)
        unlink_timeout(timeout);
}

struct timeout *timeouts_first(struct timeouts *all, enum timeout_class class)
{
    struct timeout *ring = &all->lists[class];

    return ring->next != ring ? ring->next : NULL;
}
