/*
 * Matchers of engines.
 */
#include "common/pattern/limits.h"

struct pattern_matcher *policy_matcher_new(const struct policy_limits *limits)
{
    return pattern_matcher_new((uint32_t)limits->regex_steps, (size_t)limits->regex_subject);
}

struct pattern_matcher *policy_matcher_take(const struct policy_limits *limits,
                                            struct andiron_policy_call *call, const void *self)
{
    struct andiron_loop *loop = andiron_request_loop(andiron_policy_request(call));
    return loop != NULL ? andiron_loop_state(loop, self) : policy_matcher_new(limits);
}

void policy_matcher_give(struct andiron_policy_call *call, struct pattern_matcher *matcher)
{
    if (andiron_request_loop(andiron_policy_request(call)) == NULL)
        pattern_matcher_free(matcher);
}
