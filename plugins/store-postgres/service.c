/*
 * The tables of store/1 and health/1:store; see service.h.
 */
#include "service.h"

static int health_check(void *self, struct andiron_error *err)
{
    (void)self;
    (void)err;
    return 0;
}

const struct andiron_store service_store = {
    .size = sizeof(struct andiron_store),
    .read = service_read,
    .search = service_search,
    .walk = service_walk,
    .commit = service_commit,
    .claim = service_claim,
    .watch = service_watch,
    .index = service_index,
    .forget = service_forget,
    .commit_making = service_commit_making,
    .purge = service_purge,
};

const struct andiron_health service_health = {
    .size = sizeof(struct andiron_health),
    .check = health_check,
};
