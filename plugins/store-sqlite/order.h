/*
 * Entries of the indexes in the order of a sort key: (value, vid) pairs, read in batches. The
 * entries of all plans are merged.
 */
#ifndef STORE_SQLITE_ORDER_H
#define STORE_SQLITE_ORDER_H

#include "common/store/cursor.h"
#include "plan.h"

struct order;

/*
 * Order of the sort key number `key`; entries with one value come by vid in the key's direction.
 * Begins behind the entry of that value and vid, or with all of that value (ORDER_WITH), or
 * behind them (ORDER_BEHIND); where from is NULL, at the very start.
 */
enum { ORDER_WITH = -1, ORDER_BEHIND = -2 };
struct order *order_new(struct run *run, size_t key, const struct cursor_value *from, int64_t vid);
/* Goes on behind all entries with that value, which lies not before the next one. */
void order_skip(struct order *order, const struct cursor_value *value);
/*
 * 1 and the next entry (its text is in the arena); 0 at the end, or if run->stopped is set;
 * -1: run->error. order_peek() leaves it where it is.
 */
int order_peek(struct run *run, struct order *order, struct cursor_value *ret, int64_t *ret_vid);
int order_next(struct run *run, struct order *order, struct cursor_value *ret, int64_t *ret_vid);

#endif
