/*
 * Where tokens wait for each other, so that they share a flush to disk.
 *
 * A commit costs some 300 us of CPU however few tokens it stores. While signatures of other token
 * requests are still queued in the pool, a token that goes to the store alone is not answered
 * sooner than one that goes with those behind it. So it waits until the pool has almost run dry,
 * until there are many, or for GATE_MS at most. With few clients nobody waits.
 *
 * Belongs to one loop; no locks.
 */
#ifndef AUTH_GATE_H
#define AUTH_GATE_H

#include <andiron/async.h>

enum {
    GATE_LOW = 2,   /* visits to the pool that nobody waits for: they keep it busy meanwhile */
    GATE_MANY = 32, /* that share a flush at most, before those behind them wait again */
    GATE_MS = 20
};

struct gate;

/* One visit to the pool; in the request's arena. */
struct gate_visit {
    struct gate *gate; /* NULL: not there */
};

struct gate *gate_new(struct andiron_loop *loop); /* NULL: out of memory */
void gate_free(struct gate *gate);                /* NULL is allowed */

/*
 * Before work of this request goes to the pool, and when it is back; the second happens by itself at
 * the end of the request.
 */
void gate_enter(struct gate *gate, struct andiron_request *req, struct gate_visit *visit);
void gate_leave(struct gate_visit *visit);

/* Goes on with `then`: at once, or together with others. */
enum andiron_step gate_pass(struct gate *gate, struct andiron_request *req, andiron_step_fn then,
                            void *state);

#endif
