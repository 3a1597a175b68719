/*
 * Matchers of engines.
 */
#include "common/pattern/limits.h"

struct pattern_matcher *policy_matcher_new(const struct policy_limits *limits)
{
    return pattern_matcher_new((uint32_t)limits->regex_steps, (size_t)limits->regex_subject);
}
