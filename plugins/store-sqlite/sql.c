/*
 * A queue of questions and few threads that answer them; see sql.h.
 */
#include "sql.h"

#include <pthread.h>
#include <stdlib.h>
#include <strings.h>

#include "sql_tables.h"
#include "store.h"

enum { THREADS_MAX = 16 };

struct question {
    struct question *next;
    andiron_str text;
    const andiron_str *params;
    size_t param_count;
    int64_t deadline;
    void (*done)(void *arg, bool truth, const struct andiron_error *err);
    void *arg;
};

struct sql_runner {
    const struct store *store;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct question *first, **last;
    int64_t waiting;
    atomic_bool stopping;
    unsigned idle, thread_count;
    pthread_t threads[THREADS_MAX];
};

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
static int run_query(struct sql_tables *t, const struct question *q, bool *ret,
                     struct andiron_error *err)
{
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

static void answer(struct sql_runner *r, struct sql_tables *t, const struct question *q)
{
    struct andiron_error err = { .code = ANDIRON_OK };
    bool truth = false;
    if (t->handle == NULL) {
        struct db_settings settings = store_db_settings(r->store, false);
        if (sql_tables_open(t, &settings, &err) == 0)
            t->stopping = &r->stopping;
    }
    t->deadline = q->deadline;
    if (t->handle != NULL && andiron_now() >= q->deadline)
        andiron_error_set(&err, ANDIRON_E_TIMEOUT, "", "the query waited too long to run");
    else if (t->handle != NULL)
        (void)run_query(t, q, &truth, &err);
    q->done(q->arg, truth && err.code == ANDIRON_OK, err.code != ANDIRON_OK ? &err : NULL);
}

/* ---- threads ---------------------------------------------------------------------------------- */

static struct question *take(struct sql_runner *r)
{
    struct question *q;
    (void)pthread_mutex_lock(&r->lock);
    r->idle++;
    while (r->first == NULL && !r->stopping)
        (void)pthread_cond_wait(&r->changed, &r->lock);
    r->idle--;
    q = r->stopping ? NULL : r->first;
    if (q != NULL) {
        r->first = q->next;
        r->waiting--;
        if (r->first == NULL)
            r->last = &r->first;
    }
    (void)pthread_mutex_unlock(&r->lock);
    return q;
}

static void *thread_main(void *arg)
{
    struct sql_runner *r = arg;
    struct sql_tables tables = { .handle = NULL };
    for (struct question *q; (q = take(r)) != NULL;) {
        answer(r, &tables, q);
        free(q);
    }
    sql_tables_close(&tables);
    return NULL;
}

/* With the lock. */
static void add_thread(struct sql_runner *r)
{
    unsigned most = (unsigned)r->store->config->sql_threads;
    if (r->idle > 0 || r->thread_count >= most || r->thread_count >= THREADS_MAX)
        return;
    if (pthread_create(&r->threads[r->thread_count], NULL, thread_main, r) == 0)
        r->thread_count++;
}

struct sql_runner *sql_runner_new(const struct store *store)
{
    struct sql_runner *r = calloc(1, sizeof(*r));
    if (r == NULL)
        return NULL;
    r->store = store;
    r->last = &r->first;
    (void)pthread_mutex_init(&r->lock, NULL); /* cannot fail for default attributes */
    (void)pthread_cond_init(&r->changed, NULL);
    return r;
}

void sql_runner_free(struct sql_runner *r)
{
    const struct andiron_error err = { .code = ANDIRON_E_UNAVAILABLE,
                                       .message = "the server is stopping" };
    if (r == NULL)
        return;
    (void)pthread_mutex_lock(&r->lock);
    r->stopping = true;
    (void)pthread_cond_broadcast(&r->changed);
    (void)pthread_mutex_unlock(&r->lock);
    for (unsigned i = 0; i < r->thread_count; i++)
        (void)pthread_join(r->threads[i], NULL);
    while (r->first != NULL) {
        struct question *q = r->first;
        r->first = q->next;
        q->done(q->arg, false, &err);
        free(q);
    }
    (void)pthread_cond_destroy(&r->changed);
    (void)pthread_mutex_destroy(&r->lock);
    free(r);
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
    struct sql_runner *r = store->sql;
    struct andiron_error err = { .code = ANDIRON_E_UNAVAILABLE,
                                 .message = "too many queries wait; see store-sqlite.sql-queue" };
    struct question *q = malloc(sizeof(*q));
    if (q == NULL) {
        done(arg, false, &err);
        return;
    }
    *q = (struct question){ .text = text,
                            .params = params,
                            .param_count = param_count,
                            .deadline = andiron_now() + limit_ms * 1000,
                            .done = done,
                            .arg = arg };
    (void)pthread_mutex_lock(&r->lock);
    add_thread(r);
    bool taken = r->thread_count > 0 && !r->stopping && r->waiting < store->config->sql_queue;
    if (taken) {
        *r->last = q;
        r->last = &q->next;
        r->waiting++;
        (void)pthread_cond_signal(&r->changed);
    }
    (void)pthread_mutex_unlock(&r->lock);
    if (taken)
        return; /* cppcheck-suppress memleak ; it lies in the queue */
    free(q);
    done(arg, false, &err);
}

const struct andiron_sql service_sql = { .size = sizeof(service_sql), .check = sql_check, .ask = sql_ask };
