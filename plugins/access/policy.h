/*
 * One AccessPolicy, checked and compiled (seed-semantics 5.1).
 *
 * Immutable after compiling and shared by all loops through a reference count. Knows the
 * engines by their service, nothing of where policies are kept.
 */
#ifndef ACCESS_POLICY_H
#define ACCESS_POLICY_H

#include <stdatomic.h>

#include <andiron/metrics.h>
#include <andiron/policy.h>

enum { VERDICTS = ANDIRON_PENDING };

/* An engine that is loaded. */
struct engine {
    const char *name; /* as AccessPolicy.engine has it */
    struct andiron_service_ref ref;
    unsigned cost;
    bool may_wait; /* dear enough to be timed always, since it may be waited for */
    struct andiron_histogram *times[VERDICTS];
    struct andiron_counter *verdicts[VERDICTS]; /* by enum andiron_verdict */
};

struct engines {
    struct engine *all;
    const char **names; /* NULL-terminated, for messages */
    size_t count;
};

/*
 * What a policy can be linked to; behind that, what its engine can test (LINK_TEST + feature) and
 * places of the request object (see set.h).
 */
enum link_kind {
    LINK_CLIENT,
    LINK_USER,
    LINK_OPERATION,
    LINK_ROLE,
    LINK_TEST,
    LINK_PLACE = LINK_TEST + 16
};

struct link {
    unsigned kind;  /* enum link_kind */
    andiron_str id; /* of LINK_ROLE: the role's name */
};

/* A value that a request must have, or one of several of the same path. */
struct literal {
    const char *path; /* as in struct andiron_policy_literal */
    uint64_t hash;    /* of path */
    andiron_str value;
};

/* How a policy has been used since the start, over all its versions. Counted without a lock. */
struct policy_use {
    atomic_uint references;
    atomic_uint_fast64_t matches, last_match_us;
    atomic_uint_fast64_t timed, timed_ns; /* of evaluations, and how long those took */
};

struct policy {
    atomic_uint references;
    struct andiron_arena *arena; /* holds everything below; ended with the last reference */
    const char *id;
    const char *grant; /* "AccessPolicy/id" */
    uint64_t version;
    bool gone;                   /* deleted: remembered so that a late older version stays out */
    bool applies;                /* active, of type rest, and its engine is loaded */
    bool denies;                 /* effect: deny */
    const struct engine *engine; /* NULL: not loaded */
    const void *compiled;
    const struct link *links; /* none: global */
    size_t link_count;
    const struct andiron_policy_test *tests; /* what a request must be to match; none: any */
    size_t test_count;
    const struct literal *literals; /* the same for places; none: any */
    size_t literal_count;
    const struct literal *fragments; /* the same, of what strings there hold */
    size_t fragment_count;
    const char *warning; /* what is allowed but hardly meant, or NULL */
    struct policy_use *use;
};

/*
 * Checks a policy and compiles it in arena; resource must live as long. With `stored`, an
 * engine that is not loaded is no error: the policy then never applies. Any thread.
 */
int policy_compile(const struct engines *engines, struct andiron_arena *arena,
                   andiron_json resource, bool stored, struct policy *ret,
                   struct andiron_error *err);

/* A policy of its own arena from the text of a stored resource, with one reference; NULL and err. */
struct policy *policy_new(const struct engines *engines, andiron_str text,
                          struct andiron_error *err);

/* Remembers that a policy was deleted. */
struct policy *policy_gone(andiron_str id, uint64_t version);

/* Goes on counting where an older version of the same policy has counted. Before it is shared. */
void policy_use_as(struct policy *policy, const struct policy *older);

void policy_hold(struct policy *policy);
void policy_drop(struct policy *policy);

#endif
