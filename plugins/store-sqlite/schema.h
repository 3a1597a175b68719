/*
 * The schema of the database file: made when the file is new, checked when it is not.
 */
#ifndef STORE_SQLITE_SCHEMA_H
#define STORE_SQLITE_SCHEMA_H

#include "common/store/hash.h"
#include "db.h"

enum { SCHEMA_VERSION = 4, SCHEMA_APPLICATION_ID = 0x416e6472 /* "Andr" */ };

/*
 * Makes the tables in an empty file, brings an older schema up to date, and refuses a newer
 * one and files that are not ours, without touching them. db is writable.
 */
ANDIRON_MUST_CHECK int schema_open(struct db *db, const char *path, struct andiron_error *err);

/* Whether an open file is a database of this version. -1: err says what it is instead. */
ANDIRON_MUST_CHECK int schema_check(struct db *db, const char *path, struct andiron_error *err);

/* Version of an open file of ours, 0 if it is empty; -1: err, also for one that is too new. */
ANDIRON_MUST_CHECK int schema_version(struct db *db, const char *path, int64_t *ret,
                                      struct andiron_error *err);

/* The key of all hashes in this file. */
ANDIRON_MUST_CHECK int schema_hash_key(struct db *db, struct hash_key *ret);

#endif
