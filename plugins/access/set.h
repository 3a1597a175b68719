/*
 * All policies of one moment, indexed by what they are linked to and, those of everybody, by
 * what their engines test first.
 *
 * Immutable; a change makes a new set that shares the unchanged policies. Loops hold a
 * reference each, so looking policies up takes no lock.
 */
#ifndef ACCESS_SET_H
#define ACCESS_SET_H

#include "places.h"
#include "screens.h"

struct set;

/* A set of these policies (a reference of each is taken). One reference is the caller's. */
struct set *set_new(struct policy *const *policies, size_t count);
/* A set like old (NULL: an empty one) with policy in the place of the one with its id. */
struct set *set_with(const struct set *old, struct policy *policy);
void set_hold(struct set *set);
void set_drop(struct set *set);

/*
 * Makes the index, unless it is there. Before the set is walked, and before others see it: a row
 * of writes makes a set each, of which only the last is looked at.
 */
void set_index(struct set *set);

/* All policies, by id, deleted ones too. */
struct policy *const *set_policies(const struct set *set, size_t *ret_count);
/* The policy of that id, or NULL. */
struct policy *set_find(const struct set *set, andiron_str id);

/* Which features the index asks about: a bit for each enum andiron_policy_feature. */
unsigned set_features(const struct set *set);
/* And which places. */
const struct places *set_places(const struct set *set);

/*
 * Walks the policies that apply to a caller and may match, in the order of AP-3 and AP-5: those
 * that deny, then linked ones, then global ones; within each by cost and id; each once.
 */
enum {
    WALK_PREFIXES = 16,  /* lengths of beginnings of uri that are looked up */
    WALK_GRAMS = 64,     /* that are found in strings; then all policies of a place are asked */
    WALK_UNSCREENED = 16 /* policies that are walked before any are screened */
};

struct set_cursor {
    const uint32_t *list; /* ranks */
    uint32_t at, count;
    struct screens screens;
    struct screening screening;
};

struct set_walk {
    const struct set *set;
    bool is_whole;
    unsigned pass;
    unsigned key_count, cursor_count, gram_count;
    uint32_t *keys; /* positions in the set's index */
    struct set_cursor *cursors;
    struct andiron_policy_call *screened_by; /* NULL: nothing is screened */
    unsigned walked, passed; /* policies handed out; those that screens passed over */
};

/*
 * links: what the caller is (its Client, User, roles) and does (the Operation), and what the
 * request has of set_features() and set_places(), kinds from LINK_TEST on. Of uri all beginnings
 * are looked up. What the walk needs is in arena.
 */
void set_walk_start(const struct set *set, struct andiron_arena *arena, const struct link *links,
                    size_t count, struct set_walk *ret);
/* The same with those that the index knows not to match; links without tests. */
void set_walk_all(const struct set *set, struct andiron_arena *arena, const struct link *links,
                  size_t count, struct set_walk *ret);
/*
 * From now on policies that an engine screens out are passed over, behind the first
 * WALK_UNSCREENED, which explanations name. call: the request's.
 */
void set_walk_screen(struct set_walk *walk, struct andiron_policy_call *call);
/* The next policy, or NULL at the end. */
const struct policy *set_walk_next(struct set_walk *walk);

#endif
