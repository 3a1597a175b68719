/*
 * Tokens that wait for each other; see gate.h.
 *
 * Who waits is resumed by a visitor that leaves, by the one that makes them many, or by the timer:
 * each request that was parked is in the list, and the list is never left without a timer.
 */
#include "gate.h"

#include <stdlib.h>

#include <event2/event.h>

/* A request that waits; in its arena. */
struct waiter {
    struct waiter *next;
    struct andiron_request *req;
};

struct gate {
    struct event *timer;
    struct waiter *first, **last;
    size_t waiting, inside;
};

/* Resumed requests go on from the loop, in their order: their writes reach the store together. */
static void open_gate(struct gate *gate)
{
    struct waiter *w = gate->first;

    if (w == NULL)
        return;
    (void)event_del(gate->timer); /* not pending is no failure */
    gate->first = NULL;
    gate->last = &gate->first;
    gate->waiting = 0;
    while (w != NULL) {
        struct waiter *next = w->next; /* its arena may go with the request */
        andiron_resume(w->req);
        w = next;
    }
}

static void on_time(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    open_gate(arg);
}

struct gate *gate_new(struct andiron_loop *loop)
{
    struct gate *gate = calloc(1, sizeof(*gate));

    if (gate == NULL)
        return NULL;
    gate->last = &gate->first;
    gate->timer = evtimer_new(andiron_loop_base(loop), on_time, gate);
    if (gate->timer != NULL)
        return gate;
    free(gate);
    return NULL;
}

void gate_free(struct gate *gate)
{
    if (gate == NULL)
        return;
    event_free(gate->timer);
    free(gate);
}

static void leave_at_release(void *visit)
{
    gate_leave(visit);
}

void gate_enter(struct gate *gate, struct andiron_request *req, struct gate_visit *visit)
{
    /* Work of a request whose client has left comes back without a step: then its end counts. */
    andiron_at_release(andiron_request_arena(req), leave_at_release, visit);
    visit->gate = gate;
    gate->inside++;
}

void gate_leave(struct gate_visit *visit)
{
    struct gate *gate = visit->gate;

    if (gate == NULL)
        return;
    visit->gate = NULL;
    if (--gate->inside <= GATE_LOW)
        open_gate(gate);
}

enum andiron_step gate_pass(struct gate *gate, struct andiron_request *req, andiron_step_fn then,
                            void *state)
{
    static const struct timeval most = { .tv_usec = GATE_MS * 1000 };

    if (gate->inside <= GATE_LOW)
        return then(req, state);
    if (gate->first == NULL && evtimer_add(gate->timer, &most) != 0)
        return then(req, state); /* nobody may wait without a timer */
    struct waiter *w = andiron_new(andiron_request_arena(req), struct waiter);
    enum andiron_step step = andiron_wait(req, then, state);
    w->req = req;
    *gate->last = w;
    gate->last = &w->next;
    if (++gate->waiting == GATE_MANY)
        open_gate(gate);
    return step;
}
