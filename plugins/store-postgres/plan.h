/*
 * Plans of a search: what the query names, looked up.
 */
#ifndef STORE_POSTGRES_PLAN_H
#define STORE_POSTGRES_PLAN_H

#include "run.h"

/* 0, RUN_WAIT (build it again then), RUN_FAILED. */
int plan_build(struct run *run);
/* The filter of one type; run->plan_waits if it must be built again. NULL: failed. */
struct node *plan_filter(struct run *run, int64_t type, const struct andiron_filter *filter);

#endif
