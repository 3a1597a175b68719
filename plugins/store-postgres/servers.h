/*
 * What a process knows of its servers: connection strings, hosts, how a session begins, and figures of
 * all loops. Made at the start; only the figures change.
 */
#ifndef STORE_POSTGRES_SERVERS_H
#define STORE_POSTGRES_SERVERS_H

#include "hosts.h"
#include "store.h"

struct wire {
    struct store *store;
    struct dsn dsn, replica_dsn;
    struct hosts *hosts, *replica_hosts; /* NULL: no replicas */
    char begin[1024];
    char connect_timeout[24];
    _Atomic int64_t ready[WIRE_POOLS], wanted[WIRE_POOLS], waiting, under_way;
};

#endif
