/*
 * Failed authentications, counted for each pair of client id and source address (AU-9).
 *
 * One table for all loops, of fixed size. A pair that failed `max-failures` times within
 * `failure-window` has to wait until the oldest of these failures is that long ago; right
 * secrets wait with it, or guessing could go on. Others are never concerned: not the same
 * client elsewhere, not another client at the same address. Any thread.
 */
#ifndef AUTH_THROTTLE_H
#define AUTH_THROTTLE_H

#include <andiron/base.h>

struct throttle;

/* most: failures within window_ms before a pair must wait; 0: none ever has to. */
struct throttle *throttle_new(struct andiron_arena *arena, size_t pairs, size_t most,
                              int64_t window_ms, const uint8_t key[32]);
void throttle_free(struct throttle *throttle); /* NULL is allowed */

/*
 * Milliseconds for which the pair has to wait, 0: it need not. now_ms is of a monotonic clock.
 * address is text, IPv6 counts by its network of 64 bits: that is what one subscriber has.
 */
int64_t throttle_wait(struct throttle *throttle, andiron_str id, andiron_str address,
                      int64_t now_ms);

/*
 * Counts a failure of the pair. The same as throttle_wait() would have said before it, and then
 * it is not counted: waiting does not grow by trying. *ret_first_wait: from now on it has to.
 */
int64_t throttle_failed(struct throttle *throttle, andiron_str id, andiron_str address,
                        int64_t now_ms, bool *ret_first_wait);

#endif
