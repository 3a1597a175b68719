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

/*
 * First key >= key, or ITER_END. If run->stopped or run->failed is set meanwhile, the result is
 * only a bound: nothing lies before it.
 */
int64_t iter_seek(struct run *run, struct iter *it, int64_t key);
/* Whether key is in it. */
bool iter_has(struct run *run, struct iter *it, int64_t key);
/* Whether it surely brings few entries. */
bool iter_is_short(struct run *run, const struct iter *it);
/* Whether everything it brings satisfies the filter it was made from. */
bool iter_is_exact(const struct iter *it);

/* Candidates for a filter; NULL: none better than all of the type (or failed). */
struct iter *iter_of_filter(struct run *run, struct node *n);
/* All current versions of a type; exact: and all of them are wanted. */
struct iter *iter_of_type(struct run *run, int64_t type, bool exact);
/* Versions that refer to a resource by p; the target is set later. */
struct iter *iter_of_references(struct run *run, int64_t p);
void iter_set_target(struct iter *it, int64_t rid);
/* Several as one. */
struct iter *iter_any(struct run *run, struct iter **args, size_t count);

/*
 * For a single list of the index, how many entries it has, at most max; -1: it is something else.
 * *ret_key names the list.
 */
int64_t iter_count(struct run *run, const struct iter *it, int64_t max);
/* What drives it, for explain: a literal. */
const char *iter_name(const struct iter *it);

static inline int64_t iter_key(const struct run *run, int64_t vid)
{
    return run->ascending ? vid : -vid;
}

static inline int64_t iter_vid(const struct run *run, int64_t key)
{
    return run->ascending ? key : -key;
}

#endif
