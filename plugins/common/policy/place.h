/*
 * Where in a request a policy found what it did not want, for its reason.
 */
#ifndef COMMON_POLICY_PLACE_H
#define COMMON_POLICY_PLACE_H

#include <andiron/base.h>

enum { POLICY_PLACE_MAX = 160, POLICY_PLACE_TEXT = 160 };

struct policy_step {
    andiron_str name; /* absent: an element */
    size_t index;
};

struct policy_place {
    size_t depth; /* steps that lead to it; 0: the whole */
    struct policy_step steps[POLICY_PLACE_MAX];
};

/* "resource.role[0]"; "" is the whole. Cut where it does not fit. */
void policy_place_text(const struct policy_place *place, char out[POLICY_PLACE_TEXT]);

#endif
