/*
 * Reading by type and id, and by version. In the snapshot open on a connection.
 */
#ifndef STORE_SQLITE_READ_H
#define STORE_SQLITE_READ_H

#include "search.h"

/* 0 and as many rows as refs; -1 and rows->error. */
int read_run(struct search_place *place, const struct andiron_ref *refs, size_t count,
             struct andiron_rows *rows);

#endif
