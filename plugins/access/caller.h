/*
 * What a request is, as links of policies and tests of engines name it.
 */
#ifndef ACCESS_CALLER_H
#define ACCESS_CALLER_H

#include "set.h"

/*
 * Its Client, User, operation and roles, then what it has of what the set is indexed by (see
 * set_features() and set_places(); NULL: nothing), in the request's arena. call: for what only the
 * request object has.
 */
const struct link *caller_links(struct andiron_request *req, struct andiron_policy_call *call,
                                const struct set *set, size_t *ret_count);

#endif
