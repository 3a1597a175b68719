/*
 * The services of the plugin: store/1 and health/1:store.
 */
#ifndef STORE_SQLITE_SERVICE_H
#define STORE_SQLITE_SERVICE_H

#include <andiron/store.h>

extern const struct andiron_store service_store;
extern const struct andiron_health service_health;

#endif
