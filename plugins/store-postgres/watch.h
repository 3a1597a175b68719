/*
 * Watches: tells loops of committed changes, of this process at once, of other nodes by NOTIFY,
 * and in any case by looking for them every poll-interval.
 *
 * One connection of the process listens and looks, on the first loop. Looking goes by vid up to the
 * horizon, so nothing is passed over; what was told already is not told again.
 */
#ifndef STORE_POSTGRES_WATCH_H
#define STORE_POSTGRES_WATCH_H

#include "store.h"

struct watches;

struct watches *watches_new(struct store *store);
void watches_free(struct watches *watches); /* NULL is allowed */

/*
 * Listens on that loop from now on, over a connection of its wire; and its end, on the same thread,
 * when the wire is freed. The end of another loop changes nothing.
 */
ANDIRON_MUST_CHECK int watches_start(struct watches *watches, struct andiron_loop *loop,
                                     struct wire_loop *wire, struct andiron_error *err);
void watches_stop(struct watches *watches, struct andiron_loop *loop);

/* As andiron_store.watch. Any thread. */
ANDIRON_MUST_CHECK int watch_add(struct watches *watches, struct andiron_loop *loop,
                                 const char *type,
                                 void (*changed)(void *arg, andiron_str type, andiron_str id),
                                 void *arg, struct andiron_error *err);

/* Whether somebody watches type: only then others need be told of a change. Any thread. */
bool watch_wants(struct watches *watches, andiron_str type);
/*
 * For a write of such a type. In its transaction: adds the statement that tells other nodes when it
 * commits. After the commit: tells this process. Any thread.
 */
void watch_notify(struct watches *watches, struct wire_batch *b, andiron_str type, andiron_str id,
                  int64_t vid);
void watch_note(struct watches *watches, andiron_str type, andiron_str id, int64_t vid);

/* Milliseconds since the database last answered the connection that listens; -1: it never has. */
int64_t watches_silence_ms(struct watches *watches);
/* Microseconds that the last look for changes took, there and back; -1: there was none. */
int64_t watches_latency(struct watches *watches);

#endif
