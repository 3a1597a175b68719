/*
 * Explaining decisions: POST /auth/test-policy, GET /auth/refusals/{request-id}, and the use of
 * policies for `andiron policies`.
 */
#ifndef ACCESS_EXPLAIN_H
#define ACCESS_EXPLAIN_H

#include <andiron/plugin.h>

#include "policies.h"
#include "refusals.h"

struct explaining_with {
    const struct engines *engines;
    struct andiron_service_ref scopes; /* scopes/1, or { NULL, NULL } */
    struct refusals *refusals;         /* or NULL */
};

/* For a request that somebody might make: each policy's verdict. set: the policies in force. */
enum andiron_step explain_trial(struct andiron_request *req, struct set *set,
                                const struct explaining_with *with);

/* For a request that was refused: what is kept of it. */
enum andiron_step explain_refusal(struct andiron_request *req, const struct explaining_with *with);

/* All policies with their use. */
enum andiron_step explain_use(struct andiron_request *req, struct set *set);

#endif
