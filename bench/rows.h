/*
 * The database of the benchmarks: Andiron's own schema, and as many index rows for a resource as
 * Andiron inserts for an Observation. Shared by floor.c and bundles.c; included once in each.
 */
#ifndef BENCH_ROWS_H
#define BENCH_ROWS_H

#include <stdbool.h>

#include "statements.h"

enum { ROWS_MAX = 64 };

static sqlite3_stmt *begin, *commit, *find, *insert_resource, *update_resource, *insert_version, *insert_token,
    *insert_ref, *insert_date, *insert_num, *insert_str;
static int64_t next_vid, next_rid;
static uint64_t random_state = 1;
static char keys[4096];
static int keys_len;

/* p of each row that a resource gets, by table. */
static int64_t token_p[ROWS_MAX], ref_p[ROWS_MAX], date_p[ROWS_MAX], num_p[ROWS_MAX], str_p[ROWS_MAX];
static size_t token_rows, ref_rows, date_rows, num_rows, str_rows;

static int64_t random63(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (int64_t)(random_state >> 1);
}

static void rows_open(const char *path)
{
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
        die(path);
    static const char *const pragmas[] = { "PRAGMA busy_timeout=5000", "PRAGMA journal_mode=WAL",
                                           "PRAGMA synchronous=FULL", "PRAGMA cache_size=-24576",
                                           "PRAGMA mmap_size=4294967296", "PRAGMA temp_store=MEMORY" };
    for (size_t i = 0; i < sizeof(pragmas) / sizeof(pragmas[0]); i++)
        (void)number(pragmas[i]);
    begin = prepare("BEGIN IMMEDIATE");
    commit = prepare("COMMIT");
    find = prepare("SELECT rid FROM resource WHERE type=? AND id=?");
    insert_resource = prepare("INSERT INTO resource(rid,type,id,vid,ver,st) VALUES(?,?,?,?,1,0)");
    update_resource = prepare("UPDATE resource SET vid=?,ver=ver+1 WHERE rid=?");
    insert_version = prepare("INSERT INTO version(vid,rid,type,ver,ts,op,enc,keys,body) VALUES(?,?,?,1,?,0,0,?,?)");
    insert_token = prepare("INSERT OR IGNORE INTO ix_token(p,h,vid) VALUES(?,?,?)");
    insert_ref = prepare("INSERT OR IGNORE INTO ix_ref(p,tgt,vid) VALUES(?,?,?)");
    insert_date = prepare("INSERT OR IGNORE INTO ix_date(p,cls,lo,hi,vid) VALUES(?,0,?,?,?)");
    insert_num = prepare("INSERT OR IGNORE INTO ix_num(p,g,lo,hi,vid) VALUES(?,?,?,?,?)");
    insert_str = prepare("INSERT OR IGNORE INTO ix_str(p,s,vid) VALUES(?,?,?)");
}

static void insert_rows(int64_t vid)
{
    for (size_t i = 0; i < token_rows; i++) {
        sqlite3_bind_int64(insert_token, 1, token_p[i]);
        sqlite3_bind_int64(insert_token, 2, random63());
        sqlite3_bind_int64(insert_token, 3, vid);
        run(insert_token);
    }
    for (size_t i = 0; i < ref_rows; i++) {
        sqlite3_bind_int64(insert_ref, 1, ref_p[i]);
        sqlite3_bind_int64(insert_ref, 2, random63() % 1000);
        sqlite3_bind_int64(insert_ref, 3, vid);
        run(insert_ref);
    }
    for (size_t i = 0; i < date_rows; i++) {
        int64_t low = random63() % INT64_C(1700000000000000);
        sqlite3_bind_int64(insert_date, 1, date_p[i]);
        sqlite3_bind_int64(insert_date, 2, low);
        sqlite3_bind_int64(insert_date, 3, low + 1000000);
        sqlite3_bind_int64(insert_date, 4, vid);
        run(insert_date);
    }
    for (size_t i = 0; i < num_rows; i++) {
        double low = (double)(random63() % 1000000) / 100;
        sqlite3_bind_int64(insert_num, 1, num_p[i]);
        sqlite3_bind_int64(insert_num, 2, 42);
        sqlite3_bind_double(insert_num, 3, low);
        sqlite3_bind_double(insert_num, 4, low + 0.01);
        sqlite3_bind_int64(insert_num, 5, vid);
        run(insert_num);
    }
    for (size_t i = 0; i < str_rows; i++) {
        char text[32];
        int n = snprintf(text, sizeof(text), "%llx", (long long)random63());
        sqlite3_bind_int64(insert_str, 1, str_p[i]);
        sqlite3_bind_text(insert_str, 2, text, n, SQLITE_STATIC);
        sqlite3_bind_int64(insert_str, 3, vid);
        run(insert_str);
    }
}

/* A new version of a resource with all its rows, inside a transaction. */
static void rows_put(int64_t type, const char *id, size_t id_len, const char *body, size_t len)
{
    int64_t vid = next_vid++, rid;
    sqlite3_bind_int64(find, 1, type);
    sqlite3_bind_text(find, 2, id, (int)id_len, SQLITE_STATIC);
    rid = sqlite3_step(find) == SQLITE_ROW ? sqlite3_column_int64(find, 0) : -1;
    sqlite3_reset(find);
    if (rid < 0) {
        rid = next_rid++;
        sqlite3_bind_int64(insert_resource, 1, rid);
        sqlite3_bind_int64(insert_resource, 2, type);
        sqlite3_bind_text(insert_resource, 3, id, (int)id_len, SQLITE_STATIC);
        sqlite3_bind_int64(insert_resource, 4, vid);
        run(insert_resource);
    } else {
        sqlite3_bind_int64(update_resource, 1, vid);
        sqlite3_bind_int64(update_resource, 2, rid);
        run(update_resource);
    }
    sqlite3_bind_int64(insert_version, 1, vid);
    sqlite3_bind_int64(insert_version, 2, rid);
    sqlite3_bind_int64(insert_version, 3, type);
    sqlite3_bind_int64(insert_version, 4, 1700000000000000 + vid);
    sqlite3_bind_blob(insert_version, 5, keys, keys_len, SQLITE_STATIC);
    sqlite3_bind_blob(insert_version, 6, body, (int)len, SQLITE_STATIC);
    run(insert_version);
    insert_rows(vid);
}

#endif
