/*
 * Replicas: which reads may go to one (replica-dsn).
 *
 * A read may if the replica has replayed what the asking client last wrote on this node, by LSN, and
 * the resource is none that nodes cache (watched types): a stale one would stay in the cache.
 * Other clients' writes, and writes by way of other nodes, are seen when they are replayed.
 */
#ifndef STORE_POSTGRES_REPLICA_H
#define STORE_POSTGRES_REPLICA_H

#include "store.h"

/* What the clients of this process wrote last. Thread-safe. */
struct replica;
struct replica *replica_new(void); /* NULL: out of memory */
void replica_free(struct replica *r);

/* Where req may read resources of that type: WIRE_REPLICA or WIRE_READ. Absent type: any. */
enum wire_pool replica_pool(const struct local *local, const struct andiron_request *req,
                            andiron_str type);

/* req has written: reply.lsn of wire_finish(). */
void replica_wrote(const struct local *local, const struct andiron_request *req, uint64_t lsn);

#endif
