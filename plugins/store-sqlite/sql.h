/*
 * Service sql/1: SQL of policies, on threads of its own so that a slow query delays nothing else.
 */
#ifndef STORE_SQLITE_SQL_H
#define STORE_SQLITE_SQL_H

#include <andiron/store.h>

#include "common/store/questions.h"

struct store;

extern const struct andiron_sql service_sql;

/* Threads and connections are made when the first query comes. NULL: out of memory. */
struct questions *sql_questions(struct store *store);

#endif
