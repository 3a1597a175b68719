/*
 * Numbers of types and parameters, from the file where names does not know them.
 */
#ifndef STORE_SQLITE_LOOKUP_H
#define STORE_SQLITE_LOOKUP_H

#include "common/store/names.h"

#include "db.h"

/* All names of the file, at start. */
ANDIRON_MUST_CHECK int names_load(struct names *names, struct db *db);
/* Once more, forgetting numbers that are no longer in the file. */
ANDIRON_MUST_CHECK int names_reload(struct names *names, struct db *db);

/* As names_type() and so on, asking the database for what is unknown. -1: db->rc; 0 in *ret: not
 * there either. */
ANDIRON_MUST_CHECK int names_find_type(struct names *names, struct db *db, andiron_str name,
                                       int64_t *ret);
ANDIRON_MUST_CHECK int names_find_param(struct names *names, struct db *db, int64_t type,
                                        andiron_str code, int64_t *ret, uint32_t *ret_kinds);
ANDIRON_MUST_CHECK int names_find_of_type(struct names *names, struct db *db, int64_t type,
                                          andiron_str *ret);

#endif
