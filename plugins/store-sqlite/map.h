/*
 * The file in memory: one mapping that all readers of a store share.
 *
 * SQLite maps the file for each connection by itself, not beyond 2 GB, and unmaps it whenever a
 * snapshot finds that something was committed. Ours is made once, longer than the file: what the
 * file grows by shows in it. It only grows (no vacuum), so a page never goes away.
 */
#ifndef STORE_SQLITE_MAP_H
#define STORE_SQLITE_MAP_H

#include <stdatomic.h>

#include "db.h"

struct mapping {
    uint8_t *base;         /* NULL: none */
    int64_t limit;         /* bytes of the file that may be in it */
    _Atomic int64_t bytes; /* length of the file that was last seen */
};

/*
 * Maps the first `limit` bytes, or less where the address space is short; 0: none. The file must
 * exist, and no connection of this process may be open on it: closing a file drops all locks that
 * the process has on it.
 */
void mapping_open(struct mapping *mapping, const char *path, int64_t limit);
void mapping_close(struct mapping *mapping);

/* One connection's way to it; in the memory of the connection's owner, until behind db_close(). */
struct map {
    sqlite3_io_methods methods; /* first: what the file points to */
    const sqlite3_io_methods *original;
    struct mapping *mapping;
};

/* From now on, for a connection that is open. Does nothing where there is no mapping. */
void map_keep(struct map *map, struct mapping *mapping, struct db *db);

#endif
