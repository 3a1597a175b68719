/*
 * Where in the request object the features are that engines tell their tests of
 * (struct andiron_policy_engine, tests).
 */
#ifndef COMMON_POLICY_FEATURES_H
#define COMMON_POLICY_FEATURES_H

#include <stddef.h>

#include <andiron/policy.h>

/* Whether an engine has an optional function; one that was built against an older header ends before it. */
#define POLICY_ENGINE_HAS(table, function)                                                         \
    ((table)->size >=                                                                              \
         offsetof(struct andiron_policy_engine, function) + sizeof((table)->function) &&           \
     (table)->function != NULL)

enum { POLICY_FEATURES = 6 };

/* name is a member of the request; inner one of it, or NULL. */
struct policy_feature {
    const char *name, *inner;
    enum andiron_policy_feature feature;
};

extern const struct policy_feature policy_features[POLICY_FEATURES];

#endif
