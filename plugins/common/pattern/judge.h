/*
 * Judging that never holds a loop for long: what is not done in a fraction of a millisecond is done
 * once more on the pool, with the engine's full limits. For engines that walk JSON with regular
 * expressions.
 */
#ifndef COMMON_PATTERN_JUDGE_H
#define COMMON_PATTERN_JUDGE_H

#include "common/pattern/limits.h"

/*
 * Judges a call within limit_us of processor time; what takes longer is ANDIRON_FAULT. On a loop or
 * on a pool thread while the request waits.
 */
typedef enum andiron_verdict (*policy_judge_fn)(const void *self, const void *compiled,
                                                struct andiron_policy_call *call,
                                                struct pattern_matcher *regex, int64_t limit_us);

/*
 * Of one engine: calls that take long, one at a time, so that a runaway pattern takes no more than
 * one thread from others.
 */
struct policy_lane;

/* In the plugin's arena, for good. limits must live as long. */
struct policy_lane *policy_lane_new(struct andiron_host *host, const struct policy_limits *limits);

/*
 * For evaluate(). self's state on a loop is its matcher (policy_matcher_new()); under `andiron
 * explain-policy`, which has no loop, it is judged at once.
 */
enum andiron_verdict policy_lane_judge(struct policy_lane *lane, const void *self,
                                       const void *compiled, struct andiron_policy_call *call,
                                       policy_judge_fn judge);

#endif
