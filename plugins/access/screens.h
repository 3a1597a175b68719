/*
 * Policies of one engine that stand in a row, screened together where the engine can do that
 * (struct andiron_policy_engine, screen).
 *
 * What an engine needs for it is made on the pool, once a request has walked far into a row; until
 * then policies are asked one by one. The verdicts are the same.
 */
#ifndef ACCESS_SCREENS_H
#define ACCESS_SCREENS_H

#include "policy.h"

struct set;
struct screened;

enum { SCREENED_MIN = 48 /* policies that are worth it */ };

/* Of a list of policies: its rows that are worth it. */
struct screens {
    struct screened *rows;
    unsigned count;
};

/* What a walk knows of the rows of a list. Zeroed, it has not begun. */
struct screening {
    unsigned row;
    bool is_open;        /* nothing is known of this row: all are asked */
    uint64_t *may_match; /* NULL: not yet known */
};

/*
 * Rows among count ranks of set's `ranked`; both must live as long as set, which is held while
 * something is made for them. In arena.
 */
struct screens screens_find(struct set *set, struct andiron_arena *arena,
                            struct policy *const *ranked, const uint32_t *ranks, uint32_t count);
void screens_free(struct screens screens);

/*
 * The place in the list, from `at` on, of the next policy that may match; behind the last one the
 * number of policies. What is passed over is counted as NO_MATCH of its engine, and in *ret_passed.
 */
uint32_t screens_next(struct screens screens, struct screening *screening, uint32_t at,
                      struct andiron_policy_call *call, unsigned *ret_passed);

#endif
