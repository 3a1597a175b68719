/*
 * The table of features.
 */
#include "common/policy/features.h"

const struct policy_feature policy_features[POLICY_FEATURES] = {
    { "request-method", NULL, ANDIRON_FEATURE_METHOD },
    { "uri", NULL, ANDIRON_FEATURE_URI },
    { "params", "resource/type", ANDIRON_FEATURE_TYPE },
    { "operation", "id", ANDIRON_FEATURE_OPERATION },
    { "client", "id", ANDIRON_FEATURE_CLIENT },
    { "user", "id", ANDIRON_FEATURE_USER },
};
