/*
 * Statements of the benchmarks' SQLite connection: what cannot be prepared or run ends the program.
 * Shared by rows.h and shapes.c; included once in each program.
 */
#ifndef BENCH_STATEMENTS_H
#define BENCH_STATEMENTS_H

#include <errno.h>
#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static sqlite3 *db;

static void die(const char *what)
{
    fprintf(stderr, "bench: %s: %s\n", what, db != NULL ? sqlite3_errmsg(db) : strerror(errno));
    exit(1);
}

static sqlite3_stmt *prepare(const char *sql)
{
    sqlite3_stmt *s;
    if (sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &s, NULL) != SQLITE_OK)
        die(sql);
    return s;
}

static void run(sqlite3_stmt *s)
{
    int rc = sqlite3_step(s);
    if (rc != SQLITE_DONE && rc != SQLITE_ROW)
        die(sqlite3_sql(s));
    sqlite3_reset(s);
}

static int64_t number(const char *sql)
{
    sqlite3_stmt *s = prepare(sql);
    int64_t n = sqlite3_step(s) == SQLITE_ROW ? sqlite3_column_int64(s, 0) : -1;
    sqlite3_finalize(s);
    return n;
}

#endif
