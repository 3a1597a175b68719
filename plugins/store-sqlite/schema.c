/*
 * Schema and its versions; see schema.h.
 *
 * A file of ours is known by its application id, its schema by `schema` in meta. Changing the
 * schema means: raise SCHEMA_VERSION, change `tables`, add a row to `migrations`.
 */
#include "schema.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "common/store/keys.h"
#include "marks.h"
#include "rows.h"

static const char tables[] =
    "CREATE TABLE meta(k TEXT PRIMARY KEY, v BLOB) WITHOUT ROWID;"
    "CREATE TABLE restype(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);"
    "CREATE TABLE param(p INTEGER PRIMARY KEY, type INT NOT NULL, code TEXT NOT NULL,"
    " kind INT NOT NULL, def_hash BLOB NOT NULL, state INT NOT NULL, UNIQUE(type,code));"
    "CREATE TABLE resource(rid INTEGER PRIMARY KEY, type INT NOT NULL, id TEXT NOT NULL, vid INT,"
    " ver INT NOT NULL, st INT NOT NULL);"
    "CREATE UNIQUE INDEX resource_id ON resource(type,id);"
    "CREATE INDEX resource_tv ON resource(type,vid) WHERE st=0;"
    "CREATE TABLE version(vid INTEGER PRIMARY KEY, rid INT NOT NULL, type INT NOT NULL,"
    " ver INT NOT NULL, ts INT NOT NULL, op INT NOT NULL, enc INT NOT NULL, keys BLOB, body BLOB);"
    "CREATE INDEX version_rid ON version(rid,vid);"
    "CREATE INDEX version_type ON version(type,vid);"
    "CREATE TABLE ix_token(p INT NOT NULL, h INT NOT NULL, vid INT NOT NULL,"
    " PRIMARY KEY(p,h,vid)) WITHOUT ROWID;"
    "CREATE TABLE ix_ref(p INT NOT NULL, tgt INT NOT NULL, vid INT NOT NULL,"
    " PRIMARY KEY(p,tgt,vid)) WITHOUT ROWID;"
    "CREATE TABLE ix_date(p INT NOT NULL, cls INT NOT NULL, lo INT NOT NULL, hi INT NOT NULL,"
    " vid INT NOT NULL, PRIMARY KEY(p,cls,lo,vid,hi)) WITHOUT ROWID;"
    "CREATE TABLE ix_num(p INT NOT NULL, g INT NOT NULL, lo REAL NOT NULL, hi REAL NOT NULL,"
    " vid INT NOT NULL, PRIMARY KEY(p,g,lo,vid,hi)) WITHOUT ROWID;"
    "CREATE TABLE ix_str(p INT NOT NULL, s TEXT NOT NULL, vid INT NOT NULL,"
    " PRIMARY KEY(p,s,vid)) WITHOUT ROWID;"
    "CREATE TABLE ix_value(p INT NOT NULL, k INT NOT NULL, s TEXT NOT NULL, h INT NOT NULL,"
    " PRIMARY KEY(p,k,s)) WITHOUT ROWID;"
    "CREATE TABLE claim(name TEXT PRIMARY KEY, exp INT NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX claim_exp ON claim(exp);";

/* What makes version n + 1 of version n: row n. All of a start are one transaction. */
static const char *const migrations[SCHEMA_VERSION] = {
    NULL, /* 1 is the first */
    /* Values to sort by are listed; what single versions have is read from their keys. */
    "DROP INDEX ix_ref_v; DROP INDEX ix_date_v; DROP INDEX ix_num_v; DROP INDEX ix_str_v;"
    "CREATE TABLE ix_value(p INT NOT NULL, k INT NOT NULL, s TEXT NOT NULL, h INT NOT NULL,"
    " PRIMARY KEY(p,k,s)) WITHOUT ROWID;",
    NULL, /* params with several values in a resource are marked */
    NULL, /* and those with several references, or without a code; values that were left out are listed */
};

/* A number that a PRAGMA or an SQL function gives; -1 if it cannot be read. */
static int64_t number_of(struct db *db, const char *sql)
{
    sqlite3_stmt *s = NULL;
    int64_t ret = -1;

    if (sqlite3_prepare_v2(db->handle, sql, -1, &s, NULL) == SQLITE_OK &&
        sqlite3_step(s) == SQLITE_ROW)
        ret = sqlite3_column_int64(s, 0);
    else
        db->rc = sqlite3_extended_errcode(db->handle);
    sqlite3_finalize(s);
    return ret;
}

static int64_t meta_number(struct db *db, const char *name)
{
    sqlite3_stmt *s = db_statement(db, DB_META);
    int64_t ret = -1;

    if (s == NULL)
        return -1;
    db_bind_str(s, 1, andiron_str_of(name));
    if (db_step(db, s) == 1)
        ret = sqlite3_column_int64(s, 0);
    sqlite3_reset(s);
    return ret;
}

static int unreadable(struct db *db, const char *path, struct andiron_error *err)
{
    if ((db->rc & 0xff) == SQLITE_NOTADB || (db->rc & 0xff) == SQLITE_CORRUPT)
        return andiron_error_set(
            err, ANDIRON_E_INVALID, path,
            "%s is not a database of Andiron, or damaged; name another file in "
            "store-sqlite.path, or restore a backup",
            path);
    return andiron_error_set(err, ANDIRON_E_UNAVAILABLE, path, "database %s: %s", path,
                             sqlite3_errstr(db->rc));
}

int schema_check(struct db *db, const char *path, struct andiron_error *err)
{
    int64_t application = number_of(db, "PRAGMA application_id");
    int64_t version;

    if (application < 0)
        return unreadable(db, path, err);
    if (application != SCHEMA_APPLICATION_ID)
        return andiron_error_set(err, ANDIRON_E_INVALID, path,
                                 "%s is a database of another program, not of Andiron; it was not "
                                 "touched: name another file in store-sqlite.path",
                                 path);
    version = meta_number(db, "schema");
    if (version < 1)
        return unreadable(db, path, err);
    if (version > SCHEMA_VERSION)
        return andiron_error_set(
            err, ANDIRON_E_INVALID, path,
            "%s has schema version %lld, this andiron knows versions up to %d; "
            "it was not touched: install the newer andiron, or restore an "
            "older backup",
            path, (long long)version, SCHEMA_VERSION);
    return 0;
}

static int set_meta(struct db *db, const char *name, sqlite3_int64 number, andiron_str bytes)
{
    sqlite3_stmt *s = db_statement(db, DB_META_SET);

    if (s == NULL)
        return -1;
    db_bind_str(s, 1, andiron_str_of(name));
    if (bytes.data != NULL)
        db_bind_blob(s, 2, bytes);
    else
        sqlite3_bind_int64(s, 2, number);
    return db_do(db, s);
}

/* In a write transaction. */
static int create(struct db *db)
{
    uint8_t key[HASH_KEY_BYTES];
    char text[64];

    if (getrandom(key, sizeof(key), 0) != (ssize_t)sizeof(key)) {
        db->rc = SQLITE_IOERR;
        return -1;
    }
    snprintf(text, sizeof(text), "PRAGMA application_id=%d", SCHEMA_APPLICATION_ID);
    if (db_run(db, tables) != 0 || db_run(db, text) != 0 ||
        set_meta(db, "schema", SCHEMA_VERSION, (andiron_str){ NULL, 0 }) != 0)
        return -1;
    return set_meta(db, "hash-key", 0, (andiron_str){ (const char *)key, sizeof(key) });
}

static int mark_several(struct db *db, andiron_str keys)
{
    struct keys_cursor c = keys_begin(keys);
    sqlite3_stmt *s = db_statement(db, DB_PARAM_KIND);
    int64_t p, last = 0;

    if (s == NULL)
        return -1;
    while (keys_next_several(&c, &p)) {
        if (p == last)
            continue;
        last = p;
        sqlite3_bind_int64(s, 1, p);
        sqlite3_bind_int64(s, 2, NAMES_SEVERAL);
        if (db_do(db, s) != 0)
            return -1;
    }
    return 0;
}

/* What the schema of today keeps beside the keys of current versions. */
static int read_keys(struct db *db)
{
    sqlite3_stmt *s = db_statement(db, DB_TYPE_KEYS);
    struct hash_key key;
    int more = -1;

    if (s == NULL || schema_hash_key(db, &key) != 0)
        return -1;
    while ((more = db_step(db, s)) == 1) {
        andiron_str keys = db_str(s, 1);
        if (rows_add_values(db, &key, keys) != 0 || mark_several(db, keys) != 0 ||
            marks_note(db, sqlite3_column_int64(s, 0), keys) != 0) {
            sqlite3_reset(s);
            return -1;
        }
    }
    return more;
}

/* In a write transaction. */
static int migrate(struct db *db, int64_t from)
{
    for (int64_t v = from; v < SCHEMA_VERSION; v++) {
        if (migrations[v] != NULL && db_run(db, migrations[v]) != 0)
            return -1;
    }
    if (from < SCHEMA_VERSION && read_keys(db) != 0)
        return -1;
    return set_meta(db, "schema", SCHEMA_VERSION, (andiron_str){ NULL, 0 });
}

/*
 * Needs a new file for itself for a moment, and does nothing to one that is not new. Of processes that do
 * so at once each would wait for the others, which SQLite ends without asking the busy handler.
 */
static int use_log(struct db *db)
{
    enum { PAUSE_MS = 10, PAUSES = 1000 };

    for (int i = 0; db_run(db, "PRAGMA journal_mode=WAL") != 0; i++) {
        if ((db->rc & 0xff) != SQLITE_BUSY || i == PAUSES)
            return -1;
        (void)sqlite3_sleep(PAUSE_MS); /* at the start, before any loop */
    }
    return 0;
}

int schema_open(struct db *db, const char *path, struct andiron_error *err)
{
    /* Matters only while the file is empty. */
    if (db_run(db, "PRAGMA auto_vacuum=NONE") != 0)
        return unreadable(db, path, err);
    int64_t objects = number_of(db, "SELECT count(*) FROM sqlite_master");
    if (objects < 0)
        return unreadable(db, path, err);
    if (objects > 0 && schema_check(db, path, err) != 0)
        return -1;
    if (use_log(db) != 0)
        return unreadable(db, path, err);
    if (objects > 0 && meta_number(db, "schema") == SCHEMA_VERSION)
        return 0;
    if (db_run(db, "BEGIN IMMEDIATE") != 0)
        return unreadable(db, path, err);
    /* Again, since another process may have been here first. */
    objects = number_of(db, "SELECT count(*) FROM sqlite_master");
    int rc = 0;
    if (objects == 0)
        rc = create(db);
    else if (schema_check(db, path, err) != 0) {
        (void)db_run(db, "ROLLBACK");
        return -1;
    } else {
        rc = migrate(db, meta_number(db, "schema"));
    }
    if (rc != 0 || db_run(db, "COMMIT") != 0) {
        unreadable(db, path, err);
        (void)db_run(db, "ROLLBACK"); /* the failure above is the one to tell */
        return -1;
    }
    return 0;
}

int schema_version(struct db *db, const char *path, int64_t *ret, struct andiron_error *err)
{
    int64_t objects = number_of(db, "SELECT count(*) FROM sqlite_master");

    if (objects < 0)
        return unreadable(db, path, err);
    *ret = 0;
    if (objects == 0)
        return 0;
    if (schema_check(db, path, err) != 0)
        return -1;
    *ret = meta_number(db, "schema");
    return 0;
}

int schema_hash_key(struct db *db, struct hash_key *ret)
{
    sqlite3_stmt *s = db_statement(db, DB_META);
    int found = -1;

    if (s == NULL)
        return -1;
    db_bind_str(s, 1, ANDIRON_STR("hash-key"));
    if (db_step(db, s) == 1 && sqlite3_column_bytes(s, 0) == HASH_KEY_BYTES) {
        *ret = hash_key_of(sqlite3_column_blob(s, 0));
        found = 0;
    } else {
        db->rc = SQLITE_CORRUPT;
    }
    sqlite3_reset(s);
    return found;
}
