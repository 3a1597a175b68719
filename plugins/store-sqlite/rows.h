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

/*
 * ix_value: the values of a param in order, each once, with the key of its list in ix_token or
 * ix_ref: for sorting. Values that no current version has any more stay until the resource that
 * had them last is purged: they are no more than its versions, and cost a look into an empty list.
 */
enum rows_value_kind { ROWS_CODE = 1, ROWS_URL, ROWS_RESOURCE };

enum { ROWS_STRING_MAX = 256 };
/* A string as ix_str holds it: cut between characters. */
andiron_str rows_string(andiron_str text);
/* A URL as ix_value holds it: itself, or in space cut, with its hash behind. */
andiron_str rows_url(const struct hash_key *key, andiron_str url, char space[ROWS_STRING_MAX]);

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

/* Adds what ix_value has of keys; rows_add() does as well. */
ANDIRON_MUST_CHECK int rows_add_values(struct db *db, const struct hash_key *key, andiron_str keys);
/* Removes the codes and URLs of keys that no index row has any more: after rows_drop(). */
ANDIRON_MUST_CHECK int rows_drop_values(struct db *db, const struct hash_key *key,
                                        andiron_str keys);
/* After a rollback: ix_value may lack what was added to it. */
void rows_unsee(struct db *db);

#endif
