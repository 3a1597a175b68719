/*
 * A store as a module on loops of its own; see kit.h.
 */
#include "kit.h"

#include <libpq-fe.h>
#include <pthread.h>
#include <sqlite3.h>

#include "base/arena.h"
#include "host/settings.h"
#include "http/server.h"
#include "loop/loop.h"
#include "loop/pool.h"

enum { DEADLINE_MS = 60000 };

struct lane {
    struct host *host;
    struct andiron_loop *loop;
    pthread_t thread;
    sem_t up;
};

struct kit_base {
    char folder[64], dsn[512], database[64];
    struct settings settings;
    struct host *host;
    struct http_server *server;
    struct lane lanes[KIT_LOOPS];
    sem_t over;
};

static bool is_postgres;
static const char *third; /* path of a third party's store; NULL: one of ours */

bool kit_is_postgres(void)
{
    return is_postgres;
}

bool kit_is_third(void)
{
    return third != NULL;
}

int kit_main(int argc, char **argv, const struct CMUnitTest *tests, size_t count)
{
    if (argc != 2 || (strcmp(argv[1], "sqlite") != 0 && strcmp(argv[1], "postgres") != 0 &&
                      strchr(argv[1], '/') == NULL)) {
        fprintf(stderr, "usage: %s sqlite|postgres|./store-NAME.so\n", argv[0]);
        return 64;
    }
    third = strchr(argv[1], '/') != NULL ? argv[1] : NULL;
    is_postgres = strcmp(argv[1], "postgres") == 0;
    return _cmocka_run_group_tests(argv[1], tests, count, NULL, NULL);
}

/* ---- databases ---------------------------------------------------------------------------- */

static int64_t ask_postgres(const char *dsn, const char *sql)
{
    PGconn *connection = PQconnectdb(dsn);
    PGresult *r;
    int64_t ret = -1;

    if (PQstatus(connection) != CONNECTION_OK)
        fail_msg("%s", PQerrorMessage(connection));
    PQclear(PQexec(connection, "SET search_path=andiron,public"));
    r = PQexec(connection, sql);
    if (PQresultStatus(r) == PGRES_TUPLES_OK)
        ret = strtoll(PQgetvalue(r, 0, 0), NULL, 10);
    else if (PQresultStatus(r) != PGRES_COMMAND_OK)
        fail_msg("%s: %s", sql, PQerrorMessage(connection));
    PQclear(r);
    PQfinish(connection);
    return ret;
}

static int64_t ask_sqlite(const struct kit_base *b, const char *sql)
{
    char path[96];
    sqlite3 *db;
    sqlite3_stmt *s;
    int64_t ret;

    snprintf(path, sizeof(path), "%s/andiron.db", b->folder);
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    (void)sqlite3_busy_timeout(db, 5000);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &s, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    ret = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    sqlite3_close(db);
    return ret;
}

int64_t kit_number(struct kit *k, const char *sql)
{
    if (third != NULL)
        skip(); /* what tables it has, if any, is its own affair */
    return is_postgres ? ask_postgres(k->base->dsn, sql) : ask_sqlite(k->base, sql);
}

void kit_expect(struct kit *k, const char *sql, int64_t number)
{
    if (third != NULL)
        return;
    int64_t found = kit_number(k, sql);
    if (found != number)
        fail_msg("%s: %lld, not %lld", sql, (long long)found, (long long)number);
}

static void make_database(struct kit_base *b)
{
    static int number;
    const char *cluster = getenv("ANDIRON_TEST_POSTGRES");
    char sql[120];

    if (cluster == NULL)
        fail_msg("run it by: node tests/lib/postgres.mjs run ..");
    snprintf(b->database, sizeof(b->database), "contract_%d_%d", (int)getpid(), ++number);
    snprintf(sql, sizeof(sql), "CREATE DATABASE %s", b->database);
    (void)ask_postgres(cluster, sql);
    snprintf(b->dsn, sizeof(b->dsn), "%s dbname=%s", cluster, b->database);
}

static void drop_database(const struct kit_base *b)
{
    char sql[120];

    snprintf(sql, sizeof(sql), "DROP DATABASE %s WITH (FORCE)", b->database);
    (void)ask_postgres(getenv("ANDIRON_TEST_POSTGRES"), sql);
}

/* ---- the host --------------------------------------------------------------------------------- */

static void write_file(const struct kit_base *b, const char *name, const char *text)
{
    char path[160];

    snprintf(path, sizeof(path), "%s/%s", b->folder, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    (void)fputs(text, f);
    (void)fclose(f);
}

/* "store-memory" of "x/store-memory.so", and where that is. */
static void name_third(char *ret_folder, char *ret_name, size_t size)
{
    const char *file = strrchr(third, '/') + 1;
    snprintf(ret_folder, size, "%.*s", (int)(file - third), third);
    snprintf(ret_name, size, "%.*s", (int)strcspn(file, "."), file);
}

static void configure(const struct kit *k)
{
    const struct kit_base *b = k->base;
    const char *extra = k->extra != NULL ? k->extra : "";
    char text[1200], folder[300] = ANDIRON_BINARY_DIR "/modules", name[300];

    if (third != NULL)
        name_third(folder, name, sizeof(name));

    snprintf(text, sizeof(text), "mkdir -p %s/plugins.d", b->folder);
    assert_int_equal(system(text), 0);
    snprintf(text, sizeof(text),
             "[http]\nbase-url = http://test.example\n[core]\nstate-dir = %s\nmodule-path = %s\n",
             b->folder, folder);
    write_file(b, "andiron.conf", text);
    if (third != NULL)
        snprintf(text, sizeof(text), "[plugin %s]\nmodule = %s.so\n", name, name);
    else if (is_postgres)
        snprintf(text, sizeof(text),
                 "[plugin store-postgres]\nmodule = store-postgres.so\ndsn = %s\n%s", b->dsn,
                 extra);
    else
        snprintf(text, sizeof(text), "[plugin store-sqlite]\nmodule = store-sqlite.so\n%s", extra);
    write_file(b, "plugins.d/10-store.conf", text);
}

static void *run_lane(void *arg)
{
    struct lane *lane = arg;
    struct andiron_error err;

    if (host_loop_start(lane->host, lane->loop, &err) != 0) {
        fprintf(stderr, "loop_start: %s\n", err.message);
        abort();
    }
    sem_post(&lane->up);
    loop_run(lane->loop);
    host_loop_stop(lane->host, lane->loop);
    arena_cache_drop();
    return NULL;
}

static const struct andiron_plugin core = { .name = "core", .version = "0", .summary = "" };

static void start(struct kit *k)
{
    static const char *const none[] = { NULL };
    struct kit_base *b = k->base;
    struct invocation invocation = { .dir = b->folder, .overrides = none };
    struct andiron_loop *loops[KIT_LOOPS];
    struct andiron_service_ref ref;
    struct andiron_error err;
    const struct http_app *app;

    b->host = settings_read(&invocation, SECRETS_READ, &b->settings);
    host_load(b->host, &core, NULL, b->settings.module_path);
    if (host_problems(b->host)->errors != 0) {
        problems_print(host_problems(b->host), stderr);
        fail_msg("wrong configuration");
    }
    assert_int_equal(pool_start(2, &err), 0);
    for (unsigned i = 0; i < KIT_LOOPS; i++)
        loops[i] = b->lanes[i].loop = loop_new(i, &err);
    if (host_init(b->host, &b->settings.http, loops, KIT_LOOPS, &app, &err) != 0)
        fail_msg("init: %s", err.message);
    b->server = http_server_new(app, loops, KIT_LOOPS, NULL, 0, &err);
    assert_non_null(b->server);
    if (host_start(b->host, &err) != 0)
        fail_msg("start: %s", err.message);
    for (unsigned i = 0; i < KIT_LOOPS; i++) {
        b->lanes[i].host = b->host;
        sem_init(&b->lanes[i].up, 0, 0);
        assert_int_equal(pthread_create(&b->lanes[i].thread, NULL, run_lane, &b->lanes[i]), 0);
        sem_wait(&b->lanes[i].up);
    }
    assert_true(host_service(b->host, ANDIRON_STORE, NULL, &ref, NULL));
    k->store = ref.table;
    k->self = ref.self;
}

static void stop(struct kit *k)
{
    struct kit_base *b = k->base;

    for (unsigned i = 0; i < KIT_LOOPS; i++) {
        loop_quit(b->lanes[i].loop);
        (void)pthread_join(b->lanes[i].thread, NULL);
    }
    pool_stop();
    host_stop(b->host);
    http_server_free(b->server);
    for (unsigned i = 0; i < KIT_LOOPS; i++)
        loop_free(b->lanes[i].loop);
    host_free(b->host);
}

int kit_setup(void **state)
{
    struct kit *k = calloc(1, sizeof(*k));

    k->base = calloc(1, sizeof(*k->base));
    snprintf(k->base->folder, sizeof(k->base->folder), "/tmp/andiron-contract-XXXXXX");
    assert_non_null(mkdtemp(k->base->folder));
    k->is_postgres = is_postgres;
    if (is_postgres)
        make_database(k->base);
    k->arena = andiron_arena_new(0);
    sem_init(&k->base->over, 0, 0);
    configure(k);
    start(k);
    *state = k;
    return 0;
}

int kit_teardown(void **state)
{
    struct kit *k = *state;
    char text[120];

    stop(k);
    if (is_postgres)
        drop_database(k->base);
    snprintf(text, sizeof(text), "rm -rf %s", k->base->folder);
    assert_int_equal(system(text), 0);
    andiron_arena_free(k->arena);
    free(k->base);
    free(k);
    arena_cache_drop();
    return 0;
}

void kit_restart(struct kit *k)
{
    if (third != NULL)
        skip(); /* it may keep nothing, and has directives of its own */
    stop(k);
    configure(k);
    start(k);
}

/* ---- jobs --------------------------------------------------------------------------------------- */

void kit_begin(struct kit *k, unsigned loop, andiron_step_fn first, void *state)
{
    andiron_job_start(k->base->lanes[loop].loop, "test", DEADLINE_MS, first, state);
}

void kit_wait(struct kit *k)
{
    while (sem_wait(&k->base->over) != 0)
        ;
}

void kit_run(struct kit *k, unsigned loop, andiron_step_fn first, void *state)
{
    kit_begin(k, loop, first, state);
    kit_wait(k);
}

enum andiron_step kit_over(struct kit *k)
{
    sem_post(&k->base->over);
    return ANDIRON_DONE;
}

andiron_str kit_str(struct kit *k, andiron_str s)
{
    if (s.data == NULL)
        return s;
    return (andiron_str){ andiron_copy(k->arena, s), s.len };
}

struct andiron_rows kit_rows(struct kit *k, const struct andiron_rows *rows)
{
    struct andiron_rows ret = *rows;

    ret.rows = andiron_alloc(k->arena, (rows->count + 1) * sizeof(ret.rows[0]));
    for (size_t i = 0; i < rows->count; i++) {
        ret.rows[i] = rows->rows[i];
        ret.rows[i].ref.type = kit_str(k, ret.rows[i].ref.type);
        ret.rows[i].ref.id = kit_str(k, ret.rows[i].ref.id);
        ret.rows[i].body = kit_str(k, ret.rows[i].body);
    }
    ret.cursor = kit_str(k, rows->cursor);
    ret.horizon = kit_str(k, rows->horizon);
    ret.explain = kit_str(k, rows->explain);
    ret.previous = kit_str(k, rows->previous);
    return ret;
}

/* Ends the test, if a call that a store need not have is not there. */
#define NEED(k, call)                                                                              \
    do {                                                                                           \
        if ((k)->store->size <= offsetof(struct andiron_store, call) || (k)->store->call == NULL)  \
            skip();                                                                                \
    } while (0)

/* ---- calls ------------------------------------------------------------------------------------------ */

struct call {
    struct kit *k;
    struct andiron_commit *commit;
    const struct andiron_term_maker *maker;
    const struct andiron_ref *refs;
    size_t count;
    const struct andiron_query *query;
    const struct andiron_walk *walk;
    const struct andiron_visitor *visitor;
    const char *const *types, *const *params;
    struct andiron_rows rows, *ret_rows;
    andiron_str name;
    andiron_usec expires;
    bool taken;
    struct andiron_error err;
    enum andiron_index_op op;
    struct andiron_indexing *items;
    const char *type, *param;
    struct andiron_purge *purge;
};

static enum andiron_step committed(struct andiron_request *req, void *state)
{
    struct call *c = state;

    (void)req;
    for (size_t i = 0; i < c->commit->count; i++) {
        struct andiron_write *write = &c->commit->writes[i];
        write->ref.type = kit_str(c->k, write->ref.type);
        write->ref.id = kit_str(c->k, write->ref.id);
        write->body = kit_str(c->k, write->body);
    }
    return kit_over(c->k);
}

static enum andiron_step do_commit(struct andiron_request *req, void *state)
{
    struct call *c = state;

    if (c->maker == NULL)
        return c->k->store->commit(c->k->self, req, c->commit, committed, c);
    return c->k->store->commit_making(c->k->self, req, c->commit, c->maker, committed, c);
}

int kit_commit_making(struct kit *k, struct andiron_commit *commit,
                      const struct andiron_term_maker *maker)
{
    struct call c = { .k = k, .commit = commit, .maker = maker };

    if (maker != NULL)
        NEED(k, commit_making);
    kit_run(k, 0, do_commit, &c);
    return commit->error.code == ANDIRON_OK ? 0 : -1;
}

int kit_commit(struct kit *k, struct andiron_commit *commit)
{
    return kit_commit_making(k, commit, NULL);
}

static enum andiron_step got_rows(struct andiron_request *req, void *state)
{
    struct call *c = state;

    (void)req;
    *c->ret_rows = kit_rows(c->k, &c->rows);
    return kit_over(c->k);
}

static enum andiron_step do_read(struct andiron_request *req, void *state)
{
    struct call *c = state;
    return c->k->store->read(c->k->self, req, c->refs, c->count, &c->rows, got_rows, c);
}

struct andiron_rows kit_read(struct kit *k, const struct andiron_ref *refs, size_t count)
{
    struct andiron_rows rows = { .total = -1 };
    struct call c = { .k = k, .refs = refs, .count = count, .ret_rows = &rows };

    kit_run(k, 0, do_read, &c);
    return rows;
}

static enum andiron_step do_search(struct andiron_request *req, void *state)
{
    struct call *c = state;
    return c->k->store->search(c->k->self, req, c->query, &c->rows, got_rows, c);
}

int kit_search(struct kit *k, const struct andiron_query *query, struct andiron_rows *rows)
{
    struct call c = { .k = k, .query = query, .ret_rows = rows };

    kit_run(k, 0, do_search, &c);
    return rows->error.code == ANDIRON_OK ? 0 : -1;
}

static enum andiron_step do_in_use(struct andiron_request *req, void *state)
{
    struct call *c = state;
    return c->k->store->in_use(c->k->self, req, c->types, c->params, c->count, c->visitor, &c->rows,
                               got_rows, c);
}

int kit_in_use(struct kit *k, const char *const *types, const char *const *params, size_t limit,
               const struct andiron_visitor *visitor, struct andiron_rows *rows)
{
    struct call c = { .k = k,
                      .types = types,
                      .params = params,
                      .count = limit,
                      .visitor = visitor,
                      .ret_rows = rows };

    NEED(k, in_use);
    kit_run(k, 0, do_in_use, &c);
    return rows->error.code == ANDIRON_OK ? 0 : -1;
}

static enum andiron_step do_walk(struct andiron_request *req, void *state)
{
    struct call *c = state;
    return c->k->store->walk(c->k->self, req, c->walk, &c->rows, got_rows, c);
}

int kit_walk(struct kit *k, const struct andiron_walk *walk, struct andiron_rows *rows)
{
    struct call c = { .k = k, .walk = walk, .ret_rows = rows };

    kit_run(k, 0, do_walk, &c);
    return rows->error.code == ANDIRON_OK ? 0 : -1;
}

static enum andiron_step do_visit(struct andiron_request *req, void *state)
{
    struct call *c = state;
    return c->k->store->visit(c->k->self, req, c->walk, c->visitor, &c->rows, got_rows, c);
}

int kit_visit(struct kit *k, const struct andiron_walk *walk, const struct andiron_visitor *visitor,
              struct andiron_rows *rows)
{
    struct call c = { .k = k, .walk = walk, .visitor = visitor, .ret_rows = rows };

    NEED(k, visit);
    kit_run(k, 0, do_visit, &c);
    return rows->error.code == ANDIRON_OK ? 0 : -1;
}

static enum andiron_step done(struct andiron_request *req, void *state)
{
    struct call *c = state;

    (void)req;
    for (size_t i = 0; c->items != NULL && i < c->count; i++)
        c->items[i].differing = kit_str(c->k, c->items[i].differing);
    return kit_over(c->k);
}

static enum andiron_step do_claim(struct andiron_request *req, void *state)
{
    struct call *c = state;
    return c->k->store->claim(c->k->self, req, c->name, c->expires, &c->taken, &c->err, done, c);
}

bool kit_claim(struct kit *k, const char *name, andiron_usec expires)
{
    struct call c = { .k = k, .name = andiron_str_of(name), .expires = expires };

    kit_run(k, 0, do_claim, &c);
    if (c.err.code != ANDIRON_OK)
        fail_msg("claim: %s", c.err.message);
    return c.taken;
}

static enum andiron_step do_index(struct andiron_request *req, void *state)
{
    struct call *c = state;
    return c->k->store->index(c->k->self, req, c->op, c->items, c->count, &c->err, done, c);
}

int kit_index(struct kit *k, enum andiron_index_op op, struct andiron_indexing *items, size_t count,
              struct andiron_error *err)
{
    struct call c = { .k = k, .op = op, .items = items, .count = count };

    kit_run(k, 0, do_index, &c);
    *err = c.err;
    return c.err.code == ANDIRON_OK ? 0 : -1;
}

static enum andiron_step do_forget(struct andiron_request *req, void *state)
{
    struct call *c = state;
    return c->k->store->forget(c->k->self, req, c->type, c->param, &c->err, done, c);
}

int kit_forget(struct kit *k, const char *type, const char *param, struct andiron_error *err)
{
    struct call c = { .k = k, .type = type, .param = param };

    NEED(k, forget);
    kit_run(k, 0, do_forget, &c);
    *err = c.err;
    return c.err.code == ANDIRON_OK ? 0 : -1;
}

static enum andiron_step do_purge(struct andiron_request *req, void *state)
{
    struct call *c = state;
    return c->k->store->purge(c->k->self, req, c->purge, done, c);
}

int kit_purge(struct kit *k, struct andiron_purge *purge)
{
    struct call c = { .k = k, .purge = purge };

    NEED(k, purge);
    kit_run(k, 0, do_purge, &c);
    return purge->error.code == ANDIRON_OK ? 0 : -1;
}
