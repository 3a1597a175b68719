/*
 * Service sql/1: SQL of policies, on threads of its own so that a slow query delays nothing else.
 */
#ifndef STORE_SQLITE_SQL_H
#define STORE_SQLITE_SQL_H

#include <andiron/store.h>

struct store;
struct sql_runner;

extern const struct andiron_sql service_sql;

/* Threads and connections are made when the first query comes. NULL: out of memory. */
struct sql_runner *sql_runner_new(const struct store *store);

/* Interrupts what runs and fails what waits. Accepts NULL. */
void sql_runner_free(struct sql_runner *runner);

#endif
