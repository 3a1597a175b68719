/*
 * Iterators over the numbers of current versions, in the direction of the search.
 *
 * A position is a key: vid for ascending searches, -vid for descending ones, so that keys always
 * grow. Index lists with the same key are ordered by vid already; conditions are joined by
 * leaping from one list's next entry to the other's (a short list thus drives a long one
 * without any estimate).
 */
#ifndef STORE_SQLITE_ITER_H
#define STORE_SQLITE_ITER_H

#include "plan.h"

#define ITER_END INT64_MAX

enum { ITER_WINDOW = 4 }; /* entries that are read at first, where few are asked for */

/*
 * First key >= key, or ITER_END. If run->stopped or run->failed is set meanwhile, the result is
 * only a bound: nothing lies before it.
 */
int64_t iter_seek(struct run *run, struct iter *it, int64_t key);
/*
 * Whether key is in it; where asking would cost more than judging the resource (of the many lists
 * of a chain, or what must not be in a list), it may also be true otherwise: iter_can_probe() is
 * false then.
 */
bool iter_has(struct run *run, struct iter *it, int64_t key);
bool iter_can_probe(const struct iter *it);
/* Whether it is one of iter_but(), which counts only by going through all. */
bool iter_leaves_out(const struct iter *it);
/* Whether its keys are in memory. */
bool iter_is_array(const struct iter *it);
/* That of a single list about so many are asked for, so that they are read at once. */
void iter_expect(struct iter *it, size_t entries);
/* How many entries it brings at most, if that is surely few; else -1. Counted once. */
int64_t iter_short(struct run *run, struct iter *it);
static inline bool iter_is_short(struct run *run, struct iter *it)
{
    return iter_short(run, it) >= 0;
}
/* Whether it may bring at most max: false only if that is certain not to be. */
bool iter_may_be_few(struct run *run, const struct iter *it, int64_t max);
/* Whether everything it brings satisfies the filter it was made from. */
bool iter_is_exact(const struct iter *it);
void iter_set_exact(struct iter *it, bool exact);

/* All current versions of a type; exact: and all of them are wanted. */
struct iter *iter_of_type(struct run *run, int64_t type, bool exact);
/* Versions that refer to a resource by p; the target is set later. */
struct iter *iter_of_references(struct run *run, int64_t p);
/* window: how many of its entries are read at first. */
void iter_set_target(struct iter *it, int64_t rid, size_t window);
/* Lists of ix_token and ix_ref: room for count of them, added one by one. name: for explain. */
struct iter *iter_lists(struct run *run, size_t count, const char *name);
void iter_add_token(struct iter *it, int64_t p, int64_t hash);
void iter_add_ref(struct iter *it, int64_t p, int64_t rid);
/* What it brings without what the other brings. */
struct iter *iter_but(struct run *run, struct iter *it, struct iter *without);
/* These keys, in any order; takes the array. */
struct iter *iter_array(struct run *run, int64_t *keys, size_t count, const char *name);
/* What all, or any, of several bring; takes the array. */
struct iter *iter_all(struct run *run, struct iter **args, size_t count);
struct iter *iter_any(struct run *run, struct iter **args, size_t count);
/* As iter_any(), but as one iterator of its kind where all are of one kind. */
struct iter *iter_merge(struct run *run, struct iter **args, size_t count);

/*
 * For a single list of the index, how many entries it has, at most max; -1: it is something else.
 * *ret_key names the list.
 */
int64_t iter_count(struct run *run, const struct iter *it, int64_t max);
/* What drives it: a literal. */
const char *iter_name(const struct iter *it);
/* What it is made of and how many entries that has, as JSON in arena, for explain. */
const char *iter_explain(struct run *run, const struct iter *it);

static inline int64_t iter_key(const struct run *run, int64_t vid)
{
    return run->ascending ? vid : -vid;
}

static inline int64_t iter_vid(const struct run *run, int64_t key)
{
    return run->ascending ? key : -key;
}

#endif
