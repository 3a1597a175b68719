/*
 * The store of one worker: settings and what its parts share.
 */
#ifndef STORE_POSTGRES_STORE_H
#define STORE_POSTGRES_STORE_H

#include <stdatomic.h>

#include <andiron/plugin.h>
#include <andiron/store.h>

#include "common/store/meter.h"
#include "common/store/names.h"
#include "wire.h"

struct config {
    const char *dsn, *replica_dsn, *policy_dsn, *schema;
    bool prepare;
    int64_t read_connections, write_connections, window;
    int64_t queue_max, connect_wait;
    int64_t connect_timeout, statement_timeout, idle_transaction_timeout, start_timeout;
    int64_t poll_interval;
    int64_t replica_connections;
    int64_t group_commit_max;
    int64_t scan_budget, scan_time, short_list, max_includes;
    int64_t policy_connections, policy_queue;
    int64_t slow;
};

struct metrics {
    struct andiron_counter *commits, *resources, *failures, *mismatches; /* of the store */
    struct andiron_counter *reconnects, *batches, *lost, *refused;       /* of connections */
    struct andiron_histogram *commit_time;
};

struct wire;
struct horizon;
struct watches;
struct replica;
struct sql_role;
struct questions;

struct store {
    struct store_meter meter; /* first: see there */
    const struct config *config;
    struct andiron_host *host; /* for log lines; NULL in tests */
    struct wire *wire;
    struct horizon *horizon;
    struct watches *watches;
    struct replica *replica;
    struct sql_role *sql_role;
    struct questions *sql;
    int64_t vid_at_open;  /* versions up to here were decided when it was opened; -1: not known */
    uint8_t hash_key[16]; /* of all hashes in this database (meta.hash-key) */
    struct hash_key key, seal; /* made of it: of index hashes; of cursors */
    struct names *names;
    _Atomic int64_t names_seen, voids_seen; /* naming.h; -1: not loaded yet */
    struct metrics metrics;
};

/* What each loop has: andiron_loop_state(loop, store). */
struct local {
    struct store *store;
    struct andiron_loop *loop;
    struct wire_loop *wire;
    struct writer *writer; /* commit.h */
    uint64_t claims;
    struct lengths *lengths; /* of lists of the index (lengths.c); to be freed */
    struct totals *totals;   /* of queries (counting.c); to be freed */
};

static inline struct local *store_local(struct store *store, struct andiron_loop *loop)
{
    return andiron_loop_state(loop, store);
}

/* Logs, if there is a host. */
void store_log(const struct store *store, enum andiron_level level, const char *event,
               const char *fmt, ...) ANDIRON_PRINTF(4, 5);
static inline void store_count(struct andiron_counter *counter, uint64_t by)
{
    if (counter != NULL)
        andiron_count(counter, by);
}

/* Connects, brings the schema up to date, reads what is in meta. May block: at start, or in tests. */
ANDIRON_MUST_CHECK int store_open(struct store *store, struct andiron_error *err);
void store_close(struct store *store);

/* As andiron_migrate.run: looks at the schema, or does to it what a start would. */
ANDIRON_MUST_CHECK int store_migrate(struct store *store, bool check, int64_t *ret_from,
                                     int64_t *ret_to, struct andiron_error *err);

#endif
