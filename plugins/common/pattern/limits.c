/*
 * Matchers of engines, and fragments.
 */
#include "common/pattern/limits.h"

#include "common/pattern/asks.h"

struct pattern_matcher *policy_matcher_new(const struct policy_limits *limits)
{
    return pattern_matcher_new((uint32_t)limits->regex_steps, (size_t)limits->regex_subject);
}

bool policy_put_expression(struct policy_literals *l, andiron_str expression)
{
    andiron_str fragments[PATTERN_FRAGMENTS];
    size_t count = pattern_fragments(expression, fragments);
    for (size_t i = 0; i < count; i++)
        if (!policy_literals_put_fragment(l, fragments[i]))
            return false;
    return count > 0;
}
