/*
 * Index rows on their way into the file: gathered over the writes of a transaction, and inserted by
 * one statement for each table, which reads them from memory through a virtual table. A statement
 * for each row costs as much again as what it does to its table.
 *
 * Belongs to one connection, which must flush before it reads ix_token, ix_ref, ix_date, ix_num or
 * ix_str, and before it commits.
 */
#ifndef STORE_SQLITE_BATCH_H
#define STORE_SQLITE_BATCH_H

#include "db.h"

enum batch_table { BATCH_TOKEN, BATCH_REF, BATCH_DATE, BATCH_NUMBER, BATCH_STRING, BATCH_TABLES };

/* Columns behind p, in the order of the table's; vid is a field of its own. */
struct batch_row {
    int64_t p, vid;
    union {
        int64_t whole[3]; /* h; tgt; cls, lo, hi; g of a number */
        struct {
            int64_t unit;
            double low, high;
        } number;
        struct {
            size_t at, len; /* in the batch's text */
        } text;
    } of;
};

struct batch;

/* NULL: db->rc. Freed behind db_close(). */
struct batch *batch_new(struct db *db);
void batch_free(struct batch *batch); /* NULL is allowed */

/* Adds a row; text (of BATCH_STRING) is copied. Flushes when many wait. -1: db->rc. */
ANDIRON_MUST_CHECK int batch_add(struct db *db, enum batch_table table, struct batch_row row,
                                 andiron_str text);
/* Inserts what waits; rows that are there already are left out. -1: db->rc. */
ANDIRON_MUST_CHECK int batch_flush(struct db *db);
/* The same if a row of vid may wait. */
ANDIRON_MUST_CHECK int batch_flush_of(struct db *db, int64_t vid);
/* Forgets what waits: it was rolled back. */
void batch_drop(struct db *db);

#endif
