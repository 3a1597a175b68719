/*
 * Where in the request object the features are that engines tell their tests of
 * (struct andiron_policy_engine, tests).
 */
#ifndef COMMON_POLICY_FEATURES_H
#define COMMON_POLICY_FEATURES_H

#include <andiron/policy.h>

enum { POLICY_FEATURES = 6 };

/* name is a member of the request; inner one of it, or NULL. */
struct policy_feature {
    const char *name, *inner;
    enum andiron_policy_feature feature;
};

extern const struct policy_feature policy_features[POLICY_FEATURES];

#endif
