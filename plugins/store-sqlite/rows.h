/*
 * Index rows of a version, made from its keys: the same for inserting and for removing.
 */
#ifndef STORE_SQLITE_ROWS_H
#define STORE_SQLITE_ROWS_H

#include "db.h"
#include "keys.h"

/* Hash column of ix_token for each way in which such an entry can be asked for. */
int64_t rows_hash_code(const struct hash_key *key, uint32_t part, andiron_str code);
int64_t rows_hash_coded(const struct hash_key *key, uint32_t part, uint64_t system,
                        andiron_str code);
int64_t rows_hash_unsystemed(const struct hash_key *key, uint32_t part, andiron_str code);
int64_t rows_hash_of_type(const struct hash_key *key, andiron_str hash128);
int64_t rows_hash_url(const struct hash_key *key, andiron_str url);
int64_t rows_hash_uri(const struct hash_key *key, uint32_t part, andiron_str uri);

enum { ROWS_STRING_MAX = 256 };
/* A string as ix_str holds it: cut between characters. */
andiron_str rows_string(andiron_str text);

/* Class of a date: 0 lasts at most a day, 1 longer. */
#define ROWS_DAY ((int64_t)86400 * 1000000) /* microseconds */
static inline int64_t rows_date_class(andiron_usec low, andiron_usec high)
{
    return (uint64_t)high - (uint64_t)low <= (uint64_t)ROWS_DAY ? 0 : 1;
}

/* Inserts or removes all rows of keys for vid. -1: db->rc. */
ANDIRON_MUST_CHECK int rows_add(struct db *db, const struct hash_key *key, andiron_str keys,
                                int64_t vid);
ANDIRON_MUST_CHECK int rows_drop(struct db *db, const struct hash_key *key, andiron_str keys,
                                 int64_t vid);

#endif
