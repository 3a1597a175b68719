/*
 * Searches: one page of a query in the snapshot (or write transaction) that is open on a
 * connection. Runs on the loop, on the pool and inside the writer's transaction alike.
 */
#ifndef STORE_SQLITE_SEARCH_H
#define STORE_SQLITE_SEARCH_H

#include <andiron/store.h>

#include "store.h"

struct counts;

/* Where a search runs, and how much it may do. */
struct search_place {
    struct store *store;
    struct db *db;
    struct andiron_arena *arena;
    struct counts **counts; /* cache of counts; NULL: none */
    uint64_t content;       /* what the snapshot shows: cached counts of another are void */
    bool refs_only;         /* no bodies: who matches is all that is asked */
    bool hurried;           /* in the writer's transaction: others wait */
    bool brief;             /* on the loop: give up early, the search then runs on the pool */
    bool stopped;           /* result: given up, since brief */
    int64_t probed;         /* result: rows looked at */
};

/* 0 and a page; -1 and rows->error. */
int search_run(struct search_place *place, const struct andiron_query *query,
               struct andiron_rows *rows);

void search_counts_free(struct counts *counts);

#endif
