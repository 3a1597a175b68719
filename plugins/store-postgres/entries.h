/*
 * Index rows of several versions on their way into the tables, and out of them: from keys to the columns
 * that statements take. Pure computation in an arena; any thread, one at a time.
 */
#ifndef STORE_POSTGRES_ENTRIES_H
#define STORE_POSTGRES_ENTRIES_H

#include "common/store/rows.h"
#include "wire.h"

enum entries_table {
    ENTRIES_TOKEN,
    ENTRIES_REF,
    ENTRIES_DATE,
    ENTRIES_NUMBER,
    ENTRIES_STRING,
    ENTRIES_TABLES,
    ENTRIES_VALUE = ENTRIES_TABLES, /* ix_value: codes and URLs */
    ENTRIES_NAME,                   /* ix_value: names of resources */
    ENTRIES_KINDS
};

struct entries;
struct entries *entries_new(struct andiron_arena *arena, const struct hash_key *key);

/*
 * Adds the rows of keys for vid, each once. `old`: keys whose rows are there already, and left out;
 * or absent. ROWS_DAMAGED: keys cannot be read.
 */
ANDIRON_MUST_CHECK int entries_add(struct entries *e, andiron_str keys, andiron_str old,
                                   int64_t vid);
/* Adds what ix_value has of keys. */
ANDIRON_MUST_CHECK int entries_add_values(struct entries *e, andiron_str keys);

/* Statements that insert, or remove, the rows of all tables. */
void entries_insert(struct entries *e, struct wire_batch *b);
void entries_remove(struct entries *e, struct wire_batch *b);
/* Inserts values, except those that marks have (or NULL): last in a transaction, in one order. */
struct entries_marks;
void entries_insert_values(struct entries *e, struct wire_batch *b,
                           const struct entries_marks *marks);
/* Removes values that no row has any more: behind entries_remove(). Names of resources stay. */
void entries_remove_values(struct entries *e, struct wire_batch *b);

/* ---- values that are known to be there -------------------------------------------------------- */

/* Most come again and again: a look into a table saves the way to the database. */
enum { ENTRIES_MARKS = 4096 };
struct entries_marks {
    uint64_t marks[ENTRIES_MARKS];
};
/* After the commit that added them. */
void entries_mark(const struct entries *e, struct entries_marks *marks);

#endif
