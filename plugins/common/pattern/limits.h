/*
 * What engines that walk JSON with regular expressions share: their limits as directives, the
 * matcher of each loop, and what they tell indexes. For the plugin files of those engines.
 */
#ifndef COMMON_PATTERN_LIMITS_H
#define COMMON_PATTERN_LIMITS_H

#include <andiron/policy.h>

#include "common/pattern/pattern.h"
#include "common/policy/literals.h"

struct policy_limits {
    int64_t regex_steps;
    int64_t regex_subject;
    int64_t time_limit; /* ms */
};

/* Rows of a table of directives; `config` has the limits as its member `limits`. */
#define POLICY_LIMIT_DIRECTIVES(config)                                                            \
    { .name = "regex-steps",                                                                       \
      .type = ANDIRON_INT,                                                                         \
      .offset = offsetof(config, limits.regex_steps),                                              \
      .fallback = "100000",                                                                        \
      .min = 1000,                                                                                 \
      .max = 10000000,                                                                             \
      .help = "backtracking that one match of a regular expression may do; then the policy "       \
              "fails" },                                                                           \
        { .name = "regex-subject",                                                                 \
          .type = ANDIRON_BYTES,                                                                   \
          .offset = offsetof(config, limits.regex_subject),                                        \
          .fallback = "64k",                                                                       \
          .min = 1024,                                                                             \
          .max = 67108864,                                                                         \
          .help = "longest string that a regular expression looks through; then the policy "       \
                  "fails" },                                                                       \
    {                                                                                              \
        .name = "time-limit", .type = ANDIRON_DURATION,                                            \
        .offset = offsetof(config, limits.time_limit), .fallback = "5ms", .min = 1, .max = 1000,   \
        .help = "processor time of one policy for one request; then the policy fails"              \
    }

/* For loop_start() and loop_stop(): the loop's state is its matcher. */
struct pattern_matcher *policy_matcher_new(const struct policy_limits *limits);

/* Puts what a string must hold for the expression to be found in it. false: not known, or no room. */
bool policy_put_expression(struct policy_literals *l, andiron_str expression);

#endif
