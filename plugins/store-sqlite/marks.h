/*
 * What is true of a param in all resources of its type, as bits of param.kind: set with the first
 * resource of which it is not true, and never taken back. A search reads them in its own snapshot,
 * so they hold for what it sees.
 */
#ifndef STORE_SQLITE_MARKS_H
#define STORE_SQLITE_MARKS_H

#include "db.h"

enum {
    MARK_SEVERAL_REFERENCES = 1 << 18, /* a resource refers to several others by it */
    MARK_LACKING = 1 << 19             /* a resource has no code of it */
};

/* Whether the param has the mark: 1, 0; -1: db->rc. */
ANDIRON_MUST_CHECK int marks_find(struct db *db, int64_t p, int64_t mark);

/* In a write transaction: of a version that becomes current. -1: db->rc. */
ANDIRON_MUST_CHECK int marks_note(struct db *db, int64_t type, andiron_str keys);
/* Of terms that are added to one that is current. */
ANDIRON_MUST_CHECK int marks_note_added(struct db *db, andiron_str keys);
/* Marks that a new param of the type has from the start; -1: db->rc. */
ANDIRON_MUST_CHECK int marks_of_new(struct db *db, int64_t type, int64_t *ret);

/* After a rollback: what is known of the file may not be in it. */
void marks_forget(struct db *db);

#endif
