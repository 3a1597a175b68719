/*
 * How late each loop is: a post to it once a second, and the time until it runs.
 */
#ifndef CORE_DAEMON_LAG_H
#define CORE_DAEMON_LAG_H

#include <andiron/base.h>

struct andiron_loop;
struct lag;

/* Registers andiron_loop_lag_seconds and andiron_loop_busy_ratio for each loop; lives in arena, which must outlive the loops. */
struct lag *lag_new(struct andiron_arena *arena, struct andiron_loop *const *loops, size_t count);

/* Sends the next posts; a loop that has not run the last one is not asked again. Any one thread. */
void lag_ask(struct lag *lag);

/* Milliseconds: the longest of the last answers, or of how long an answer is awaited. */
int64_t lag_worst_ms(const struct lag *lag);

#endif
