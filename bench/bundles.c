/*
 * One thread of jansson parse + SQLite insert: what transaction Bundles are measured against.
 *
 *     bench-bundles NDJSON DATABASE CHUNK
 *
 * Reads resources, a line each, parses each with jansson, and inserts its text with ten index rows
 * into a new DATABASE, CHUNK resources a transaction, synchronous=FULL. Prints resources a second.
 */
#include <jansson.h>
#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { ROWS = 10 };

static void check(int rc, sqlite3 *db, const char *what)
{
    if (rc == SQLITE_OK || rc == SQLITE_DONE || rc == SQLITE_ROW)
        return;
    fprintf(stderr, "bench-bundles: %s: %s\n", what, sqlite3_errmsg(db));
    exit(1);
}

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fputs("usage: bench-bundles NDJSON DATABASE CHUNK\n", stderr);
        return 64;
    }
    FILE *in = fopen(argv[1], "r");
    sqlite3 *db;
    sqlite3_stmt *resource, *version, *row;
    unlink(argv[2]);
    check(sqlite3_open(argv[2], &db), db, argv[2]);
    check(sqlite3_exec(db,
                       "PRAGMA page_size=8192;PRAGMA journal_mode=WAL;PRAGMA synchronous=FULL;PRAGMA cache_size=-24576;"
                       "CREATE TABLE resource(rid INTEGER PRIMARY KEY, type INT, id TEXT, vid INT);"
                       "CREATE UNIQUE INDEX resource_id ON resource(type,id);"
                       "CREATE TABLE version(vid INTEGER PRIMARY KEY, rid INT, body BLOB);"
                       "CREATE TABLE ix(p INT, h INT, vid INT, PRIMARY KEY(p,h,vid)) WITHOUT ROWID;",
                       NULL, NULL, NULL),
          db, "schema");
    check(sqlite3_prepare_v2(db, "INSERT OR REPLACE INTO resource VALUES(?,1,?,?)", -1, &resource, NULL), db, "prepare");
    check(sqlite3_prepare_v2(db, "INSERT INTO version VALUES(?,?,?)", -1, &version, NULL), db, "prepare");
    check(sqlite3_prepare_v2(db, "INSERT OR IGNORE INTO ix VALUES(?,?,?)", -1, &row, NULL), db, "prepare");

    char *line = NULL;
    size_t room = 0;
    ssize_t len;
    int64_t vid = 0, chunk = atoll(argv[3]);
    uint64_t random = 1;
    double begun = now();
    while (in != NULL && (len = getline(&line, &room, in)) > 0) {
        json_error_t error;
        json_t *parsed = json_loadb(line, (size_t)len, 0, &error);
        const char *id = json_string_value(json_object_get(parsed, "id"));
        if (id == NULL)
            continue;
        if (vid++ % chunk == 0)
            check(sqlite3_exec(db, vid > 1 ? "COMMIT;BEGIN IMMEDIATE" : "BEGIN IMMEDIATE", NULL, NULL, NULL), db, "begin");
        sqlite3_bind_int64(resource, 1, vid);
        sqlite3_bind_text(resource, 2, id, -1, SQLITE_STATIC);
        sqlite3_bind_int64(resource, 3, vid);
        check(sqlite3_step(resource), db, "resource");
        sqlite3_reset(resource);
        sqlite3_bind_int64(version, 1, vid);
        sqlite3_bind_int64(version, 2, vid);
        sqlite3_bind_blob(version, 3, line, (int)len, SQLITE_STATIC);
        check(sqlite3_step(version), db, "version");
        sqlite3_reset(version);
        for (int i = 0; i < ROWS; i++) {
            random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
            sqlite3_bind_int64(row, 1, i);
            sqlite3_bind_int64(row, 2, (int64_t)(random >> 20));
            sqlite3_bind_int64(row, 3, vid);
            check(sqlite3_step(row), db, "row");
            sqlite3_reset(row);
        }
        json_decref(parsed);
    }
    check(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), db, "commit");
    printf("%.0f\n", (double)vid / (now() - begun));
    free(line);
    sqlite3_finalize(resource);
    sqlite3_finalize(version);
    sqlite3_finalize(row);
    sqlite3_close(db);
    return 0;
}
