/*
 * All policies of one moment, indexed by what they are linked to.
 *
 * Immutable; a change makes a new set that shares the unchanged policies. Loops hold a
 * reference each, so looking policies up takes no lock.
 */
#ifndef ACCESS_SET_H
#define ACCESS_SET_H

#include "policy.h"

struct set;

/* A set of these policies (a reference of each is taken). One reference is the caller's. */
struct set *set_new(struct policy *const *policies, size_t count);
void set_hold(struct set *set);
void set_drop(struct set *set);

/* All policies, by id, deleted ones too. */
struct policy *const *set_policies(const struct set *set, size_t *ret_count);
/* The policy of that id, or NULL. */
struct policy *set_find(const struct set *set, andiron_str id);

/*
 * Walks the policies that apply to a caller, in the order of AP-3 and AP-5: those that deny,
 * then linked ones, then global ones; within each by cost and id; each once.
 */
enum { WALK_LISTS_MAX = 20 };
struct set_walk {
    const struct set *set;
    unsigned pass;
    size_t keys[WALK_LISTS_MAX]; /* positions in the set's index */
    size_t key_count;
    size_t at[WALK_LISTS_MAX];
    size_t global_at;
};

/* links: what the caller is (its Client, User, roles) and does (the Operation). */
void set_walk_start(const struct set *set, const struct link *links, size_t count,
                    struct set_walk *ret);
/* The next policy, or NULL at the end. */
const struct policy *set_walk_next(struct set_walk *walk);

#endif
