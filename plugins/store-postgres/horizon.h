/*
 * The horizon: up to which vid every version is known, since no transaction that is still open can
 * add one below it.
 *
 * Whoever reads versions as a feed (walks that are `settled`, watches) stops there: a vid is drawn
 * before its commit, so a slow transaction may add vid 1 when 2 has long been read. A stored
 * transaction id does not help: it need not be in the order of vid, and means nothing in a
 * restored database. What does: read the sequence, then the next transaction id n. Every vid up to
 * there belongs to a transaction below n (it has its id before it draws, see schema.h); once a
 * snapshot has no open transaction below n, all of them are decided. So a look is the three numbers,
 * and looks that are not decided yet are remembered.
 */
#ifndef STORE_POSTGRES_HORIZON_H
#define STORE_POSTGRES_HORIZON_H

#include "store.h"

struct horizon;

/* Thread-safe. */
struct horizon *horizon_new(void);
void horizon_free(struct horizon *h); /* NULL is allowed */

/*
 * A look: a moment, then the last vid drawn, then the next transaction id and the oldest that was
 * open.
 */
void horizon_take(struct horizon *h, andiron_usec time, int64_t last_vid, int64_t next_xid,
                  int64_t oldest_xid);
/*
 * Versions up to here are decided; 0: not known yet, or none were drawn. *ret_time (or NULL): the moment of that
 * look: whatever is behind was drawn, and then got its instant, later; 0: not known yet.
 */
int64_t horizon_vid(struct horizon *h, andiron_usec *ret_time);
/* How long the oldest look that is not decided has been so, milliseconds. */
int64_t horizon_lag_ms(struct horizon *h);

/* Adds a look at the primary to a batch outside any snapshot; and takes it, from statement at on. */
void horizon_look(struct wire_batch *b);
void horizon_seen(struct horizon *h, const struct wire_batch *b, size_t at);
/* The last vid that was drawn when the look was taken. */
int64_t horizon_drawn(const struct wire_batch *b, size_t at);

/*
 * Finds the horizon as of now; if transactions stay open, after some tens of milliseconds that of
 * some time ago. *ret_vid and *ret_time are as of horizon_vid(). *ret_error if the database cannot be asked, or
 * nothing is known yet.
 */
enum andiron_step horizon_find(struct store *store, struct andiron_request *req, int64_t *ret_vid,
                               andiron_usec *ret_time, struct andiron_error *ret_error,
                               andiron_step_fn then, void *state);

#endif
