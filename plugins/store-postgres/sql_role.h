/*
 * The role that SQL of policies runs as, and what it sees: a schema with one view for each type of FHIR
 * (seed-semantics 5.5), and nothing else.
 *
 * Made when the first such policy needs it. The role is policy-dsn's; without one, a role of this
 * database alone is made, with a password that only the owner of the tables can read.
 */
#ifndef STORE_POSTGRES_SQL_ROLE_H
#define STORE_POSTGRES_SQL_ROLE_H

#include "dsn.h"
#include "store.h"

struct sql_role;

struct sql_role *sql_role_new(struct store *store); /* NULL: out of memory */
void sql_role_free(struct sql_role *role);          /* NULL is allowed */

/* A connection of that role. Blocks, for some seconds at most. NULL: err. Any thread. */
PGconn *sql_role_connect(struct sql_role *role, struct andiron_error *err);

#endif
