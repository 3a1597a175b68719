/*
 * store-sqlite: service store/1 over one SQLite file. The table, and a worker's life.
 */
#include <andiron/plugin.h>

#include <stdlib.h>
#include <unistd.h>

#include "backup.h"
#include "reader.h"
#include "schema.h"
#include "service.h"
#include "sql.h"
#include "store.h"
#include "writer.h"

static const char *const synchronous[] = { "full", "normal", NULL };

static const struct andiron_directive directives[] = {
    { .name = "path",
      .type = ANDIRON_STRING,
      .offset = offsetof(struct config, path),
      .fallback = "",
      .help = "database file; empty: andiron.db in core.state-dir" },
    { .name = "synchronous",
      .type = ANDIRON_CHOICE,
      .offset = offsetof(struct config, synchronous),
      .fallback = "full",
      .choices = synchronous,
      .help = "full: acknowledged writes survive power loss; normal: only a crash" },
    { .name = "timeout",
      .type = ANDIRON_DURATION,
      .offset = offsetof(struct config, timeout),
      .fallback = "5s",
      .min = 100,
      .max = 60000,
      .help = "longest wait for a locked database, and longest search" },
    { .name = "busy-timeout-loop",
      .type = ANDIRON_DURATION,
      .offset = offsetof(struct config, loop_busy_timeout),
      .fallback = "10ms",
      .max = 1000,
      .help = "wait for a lock on a loop, before the wait moves to the pool" },
    { .name = "snapshot-age",
      .type = ANDIRON_DURATION,
      .offset = offsetof(struct config, snapshot_age),
      .fallback = "5ms",
      .min = 1,
      .max = 500,
      .help = "how long a reader keeps an unchanged snapshot open" },
    { .name = "writer-cache",
      .type = ANDIRON_BYTES,
      .offset = offsetof(struct config, writer_cache),
      .fallback = "24m",
      .min = 1048576,
      .max = 17179869184,
      .help = "page cache of the writer" },
    { .name = "reader-cache",
      .type = ANDIRON_BYTES,
      .offset = offsetof(struct config, reader_cache),
      .fallback = "1m",
      .min = 65536,
      .max = 17179869184,
      .help = "page cache of each reader, besides the mapped file" },
    { .name = "mmap-size",
      .type = ANDIRON_BYTES,
      .offset = offsetof(struct config, mmap_size),
      .fallback = "64g",
      .max = 1099511627776,
      .help = "how much of the file readers see mapped; 0: none" },
    { .name = "group-commit-max",
      .type = ANDIRON_INT,
      .offset = offsetof(struct config, group_commit_max),
      .fallback = "256",
      .min = 1,
      .max = 10000,
      .help = "writes of different requests that share one flush to disk" },
    { .name = "queue-max",
      .type = ANDIRON_INT,
      .offset = offsetof(struct config, queue_max),
      .fallback = "10000",
      .min = 1,
      .max = 1000000,
      .help = "writes that may wait; further ones get 503" },
    { .name = "scan-budget",
      .type = ANDIRON_INT,
      .offset = offsetof(struct config, scan_budget),
      .fallback = "50000",
      .min = 10,
      .max = 100000000,
      .help = "entries a page may look at before it ends early with a next link" },
    { .name = "scan-time",
      .type = ANDIRON_DURATION,
      .offset = offsetof(struct config, scan_time),
      .fallback = "250ms",
      .min = 10,
      .max = 60000,
      .help = "the same, as time" },
    { .name = "slow",
      .type = ANDIRON_DURATION,
      .offset = offsetof(struct config, slow),
      .fallback = "1s",
      .min = 0,
      .max = 3600000,
      .help = "what takes this long or longer is logged as store.slow, without saying what was "
              "asked; 0: nothing" },
    { .name = "loop-budget",
      .type = ANDIRON_INT,
      .offset = offsetof(struct config, loop_budget),
      .fallback = "1500",
      .max = 100000,
      .help = "entries a search may look at on the loop, before it moves to the pool" },
    { .name = "short-list",
      .type = ANDIRON_INT,
      .offset = offsetof(struct config, short_list),
      .fallback = "1000",
      .min = 1,
      .max = 10000,
      .help = "matches up to which all are looked at, instead of following a sort index" },
    { .name = "max-includes",
      .type = ANDIRON_INT,
      .offset = offsetof(struct config, max_includes),
      .fallback = "1000",
      .max = 100000,
      .help = "included resources of one page" },
    { .name = "checkpoint-size",
      .type = ANDIRON_BYTES,
      .offset = offsetof(struct config, checkpoint),
      .fallback = "16m",
      .min = 1048576,
      .max = 17179869184,
      .help = "size of the write-ahead log at which it is copied into the database" },
    { .name = "checkpoint-hard-size",
      .type = ANDIRON_BYTES,
      .offset = offsetof(struct config, checkpoint_hard),
      .fallback = "64m",
      .min = 1048576,
      .max = 17179869184,
      .help = "size at which writes wait until it is" },
    { .name = "poll-interval",
      .type = ANDIRON_DURATION,
      .offset = offsetof(struct config, poll_interval),
      .fallback = "250ms",
      .min = 10,
      .max = 10000,
      .help = "how often changes by another process are looked for" },
    { .name = "sql-threads",
      .type = ANDIRON_INT,
      .offset = offsetof(struct config, sql_threads),
      .fallback = "2",
      .min = 1,
      .max = 16,
      .help = "queries of policies (engine sql) that run at once; threads start with the first" },
    { .name = "sql-queue",
      .type = ANDIRON_INT,
      .offset = offsetof(struct config, sql_queue),
      .fallback = "1000",
      .min = 1,
      .max = 100000,
      .help = "queries of policies that may wait; further ones fail, which grants nothing" },
    { .name = NULL },
};

static double queue_length(void *self)
{
    struct store *store = self;
    return store->writer != NULL ? (double)writer_queued(store->writer) : 0;
}

static double readers_idle(void *self)
{
    size_t idle = 0, busy;
    if (((struct store *)self)->readers != NULL)
        readers_count(((struct store *)self)->readers, &idle, &busy);
    return (double)idle;
}

static double readers_busy(void *self)
{
    size_t idle, busy = 0;
    if (((struct store *)self)->readers != NULL)
        readers_count(((struct store *)self)->readers, &idle, &busy);
    return (double)busy;
}

static void register_metrics(struct andiron_host *host, struct store *store)
{
    struct metrics *m = &store->metrics;

    m->commits = andiron_counter(host, "andiron_store_sqlite_commits_total", NULL,
                                 "Commits that became durable");
    m->resources =
        andiron_counter(host, "andiron_store_sqlite_versions_total", NULL, "Versions written");
    m->failures = andiron_counter(host, "andiron_store_sqlite_refused_total", NULL,
                                  "Writes that were refused or failed");
    m->mismatches = andiron_counter(host, "andiron_store_sqlite_mismatches_total", NULL,
                                    "Index entries that did not fit their resource");
    m->offloaded = andiron_counter(host, "andiron_store_sqlite_offloaded_total", NULL,
                                   "Reads that were too long for a loop");
    m->commit_time =
        andiron_histogram(host, "andiron_store_sqlite_commit_seconds", NULL,
                          "Transactions with their flush, each of one or several commits");
    andiron_gauge(host, "andiron_store_sqlite_queue_length", NULL, "Writes that wait", queue_length,
                  store);
    andiron_gauge(host, "andiron_store_pool_connections", "state=\"idle\"",
                  "Connections of the store, by state", readers_idle, store);
    andiron_gauge(host, "andiron_store_pool_connections", "state=\"busy\"",
                  "Connections of the store, by state", readers_busy, store);
}

/* The file as configured: absolute, or below core.state-dir. */
static char *find_path(struct andiron_host *host, const struct config *config)
{
    struct andiron_arena *arena = andiron_host_arena(host);
    const char *folder = andiron_host_setting(host, "core.state-dir");
    const char *name =
        config->path != NULL && config->path[0] != '\0' ? config->path : "andiron.db";

    if (name[0] == '/' || folder == NULL)
        return andiron_printf(arena, "%s", name);
    return andiron_printf(arena, "%s/%s", folder, name);
}

/* Without a worker: looks at the file, or does to it what a start would. */
static int migrate(struct andiron_host *host, const void *config, bool check, int64_t *ret_from,
                   int64_t *ret_to, struct andiron_error *err)
{
    struct store store = { .config = config, .path = find_path(host, config) };
    struct db_settings settings = store_db_settings(&store, !check);
    struct db db;
    int ret;

    *ret_from = 0;
    *ret_to = SCHEMA_VERSION;
    if (check && access(store.path, F_OK) != 0)
        return 0; /* looking makes no file */
    store_make_private(store.path);
    if (db_open(&db, &settings, err) != 0)
        return -1;
    ret = schema_version(&db, store.path, ret_from, err);
    if (ret == 0 && !check)
        ret = schema_open(&db, store.path, err);
    db_close(&db);
    return ret;
}

/* Without a worker, as migrate(). */
static int restore(struct andiron_host *host, const void *config, const char *path, bool check,
                   struct andiron_error *err)
{
    struct store store = { .config = config, .path = find_path(host, config) };

    if (check)
        return backup_check(path, err);
    store_make_private(store.path);
    return backup_restore(&store, path, err);
}

static const struct andiron_migrate service_migrate = { .size = sizeof(service_migrate),
                                                        .run = migrate,
                                                        .restore = restore };

/* What others see; filled in by init(). */
static struct andiron_store metered_store = { .size = sizeof(metered_store) };

static const struct andiron_service provides[] = {
    { ANDIRON_STORE, &metered_store },
    { ANDIRON_SQL, &service_sql },
    { ANDIRON_MIGRATE "store-sqlite", &service_migrate },
    { ANDIRON_HEALTH "store", &service_health },
    { NULL, NULL },
};

static int init(struct andiron_host *host, const void *config, void **ret_self,
                struct andiron_error *err)
{
    struct store *store = andiron_new(andiron_host_arena(host), struct store);

    /* Without effect if SQLite runs already; saves a global lock on every allocation. */
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    store->config = config;
    store->host = host;
    store->path = find_path(host, config);
    meter_init(&store->meter, host, &service_store, store->config->slow, &metered_store);
    register_metrics(host, store);
    if (store_open(store, err) != 0) {
        store_stop(store);
        return -1;
    }
    *ret_self = store;
    return 0;
}

static int start(struct andiron_host *host, void *self, struct andiron_error *err)
{
    (void)host;
    return store_start(self, err);
}

static int loop_start(struct andiron_loop *loop, void *self, void **ret_local,
                      struct andiron_error *err)
{
    struct store *store = self;
    struct reader *reader = reader_new(store, store->config->loop_busy_timeout, err);

    if (reader == NULL)
        return -1;
    if (reader_attach(reader, loop, err) != 0) {
        reader_free(reader);
        return -1;
    }
    *ret_local = reader;
    return 0;
}

static void loop_stop(struct andiron_loop *loop, void *self, void *local)
{
    (void)loop;
    (void)self;
    reader_free(local);
}

static void stop(void *self)
{
    store_stop(self);
}

ANDIRON_PLUGIN(.name = "store-sqlite", .version = "0.1.0",
               .summary = "Storage and search in one SQLite file", .directives = directives,
               .config_size = sizeof(struct config), .provides = provides, .init = init,
               .start = start, .loop_start = loop_start, .loop_stop = loop_stop, .stop = stop);
