/*
 * Readers: connections that only read, one for each loop and some for the pool.
 *
 * A reader keeps its snapshot (read transaction) open over several calls as long as nothing was
 * committed since, by this process or another: it compares the header of the WAL index, which
 * every commit changes before it is acknowledged. Opening a snapshot anew costs more than a
 * read by id. A timer ends an idle snapshot, since an open one holds back checkpoints.
 */
#ifndef STORE_SQLITE_READER_H
#define STORE_SQLITE_READER_H

#include "map.h"
#include "store.h"

struct event;

enum { READER_HEADER_BYTES = 48 }; /* of the WAL index, walformat section 2.1 */

struct reader {
    struct store *store;
    struct db db;
    struct map map;
    bool open;                           /* a snapshot is open */
    uint8_t header[READER_HEADER_BYTES]; /* as it was before the snapshot was opened */
    const volatile uint8_t *shared;      /* the header as it is now; NULL: not known */
    struct event *timer;                 /* ends the snapshot; NULL: nobody does */
    bool armed;
    uint64_t content;      /* changes when a snapshot shows something else */
    struct counts *counts; /* cached counts of the snapshot (search.c) */
    struct reader *next;   /* while it is free, in the pool's list */
};

/* A reader for one thread; busy_ms: how long it waits for a lock. NULL and err on failure. */
struct reader *reader_new(struct store *store, int64_t busy_ms, struct andiron_error *err);
void reader_free(struct reader *reader);
/* Ends snapshots by a timer of this loop, on its thread. */
ANDIRON_MUST_CHECK int reader_attach(struct reader *reader, struct andiron_loop *loop,
                                     struct andiron_error *err);

/*
 * Opens a snapshot that shows every commit acknowledged before this call. -1: reader->db.rc.
 * reader_leave() says that the call is over; the snapshot may stay.
 */
ANDIRON_MUST_CHECK int reader_enter(struct reader *reader);
void reader_leave(struct reader *reader);
/* Closes the snapshot. */
void reader_close(struct reader *reader);

/* Readers for threads of the pool: taken, used, given back. NULL and err on failure. */
struct readers *readers_new(void);
void readers_free(struct readers *readers);
struct reader *readers_take(struct store *store, struct andiron_error *err);
void readers_give(struct store *store, struct reader *reader);
/* Those that are kept for the next one, and those that are lent. */
void readers_count(struct readers *readers, size_t *ret_idle, size_t *ret_busy);

#endif
