/*
 * Entries of the index of a sort key, in its order: (value, vid) pairs, read in batches.
 */
#ifndef STORE_SQLITE_ORDER_H
#define STORE_SQLITE_ORDER_H

#include "cursor.h"
#include "plan.h"

struct order;

/* Whether there is an index in the order of that key. */
bool order_exists(const struct plan_sort *sort);
/* From the start, or behind a cursor with a value. */
struct order *order_new(struct run *run, const struct plan_sort *sort, int64_t type,
                        const struct cursor *from);
/* 1 and the next entry (its text is in the arena); 0 at the end; -1: run->error. */
int order_next(struct run *run, struct order *order, struct cursor_value *ret, int64_t *ret_vid);

#endif
