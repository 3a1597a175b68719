/*
 * Index rows of a version in the file.
 */
#ifndef STORE_SQLITE_ROWS_H
#define STORE_SQLITE_ROWS_H

#include "common/store/rows.h"

#include "db.h"

/* Inserts all rows of keys for vid, with the next flush of the batch; or removes them. -1: db->rc. */
ANDIRON_MUST_CHECK int rows_add(struct db *db, const struct hash_key *key, andiron_str keys,
                                int64_t vid);
ANDIRON_MUST_CHECK int rows_drop(struct db *db, const struct hash_key *key, andiron_str keys,
                                 int64_t vid);

/* Adds what ix_value has of keys; rows_add() does as well. */
ANDIRON_MUST_CHECK int rows_add_values(struct db *db, const struct hash_key *key, andiron_str keys);
/* Removes the codes and URLs of keys that no index row has any more: after rows_drop(). */
ANDIRON_MUST_CHECK int rows_drop_values(struct db *db, const struct hash_key *key,
                                        andiron_str keys);
/* After a rollback: ix_value may lack what was added to it. */
void rows_unsee(struct db *db);

#endif
