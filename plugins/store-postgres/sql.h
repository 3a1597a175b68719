/*
 * Service sql/1: SQL of policies, by a role that sees views alone, in transactions that only read, on
 * threads of its own.
 */
#ifndef STORE_POSTGRES_SQL_H
#define STORE_POSTGRES_SQL_H

#include "common/store/questions.h"
#include "sql_role.h"
#include "store.h"

extern const struct andiron_sql service_sql;

/* Threads and connections are made when the first query comes. NULL: out of memory. */
struct questions *sql_questions(struct store *store);

/* Says that the calling thread is a loop's: check() does not ask the database there. */
void sql_on_loop(void);

#endif
