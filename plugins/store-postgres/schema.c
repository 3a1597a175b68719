/*
 * Schema and its versions; see schema.h.
 *
 * Changing the schema means: raise SCHEMA_RELEASED, add a row to `steps`. A step only adds, so that
 * programs of the release before go on working beside the new ones; if that cannot be, raise
 * SCHEMA_LEAST, and they refuse to start. A step waits for nobody's lock for long, since others would wait behind
 * it, or in a circle with it: it is rolled back, and begins anew.
 */
#include "schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "commit.h"
#include "connection.h"

/* ---- tables ------------------------------------------------------------------------ */

static const char tables[] =
    "CREATE SEQUENCE vid AS bigint CACHE 1;"
    "CREATE SEQUENCE rid AS bigint CACHE 1;"
    "CREATE SEQUENCE type_number AS smallint MAXVALUE 1023;"
    "CREATE SEQUENCE param_number AS integer;"

    "CREATE TABLE restype(id smallint PRIMARY KEY DEFAULT nextval('type_number'),"
    " name text COLLATE \"C\" NOT NULL UNIQUE);"
    "CREATE TABLE param(p integer PRIMARY KEY DEFAULT nextval('param_number'),"
    " type smallint NOT NULL, code text COLLATE \"C\" NOT NULL, kind integer NOT NULL,"
    " UNIQUE(type,code));"

    /* st: 0 live, 1 deleted, 2 stub (referred to, never seen). */
    "CREATE TABLE resource(rid bigint PRIMARY KEY, type smallint NOT NULL,"
    " id text COLLATE \"C\" NOT NULL, vid bigint, ver bigint NOT NULL, st smallint NOT NULL)"
    " WITH (fillfactor=85);"
    "CREATE UNIQUE INDEX resource_id ON resource(type,id);"
    "CREATE INDEX resource_tv ON resource(type,vid) WHERE st=0;"

    "CREATE TABLE version(vid bigint PRIMARY KEY, rid bigint NOT NULL, ts timestamptz NOT NULL,"
    " ver bigint NOT NULL, type smallint NOT NULL, op smallint NOT NULL, enc smallint NOT NULL,"
    " params integer[], keys bytea, body bytea);"
    "ALTER TABLE version ALTER body SET STORAGE MAIN;"
    "CREATE INDEX version_rid ON version(rid,vid);"
    "CREATE INDEX version_type ON version(type,vid);"
    "CREATE INDEX version_ts ON version(type,ts,vid);"

    "CREATE TABLE ix_token(h bigint NOT NULL, vid bigint NOT NULL, p integer NOT NULL);"
    "CREATE INDEX ix_token_k ON ix_token(p,h,vid);"
    "CREATE TABLE ix_ref(tgt bigint NOT NULL, vid bigint NOT NULL, p integer NOT NULL);"
    "CREATE INDEX ix_ref_k ON ix_ref(p,tgt,vid);"
    "CREATE TABLE ix_date(lo bigint NOT NULL, hi bigint NOT NULL, vid bigint NOT NULL,"
    " p integer NOT NULL, cls smallint NOT NULL);"
    "CREATE INDEX ix_date_k ON ix_date(p,cls,lo,vid,hi);"
    "CREATE TABLE ix_num(lo float8 NOT NULL, hi float8 NOT NULL, g bigint NOT NULL,"
    " vid bigint NOT NULL, p integer NOT NULL);"
    "CREATE INDEX ix_num_k ON ix_num(p,g,lo,vid,hi);"
    "CREATE TABLE ix_str(vid bigint NOT NULL, p integer NOT NULL, s bytea NOT NULL);"
    "CREATE INDEX ix_str_k ON ix_str(p,s,vid);"
    "CREATE TABLE ix_value(h bigint NOT NULL, p integer NOT NULL, k smallint NOT NULL,"
    " s bytea NOT NULL, PRIMARY KEY(p,k,s));"

    "CREATE TABLE claim(name text COLLATE \"C\" PRIMARY KEY, exp timestamptz NOT NULL);"
    "CREATE INDEX claim_exp ON claim(exp);"

    /* Changes of restype and param, as decimal numbers; see naming.h. */
    "INSERT INTO meta VALUES('names','0'),('names-void','0');"

    /* Not every server is built with lz4; its own compression does, too. */
    "DO $$ BEGIN ALTER TABLE version ALTER body SET COMPRESSION lz4;"
    " EXCEPTION WHEN feature_not_supported THEN NULL; END $$;";

/*
 * Version 2: names of resources that are referred to, for sorting by them, of which version 1 left some
 * out. From one target to the next, however many refer to it; $1 and $2 are the last one.
 */
static const char list_names[] =
    "WITH RECURSIVE x(p,tgt,n) AS ("
    "(SELECT p,tgt,1 FROM ix_ref WHERE (p,tgt)>($1,$2) ORDER BY p,tgt LIMIT 1)"
    " UNION ALL SELECT i.p,i.tgt,x.n+1 FROM x CROSS JOIN LATERAL (SELECT p,tgt FROM ix_ref"
    " WHERE (p,tgt)>(x.p,x.tgt) ORDER BY p,tgt LIMIT 1) i WHERE x.n<$3),"
    " listed AS (INSERT INTO ix_value(p,k,s,h)"
    " SELECT x.p,3,convert_to(t.name||'/'||r.id,'UTF8'),r.rid"
    " FROM x JOIN resource r ON r.rid=x.tgt JOIN restype t ON t.id=r.type"
    " ORDER BY 1,2,3 ON CONFLICT DO NOTHING)"
    " SELECT p||' '||tgt FROM x WHERE n=$3";

/*
 * What makes version n + 1 of version n: row n. What `tables` and the like are is one transaction; what goes over
 * that which is stored takes slices, each a transaction, so that nodes of the release before need not wait.
 */
static const struct {
    const char *sql;
    const char
        *slice; /* or NULL: $1 and $2 are where the last one ended, $3 is how many; 0 rows: over */
} steps[SCHEMA_VERSION] = {
    { .sql = tables },
    { .slice = list_names },
#ifdef SCHEMA_OF_NEXT_RELEASE
    /* All that a step may do while programs of the release before are at work. */
    { .sql = "ALTER TABLE resource ADD COLUMN later integer NOT NULL DEFAULT 7;"
             "ALTER TABLE version ADD COLUMN later text;"
             "ALTER TABLE ix_token ADD COLUMN later smallint;"
             "ALTER TABLE claim ADD COLUMN later boolean NOT NULL DEFAULT false;"
             "CREATE TABLE later(a bigint PRIMARY KEY);"
             "CREATE INDEX resource_later ON resource(later);" },
#endif
};

/* ---- talking ------------------------------------------------------------------------- */

/* Forgets r. ANDIRON_E_TIMEOUT: others were in the way. */
static int refused(PGconn *connection, PGresult *r, struct andiron_error *err)
{
    const char *text = PQerrorMessage(connection), *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    bool is_in_the_way =
        state != NULL && (strcmp(state, "40P01") == 0 || strcmp(state, "55P03") == 0);
    int len = (int)strcspn(text, "\n");

    PQclear(r);
    return andiron_error_set(err, is_in_the_way ? ANDIRON_E_TIMEOUT : ANDIRON_E_UNAVAILABLE, "",
                             "database: %.*s", len, text);
}

static int run(PGconn *connection, const char *sql, struct andiron_error *err)
{
    PGresult *r = PQexec(connection, sql);
    ExecStatusType status = PQresultStatus(r);

    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        return refused(connection, r, err);
    PQclear(r);
    return 0;
}

/* The bytes of a row of meta; NULL in *ret if there is none. To be cleared. */
static int meta(PGconn *connection, const char *name, PGresult **ret, struct andiron_error *err)
{
    const char *values[1] = { name };
    PGresult *r =
        PQexecParams(connection, "SELECT v FROM meta WHERE k=$1", 1, NULL, values, NULL, NULL, 1);

    if (PQresultStatus(r) != PGRES_TUPLES_OK)
        return refused(connection, r, err);
    if (PQntuples(r) == 0) {
        PQclear(r);
        r = NULL;
    }
    *ret = r;
    return 0;
}

static int meta_number(PGconn *connection, const char *name, int64_t *ret,
                       struct andiron_error *err)
{
    PGresult *r;
    char text[24] = "0";

    if (meta(connection, name, &r, err) != 0)
        return -1;
    if (r != NULL && (size_t)PQgetlength(r, 0, 0) < sizeof(text))
        (void)snprintf(text, sizeof(text), "%.*s", PQgetlength(r, 0, 0), PQgetvalue(r, 0, 0));
    PQclear(r);
    *ret = strtoll(text, NULL, 10);
    return 0;
}

static int meta_set(PGconn *connection, const char *name, andiron_str value,
                    struct andiron_error *err)
{
    const char *values[2] = { name, value.data };
    const int lengths[2] = { 0, (int)value.len }, formats[2] = { 0, 1 };
    const Oid types[2] = { 25, 17 };
    PGresult *r = PQexecParams(connection,
                               "INSERT INTO meta(k,v) VALUES($1,$2)"
                               " ON CONFLICT(k) DO UPDATE SET v=excluded.v",
                               2, types, values, lengths, formats, 1);

    if (PQresultStatus(r) != PGRES_COMMAND_OK)
        return refused(connection, r, err);
    PQclear(r);
    return 0;
}

static int meta_set_number(PGconn *connection, const char *name, int64_t value,
                           struct andiron_error *err)
{
    char text[24];

    (void)snprintf(text, sizeof(text), "%lld", (long long)value);
    return meta_set(connection, name, andiron_str_of(text), err);
}

/* ---- versions --------------------------------------------------------------------------- */

/* Whether this program may work with a database of that version. */
static int check(int64_t version, int64_t least, struct andiron_error *err)
{
    if (version <= SCHEMA_VERSION || least <= SCHEMA_VERSION)
        return 0;
    return andiron_error_set(err, ANDIRON_E_INVALID, "",
                             "the database has schema version %lld, which programs that know "
                             "versions from %lld on may use; this andiron knows version %d: "
                             "install the newer andiron",
                             (long long)version, (long long)least, SCHEMA_VERSION);
}

static int hash_key(PGconn *connection, struct store *store, struct andiron_error *err)
{
    PGresult *r;
    int ret = 0;

    if (meta(connection, "hash-key", &r, err) != 0)
        return -1;
    if (r != NULL && PQgetlength(r, 0, 0) == (int)sizeof(store->hash_key)) {
        memcpy(store->hash_key, PQgetvalue(r, 0, 0), sizeof(store->hash_key));
    } else if (r != NULL) {
        ret = andiron_error_set(err, ANDIRON_E_INVALID, "",
                                "meta.hash-key of the database is damaged; restore a backup");
    } else if (getrandom(store->hash_key, sizeof(store->hash_key), 0) !=
               (ssize_t)sizeof(store->hash_key)) {
        ret = andiron_error_set(err, ANDIRON_E_INTERNAL, "", "no random numbers");
    } else {
        andiron_str key = { (const char *)store->hash_key, sizeof(store->hash_key) };
        ret = meta_set(connection, "hash-key", key, err);
    }
    PQclear(r);
    return ret;
}

enum {
    SLICE = 2000,
    PATIENCE_MS = 60000, /* with others who are in the way of a step */
    PAUSE_US = 100000
};

static const char progress[] =
    "schema-progress"; /* of a step in slices: where the last one ended */

static int meta_drop(PGconn *connection, const char *name, struct andiron_error *err)
{
    const char *values[1] = { name };
    PGresult *r =
        PQexecParams(connection, "DELETE FROM meta WHERE k=$1", 1, NULL, values, NULL, NULL, 1);

    if (PQresultStatus(r) != PGRES_COMMAND_OK)
        return refused(connection, r, err);
    PQclear(r);
    return 0;
}

/* Where the last slice ended: "p tgt". */
static int read_progress(PGconn *connection, long long at[2], struct andiron_error *err)
{
    PGresult *r;
    char text[48] = "";

    at[0] = at[1] = 0;
    if (meta(connection, progress, &r, err) != 0)
        return -1;
    if (r != NULL && (size_t)PQgetlength(r, 0, 0) < sizeof(text))
        (void)snprintf(text, sizeof(text), "%.*s", PQgetlength(r, 0, 0), PQgetvalue(r, 0, 0));
    PQclear(r);
    if (text[0] != '\0' && sscanf(text, "%lld %lld", &at[0], &at[1]) != 2)
        at[0] = at[1] = 0;
    return 0;
}

/* One slice. The shared lock is that of writes: numbers of params stay what they are (forget.c). */
static int run_slice(PGconn *connection, const char *sql, bool *ret_is_over,
                     struct andiron_error *err)
{
    static const Oid types[3] = { 23, 20, 20 };
    char texts[3][24], locks[160];
    const char *values[3] = { texts[0], texts[1], texts[2] };
    long long at[2];

    (void)snprintf(locks, sizeof(locks),
                   "SET LOCAL enable_seqscan=off; SELECT pg_advisory_xact_lock_shared(%d,%d)",
                   LOCK_SPACE, LOCK_NAMES);
    if (run(connection, locks, err) != 0 || read_progress(connection, at, err) != 0)
        return -1;
    (void)snprintf(texts[0], sizeof(texts[0]), "%lld", at[0]);
    (void)snprintf(texts[1], sizeof(texts[1]), "%lld", at[1]);
    (void)snprintf(texts[2], sizeof(texts[2]), "%d", SLICE);
    PGresult *r = PQexecParams(connection, sql, 3, types, values, NULL, NULL, 0);
    if (PQresultStatus(r) != PGRES_TUPLES_OK)
        return refused(connection, r, err);
    *ret_is_over = PQntuples(r) == 0;
    int ret = *ret_is_over
                  ? meta_drop(connection, progress, err)
                  : meta_set(connection, progress, andiron_str_of(PQgetvalue(r, 0, 0)), err);
    PQclear(r);
    return ret;
}

/* In a transaction that has the lock. *ret_is_over: nothing is left for another one. */
static int upgrade(PGconn *connection, struct store *store, bool *ret_is_over,
                   struct andiron_error *err)
{
    int64_t version, least, reached;
    char make[256];

    /* Its name is checked where the store is opened. */
    (void)snprintf(make, sizeof(make), "CREATE SCHEMA IF NOT EXISTS %s; SET search_path=%s,pg_temp",
                   store->config->schema, store->config->schema);
    if (run(connection, make, err) != 0 ||
        run(connection,
            "CREATE TABLE IF NOT EXISTS meta(k text COLLATE \"C\" PRIMARY KEY, v bytea NOT NULL)",
            err) != 0 ||
        meta_number(connection, "schema", &version, err) != 0 ||
        meta_number(connection, "schema-least", &least, err) != 0 ||
        check(version, least, err) != 0)
        return -1;
    /* Steps lock several tables, as those do who are at work on them: step aside, not in a circle. */
    if (version != 0 && version < SCHEMA_VERSION &&
        run(connection, "SET LOCAL lock_timeout='300ms'", err) != 0)
        return -1;
    *ret_is_over = true;
    for (reached = version; reached < SCHEMA_VERSION; reached++) {
        if (steps[reached].sql != NULL && run(connection, steps[reached].sql, err) != 0)
            return -1;
        if (steps[reached].slice != NULL &&
            run_slice(connection, steps[reached].slice, ret_is_over, err) != 0)
            return -1;
        if (!*ret_is_over)
            break;
    }
    if (version < reached && (meta_set_number(connection, "schema", reached, err) != 0 ||
                              meta_set_number(connection, "schema-least", SCHEMA_LEAST, err) != 0))
        return -1;
    return hash_key(connection, store, err);
}

int schema_open(PGconn *connection, struct store *store, struct andiron_error *err)
{
    int64_t end = connection_clock() + PATIENCE_MS;
    bool is_over = false;

    while (!is_over) {
        /* One node at a time: the others wait, and then find it done, or do the next slice. */
        if (run(connection,
                "SET client_min_messages=warning; BEGIN; "
                "SELECT pg_advisory_xact_lock(1097753714, 1)",
                err) != 0)
            return -1;
        if (upgrade(connection, store, &is_over, err) != 0 || run(connection, "COMMIT", err) != 0) {
            (void)run(connection, "ROLLBACK", NULL); /* the failure above is the one to tell */
            if (err->code != ANDIRON_E_TIMEOUT || connection_clock() > end)
                return -1;
            is_over = false;
            (void)usleep(PAUSE_US);
        }
    }
    return 0;
}

int schema_version(PGconn *connection, const struct store *store, int64_t *ret,
                   struct andiron_error *err)
{
    char text[200];
    int64_t least = 0;

    *ret = 0;
    (void)snprintf(text, sizeof(text),
                   "SELECT 1 FROM pg_tables WHERE schemaname='%s' AND tablename='meta'",
                   store->config->schema);
    PGresult *r = PQexec(connection, text);
    bool is_read = PQresultStatus(r) == PGRES_TUPLES_OK, is_there = is_read && PQntuples(r) > 0;
    if (!is_read)
        return refused(connection, r, err);
    PQclear(r);
    if (!is_there)
        return 0;
    (void)snprintf(text, sizeof(text), "SET search_path=%s,pg_temp", store->config->schema);
    if (run(connection, text, err) != 0 || meta_number(connection, "schema", ret, err) != 0 ||
        meta_number(connection, "schema-least", &least, err) != 0)
        return -1;
    return check(*ret, least, err);
}
