/*
 * The store of one worker: settings and what its parts share.
 */
#ifndef STORE_SQLITE_STORE_H
#define STORE_SQLITE_STORE_H

#include <pthread.h>
#include <stdatomic.h>

#include <andiron/plugin.h>
#include <andiron/store.h>

#include "common/store/meter.h"
#include "common/store/names.h"
#include "db.h"
#include "map.h"

struct config {
    const char *path;
    int synchronous; /* enum synchronous */
    int64_t writer_cache, reader_cache, mmap_size;
    int64_t timeout, loop_busy_timeout, snapshot_age;
    int64_t group_commit_max, queue_max;
    int64_t scan_budget, scan_time, loop_budget, short_list;
    int64_t checkpoint, checkpoint_hard;
    int64_t poll_interval;
    int64_t max_includes, slow;
    int64_t sql_threads, sql_queue;
};

enum synchronous { SYNCHRONOUS_FULL, SYNCHRONOUS_NORMAL };

struct metrics {
    struct andiron_counter *commits, *resources, *failures, *mismatches, *offloaded;
    struct andiron_histogram *commit_time;
};

struct store {
    struct store_meter meter; /* first: see there */
    const struct config *config;
    struct andiron_host *host; /* for log lines; NULL in tests */
    char *path;
    struct hash_key key, seal; /* of index hashes; of cursors */
    struct names *names;
    struct mapping mapping; /* of the file, for readers */
    struct writer *writer;
    struct watches *watches;
    struct checkpointer *checkpointer;
    struct questions *sql;
    struct readers *readers; /* those that threads of the pool borrow */
    struct metrics metrics;
};

/* A new store on an open, checked database; parts that run are started by store_start(). */
ANDIRON_MUST_CHECK int store_open(struct store *store, struct andiron_error *err);
ANDIRON_MUST_CHECK int store_start(struct store *store, struct andiron_error *err);
void store_stop(struct store *store);

/* A new file is for the daemon's user alone, whatever the umask; -wal and -shm follow it. */
void store_make_private(const char *path);

/* Settings of a connection of this store. */
struct db_settings store_db_settings(const struct store *store, bool writable);

/* Logs, if there is a host. */
void store_log(const struct store *store, enum andiron_level level, const char *event,
               const char *fmt, ...) ANDIRON_PRINTF(4, 5);
static inline void store_count(struct andiron_counter *counter, uint64_t by)
{
    if (counter != NULL)
        andiron_count(counter, by);
}

#endif
