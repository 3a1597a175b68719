/*
 * Candidates that no list of the index names in order: they are gathered and sorted first, if
 * they are few. NULL: they are not, or it would take too much work.
 */
#ifndef STORE_SQLITE_GATHER_H
#define STORE_SQLITE_GATHER_H

#include "plan.h"

/*
 * Of a range of dates, numbers or strings. all: the conjunction that n belongs to, or NULL.
 * most: not 0: only if it has no more entries, so as to be the better driver.
 */
struct iter *gather_range(struct run *run, const struct node *n, const struct node *all,
                          size_t most);
/* Whether what is gathered of n satisfies another condition of its conjunction as well. */
bool gather_covers(const struct node *n, const struct node *other);
/*
 * Of a chain: lists of those who refer to the targets that satisfy its inner condition. Many
 * targets are worth it only where the latest resources do not soon show enough of them
 * (run->trying).
 */
struct iter *gather_chain(struct run *run, struct node *n);
/* Of _has: those whom resources refer to that satisfy its inner condition. */
struct iter *gather_has(struct run *run, struct node *n);
/*
 * Of a negation of codes: those with another code of the param, where the index is sure that every
 * resource has one. *ret NULL: it is not, or there are many codes. -1: failed.
 */
ANDIRON_MUST_CHECK int gather_others(struct run *run, const struct node *n, struct iter **ret);
/* Either, if so few satisfy the inner condition that they should drive whatever stands beside. */
struct iter *gather_few(struct run *run, struct node *n);

#endif
