/*
 * Making and ending a store; see store.h.
 */
#include "store.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "connection.h"
#include "horizon.h"
#include "replica.h"
#include "schema.h"
#include "sql.h"
#include "watch.h"

void store_log(const struct store *store, enum andiron_level level, const char *event,
               const char *fmt, ...)
{
    char text[512];
    va_list args;

    if (store->host == NULL)
        return;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    andiron_log(store->host, level, event, "%s", text);
}

/* It is written into statements as it is. */
static int check_schema(const char *name, struct andiron_error *err)
{
    size_t len = strlen(name);

    if (len > 0 && len < 60 && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == len &&
        (name[0] < '0' || name[0] > '9'))
        return 0;
    return andiron_error_set(err, ANDIRON_E_INVALID, "",
                             "store-postgres.schema must be a name of a to z, 0 to 9 and _, not "
                             "'%s'",
                             name);
}

/* Another key for cursors, so that their seals tell nothing of index hashes. */
static struct hash_key seal_of(const struct hash_key *key)
{
    struct hash128 h = hash_of128(key, ANDIRON_STR("andiron cursor seal"));
    return hash_key_of(h.bytes);
}

static PGresult *ask(PGconn *connection, const char *sql, struct andiron_error *err)
{
    PGresult *r = PQexec(connection, sql);

    if (PQresultStatus(r) == PGRES_TUPLES_OK)
        return r;
    const char *text = PQerrorMessage(connection);
    andiron_error_set(err, ANDIRON_E_UNAVAILABLE, "", "database: %.*s", (int)strcspn(text, "\n"),
                      text);
    PQclear(r);
    return NULL;
}

static int64_t number_at(const PGresult *r, int row, int column)
{
    return strtoll(PQgetvalue(r, row, column), NULL, 10);
}

/* Names as they are now; later ones come by naming.h. */
static int load_names(struct store *store, PGconn *connection, struct andiron_error *err)
{
    PGresult *counts = ask(connection,
                           "SELECT convert_from(v,'UTF8') FROM meta WHERE k IN "
                           "('names','names-void') ORDER BY k",
                           err);
    PGresult *types = counts != NULL ? ask(connection, "SELECT id,name FROM restype", err) : NULL;
    PGresult *params =
        types != NULL ? ask(connection, "SELECT p,type,code,kind FROM param", err) : NULL;

    for (int i = 0; params != NULL && i < PQntuples(types); i++)
        names_put_type(store->names, number_at(types, i, 0),
                       andiron_str_of(PQgetvalue(types, i, 1)));
    for (int i = 0; params != NULL && i < PQntuples(params); i++)
        names_put_param(store->names, number_at(params, i, 0), number_at(params, i, 1),
                        andiron_str_of(PQgetvalue(params, i, 2)),
                        (uint32_t)number_at(params, i, 3));
    if (params != NULL && PQntuples(counts) == 2) {
        atomic_store(&store->names_seen, number_at(counts, 0, 0));
        atomic_store(&store->voids_seen, number_at(counts, 1, 0));
    }
    PQclear(counts);
    PQclear(types);
    PQclear(params);
    return params != NULL ? 0 : -1;
}

/* Waits for a database that is away: nodes and database may start together. */
static PGconn *connect_first(struct store *store, struct andiron_error *err)
{
    int64_t end = connection_clock() + store->config->start_timeout;
    PGconn *connection;

    while ((connection = wire_connect(store->wire, err)) == NULL && connection_clock() < end)
        (void)usleep(200000);
    return connection;
}

/* A look as of horizon.h. */
static int first_look(struct store *store, PGconn *connection, struct andiron_error *err)
{
    PGresult *vid = ask(connection,
                        "SELECT last_value-CASE WHEN is_called THEN 0 ELSE 1 END,"
                        "(extract(epoch FROM statement_timestamp())*1000000)::bigint FROM vid",
                        err);
    PGresult *open = vid != NULL ? ask(connection,
                                       "SELECT pg_snapshot_xmax(s),pg_snapshot_xmin(s) FROM "
                                       "pg_current_snapshot() s",
                                       err)
                                 : NULL;

    if (open != NULL) {
        int64_t next = number_at(open, 0, 0), oldest = number_at(open, 0, 1);
        horizon_take(store->horizon, number_at(vid, 0, 1), number_at(vid, 0, 0), next, oldest);
        store->vid_at_open = oldest >= next ? number_at(vid, 0, 0) : -1;
    }
    PQclear(vid);
    PQclear(open);
    return open != NULL ? 0 : -1;
}

int store_open(struct store *store, struct andiron_error *err)
{
    if (check_schema(store->config->schema, err) != 0)
        return -1;
    store->horizon = horizon_new();
    store->watches = watches_new(store);
    store->replica = replica_new();
    store->sql_role = sql_role_new(store);
    store->sql = sql_questions(store);
    if (store->horizon == NULL || store->watches == NULL || store->sql_role == NULL ||
        store->replica == NULL || store->sql == NULL)
        return andiron_error_set(err, ANDIRON_E_UNAVAILABLE, "", "out of memory");
    store->wire = wire_new(store, err);
    if (store->wire == NULL)
        return -1;
    PGconn *connection = connect_first(store, err);
    if (connection == NULL)
        return -1;
    int64_t before = 0;
    int ret = schema_version(connection, store, &before, err);
    if (ret == 0)
        ret = schema_open(connection, store, err);
    if (ret == 0 && before != 0 && before < SCHEMA_VERSION)
        store_log(store, ANDIRON_LOG_INFO, "store.migrated", "from schema version %lld to %d",
                  (long long)before, SCHEMA_VERSION);
    if (ret == 0) {
        store->key = hash_key_of(store->hash_key);
        store->seal = seal_of(&store->key);
        store->names = names_new(&store->key);
        ret = load_names(store, connection, err);
    }
    /* Before any plugin reads. */
    if (ret == 0)
        ret = first_look(store, connection, err);
    PQfinish(connection);
    return ret;
}

void store_close(struct store *store)
{
    names_free(store->names);
    store->names = NULL;
    questions_free(store->sql);
    sql_role_free(store->sql_role);
    wire_free(store->wire);
    watches_free(store->watches);
    horizon_free(store->horizon);
    replica_free(store->replica);
    store->replica = NULL;
    store->wire = NULL;
    store->watches = NULL;
    store->sql_role = NULL;
    store->sql = NULL;
    store->horizon = NULL;
}

int store_migrate(struct store *store, bool check, int64_t *ret_from, int64_t *ret_to,
                  struct andiron_error *err)
{
    PGconn *connection = NULL;
    int ret = -1;

    if (check_schema(store->config->schema, err) != 0)
        return -1;
    store->wire = wire_new(store, err);
    if (store->wire != NULL)
        connection = wire_connect(store->wire, err);
    if (connection != NULL)
        ret = schema_version(connection, store, ret_from, err);
    if (ret == 0 && !check)
        ret = schema_open(connection, store, err);
    PQfinish(connection);
    /* A database of a newer program that this one may use stays as it is. */
    *ret_to = *ret_from > SCHEMA_VERSION ? *ret_from : SCHEMA_VERSION;
    wire_free(store->wire);
    store->wire = NULL;
    return ret;
}
