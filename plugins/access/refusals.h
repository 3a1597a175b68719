/*
 * The last requests that were refused, and why, for `andiron explain REQUEST-ID`.
 *
 * Bounded in number and size. Holds names of operations, types, policies and callers, and what
 * policies asked for; nothing of what a request held. All loops share it under a lock.
 */
#ifndef ACCESS_REFUSALS_H
#define ACCESS_REFUSALS_H

#include "policy.h"

enum { REFUSED_POLICIES = 16 /* that a refusal names */ };

struct refused_policy {
    const struct policy *policy;
    enum andiron_verdict verdict;
    bool waited;
    andiron_str reason; /* absent: not known */
    int64_t took_ns;    /* 0: not known */
};

struct refusal {
    const struct refused_policy *policies;
    unsigned count, asked;
    andiron_usec took_us;
    const char *reason;
};

struct refusals;

/* max: how many are kept. To be freed when no loop uses it any more. */
struct refusals *refusals_new(size_t max);
void refusals_free(struct refusals *refusals);

void refusals_keep(struct refusals *refusals, struct andiron_request *req,
                   const struct refusal *refusal);

/* The latest of that request id as a JSON object in arena; absent if it is not (or no longer) kept. */
andiron_str refusals_find(struct refusals *refusals, struct andiron_arena *arena, andiron_str id);

/* What came of a policy, into the object that is open. */
void refusal_put_verdict(struct andiron_json_writer *w, const struct refused_policy *r);

/* A policy and what came of it, as explanations show it. */
void refusal_put_policy(struct andiron_json_writer *w, const struct refused_policy *r);

/* "principal", "client", "user", "scopes" of a request. */
void refusal_put_caller(struct andiron_json_writer *w, struct andiron_request *req);

#endif
