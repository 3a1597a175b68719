/*
 * Keeps a reader's mapping of the file while others write.
 *
 * SQLite unmaps the whole file whenever a snapshot finds that something was committed, in case
 * the file had become shorter; the next page it looks at maps all again, and every page is a
 * fault once more. Ours only grows (no vacuum), so it is mapped anew only when it has.
 */
#ifndef STORE_SQLITE_MAP_H
#define STORE_SQLITE_MAP_H

#include "db.h"

/* In the memory of the connection's owner, until behind db_close(). */
struct map {
    sqlite3_io_methods methods; /* first: what the file points to */
    const sqlite3_io_methods *original;
    sqlite3_int64 bytes; /* of the file when it was last unmapped */
};

/* From now on, for a connection that is open. Does nothing where files cannot be mapped. */
void map_keep(struct map *map, struct db *db);

#endif
