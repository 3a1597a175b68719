/*
 * Connections and statements; see db.h. The only place with SQL text besides schema.c.
 *
 * Statements name their index where SQLite could choose another one: without statistics it
 * guesses, and a wrong guess is a scan of everything.
 */
#include "db.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "batch.h"
#include "marks.h"

#define POSTING(table, key, order, cmp)                                                            \
    "SELECT vid FROM " table " WHERE p=?1 AND " key "=?2 AND vid" cmp "?3 ORDER BY vid " order     \
    " LIMIT ?4"
#define FORGET(table, key)                                                                         \
    "DELETE FROM " table " WHERE p=?1 AND (" key ") IN (SELECT " key " FROM " table                \
    " WHERE p=?1 LIMIT ?2)"

static const char *const texts[DB_STATEMENTS] = {
    [DB_BEGIN] = "BEGIN",
    [DB_BEGIN_WRITE] = "BEGIN IMMEDIATE",
    [DB_COMMIT] = "COMMIT",
    [DB_ROLLBACK] = "ROLLBACK",
    [DB_META] = "SELECT v FROM meta WHERE k=?1",
    [DB_META_SET] = "INSERT INTO meta(k,v) VALUES(?1,?2) ON CONFLICT(k) DO UPDATE SET v=?2",
    [DB_TYPE_OF_NAME] = "SELECT id FROM restype WHERE name=?1",
    [DB_NAME_OF_TYPE] = "SELECT id,name FROM restype ORDER BY id",
    [DB_TYPE_ADD] = "INSERT INTO restype(id,name) VALUES(?1,?2)",
    [DB_PARAM_FIND] = "SELECT p,kind FROM param WHERE type=?1 AND code=?2",
    [DB_PARAM_ADD] = "INSERT INTO param(p,type,code,kind,def_hash,state) VALUES(?1,?2,?3,?4,x'',1)",
    [DB_PARAM_KIND] = "UPDATE param SET kind=kind|?2 WHERE p=?1",
    [DB_PARAM_MARKS] = "SELECT kind FROM param WHERE p=?1",
    [DB_PARAM_LAST] = "SELECT coalesce(max(p),0) FROM param",
    [DB_TYPE_BEGUN] = "SELECT 1 FROM version INDEXED BY version_type WHERE type=?1 LIMIT 1",
    [DB_TYPE_KEYS] = "SELECT type,keys FROM version WHERE keys IS NOT NULL",
    [DB_PARAM_NAME] = "SELECT code FROM param WHERE p=?1",
    [DB_PARAM_DROP] = "DELETE FROM param WHERE p=?1",
    [DB_PARAMS_OF_KIND] = "SELECT p,type,code,kind FROM param WHERE kind&?1",
    [DB_FIND] =
        "SELECT rid,vid,ver,st FROM resource INDEXED BY resource_id WHERE type=?1 AND id=?2",
    [DB_RESOURCE] = "SELECT type,id,vid,ver,st FROM resource WHERE rid=?1",
    [DB_READ] = "SELECT r.ver,v.ts,v.op,v.enc,v.body,r.st FROM resource r INDEXED BY resource_id "
                "LEFT JOIN version v ON v.vid=r.vid WHERE r.type=?1 AND r.id=?2",
    [DB_READ_VERSION] = "SELECT ver,ts,op,enc,body FROM version WHERE vid=?1",
    [DB_VERSION_AT] = "SELECT vid FROM version INDEXED BY version_rid WHERE rid=?1 "
                      "ORDER BY vid DESC LIMIT 1 OFFSET ?2",
    [DB_BY_ID] = "SELECT vid FROM resource INDEXED BY resource_id WHERE type=?1 AND id=?2 AND st=0",
    [DB_POSTING_TOKEN_DOWN] = POSTING("ix_token", "h", "DESC", "<="),
    [DB_POSTING_TOKEN_UP] = POSTING("ix_token", "h", "ASC", ">="),
    [DB_POSTING_REF_DOWN] = POSTING("ix_ref", "tgt", "DESC", "<="),
    [DB_POSTING_REF_UP] = POSTING("ix_ref", "tgt", "ASC", ">="),
    [DB_POSTING_TYPE_DOWN] =
        "SELECT vid FROM resource INDEXED BY resource_tv WHERE st=0 AND type=?1 "
        "AND vid<=?3 ORDER BY vid DESC LIMIT ?4",
    [DB_POSTING_TYPE_UP] = "SELECT vid FROM resource INDEXED BY resource_tv WHERE st=0 AND type=?1 "
                           "AND vid>=?3 ORDER BY vid LIMIT ?4",
    [DB_RANGE_DATE] = "SELECT lo,hi,vid FROM ix_date WHERE p=?1 AND cls=?2 AND lo>=?3 AND lo<=?4 "
                      "LIMIT ?5",
    [DB_RANGE_NUMBER] = "SELECT lo,hi,vid FROM ix_num WHERE p=?1 AND g=?2 AND lo>=?3 AND lo<=?4 "
                        "LIMIT ?5",
    [DB_RANGE_STRING] = "SELECT vid FROM ix_str WHERE p=?1 AND s>=?2 AND s<?3 LIMIT ?4",
    [DB_ORDER_DATE_DOWN] = "SELECT lo,vid FROM ix_date WHERE p=?1 AND cls=?2 AND (lo,vid)<(?3,?4) "
                           "ORDER BY lo DESC,vid DESC LIMIT ?5",
    [DB_ORDER_DATE_UP] = "SELECT lo,vid FROM ix_date WHERE p=?1 AND cls=?2 AND (lo,vid)>(?3,?4) "
                         "ORDER BY lo,vid LIMIT ?5",
    [DB_ORDER_NUMBER_DOWN] = "SELECT lo,vid FROM ix_num WHERE p=?1 AND g=?2 AND (lo,vid)<(?3,?4) "
                             "ORDER BY lo DESC,vid DESC LIMIT ?5",
    [DB_ORDER_NUMBER_UP] = "SELECT lo,vid FROM ix_num WHERE p=?1 AND g=?2 AND (lo,vid)>(?3,?4) "
                           "ORDER BY lo,vid LIMIT ?5",
    [DB_ORDER_STRING_DOWN] = "SELECT s,vid FROM ix_str WHERE p=?1 AND (s,vid)<(?3,?4) "
                             "ORDER BY s DESC,vid DESC LIMIT ?5",
    [DB_ORDER_STRING_UP] = "SELECT s,vid FROM ix_str WHERE p=?1 AND (s,vid)>(?3,?4) "
                           "ORDER BY s,vid LIMIT ?5",
    [DB_ORDER_ID_DOWN] =
        "SELECT id,vid FROM resource INDEXED BY resource_id WHERE type=?1 AND id<=?3 "
        "AND (id<?3 OR vid<?4) AND st=0 ORDER BY id DESC LIMIT ?5",
    [DB_ORDER_ID_UP] =
        "SELECT id,vid FROM resource INDEXED BY resource_id WHERE type=?1 AND id>=?3 "
        "AND (id>?3 OR vid>?4) AND st=0 ORDER BY id LIMIT ?5",
    [DB_VALUES_DOWN] = "SELECT s,h FROM ix_value WHERE p=?1 AND k=?2 AND s<=?3 ORDER BY s DESC "
                       "LIMIT ?4",
    [DB_VALUES_UP] = "SELECT s,h FROM ix_value WHERE p=?1 AND k=?2 AND s>=?3 ORDER BY s LIMIT ?4",
    [DB_TOKEN_BELOW] = "SELECT h,vid FROM ix_token WHERE p=?1 AND h<=?2 "
                       "ORDER BY h DESC,vid DESC LIMIT 1",
    [DB_RESOURCE_AT] = "SELECT rid FROM resource INDEXED BY resource_tv WHERE st=0 AND type=?1 "
                       "AND vid=?2",
    [DB_HAS_TOKEN] = "SELECT 1 FROM ix_token WHERE p=?1 AND h=?2 AND vid=?3",
    [DB_HAS_REF] = "SELECT 1 FROM ix_ref WHERE p=?1 AND tgt=?2 AND vid=?3",
    [DB_COUNT_TOKEN] = "SELECT count(*) FROM (SELECT 1 FROM ix_token WHERE p=?1 AND h=?2 LIMIT ?3)",
    [DB_COUNT_REF] = "SELECT count(*) FROM (SELECT 1 FROM ix_ref WHERE p=?1 AND tgt=?2 LIMIT ?3)",
    [DB_COUNT_TYPE] = "SELECT count(*) FROM (SELECT 1 FROM resource INDEXED BY resource_tv "
                      "WHERE st=0 AND type=?1 LIMIT ?3)",
    [DB_REFERRED] = "SELECT vid FROM ix_ref WHERE p=?1 AND tgt=?2",
    [DB_REFERRED_FROM] = "SELECT tgt FROM ix_ref WHERE p=?1 AND tgt>=?2 ORDER BY tgt LIMIT 1",
    [DB_VID_LAST] = "SELECT vid,ts FROM version WHERE vid<=?1 ORDER BY vid DESC LIMIT 1",
    [DB_VID_SINCE] = "SELECT vid,ts FROM version WHERE vid>=?1 ORDER BY vid LIMIT 1",
    [DB_WALK_ALL_DOWN] =
        "SELECT vid FROM version WHERE vid>=?3 AND vid<=?4 ORDER BY vid DESC LIMIT ?5",
    [DB_WALK_ALL_UP] = "SELECT vid FROM version WHERE vid>=?3 AND vid<=?4 ORDER BY vid LIMIT ?5",
    [DB_WALK_TYPE_DOWN] =
        "SELECT vid FROM version INDEXED BY version_type WHERE type=?1 AND vid>=?3 "
        "AND vid<=?4 ORDER BY vid DESC LIMIT ?5",
    [DB_WALK_TYPE_UP] = "SELECT vid FROM version INDEXED BY version_type WHERE type=?1 AND vid>=?3 "
                        "AND vid<=?4 ORDER BY vid LIMIT ?5",
    [DB_WALK_ONE_DOWN] = "SELECT vid FROM version INDEXED BY version_rid WHERE rid=?1 AND vid>=?3 "
                         "AND vid<=?4 ORDER BY vid DESC LIMIT ?5",
    [DB_WALK_ONE_UP] = "SELECT vid FROM version INDEXED BY version_rid WHERE rid=?1 AND vid>=?3 "
                       "AND vid<=?4 ORDER BY vid LIMIT ?5",
    [DB_WALK_LATER] = "SELECT 1 FROM version INDEXED BY version_rid WHERE rid=?1 AND vid>?2 "
                      "AND vid<=?3 LIMIT 1",
    [DB_VISIT] = "SELECT v.vid,v.rid,v.ver,v.ts,v.op,v.enc,v.body,r.id,r.vid FROM version v "
                 "INDEXED BY version_type CROSS JOIN resource r ON r.rid=v.rid "
                 "WHERE v.type=?1 AND v.vid>=?2 AND v.vid<=?3 ORDER BY v.vid",
    [DB_CHANGES] = "SELECT v.type,r.id FROM version v CROSS JOIN resource r ON r.rid=v.rid "
                   "WHERE v.vid>?1 AND v.vid<=?2 ORDER BY v.vid LIMIT ?3",
    [DB_DATA_VERSION] = "PRAGMA data_version",
    [DB_RESOURCE_ADD] = "INSERT INTO resource(rid,type,id,vid,ver,st) VALUES(?1,?2,?3,?4,?5,?6)",
    [DB_RESOURCE_SET] = "UPDATE resource SET vid=?2,ver=?3,st=?4 WHERE rid=?1",
    [DB_RESOURCE_DROP] = "DELETE FROM resource WHERE rid=?1",
    [DB_VERSION_ADD] = "INSERT INTO version(vid,rid,type,ver,ts,op,enc,keys,body) "
                       "VALUES(?1,?2,?3,?4,?5,?6,?9,?7,?8)",
    [DB_VERSION_KEYS] = "UPDATE version SET keys=?2 WHERE vid=?1",
    [DB_VERSION_DROP] = "DELETE FROM version WHERE vid=?1",
    [DB_VERSION_DROP_OLD] =
        "DELETE FROM version WHERE vid IN (SELECT vid FROM version INDEXED BY version_rid "
        "WHERE rid=?1 AND vid<?2 ORDER BY vid LIMIT ?3)",
    [DB_TOKEN_ADD] = "INSERT OR IGNORE INTO ix_token(p,h,vid) SELECT p,a,vid FROM new_token",
    [DB_TOKEN_DROP] = "DELETE FROM ix_token WHERE p=?1 AND h=?2 AND vid=?3",
    [DB_REF_ADD] = "INSERT OR IGNORE INTO ix_ref(p,tgt,vid) SELECT p,a,vid FROM new_ref",
    [DB_REF_DROP] = "DELETE FROM ix_ref WHERE p=?1 AND tgt=?2 AND vid=?3",
    [DB_DATE_ADD] =
        "INSERT OR IGNORE INTO ix_date(p,cls,lo,hi,vid) SELECT p,a,b,c,vid FROM new_date",
    [DB_DATE_DROP] = "DELETE FROM ix_date WHERE p=?1 AND cls=?2 AND lo=?3 AND vid=?5 AND hi=?4",
    [DB_NUMBER_ADD] = "INSERT OR IGNORE INTO ix_num(p,g,lo,hi,vid) SELECT p,a,b,c,vid FROM new_num",
    [DB_NUMBER_DROP] = "DELETE FROM ix_num WHERE p=?1 AND g=?2 AND lo=?3 AND vid=?5 AND hi=?4",
    [DB_STRING_ADD] = "INSERT OR IGNORE INTO ix_str(p,s,vid) SELECT p,a,vid FROM new_str",
    [DB_STRING_DROP] = "DELETE FROM ix_str WHERE p=?1 AND s=?2 AND vid=?3",
    [DB_VALUE_ADD] = "INSERT OR IGNORE INTO ix_value(p,k,s,h) VALUES(?1,?2,?3,?4)",
    /* Another number than before: it was purged and referred to again. */
    [DB_VALUE_ADD_REF] =
        "INSERT INTO ix_value(p,k,s,h) SELECT ?1,?2,t.name||'/'||r.id,?3 "
        "FROM resource r CROSS JOIN restype t ON t.id=r.type WHERE r.rid=?3 "
        "ON CONFLICT(p,k,s) DO UPDATE SET h=excluded.h WHERE ix_value.h<>excluded.h",
    [DB_VALUE_DROP] = "DELETE FROM ix_value WHERE p=?1 AND k=?2 AND s=?3 "
                      "AND NOT EXISTS (SELECT 1 FROM ix_token WHERE p=?1 AND h=?4)",
    [DB_FORGET_TOKEN] = FORGET("ix_token", "h,vid"),
    [DB_FORGET_REF] = FORGET("ix_ref", "tgt,vid"),
    [DB_FORGET_DATE] = FORGET("ix_date", "cls,lo,vid,hi"),
    [DB_FORGET_NUMBER] = FORGET("ix_num", "g,lo,vid,hi"),
    [DB_FORGET_STRING] = FORGET("ix_str", "s,vid"),
    [DB_FORGET_VALUE] = FORGET("ix_value", "k,s"),
    [DB_CLAIM] = "INSERT INTO claim(name,exp) VALUES(?1,?2) ON CONFLICT(name) DO UPDATE SET exp=?2 "
                 "WHERE claim.exp<=?3",
    [DB_CLAIM_SWEEP] = "DELETE FROM claim WHERE name IN "
                       "(SELECT name FROM claim INDEXED BY claim_exp WHERE exp<=?1 LIMIT ?2)",
    [DB_VERSION_ROW] = "SELECT v.rid,v.type,v.ver,v.ts,v.op,v.enc,v.keys,v.body,r.id,r.vid "
                       "FROM version v CROSS JOIN resource r ON r.rid=v.rid WHERE v.vid=?1",
    [DB_VERSION] = "SELECT rid,type,ver,ts,op,enc,keys,body FROM version WHERE vid=?1",
};

int db_run(struct db *db, const char *sql)
{
    int rc = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);

    if (rc == SQLITE_OK)
        return 0;
    db->rc = sqlite3_extended_errcode(db->handle);
    return -1;
}

static int open_error(struct db *db, const char *path, struct andiron_error *err)
{
    int rc = db->rc & 0xff;
    const char *why = db->handle != NULL ? sqlite3_errmsg(db->handle) : sqlite3_errstr(db->rc);

    if (rc == SQLITE_NOTADB)
        why = "it is not a database of Andiron; name another file in store-sqlite.path";
    else if (rc == SQLITE_CANTOPEN)
        why = "cannot be opened; the folder must exist and be writable for the daemon's user";
    else if (rc == SQLITE_READONLY)
        why = "is not writable for the daemon's user";
    return andiron_error_set(err, ANDIRON_E_UNAVAILABLE, path, "database %s: %s", path, why);
}

int db_open(struct db *db, const struct db_settings *settings, struct andiron_error *err)
{
    int flags =
        SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
        (settings->writable ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY);
    char pragmas[440];

    *db = (struct db){ .handle = NULL };
    db->rc = sqlite3_open_v2(settings->path, &db->handle, flags, NULL);
    if (db->rc != SQLITE_OK)
        goto failed;
    /* First of all: recovery by another connection makes any statement wait. */
    sqlite3_busy_timeout(db->handle, (int)settings->busy_ms);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, NULL);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    /* The size of pages matters only while the file is empty, and must stand first: SQLite makes
     * a number of pages of cache_size at once, and with its own 4 KiB that is twice the memory. */
    snprintf(pragmas, sizeof(pragmas),
             "PRAGMA page_size=%d; PRAGMA cache_size=-%lld; PRAGMA mmap_size=%lld;"
             "PRAGMA temp_store=MEMORY; PRAGMA foreign_keys=OFF; PRAGMA recursive_triggers=OFF;"
             "PRAGMA secure_delete=OFF; PRAGMA synchronous=%s; PRAGMA journal_size_limit=67108864",
             DB_PAGE, (long long)(settings->cache_bytes / 1024), (long long)settings->mmap_bytes,
             settings->normal ? "NORMAL" : "FULL");
    if (db_run(db, pragmas) != 0)
        goto failed;
    return 0;
failed:
    open_error(db, settings->path, err);
    db_close(db);
    return -1;
}

void db_close(struct db *db)
{
    for (int i = 0; i < DB_STATEMENTS; i++) {
        sqlite3_finalize(db->statements[i]);
        db->statements[i] = NULL;
    }
    marks_forget(db);
    free(db->seen);
    db->seen = NULL;
    free(db->longs);
    db->longs = NULL;
    (void)sqlite3_close(db->handle); /* cannot be busy: nothing is left open on it */
    db->handle = NULL;
    batch_free(db->batch);
    db->batch = NULL;
}

sqlite3_stmt *db_statement(struct db *db, int which)
{
    sqlite3_stmt *s = db->statements[which];
    int text = which > DB_VERSION ? DB_VERSION : which;

    if (s != NULL)
        return s;
    int rc = sqlite3_prepare_v3(db->handle, texts[text], -1, SQLITE_PREPARE_PERSISTENT, &s, NULL);
    if (rc != SQLITE_OK) {
        db->rc = sqlite3_extended_errcode(db->handle);
        return NULL;
    }
    return db->statements[which] = s;
}

int db_step(struct db *db, sqlite3_stmt *s)
{
    int rc = sqlite3_step(s);

    if (rc == SQLITE_ROW)
        return 1;
    sqlite3_reset(s);
    if (rc == SQLITE_DONE)
        return 0;
    db->rc = rc;
    return -1;
}

int db_do(struct db *db, sqlite3_stmt *s)
{
    return s != NULL && db_step(db, s) == 0 ? 0 : -1;
}

bool db_is_damage(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_IOERR:
    case SQLITE_FULL:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
        return true;
    default:
        return false;
    }
}

int db_error(struct db *db, struct andiron_error *err)
{
    switch (db->rc & 0xff) {
    case SQLITE_FULL:
        return andiron_error_set(err, ANDIRON_E_NO_SPACE, "",
                                 "the storage is full; nothing was changed");
    case SQLITE_IOERR:
        if (db->handle != NULL && sqlite3_system_errno(db->handle) == ENOSPC)
            return andiron_error_set(err, ANDIRON_E_NO_SPACE, "",
                                     "the storage is full; nothing was changed");
        return andiron_error_set(err, ANDIRON_E_UNAVAILABLE, "",
                                 "the storage cannot be read or written now; try again later");
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return andiron_error_set(err, ANDIRON_E_UNAVAILABLE, "",
                                 "the storage is locked by another process; try again later");
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_NOMEM:
        return andiron_error_set(err, ANDIRON_E_UNAVAILABLE, "",
                                 "the storage cannot be used now; try again later");
    case SQLITE_TOOBIG:
        return andiron_error_set(err, ANDIRON_E_TOO_LARGE, "",
                                 "the resource is larger than the storage can hold");
    case SQLITE_INTERRUPT:
        return andiron_error_set(err, ANDIRON_E_TIMEOUT, "", "the storage took too long");
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return andiron_error_set(err, ANDIRON_E_INTERNAL, "", "the storage is damaged");
    default:
        return andiron_error_set(err, ANDIRON_E_INTERNAL, "", "the storage failed");
    }
}
