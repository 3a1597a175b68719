/*
 * Whether all nodes have the same folder: a row in the store names the one that is used, and each
 * node compares it with its own at start and from time to time. On loop 0.
 */
#ifndef BULK_SHARED_H
#define BULK_SHARED_H

#include "bulk.h"

#define BULK_DIRECTORY "_BulkDirectory"

/* Compares, and says so in the log if another node has used another folder lately. */
void shared_check(struct bulk *bulk, struct andiron_loop *loop);

#endif
