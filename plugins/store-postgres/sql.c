/*
 * Answering questions in SQL; see sql.h. libpq without its waiting: what does not answer in time is
 * left behind with its connection.
 */
#include "sql.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "connection.h"

enum { TEXT_MAX = 16 * 1024, GRACE_MS = 500, SLICE_MS = 50, CHECK_MS = 2000, PARAMS_MAX = 64 };

/* A connection of the role, of one thread. */
struct client {
    struct store *store;
    const atomic_bool *stopping; /* or NULL */
    PGconn *pg;                  /* NULL: to be made again */
    int64_t deadline_ms;         /* for what is being asked */
};

static _Thread_local bool is_loop;

void sql_on_loop(void)
{
    is_loop = true;
}

/* ---- talking ------------------------------------------------------------------------------ */

static void leave(struct client *c)
{
    PQfinish(c->pg);
    c->pg = NULL;
}

/* The result of the last command sent; NULL: there is none in time, and the connection is left. */
static PGresult *take(struct client *c, int sent)
{
    PGresult *last = NULL;

    while (sent == 1) {
        if (PQisBusy(c->pg) == 0) {
            PGresult *r = PQgetResult(c->pg);
            if (r == NULL)
                return last;
            /* The first failure says more than what follows it. */
            if (PQresultStatus(last) == PGRES_FATAL_ERROR && last != NULL) {
                PQclear(r);
                continue;
            }
            PQclear(last);
            last = r;
            continue;
        }
        struct pollfd fd = { .fd = PQsocket(c->pg), .events = POLLIN };
        int64_t left = c->deadline_ms - connection_clock();
        if (left <= 0 || (c->stopping != NULL && atomic_load(c->stopping)) ||
            (poll(&fd, 1, left < SLICE_MS ? (int)left : SLICE_MS) < 0 && errno != EINTR) ||
            PQconsumeInput(c->pg) != 1)
            break;
    }
    PQclear(last);
    leave(c);
    return NULL;
}

static bool is_good(const PGresult *r)
{
    return PQresultStatus(r) == PGRES_COMMAND_OK || PQresultStatus(r) == PGRES_TUPLES_OK;
}

static bool has_state(const PGresult *r, const char *state)
{
    const char *own = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    return own != NULL && strncmp(own, state, strlen(state)) == 0;
}

static int gone(struct andiron_error *err)
{
    return andiron_error_set(err, ANDIRON_E_TIMEOUT, "", "the query took too long");
}

/* Makes the connection, and with the first one role and views: that takes its time. -1: err. */
static int reach(struct client *c, struct andiron_error *err)
{
    if (c->pg == NULL)
        c->pg = sql_role_connect(c->store->sql_role, err);
    return c->pg != NULL ? 0 : -1;
}

/* -1: err; the connection is then left. */
static int begin(struct client *c, int64_t limit_ms, struct andiron_error *err)
{
    char text[400];

    if (reach(c, err) != 0)
        return -1;
    c->deadline_ms = connection_clock() + limit_ms + GRACE_MS;
    (void)snprintf(text, sizeof(text),
                   "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;"
                   "SET LOCAL statement_timeout=%lld; SET LOCAL search_path=%s_policy,pg_temp;"
                   "SET LOCAL jit=off; SET LOCAL max_parallel_workers_per_gather=0;"
                   "SET LOCAL idle_in_transaction_session_timeout=5000",
                   (long long)(limit_ms > 0 ? limit_ms : 1), c->store->config->schema);
    PGresult *r = take(c, PQsendQuery(c->pg, text));
    bool begun = is_good(r);
    PQclear(r);
    if (begun)
        return 0;
    leave(c);
    return andiron_error_set(err, ANDIRON_E_UNAVAILABLE, "",
                             "the database is away; try again later");
}

/* Nothing that it did outlives it: notifications are dropped, and locks of the session. */
static void end(struct client *c)
{
    if (c->pg != NULL)
        PQclear(take(c, PQsendQuery(c->pg, "ROLLBACK; SELECT pg_advisory_unlock_all()")));
}

/* ---- questions ------------------------------------------------------------------------------ */

static bool is_true(const PGresult *r)
{
    const char *text;

    if (PQntuples(r) == 0 || PQnfields(r) == 0 || PQgetisnull(r, 0, 0))
        return false;
    text = PQgetvalue(r, 0, 0);
    switch (PQftype(r, 0)) {
    case 20: /* int8, int2, int4, float4, float8, numeric */
    case 21:
    case 23:
    case 700:
    case 701:
    case 1700:
        return strtod(text, NULL) != 0;
    default:
        return strcasecmp(text, "t") == 0 || strcasecmp(text, "true") == 0;
    }
}

/*
 * Types of parameters follow from where they stand; where that says nothing (42P18), all are text.
 */
static PGresult *run(struct client *c, const struct question *q, bool as_text)
{
    const char *values[PARAMS_MAX];
    Oid types[PARAMS_MAX];
    struct andiron_arena *arena = andiron_arena_new(0);
    const char *text = andiron_copy(arena, q->text);

    for (size_t i = 0; i < q->param_count; i++) {
        values[i] = q->params[i].data != NULL ? andiron_copy(arena, q->params[i]) : NULL;
        types[i] = as_text ? WIRE_TEXT : 0;
    }
    PGresult *r =
        take(c, PQsendQueryParams(c->pg, text, (int)q->param_count, types, values, NULL, NULL, 0));
    andiron_arena_free(arena);
    return r;
}

static int64_t left_ms(const struct question *q)
{
    return (q->deadline - andiron_now()) / 1000;
}

static int answer(void *own, const struct question *q, bool *ret, struct andiron_error *err)
{
    struct client *c = own;
    int result = -1;

    if (q->param_count > PARAMS_MAX || q->text.len > TEXT_MAX)
        return andiron_error_set(err, ANDIRON_E_VALUE, "", "is longer than %d bytes", TEXT_MAX);
    /* What is left is known behind the wait for a connection. */
    if (reach(c, err) != 0 || begin(c, left_ms(q), err) != 0)
        return -1;
    PGresult *r = run(c, q, false);
    if (has_state(r, "42P18")) {
        PQclear(r);
        end(c);
        r = NULL;
        if (begin(c, left_ms(q), err) != 0)
            return -1;
        r = run(c, q, true);
    }
    if (is_good(r)) {
        *ret = is_true(r);
        result = 0;
    } else if (r == NULL || has_state(r, "57014")) {
        gone(err);
    } else {
        /* What the database says may quote values of the request. */
        const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
        andiron_error_set(err, ANDIRON_E_UNPROCESSABLE, "", "the query failed (%s)",
                          state != NULL ? state : "the database is away");
    }
    PQclear(r);
    end(c);
    return result;
}

/* ---- connections ---------------------------------------------------------------------------------- */

static void *open_client(void *arg, const atomic_bool *stopping, struct andiron_error *err)
{
    struct client *c = calloc(1, sizeof(*c));

    if (c == NULL) {
        andiron_error_set(err, ANDIRON_E_UNAVAILABLE, "", "out of memory");
        return NULL;
    }
    c->store = arg;
    c->stopping = stopping;
    return c;
}

static void close_client(void *own)
{
    leave(own);
    free(own);
}

struct questions *sql_questions(struct store *store)
{
    const struct questions_kind kind = { .open = open_client,
                                         .answer = answer,
                                         .close = close_client,
                                         .arg = store,
                                         .threads = store->config->policy_connections,
                                         .most = store->config->policy_queue,
                                         .too_many = "store-postgres.policy-queue" };
    return questions_new(&kind);
}

/* ---- checking -------------------------------------------------------------------------------------- */

static bool begins_with(const char *text, const char *word)
{
    size_t len = strlen(word);
    return strncasecmp(text, word, len) == 0 && !isalnum((unsigned char)text[len]) &&
           text[len] != '_';
}

static bool is_select(const char *text)
{
    text += strspn(text, " \t\r\n\f(");
    return begins_with(text, "SELECT") || begins_with(text, "WITH");
}

static int refuse(const PGresult *r, const char *text, struct andiron_error *err)
{
    const char *message = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);

    message = message != NULL ? message : "the database is away";
    if (strstr(message, "multiple commands") != NULL)
        return andiron_error_set(err, ANDIRON_E_VALUE, "", "is more than one statement");
    if (has_state(r, "42601"))
        return andiron_error_set(err, ANDIRON_E_VALUE, "", "is no SQL statement that runs here: %s",
                                 message);
    if (!is_select(text))
        return andiron_error_set(err, ANDIRON_E_VALUE, "", "is not a SELECT");
    if (has_state(r, "42P01"))
        return andiron_error_set(err, ANDIRON_E_VALUE, "", "no such table: %s", message);
    if (has_state(r, "42501") || has_state(r, "25006"))
        return andiron_error_set(err, ANDIRON_E_VALUE, "",
                                 "may only read the tables of FHIR types: %s", message);
    return andiron_error_set(err, ANDIRON_E_VALUE, "", "is no SQL statement that runs here: %s",
                             message);
}

/* Its shape: one statement that gives columns and takes what it is given. */
static int check_shape(struct client *c, const char *text, size_t param_count, int *ret_used,
                       struct andiron_error *err)
{
    Oid types[PARAMS_MAX];
    int ret = 0;

    for (size_t i = 0; i < PARAMS_MAX; i++)
        types[i] = WIRE_TEXT;
    PGresult *r = take(c, PQsendPrepare(c->pg, "", text, 0, NULL));
    if (has_state(r, "42P18")) {
        PQclear(r);
        end(c);
        r = begin(c, CHECK_MS, err) == 0
                ? take(c, PQsendPrepare(c->pg, "", text, (int)param_count, types))
                : NULL;
    }
    if (!is_good(r))
        ret = r != NULL ? refuse(r, text, err) : gone(err);
    PQclear(r);
    if (ret != 0)
        return -1;
    r = take(c, PQsendDescribePrepared(c->pg, ""));
    if (r == NULL)
        return gone(err);
    if (PQnfields(r) == 0 || !is_select(text))
        ret = andiron_error_set(err, ANDIRON_E_VALUE, "", "is not a SELECT");
    else if ((size_t)PQnparams(r) > param_count)
        ret = andiron_error_set(err, ANDIRON_E_VALUE, "",
                                "has a parameter of its own; values of the request are written "
                                "{{path}}");
    *ret_used = PQnparams(r);
    PQclear(r);
    return ret;
}

/* Runs it without values: what it may not do shows, what it would find does not matter. */
static int check_run(struct client *c, const char *text, int used, struct andiron_error *err)
{
    const char *values[PARAMS_MAX] = { NULL };
    PGresult *r = take(c, PQsendQueryPrepared(c->pg, "", used, values, NULL, NULL, 0));
    bool is_refused = has_state(r, "42") || has_state(r, "25006");
    int ret = 0;

    if (r == NULL)
        ret = gone(err);
    else if (is_refused)
        ret = refuse(r, text, err);

    PQclear(r);
    return ret;
}

static int sql_check(void *self, andiron_str text, size_t param_count, struct andiron_error *err)
{
    struct client c = { .store = self };
    struct andiron_arena *arena;
    int ret = -1, used = 0;

    if (text.len > TEXT_MAX || param_count > PARAMS_MAX ||
        memchr(text.data, '\0', text.len) != NULL)
        return andiron_error_set(err, ANDIRON_E_VALUE, "", "is longer than %d bytes, or has a NUL",
                                 TEXT_MAX);
    /* It was checked when it was written, and a query that fails is a fault of its policy. */
    if (is_loop)
        return 0;
    arena = andiron_arena_new(0);
    const char *copy = andiron_copy(arena, text);
    if (begin(&c, CHECK_MS, err) == 0) {
        ret = check_shape(&c, copy, param_count, &used, err);
        if (ret == 0)
            ret = check_run(&c, copy, used, err);
    }
    leave(&c);
    andiron_arena_free(arena);
    return ret;
}

static void sql_ask(void *self, andiron_str text, const andiron_str *params, size_t param_count,
                    int64_t limit_ms,
                    void (*done)(void *arg, bool truth, const struct andiron_error *err), void *arg)
{
    struct store *store = self;
    questions_ask(store->sql, text, params, param_count, limit_ms, done, arg);
}

const struct andiron_sql service_sql = { .size = sizeof(service_sql),
                                         .check = sql_check,
                                         .ask = sql_ask };
