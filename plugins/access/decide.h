/*
 * One access decision: asks the engines of the policies that apply, in order, until one
 * decides (seed-semantics AP-2 to AP-6).
 */
#ifndef ACCESS_DECIDE_H
#define ACCESS_DECIDE_H

#include "policies.h"

struct refusals;

/* What decisions share. */
struct decide_with {
    struct refusals *refusals; /* NULL: none are kept */
};

/*
 * For an AUTHORIZE hook, with the policies loaded: grants and goes on, fails with 403 where a
 * policy denies, or just goes on, so that core denies. With is_timed engines are timed one by one.
 */
enum andiron_step decide(struct andiron_request *req, struct set *set,
                         const struct decide_with *with, bool is_timed);

#endif
