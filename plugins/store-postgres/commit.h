/*
 * Commits: writes of requests, queued on each loop and combined into transactions.
 */
#ifndef STORE_POSTGRES_COMMIT_H
#define STORE_POSTGRES_COMMIT_H

#include "store.h"

/* How a version came about: version.op. */
enum { OP_CREATE = 1, OP_UPDATE = 2, OP_DELETE = 3 };
/* resource.st */
enum { STATE_LIVE, STATE_DELETED, STATE_STUB };

enum { CLAIM_NAME_MAX = 512 };
/* Whether a name can be claimed; else err. */
bool claim_is_name(andiron_str name, struct andiron_error *err);

/*
 * Advisory locks of the database that are held until a transaction ends. What writes holds LOCK_NAMES
 * shared; what makes numbers void (forgetting, purging) holds it alone.
 */
enum { LOCK_SPACE = 1097753714, LOCK_NAMES = 2, LOCK_SPACE_MATCH = 1097753715 };

/* What a loop has of it. */
struct writer;
struct writer *writer_new(struct local *local);
void writer_free(struct writer *w); /* NULL is allowed */
/* Commits that wait; a metric. */
size_t writer_queued(const struct writer *w);

#endif
