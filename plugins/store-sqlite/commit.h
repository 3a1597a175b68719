/*
 * Commits: writes of one request as a job of the writer.
 */
#ifndef STORE_SQLITE_COMMIT_H
#define STORE_SQLITE_COMMIT_H

#include "writer.h"

/* How a version came about: version.op. */
enum { OP_CREATE = 1, OP_UPDATE = 2, OP_DELETE = 3 };
/* resource.st */
enum { STATE_LIVE, STATE_DELETED, STATE_STUB };

/*
 * A job for commit, in arena; maker: of terms that writes do not have, or NULL. With a db (a reader's, on the caller's thread) index terms are
 * packed now, as far as all their names are known, to spare the writer. NULL: that cannot be done,
 * and commit->error and failed say why.
 */
struct job *commit_job(struct store *store, struct db *db, struct andiron_arena *arena,
                       struct andiron_commit *commit, const struct andiron_term_maker *maker);

#endif
