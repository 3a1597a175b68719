/*
 * Tables, and how a database comes to have them.
 *
 * What differs from the SQLite store's file: `version.keys` stays when a version is no longer the
 * current one (setting it to NULL would copy the row), so only those of `resource.vid` count;
 * `version.params` has the params that are present, for `:missing` in SQL; `ix_value.s` is bytea, since
 * what is cut has a hash behind it. `version.ts` does not grow with vid: several nodes write.
 *
 * vid, rid, type and p come from sequences. vid is drawn inside the transaction that writes the
 * version, after it has its transaction id (SELECT pg_current_xact_id(), nextval('vid')): that is what
 * horizon.h relies on.
 */
#ifndef STORE_POSTGRES_SCHEMA_H
#define STORE_POSTGRES_SCHEMA_H

#include <libpq-fe.h>

#include "store.h"

/* SCHEMA_LEAST: code that knows versions from here on may run on a database of SCHEMA_VERSION. */
enum { SCHEMA_RELEASED = 2, SCHEMA_LEAST = 1 };

/* Tests of upgrades build the release after this one, with a step more. */
#ifdef SCHEMA_OF_NEXT_RELEASE
enum { SCHEMA_VERSION = SCHEMA_RELEASED + 1 };
#else
enum { SCHEMA_VERSION = SCHEMA_RELEASED };
#endif

/*
 * Makes the tables, or brings older ones up to date, under an advisory lock; refuses a database that is
 * too new for this program. What is to be done to all that is stored is done in slices, by all nodes that
 * start, and gone on with by the next start. Blocks. Leaves the connection with the store's schema as its search_path.
 */
ANDIRON_MUST_CHECK int schema_open(PGconn *connection, struct store *store,
                                   struct andiron_error *err);

/* Version that the database has, 0: no tables yet. Blocks, changes nothing. -1: err, also if it is too new. */
ANDIRON_MUST_CHECK int schema_version(PGconn *connection, const struct store *store, int64_t *ret,
                                      struct andiron_error *err);

#endif
