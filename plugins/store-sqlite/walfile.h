/*
 * Gathers what a commit appends to the write-ahead log into few writes.
 *
 * SQLite writes each page of a commit by two calls, a head of 24 bytes and the page. Ours copies
 * them behind each other and writes when the log is flushed, or when its room is full: a tenth of
 * the calls, and half of what the kernel does for them.
 */
#ifndef STORE_SQLITE_WALFILE_H
#define STORE_SQLITE_WALFILE_H

#include "db.h"

/* In the memory of the connection's owner, until behind db_close(). Zeroed: nothing is gathered. */
struct walfile {
    sqlite3_io_methods log; /* first: what the log's file points to */
    sqlite3_io_methods main;
    const sqlite3_io_methods *log_original, *main_original;
    sqlite3_file *file; /* the log */
    char *room;
    int len;          /* of what is gathered */
    sqlite3_int64 at; /* where it belongs */
    int failed;       /* what writing met in this transaction: its commit must fail */
};

/*
 * From now on, for a connection that writes, has read in WAL mode and flushes each commit
 * (synchronous=FULL): others see a commit as soon as it is flushed, and must find it in the file.
 * Does nothing where that is not so, or memory is short.
 */
void walfile_gather(struct walfile *w, struct db *db);
/* After db_close(). */
void walfile_free(struct walfile *w);

#endif
