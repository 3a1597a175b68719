/*
 * For the tests: a store on a database of its own in the cluster that ANDIRON_TEST_POSTGRES names
 * (tests/lib/postgres.mjs), and psql's place: kit_sql().
 */
#ifndef STORE_POSTGRES_TEST_KIT_H
#define STORE_POSTGRES_TEST_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include <libpq-fe.h>

#include "dsn.h"
#include "store.h"

struct kit {
    struct config config;
    struct store store;
    PGconn *admin; /* to the same database */
    char name[48], dsn[512];
};

static inline struct config kit_config(void)
{
    return (struct config){ .schema = "andiron",
                            .replica_dsn = "",
                            .policy_dsn = "",
                            .prepare = true,
                            .read_connections = 2,
                            .write_connections = 1,
                            .replica_connections = 1,
                            .window = 16,
                            .queue_max = 1000,
                            .connect_wait = 2000,
                            .connect_timeout = 2000,
                            .statement_timeout = 5000,
                            .idle_transaction_timeout = 10000,
                            .start_timeout = 10000,
                            .poll_interval = 100,
                            .policy_connections = 1,
                            .policy_queue = 100,
                            .group_commit_max = 64,
                            .scan_budget = 50000,
                            .scan_time = 2000,
                            .short_list = 1000,
                            .max_includes = 1000 };
}

static inline const char *kit_cluster(void)
{
    const char *dsn = getenv("ANDIRON_TEST_POSTGRES");

    if (dsn == NULL)
        fail_msg("run it by: node tests/lib/postgres.mjs run ..");
    return dsn;
}

/* First column of the first row, or NULL; valid until the next call. */
static inline const char *kit_sql_on(PGconn *connection, const char *sql)
{
    static char text[4096];
    PGresult *r = PQexec(connection, sql);
    bool found = PQresultStatus(r) == PGRES_TUPLES_OK && PQntuples(r) > 0 && !PQgetisnull(r, 0, 0);

    if (PQresultStatus(r) != PGRES_TUPLES_OK && PQresultStatus(r) != PGRES_COMMAND_OK)
        fail_msg("%s: %s", sql, PQerrorMessage(connection));
    if (found)
        snprintf(text, sizeof(text), "%s", PQgetvalue(r, 0, 0));
    PQclear(r);
    return found ? text : NULL;
}

static inline const char *kit_sql(struct kit *k, const char *sql)
{
    return kit_sql_on(k->admin, sql);
}

static inline void kit_reopen(struct kit *k)
{
    struct andiron_error err = { .code = ANDIRON_OK };

    k->store = (struct store){ .config = &k->config };
    if (store_open(&k->store, &err) != 0)
        fail_msg("store_open: %s", err.message);
}

/* An empty database, not opened yet. */
static inline void kit_make(struct kit *k)
{
    static int number;
    char sql[96];
    PGconn *cluster = PQconnectdb(kit_cluster());

    *k = (struct kit){ .config = kit_config() };
    snprintf(k->name, sizeof(k->name), "kit_%d_%d", (int)getpid(), ++number);
    snprintf(sql, sizeof(sql), "CREATE DATABASE %s", k->name);
    (void)kit_sql_on(cluster, sql);
    PQfinish(cluster);
    snprintf(k->dsn, sizeof(k->dsn), "%s dbname=%s", kit_cluster(), k->name);
    k->config.dsn = k->dsn;
    k->admin = PQconnectdb(k->dsn);
    (void)kit_sql(k, "SET search_path=andiron,public");
}

static inline void kit_open(struct kit *k)
{
    kit_make(k);
    kit_reopen(k);
}

static inline void kit_end(struct kit *k)
{
    char sql[96];
    PGconn *cluster = PQconnectdb(kit_cluster());

    store_close(&k->store);
    PQfinish(k->admin);
    snprintf(sql, sizeof(sql), "DROP DATABASE %s WITH (FORCE)", k->name);
    (void)kit_sql_on(cluster, sql);
    PQfinish(cluster);
}

#endif
