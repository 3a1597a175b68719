/*
 * Making and ending a store; see store.h.
 */
#include "store.h"

#include <stdarg.h>
#include <stdio.h>

#include "dsn.h"
#include "schema.h"

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

int store_open(struct store *store, struct andiron_error *err)
{
    struct dsn dsn;
    int ret = -1;

    if (check_schema(store->config->schema, err) != 0 ||
        dsn_parse(&dsn, store->config->dsn, "store-postgres.dsn", err) != 0)
        return -1;
    dsn_default(&dsn, "application_name", "andiron");
    dsn_default(&dsn, "connect_timeout", "5");
    PGconn *connection = PQconnectdbParams(dsn.keywords, dsn.values, 0);
    if (PQstatus(connection) != CONNECTION_OK) {
        const char *text = PQerrorMessage(connection);
        andiron_error_set(err, ANDIRON_E_UNAVAILABLE, "", "database: %.*s",
                          (int)strcspn(text, "\n"), text);
        goto out;
    }
    ret = schema_open(connection, store, err);
out:
    PQfinish(connection);
    dsn_free(&dsn);
    return ret;
}

void store_close(struct store *store)
{
    (void)store;
}
