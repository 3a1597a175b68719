/*
 * Where in a request a policy found what it did not want, for its reason.
 */
#ifndef COMMON_POLICY_PLACE_H
#define COMMON_POLICY_PLACE_H

#include <andiron/base.h>

enum { POLICY_PLACE_MAX = 160 /* steps, and bytes of its text */, POLICY_REASON_MAX = 400 };

struct policy_step {
    andiron_str name; /* absent: an element */
    size_t index;
};

struct policy_place {
    size_t depth; /* steps that lead to it; 0: the whole */
    struct policy_step steps[POLICY_PLACE_MAX];
};

/*
 * Text that is cut where it does not fit, with NUL behind it. Sixteen reasons are made for a request
 * that is refused, and printf takes longer for one than a policy does.
 */
struct policy_text {
    char *out;
    size_t len, max; /* max: with the NUL */
};

void policy_text_put(struct policy_text *text, const char *bytes, size_t len);
void policy_text_put_string(struct policy_text *text, const char *string);

/* "resource.role[0]"; "" is the whole. */
void policy_place_text(const struct policy_place *place, struct policy_text *ret);

#endif
