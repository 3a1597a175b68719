/*
 * Walks through versions: history, export, reindexing. In the snapshot open on a connection.
 */
#ifndef STORE_SQLITE_WALK_H
#define STORE_SQLITE_WALK_H

#include "search.h"

/* 0 and a page; -1 and rows->error. */
int walk_run(struct search_place *place, const struct andiron_walk *walk,
             struct andiron_rows *rows);

/* The same for visit() of struct andiron_store. */
int walk_visit(struct search_place *place, const struct andiron_walk *walk,
               const struct andiron_visitor *visitor, struct andiron_rows *rows);

#endif
