/*
 * Index rows of a version, computed from its keys: the same for inserting and for removing.
 */
#ifndef COMMON_STORE_ROWS_H
#define COMMON_STORE_ROWS_H

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

enum { ROWS_STOPPED = -1, ROWS_DAMAGED = -2 };

/* What is done with each row; each returns 0, or stops the walk. */
struct rows_sink {
    int (*token)(void *arg, int64_t p, int64_t h);
    int (*ref)(void *arg, int64_t p, int64_t target);
    int (*date)(void *arg, int64_t p, int64_t cls, andiron_usec low, andiron_usec high);
    int (*number)(void *arg, int64_t p, int64_t unit, double low, double high);
    int (*string)(void *arg, int64_t p, andiron_str text);
    void *arg;
};

/* All rows of keys. ROWS_STOPPED: by the sink; ROWS_DAMAGED: the list cannot be read. */
ANDIRON_MUST_CHECK int rows_each(const struct hash_key *key, andiron_str keys,
                                 const struct rows_sink *to);

/* What ix_value has of keys; text and h as there, h of a ROWS_RESOURCE is its rid. As rows_each(). */
typedef int (*rows_value_fn)(void *arg, int64_t p, enum rows_value_kind kind, andiron_str text,
                             int64_t h);
ANDIRON_MUST_CHECK int rows_each_value(const struct hash_key *key, andiron_str keys,
                                       rows_value_fn fn, void *arg);

/*
 * A mark of such a value, for tables of those that are listed already. No two have the same: numbers of
 * resources are as small as those of params, so both are spread over all bits before they are joined.
 */
uint64_t rows_value_mark(int64_t p, enum rows_value_kind kind, int64_t h);

#endif
