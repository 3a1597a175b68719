/*
 * The tables that SQL of policies sees (seed-semantics 5.5): one for each type of FHIR, by its name
 * in lower case, with the columns id, version_id, last_updated and resource.
 *
 * They are virtual tables of a connection that has no file: SQL on it can reach nothing else, and
 * so neither platform resources, which hold secrets, nor older versions, nor the index.
 */
#ifndef STORE_SQLITE_SQL_TABLES_H
#define STORE_SQLITE_SQL_TABLES_H

#include <stdatomic.h>

#include "db.h"

/* One connection for SQL of others; of one thread at a time. */
struct sql_tables {
    sqlite3 *handle;             /* has the tables, and no file */
    struct db data;              /* reads the store; handle NULL: tables can be named, but not read */
    int64_t deadline;            /* andiron_now(); statements are interrupted after it */
    const atomic_bool *stopping; /* or NULL; the same when it becomes true */
    bool declaring;              /* SQLite looks at the columns of a table of ours */
};

/* data: how to open the store's file; NULL: only for checking. -1 and err; then closed. */
ANDIRON_MUST_CHECK int sql_tables_open(struct sql_tables *t, const struct db_settings *data,
                                       struct andiron_error *err);
void sql_tables_close(struct sql_tables *t);

/*
 * Prepares the one statement that text is; it must only read. NULL and err: ANDIRON_E_VALUE says
 * what is wrong with the text.
 */
sqlite3_stmt *sql_tables_prepare(struct sql_tables *t, andiron_str text, size_t param_count,
                                 struct andiron_error *err);

#endif
