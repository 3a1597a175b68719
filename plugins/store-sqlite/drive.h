/*
 * What drives a search: candidates for a filter, from the index as far as it knows them.
 */
#ifndef STORE_SQLITE_DRIVE_H
#define STORE_SQLITE_DRIVE_H

#include "plan.h"

/* NULL: none better than all resources of the type (or failed). */
struct iter *drive_filter(struct run *run, struct node *n);
/* Candidates of each plan and of all; may be done again once run->trying or counting has changed. */
ANDIRON_MUST_CHECK int drive_plans(struct run *run);

#endif
