/*
 * The horizon: up to which vid every version is known, since no transaction that is still open can
 * add one below it.
 *
 * Whoever reads versions as a feed (walks that are `settled`, watches) stops there: a vid is drawn
 * before its commit, so a slow transaction may add vid 1 when 2 has long been read. A stored
 * transaction id does not help: it need not be in the order of vid, and means nothing in a
 * restored database. What does: read the sequence, then the next transaction id n. Every vid up to
 * there belongs to a transaction below n (it has its id before it draws, see schema.h); once a
 * snapshot has no open transaction below n, all of them are decided.
 */
#ifndef STORE_POSTGRES_HORIZON_H
#define STORE_POSTGRES_HORIZON_H

#include "store.h"

/*
 * Finds the horizon as of now; if transactions stay open, after some tens of milliseconds that of
 * some time ago. *ret_vid: versions up to here are decided. *ret_error if the database cannot be asked.
 */
enum andiron_step horizon_find(struct store *store, struct andiron_request *req, int64_t *ret_vid,
                               struct andiron_error *ret_error, andiron_step_fn then, void *state);

#endif
