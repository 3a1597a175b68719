/*
 * Judging one resource: does it satisfy a filter? Exact for every filter, from its keys.
 */
#ifndef STORE_SQLITE_FILTER_H
#define STORE_SQLITE_FILTER_H

#include "plan.h"

/*
 * Parts that the iterator has settled are taken as true if trust is set. False also if
 * run->failed or run->stopped becomes set.
 */
bool filter_matches(struct run *run, struct node *n, const struct candidate *c, bool trust);

/*
 * After the candidate at key did not match: the last of run->iter, from key on, that surely does
 * not match for the same reason.
 */
int64_t filter_pass_over(struct run *run, struct node *n, int64_t key);

#endif
