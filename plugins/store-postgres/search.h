/*
 * Searches: one page of a query, in one snapshot, without blocking the loop.
 */
#ifndef STORE_POSTGRES_SEARCH_H
#define STORE_POSTGRES_SEARCH_H

#include "store.h"

/* Where a search runs. */
struct search_place {
    struct local *local;
    struct andiron_arena *arena; /* outlives the search */
    struct wire_lease *lease;    /* of a transaction that it is part of; NULL: one of its own */
    bool refs_only;              /* no bodies: who matches is all that is asked */
    enum wire_pool pool;         /* without a lease: WIRE_READ or WIRE_REPLICA */
};

/*
 * done(arg) is called once, on the loop, never from inside the call: rows has a page, or
 * rows->error. If a lease is given, and it failed, its transaction may be over (wire.h).
 */
void search_start(const struct search_place *place, const struct andiron_query *query,
                  struct andiron_rows *rows, void (*done)(void *arg), void *arg);

#endif
