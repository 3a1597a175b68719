/*
 * Reading connection strings at the start; see servers.h and the last part of wire.h.
 */
#include "servers.h"

#include <stdio.h>
#include <stdlib.h>

static void make_begin(struct wire *wire)
{
    const struct config *config = wire->store->config;

    /* Of the session; or, where a pooler may give each transaction another, of the transaction. */
    const char *local = config->prepare ? "false" : "true";
    int len = snprintf(wire->begin, sizeof(wire->begin),
                       "SELECT set_config('search_path','%s,pg_temp',%s),"
                       "set_config('statement_timeout','%lld',%s),"
                       "set_config('idle_in_transaction_session_timeout','%lld',%s)",
                       config->schema, local, (long long)config->statement_timeout, local,
                       (long long)config->idle_transaction_timeout, local);
    /* Statements say by their shape what drives what: plans that depend on statistics, or read and
     * sort what a limit would have cut, are what must not happen. */
    static const char *const settings[][2] = { { "jit", "off" },
                                               { "random_page_cost", "1.1" },
                                               { "enable_hashjoin", "off" },
                                               { "enable_mergejoin", "off" },
                                               { "enable_bitmapscan", "off" },
                                               { "enable_seqscan", "off" },
                                               { "plan_cache_mode", "force_generic_plan" } };
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
        len += snprintf(wire->begin + len, sizeof(wire->begin) - (size_t)len,
                        ",set_config('%s','%s',%s)", settings[i][0], settings[i][1], local);
}

/* What every connection of ours has, beside what the operator wrote. */
static void complete(struct wire *wire, struct dsn *dsn)
{
    dsn_default(dsn, "application_name", "andiron");
    dsn_default(dsn, "keepalives_idle", "5");
    dsn_default(dsn, "keepalives_interval", "1");
    dsn_default(dsn, "keepalives_count", "4");
    dsn_default(dsn, "tcp_user_timeout", "6000");
    dsn_default(dsn, "gssencmode", "disable"); /* looks for tickets in files */
    dsn_set(dsn, "client_encoding", "UTF8");
    dsn_set(dsn, "connect_timeout", wire->connect_timeout);
}

static int take_replicas(struct wire *wire, struct andiron_error *err)
{
    const char *text = wire->store->config->replica_dsn;

    if (text[0] == '\0')
        return 0;
    if (dsn_parse(&wire->replica_dsn, text, "store-postgres.replica-dsn", err) != 0)
        return -1;
    complete(wire, &wire->replica_dsn);
    wire->replica_hosts = hosts_new(&wire->replica_dsn, "prefer-standby", err);
    if (wire->replica_hosts == NULL)
        return -1;
    hosts_look_up(wire->replica_hosts);
    return 0;
}

struct wire *wire_new(struct store *store, struct andiron_error *err)
{
    struct wire *wire = calloc(1, sizeof(*wire));

    if (wire == NULL) {
        andiron_error_set(err, ANDIRON_E_UNAVAILABLE, "", "out of memory");
        return NULL;
    }
    wire->store = store;
    (void)snprintf(wire->connect_timeout, sizeof(wire->connect_timeout), "%lld",
                   (long long)(store->config->connect_timeout + 1999) / 1000);
    if (dsn_parse(&wire->dsn, store->config->dsn, "store-postgres.dsn", err) != 0)
        goto fail;
    complete(wire, &wire->dsn);
    wire->hosts = hosts_new(&wire->dsn, "read-write", err);
    if (wire->hosts == NULL)
        goto fail;
    hosts_look_up(wire->hosts);
    if (take_replicas(wire, err) != 0)
        goto fail;
    make_begin(wire);
    return wire;

fail:
    wire_free(wire);
    return NULL;
}

void wire_free(struct wire *wire)
{
    if (wire == NULL)
        return;
    hosts_free(wire->hosts);
    hosts_free(wire->replica_hosts);
    dsn_free(&wire->dsn);
    dsn_free(&wire->replica_dsn);
    free(wire);
}

PGconn *wire_connect(struct wire *wire, struct andiron_error *err)
{
    return hosts_connect(wire->hosts, &wire->dsn, err);
}

struct wire_figures wire_figures(struct wire *wire)
{
    return (struct wire_figures){
        .ready = { wire->ready[WIRE_READ], wire->ready[WIRE_WRITE], wire->ready[WIRE_LISTEN],
                   wire->ready[WIRE_REPLICA] },
        .wanted = { wire->wanted[WIRE_READ], wire->wanted[WIRE_WRITE], wire->wanted[WIRE_LISTEN],
                    wire->wanted[WIRE_REPLICA] },
        .waiting = wire->waiting,
        .under_way = wire->under_way,
    };
}
