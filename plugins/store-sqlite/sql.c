/*
 * Answering questions in SQL; see sql.h.
 */
#include "sql.h"

#include <stdlib.h>
#include <strings.h>

#include "sql_tables.h"
#include "store.h"

/* ---- one question -------------------------------------------------------------------------- */

static bool is_true(sqlite3_stmt *s)
{
    const char *text;
    switch (sqlite3_column_type(s, 0)) {
    case SQLITE_INTEGER:
        return sqlite3_column_int64(s, 0) != 0;
    case SQLITE_FLOAT:
        return sqlite3_column_double(s, 0) != 0;
    case SQLITE_TEXT:
        text = (const char *)sqlite3_column_text(s, 0);
        return text != NULL && (strcasecmp(text, "t") == 0 || strcasecmp(text, "true") == 0);
    default:
        return false;
    }
}

static void bind(sqlite3_stmt *s, const struct question *q)
{
    for (int i = 1; i <= sqlite3_bind_parameter_count(s); i++) {
        size_t number = strtoul(sqlite3_bind_parameter_name(s, i) + 1, NULL, 10);
        andiron_str value = q->params[number - 1];
        if (value.data != NULL)
            (void)sqlite3_bind_text64(s, i, value.data, value.len, SQLITE_STATIC, SQLITE_UTF8);
    }
}

static int failed(struct sql_tables *t, int rc, struct andiron_error *err)
{
    if ((rc & 0xff) == SQLITE_INTERRUPT)
        return andiron_error_set(err, ANDIRON_E_TIMEOUT, "", "the query took too long");
    return andiron_error_set(err, ANDIRON_E_UNPROCESSABLE, "", "the query failed: %s",
                             sqlite3_errmsg(t->handle));
}

/* All of the query sees one snapshot. */
static int answer(void *own, const struct question *q, bool *ret, struct andiron_error *err)
{
    struct sql_tables *t = own;
    t->deadline = q->deadline;
    sqlite3_stmt *s = sql_tables_prepare(t, q->text, q->param_count, err);
    if (s == NULL)
        return -1;
    bind(s, q);
    int result = 0;
    if (db_run(&t->data, "BEGIN") != 0) {
        result = db_error(&t->data, err);
    } else {
        int rc = sqlite3_step(s);
        if (rc == SQLITE_ROW)
            *ret = is_true(s);
        else if (rc != SQLITE_DONE)
            result = failed(t, rc, err);
    }
    sqlite3_finalize(s);
    t->deadline = INT64_MAX;
    (void)db_run(&t->data, "COMMIT");
    return result;
}

/* ---- connections ----------------------------------------------------------------------------- */

static void *open_tables(void *arg, const atomic_bool *stopping, struct andiron_error *err)
{
    struct db_settings settings = store_db_settings(arg, false);
    struct sql_tables *t = malloc(sizeof(*t));
    if (t == NULL) {
        andiron_error_set(err, ANDIRON_E_UNAVAILABLE, "", "out of memory");
        return NULL;
    }
    if (sql_tables_open(t, &settings, err) != 0) {
        free(t);
        return NULL;
    }
    t->stopping = stopping;
    return t;
}

static void close_tables(void *own)
{
    sql_tables_close(own);
    free(own);
}

struct questions *sql_questions(struct store *store)
{
    const struct questions_kind kind = { .open = open_tables,
                                         .answer = answer,
                                         .close = close_tables,
                                         .arg = store,
                                         .threads = store->config->sql_threads,
                                         .most = store->config->sql_queue,
                                         .too_many = "store-sqlite.sql-queue" };
    return questions_new(&kind);
}

/* ---- the service ---------------------------------------------------------------------------------- */

static int sql_check(void *self, andiron_str text, size_t param_count, struct andiron_error *err)
{
    struct sql_tables tables;
    (void)self;
    if (sql_tables_open(&tables, NULL, err) != 0)
        return -1;
    sqlite3_stmt *s = sql_tables_prepare(&tables, text, param_count, err);
    int result = s != NULL ? 0 : -1;
    sqlite3_finalize(s);
    sql_tables_close(&tables);
    return result;
}

static void sql_ask(void *self, andiron_str text, const andiron_str *params, size_t param_count,
                    int64_t limit_ms,
                    void (*done)(void *arg, bool truth, const struct andiron_error *err), void *arg)
{
    struct store *store = self;
    questions_ask(store->sql, text, params, param_count, limit_ms, done, arg);
}

const struct andiron_sql service_sql = { .size = sizeof(service_sql), .check = sql_check, .ask = sql_ask };
