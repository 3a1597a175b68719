/*
 * Last writes by client; see replica.h. Clients share slots by hash: at worst one reads from the
 * primary because of another's write.
 */
#include "replica.h"

#include <stdlib.h>

#include <andiron/auth.h>

#include "watch.h"

enum { SLOTS = 4096 };

struct replica {
    _Atomic uint64_t wrote[SLOTS]; /* LSN */
};

struct replica *replica_new(void)
{
    return calloc(1, sizeof(struct replica));
}

void replica_free(struct replica *r)
{
    free(r);
}

static _Atomic uint64_t *slot_of(const struct local *local, const struct andiron_request *req)
{
    const struct andiron_principal *who = andiron_request_principal(req);
    uint64_t h = hash_of64(&local->store->key, andiron_str_of(who->id));

    return &local->store->replica->wrote[h % SLOTS];
}

enum wire_pool replica_pool(const struct local *local, const struct andiron_request *req,
                            andiron_str type)
{
    uint64_t replayed = wire_replayed(local->wire);

    if (replayed == 0 || type.len == 0 || watch_wants(local->store->watches, type))
        return WIRE_READ;
    return replayed >= atomic_load(slot_of(local, req)) ? WIRE_REPLICA : WIRE_READ;
}

void replica_wrote(const struct local *local, const struct andiron_request *req, uint64_t lsn)
{
    _Atomic uint64_t *slot;
    uint64_t before;

    if (lsn == 0 || req == NULL)
        return;
    slot = slot_of(local, req);
    before = atomic_load(slot);
    while (before < lsn && !atomic_compare_exchange_weak(slot, &before, lsn))
        continue;
}
