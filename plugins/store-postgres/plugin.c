/*
 * store-postgres: service store/1 over a PostgreSQL database. The table, and a worker's life.
 */
#include <andiron/plugin.h>

#include <stdlib.h>

#include "commit.h"
#include "horizon.h"
#include "service.h"
#include "sql.h"
#include "store.h"
#include "watch.h"

static const struct andiron_directive directives[] = {
    { .name = "dsn",
      .type = ANDIRON_SECRET,
      .offset = offsetof(struct config, dsn),
      .fallback = NULL,
      .help = "connection string of the primary, or @path of a file with it" },
    { .name = "replica-dsn",
      .type = ANDIRON_SECRET,
      .offset = offsetof(struct config, replica_dsn),
      .fallback = "",
      .help = "the same of replicas, which reads may use; empty: none" },
    { .name = "policy-dsn",
      .type = ANDIRON_SECRET,
      .offset = offsetof(struct config, policy_dsn),
      .fallback = "",
      .help = "the same of a role for SQL of policies; empty: made of dsn" },
    { .name = "schema",
      .type = ANDIRON_STRING,
      .offset = offsetof(struct config, schema),
      .fallback = "andiron",
      .help = "schema with the tables: a to z, 0 to 9 and _; made if it is not there" },
    { .name = "prepare",
      .type = ANDIRON_BOOL,
      .offset = offsetof(struct config, prepare),
      .fallback = "yes",
      .help = "no: works behind a pooler that gives each transaction another connection" },
    { .name = "read-connections",
      .type = ANDIRON_INT,
      .offset = offsetof(struct config, read_connections),
      .fallback = "2",
      .min = 1,
      .max = 16,
      .help = "connections of each loop for reading" },
    { .name = "write-connections",
      .type = ANDIRON_INT,
      .offset = offsetof(struct config, write_connections),
      .fallback = "2",
      .min = 1,
      .max = 16,
      .help = "connections of each loop for writing" },
    { .name = "replica-connections",
      .type = ANDIRON_INT,
      .offset = offsetof(struct config, replica_connections),
      .fallback = "1",
      .min = 1,
      .max = 16,
      .help = "connections of each loop to a replica, if replica-dsn is set" },
    { .name = "window",
      .type = ANDIRON_INT,
      .offset = offsetof(struct config, window),
      .fallback = "16",
      .min = 1,
      .max = 256,
      .help = "what may be under way on a connection at once" },
    { .name = "queue-max",
      .type = ANDIRON_INT,
      .offset = offsetof(struct config, queue_max),
      .fallback = "2000",
      .min = 16,
      .max = 1000000,
      .help = "what may wait for a connection of a loop; beyond it requests get 503" },
    { .name = "connect-wait",
      .type = ANDIRON_DURATION,
      .offset = offsetof(struct config, connect_wait),
      .fallback = "2s",
      .min = 10,
      .max = 60000,
      .help = "how long it may wait while the database is away; then requests get 503" },
    { .name = "connect-timeout",
      .type = ANDIRON_DURATION,
      .offset = offsetof(struct config, connect_timeout),
      .fallback = "2s",
      .min = 100,
      .max = 60000,
      .help = "longest attempt to connect to one host" },
    { .name = "start-timeout",
      .type = ANDIRON_DURATION,
      .offset = offsetof(struct config, start_timeout),
      .fallback = "10s",
      .min = 100,
      .max = 600000,
      .help = "how long the start waits for a database that is away" },
    { .name = "statement-timeout",
      .type = ANDIRON_DURATION,
      .offset = offsetof(struct config, statement_timeout),
      .fallback = "5s",
      .min = 100,
      .max = 600000,
      .help = "longest statement" },
    { .name = "idle-transaction-timeout",
      .type = ANDIRON_DURATION,
      .offset = offsetof(struct config, idle_transaction_timeout),
      .fallback = "10s",
      .min = 100,
      .max = 600000,
      .help = "after which the server ends a transaction that nobody goes on with" },
    { .name = "poll-interval",
      .type = ANDIRON_DURATION,
      .offset = offsetof(struct config, poll_interval),
      .fallback = "500ms",
      .min = 10,
      .max = 60000,
      .help = "how often changes by other nodes are looked for, beside being told of them" },
    { .name = "policy-connections",
      .type = ANDIRON_INT,
      .offset = offsetof(struct config, policy_connections),
      .fallback = "1",
      .min = 1,
      .max = 16,
      .help = "queries of policies (engine sql) that run at once; connections are made with the "
              "first" },
    { .name = "policy-queue",
      .type = ANDIRON_INT,
      .offset = offsetof(struct config, policy_queue),
      .fallback = "1000",
      .min = 1,
      .max = 100000,
      .help = "queries of policies that may wait; further ones fail, which grants nothing" },
    { .name = "group-commit-max",
      .type = ANDIRON_INT,
      .offset = offsetof(struct config, group_commit_max),
      .fallback = "64",
      .min = 1,
      .max = 1000,
      .help = "writes of different requests that share one transaction" },
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
    { .name = NULL },
};

static int migrate(struct andiron_host *host, const void *config, bool check, int64_t *ret_from,
                   int64_t *ret_to, struct andiron_error *err)
{
    struct store store = { .config = config };

    (void)host;
    return store_migrate(&store, check, ret_from, ret_to, err);
}

static const struct andiron_migrate service_migrate = { .size = sizeof(service_migrate),
                                                        .run = migrate };

/* What others see; filled in by init(). */
static struct andiron_store metered_store = { .size = sizeof(metered_store) };

static const struct andiron_service provides[] = {
    { ANDIRON_STORE, &metered_store },
    { ANDIRON_SQL, &service_sql },
    { ANDIRON_MIGRATE "store-postgres", &service_migrate },
    { ANDIRON_HEALTH "store", &service_health },
    { NULL, NULL },
};

static double ready(void *self)
{
    struct wire_figures f = wire_figures(((struct store *)self)->wire);
    return (double)(f.ready[WIRE_READ] + f.ready[WIRE_WRITE] + f.ready[WIRE_REPLICA]);
}

/* Those that are wanted and not up. */
static double down(void *self)
{
    struct wire_figures f = wire_figures(((struct store *)self)->wire);
    double wanted = (double)(f.wanted[WIRE_READ] + f.wanted[WIRE_WRITE] + f.wanted[WIRE_LISTEN] +
                             f.wanted[WIRE_REPLICA]);
    double up = ready(self);
    return wanted > up ? wanted - up : 0;
}

static double waiting(void *self)
{
    return (double)wire_figures(((struct store *)self)->wire).waiting;
}

static double under_way(void *self)
{
    return (double)wire_figures(((struct store *)self)->wire).under_way;
}

static double horizon_lag(void *self)
{
    return (double)horizon_lag_ms(((struct store *)self)->horizon) / 1000;
}

static void register_metrics(struct andiron_host *host, struct store *store)
{
    struct metrics *m = &store->metrics;

    m->commits = andiron_counter(host, "andiron_store_postgres_commits_total", NULL,
                                 "Commits that became durable");
    m->resources =
        andiron_counter(host, "andiron_store_postgres_versions_total", NULL, "Versions written");
    m->failures = andiron_counter(host, "andiron_store_postgres_refused_total", NULL,
                                  "Writes that were refused or failed");
    m->mismatches = andiron_counter(host, "andiron_store_postgres_mismatches_total", NULL,
                                    "Index entries that did not fit their resource");
    m->reconnects = andiron_counter(host, "andiron_store_postgres_connects_total", NULL,
                                    "Connections made to the database");
    m->lost = andiron_counter(host, "andiron_store_postgres_lost_total", NULL,
                              "Connections to the database that were lost");
    m->batches = andiron_counter(host, "andiron_store_postgres_batches_total", NULL,
                                 "Batches of statements answered by the database");
    m->refused = andiron_counter(host, "andiron_store_postgres_unsent_total", NULL,
                                 "Batches refused as no connection was there in time");
    andiron_gauge(host, "andiron_store_pool_connections", "state=\"up\"",
                  "Connections of the store, by state", ready, store);
    andiron_gauge(host, "andiron_store_pool_connections", "state=\"down\"",
                  "Connections of the store, by state", down, store);
    andiron_gauge(host, "andiron_store_postgres_waiting", NULL,
                  "Batches that wait for a connection", waiting, store);
    andiron_gauge(host, "andiron_store_postgres_under_way", NULL,
                  "Batches that the database works on", under_way, store);
    andiron_gauge(host, "andiron_store_postgres_horizon_lag_seconds", NULL,
                  "Age of what is not decided yet, as a transaction is open", horizon_lag, store);
    m->commit_time = andiron_histogram(host, "andiron_store_postgres_commit_seconds", NULL,
                                       "Transactions, each of one or several commits");
}

static int init(struct andiron_host *host, const void *config, void **ret_self,
                struct andiron_error *err)
{
    struct store *store = andiron_new(andiron_host_arena(host), struct store);

    store->config = config;
    store->host = host;
    meter_init(&store->meter, host, &service_store, store->config->slow, &metered_store);
    register_metrics(host, store);
    if (store_open(store, err) != 0) {
        store_close(store);
        return -1;
    }
    *ret_self = store;
    return 0;
}

static void loop_stop(struct andiron_loop *loop, void *self, void *arg)
{
    struct store *store = self;
    struct local *local = arg;

    wire_loop_free(local->wire);
    watches_stop(store->watches, loop);
    writer_free(local->writer);
    free(local->lengths);
    free(local->totals);
    free(local);
}

static int loop_start(struct andiron_loop *loop, void *self, void **ret_local,
                      struct andiron_error *err)
{
    struct local *local = calloc(1, sizeof(*local));

    sql_on_loop();

    if (local == NULL)
        return andiron_error_set(err, ANDIRON_E_UNAVAILABLE, "", "out of memory");
    local->store = self;
    local->loop = loop;
    local->wire = wire_loop_new(local->store->wire, loop, err);
    if (local->wire == NULL ||
        (andiron_host_loop(local->store->host, 0) == loop &&
         watches_start(local->store->watches, loop, local->wire, err) != 0)) {
        loop_stop(loop, self, local);
        return -1;
    }
    local->writer = writer_new(local);
    *ret_local = local;
    return 0;
}

static void stop(void *self)
{
    store_close(self);
}

ANDIRON_PLUGIN(.name = "store-postgres", .version = "0.1.0",
               .summary = "Storage and search in a PostgreSQL database", .directives = directives,
               .config_size = sizeof(struct config), .provides = provides, .init = init,
               .loop_start = loop_start, .loop_stop = loop_stop, .stop = stop);
