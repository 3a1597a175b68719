/*
 * Forgetting Sessions whose tokens have long expired.
 */
#ifndef AUTH_SWEEP_H
#define AUTH_SWEEP_H

#include "auth.h"

/* In start(): what is counted. NULL: the store cannot forget. */
struct sweep *sweep_new(struct auth *auth);
/* On one loop, in loop_start() and loop_stop(). NULL is allowed. -1: no timer. */
ANDIRON_MUST_CHECK int sweep_start(struct sweep *sweep, struct andiron_loop *loop);
void sweep_stop(struct sweep *sweep, struct andiron_loop *loop);

#endif
