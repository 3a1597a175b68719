/*
 * Making the views and the role; see sql_role.h.
 */
#include "sql_role.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "common/fhir/types.h"
#include "hosts.h"

enum { PASSWORD = 32 };

struct sql_role {
    struct store *store;
    pthread_mutex_t lock;
    bool is_made;
    struct dsn dsn;
    struct hosts *hosts;
    char user[64], password[PASSWORD + 1];
};

struct sql_role *sql_role_new(struct store *store)
{
    struct sql_role *role = calloc(1, sizeof(*role));

    if (role == NULL)
        return NULL;
    role->store = store;
    (void)pthread_mutex_init(&role->lock, NULL); /* cannot fail for default attributes */
    return role;
}

void sql_role_free(struct sql_role *role)
{
    if (role == NULL)
        return;
    hosts_free(role->hosts);
    dsn_free(&role->dsn);
    (void)pthread_mutex_destroy(&role->lock);
    explicit_bzero(role->password, sizeof(role->password));
    free(role);
}

/* ---- statements ------------------------------------------------------------------------ */

/* The first value as text, which may be empty, in arena; NULL: err. */
static char *ask(PGconn *pg, struct andiron_arena *arena, const char *sql,
                 struct andiron_error *err)
{
    PGresult *r = PQexec(pg, sql);
    ExecStatusType status = PQresultStatus(r);
    char *ret = NULL;

    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) {
        ret = andiron_printf(
            arena, "%s", status == PGRES_TUPLES_OK && PQntuples(r) > 0 ? PQgetvalue(r, 0, 0) : "");
    } else {
        const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
        andiron_error_set(err, ANDIRON_E_UNAVAILABLE, "",
                          "the tables for SQL of policies cannot be made (%s)",
                          state != NULL ? state : "the connection was lost");
    }
    PQclear(r);
    return ret;
}

/* ---- views ---------------------------------------------------------------------------------- */

static int make_view(struct sql_role *role, PGconn *pg, struct andiron_arena *arena, int type,
                     struct andiron_error *err)
{
    const char *schema = role->store->config->schema, *name = fhir_type_name(type);
    char lower[64] = "";

    for (size_t i = 0; i < sizeof(lower) - 1 && name[i] != '\0'; i++)
        lower[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] + 'a' - 'A') : name[i];
    const char *sql = andiron_printf(
        arena,
        "CREATE OR REPLACE VIEW %s_policy.\"%s\" AS SELECT r.id,v.ver::text AS version_id,"
        "v.ts AS last_updated,convert_from(v.body,'UTF8')::jsonb AS resource"
        " FROM %s.resource r JOIN %s.version v ON v.vid=r.vid"
        " WHERE r.st=0 AND r.type=(SELECT t.id FROM %s.restype t WHERE t.name='%s')",
        schema, lower, schema, schema, schema, name);
    return ask(pg, arena, sql, err) != NULL ? 0 : -1;
}

static int make_views(struct sql_role *role, PGconn *pg, struct andiron_arena *arena,
                      struct andiron_error *err)
{
    const char *schema = role->store->config->schema;
    const char *count;

    if (ask(pg, arena, andiron_printf(arena, "CREATE SCHEMA IF NOT EXISTS %s_policy", schema),
            err) == NULL)
        return -1;
    count = ask(
        pg, arena,
        andiron_printf(arena, "SELECT count(*) FROM pg_views WHERE schemaname='%s_policy'", schema),
        err);
    if (count == NULL)
        return -1;
    if (strtol(count, NULL, 10) >= FHIR_TYPE_COUNT)
        return 0;
    for (int type = 0; type < FHIR_TYPE_COUNT; type++) {
        if (make_view(role, pg, arena, type, err) != 0)
            return -1;
    }
    return 0;
}

/* ---- the role -------------------------------------------------------------------------------- */

/* What the database remembers, or a new one. */
static int find_password(struct sql_role *role, PGconn *pg, struct andiron_arena *arena,
                         struct andiron_error *err)
{
    uint8_t bytes[PASSWORD / 2];
    const char *schema = role->store->config->schema;
    const char *kept = ask(pg, arena,
                           andiron_printf(arena,
                                          "SELECT convert_from(v,'UTF8') FROM %s.meta"
                                          " WHERE k='policy-password'",
                                          schema),
                           err);

    if (kept == NULL)
        return -1;
    if (strlen(kept) == PASSWORD) {
        memcpy(role->password, kept, PASSWORD + 1);
        return 0;
    }
    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
        return andiron_error_set(err, ANDIRON_E_INTERNAL, "", "no random numbers");
    for (size_t i = 0; i < sizeof(bytes); i++)
        (void)snprintf(role->password + 2 * i, 3, "%02x", bytes[i]);
    const char *values[1] = { role->password };
    PGresult *r = PQexecParams(pg,
                               andiron_printf(arena,
                                              "INSERT INTO %s.meta VALUES('policy-password',"
                                              "convert_to($1,'UTF8'))"
                                              " ON CONFLICT(k) DO UPDATE SET v=excluded.v",
                                              schema),
                               1, NULL, values, NULL, NULL, 0);
    bool kept_now = PQresultStatus(r) == PGRES_COMMAND_OK;
    PQclear(r);
    if (kept_now)
        return 0;
    return andiron_error_set(err, ANDIRON_E_UNAVAILABLE, "",
                             "the role for SQL of policies cannot be made");
}

/* Scrambled here, so that the server's log does not show it. */
static int set_password(struct sql_role *role, PGconn *pg, struct andiron_arena *arena, bool is_new,
                        struct andiron_error *err)
{
    char *hash = PQencryptPasswordConn(pg, role->password, role->user, NULL);
    const char *done = NULL;

    if (hash != NULL)
        done = ask(pg, arena,
                   andiron_printf(arena,
                                  "%s ROLE %s LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT"
                                  " NOREPLICATION PASSWORD '%s'",
                                  is_new ? "CREATE" : "ALTER", role->user, hash),
                   err);
    else
        andiron_error_set(err, ANDIRON_E_UNAVAILABLE, "", "out of memory");
    PQfreemem(hash);
    return done != NULL ? 0 : -1;
}

static int make_role(struct sql_role *role, PGconn *pg, struct andiron_arena *arena,
                     struct andiron_error *err)
{
    const char *oid =
        ask(pg, arena, "SELECT oid FROM pg_database WHERE datname=current_database()", err);
    const char *may = ask(pg, arena,
                          "SELECT rolsuper OR rolcreaterole FROM pg_roles"
                          " WHERE rolname=current_user",
                          err);

    if (oid == NULL || may == NULL)
        return -1;
    (void)snprintf(role->user, sizeof(role->user), "%.40s_policy_%.10s",
                   role->store->config->schema, oid);
    const char *count = ask(
        pg, arena,
        andiron_printf(arena, "SELECT count(*) FROM pg_roles WHERE rolname='%s'", role->user), err);
    if (count == NULL)
        return -1;
    if (count[0] == '0' && may[0] != 't')
        return andiron_error_set(err, ANDIRON_E_UNAVAILABLE, "",
                                 "SQL of policies needs a role of its own: set "
                                 "store-postgres.policy-dsn, or let the role of "
                                 "store-postgres.dsn create roles");
    if (find_password(role, pg, arena, err) != 0)
        return -1;
    if (may[0] == 't' && set_password(role, pg, arena, count[0] == '0', err) != 0)
        return -1;
    dsn_set(&role->dsn, "user", role->user);
    dsn_set(&role->dsn, "password", role->password);
    return 0;
}

/* In a transaction that has the lock of migrations. */
static int make_all(struct sql_role *role, PGconn *pg, struct andiron_arena *arena,
                    struct andiron_error *err)
{
    const char *schema = role->store->config->schema;
    const char *user;

    if (make_views(role, pg, arena, err) != 0)
        return -1;
    if (role->store->config->policy_dsn[0] == '\0' && make_role(role, pg, arena, err) != 0)
        return -1;
    user = dsn_value(&role->dsn, "user");
    if (user == NULL)
        return andiron_error_set(err, ANDIRON_E_UNAVAILABLE, "",
                                 "store-postgres.policy-dsn names no user");
    char *quoted = PQescapeIdentifier(pg, user, strlen(user));
    const char *sql =
        andiron_printf(arena,
                       "GRANT USAGE ON SCHEMA %s_policy TO %s;"
                       "GRANT SELECT ON ALL TABLES IN SCHEMA %s_policy TO %s",
                       schema, quoted != NULL ? quoted : "", schema, quoted != NULL ? quoted : "");
    PQfreemem(quoted);
    return ask(pg, arena, sql, err) != NULL ? 0 : -1;
}

static int parse(struct sql_role *role, struct andiron_error *err)
{
    const struct config *config = role->store->config;
    bool is_own = config->policy_dsn[0] != '\0';

    dsn_free(&role->dsn);
    hosts_free(role->hosts);
    role->hosts = NULL;
    if (dsn_parse(&role->dsn, is_own ? config->policy_dsn : config->dsn,
                  is_own ? "store-postgres.policy-dsn" : "store-postgres.dsn", err) != 0)
        return -1;
    dsn_default(&role->dsn, "application_name", "andiron policies");
    dsn_default(&role->dsn, "gssencmode", "disable");
    dsn_default(&role->dsn, "tcp_user_timeout", "6000");
    dsn_set(&role->dsn, "client_encoding", "UTF8");
    dsn_set(&role->dsn, "connect_timeout", "2");
    role->hosts = hosts_new(&role->dsn, "read-write", err);
    return role->hosts != NULL ? 0 : -1;
}

/* With the lock. */
static int make(struct sql_role *role, struct andiron_error *err)
{
    struct andiron_arena *arena;
    PGconn *pg;
    int ret = -1;

    if (parse(role, err) != 0)
        return -1;
    pg = wire_connect(role->store->wire, err);
    if (pg == NULL)
        return -1;
    arena = andiron_arena_new(0);
    andiron_arena_wipe(arena); /* the password is in it */
    if (ask(pg, arena,
            "SET client_min_messages=error; BEGIN; SELECT pg_advisory_xact_lock(1097753714, 1)",
            err) != NULL &&
        make_all(role, pg, arena, err) == 0 && ask(pg, arena, "COMMIT", err) != NULL)
        ret = 0;
    PQfinish(pg);
    andiron_arena_free(arena);
    role->is_made = ret == 0;
    return ret;
}

PGconn *sql_role_connect(struct sql_role *role, struct andiron_error *err)
{
    PGconn *pg = NULL;

    (void)pthread_mutex_lock(&role->lock);
    if (role->is_made || make(role, err) == 0) {
        hosts_look_up(role->hosts);
        pg = hosts_connect(role->hosts, &role->dsn, err);
    }
    (void)pthread_mutex_unlock(&role->lock);
    return pg;
}
