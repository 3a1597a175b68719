/*
 * SQL of policies: what it sees, what it may not do, and that it ends.
 */
#include "test_kit.h"

#include <pthread.h>

#include "sql.h"

static struct kit kit;

static void put(const char *type, const char *id, const char *body)
{
    char sql[1024];

    snprintf(sql, sizeof(sql),
             "WITH t AS (INSERT INTO restype(name) VALUES('%s') ON CONFLICT(name) DO UPDATE"
             " SET name=excluded.name RETURNING id),"
             "r AS (INSERT INTO resource SELECT nextval('rid'),t.id,'%s',nextval('vid'),1,0 FROM t"
             " RETURNING *) INSERT INTO version SELECT vid,rid,now(),1,type,0,0,NULL,NULL,"
             "convert_to('%s','UTF8') FROM r",
             type, id, body);
    (void)kit_sql(&kit, sql);
}

static int set_up(void **state)
{
    (void)state;
    kit_open(&kit);
    (void)kit_sql(&kit, "SET search_path=andiron");
    put("Patient", "p", "{\"resourceType\":\"Patient\",\"active\":true,\"x\":1.50}");
    put("Claim", "c", "{\"resourceType\":\"Claim\"}");
    put("Client", "root", "{\"secret\":\"hash\"}");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    kit_end(&kit);
    return 0;
}

struct answer {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_there, truth;
    struct andiron_error err;
};

static void done(void *arg, bool truth, const struct andiron_error *err)
{
    struct answer *a = arg;

    pthread_mutex_lock(&a->lock);
    a->truth = truth;
    if (err != NULL)
        a->err = *err;
    a->is_there = true;
    pthread_cond_signal(&a->changed);
    pthread_mutex_unlock(&a->lock);
}

/* 1, 0, or -1 and a->err. */
static int ask(struct answer *a, const char *text, const andiron_str *params, size_t count,
               int64_t limit_ms)
{
    *a = (struct answer){ .is_there = false };
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->changed, NULL);
    service_sql.ask(&kit.store, andiron_str_of(text), params, count, limit_ms, done, a);
    pthread_mutex_lock(&a->lock);
    while (!a->is_there)
        pthread_cond_wait(&a->changed, &a->lock);
    pthread_mutex_unlock(&a->lock);
    pthread_mutex_destroy(&a->lock);
    pthread_cond_destroy(&a->changed);
    return a->err.code != ANDIRON_OK ? -1 : a->truth;
}

static void answers_are_the_first_value_of_the_first_row(void **state)
{
    static const struct {
        const char *text;
        int truth;
    } rows[] = {
        { "SELECT true", 1 },
        { "SELECT false", 0 },
        { "SELECT NULL::bool", 0 },
        { "SELECT 2", 1 },
        { "SELECT 0", 0 },
        { "SELECT 0.5", 1 },
        { "SELECT 0.00", 0 },
        { "SELECT 'True'", 1 },
        { "SELECT 't'", 1 },
        { "SELECT 'yes'", 0 },
        { "SELECT true WHERE false", 0 },
        { "SELECT true FROM patient WHERE id='p' AND (resource->>'active')::bool", 1 },
        { "SELECT resource->>'x'='1.50' FROM patient", 1 },
        { "SELECT version_id='1' AND last_updated<=now() FROM patient WHERE id='p'", 1 },
        { "SELECT count(*)=1 FROM claim", 1 },
        { "SELECT count(*) FROM observation", 0 },
        { "WITH x AS (SELECT id FROM patient) SELECT count(*) FROM x", 1 },
    };
    struct answer a;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int truth = ask(&a, rows[i].text, NULL, 0, 5000);
        if (truth != rows[i].truth)
            fail_msg("%s: %d %s", rows[i].text, truth, a.err.message);
    }
}

static void parameters_are_values_and_never_text(void **state)
{
    const andiron_str params[2] = { ANDIRON_STR("p"), { NULL, 0 } };
    const andiron_str tricky[1] = { ANDIRON_STR("x' OR '1'='1") };
    struct answer a;

    (void)state;
    assert_int_equal(ask(&a, "SELECT true FROM patient WHERE id=$1", params, 2, 5000), 1);
    assert_int_equal(ask(&a, "SELECT true FROM patient WHERE id=$1", tricky, 1, 5000), 0);
    assert_int_equal(ask(&a, "SELECT $2 IS NULL AND $1 IS NOT NULL", params, 2, 5000), 1);
    assert_int_equal(ask(&a, "SELECT $1='p'", params, 2, 5000), 1);
}

static void what_is_no_reading_of_the_views_is_refused(void **state)
{
    static const struct {
        const char *text, *message;
    } rows[] = {
        { "SELEKT 1", "syntax error" },
        { "", "is not a SELECT" },
        { "SELECT 1; SELECT 2", "more than one" },
        { "DELETE FROM patient", "is not a SELECT" },
        { "SELECT body FROM version", "no such table" },
        { "SELECT 1 FROM client", "no such table" },
        { "SELECT 1 FROM andiron.resource", "may only read" },
        { "SELECT 1 FROM pg_authid", "may only read" },
        { "SELECT 1 FROM nowhere", "no such table" },
        { "SELECT nothing FROM patient", "does not exist" },
        { "SELECT $2 FROM patient", "parameter of its own" },
        { "SELECT nextval('andiron.vid')", "may only read" },
        { "SELECT pg_read_file('/etc/passwd')", "may only read" },
        { "SELECT pg_ls_dir('.')", "may only read" },
        { "SELECT set_config('role','postgres',true)", NULL },
        { "SHOW work_mem", "is not a SELECT" },
        { "VALUES (1)", "is not a SELECT" },
        { "COPY patient TO STDOUT", "is not a SELECT" },
        { "SELECT 1 INTO TEMP x", NULL },
        { "WITH x AS (INSERT INTO patient VALUES('1','1',now(),'{}') RETURNING 1) SELECT 1 FROM x",
          NULL },
        { "SELECT true FROM patient WHERE id=$1", "" },
    };
    struct andiron_error err;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        err = (struct andiron_error){ .code = ANDIRON_OK };
        int result = service_sql.check(&kit.store, andiron_str_of(rows[i].text), 1, &err);
        bool is_allowed = rows[i].message != NULL && rows[i].message[0] == '\0';
        if ((result == 0) != is_allowed ||
            (rows[i].message != NULL && strstr(err.message, rows[i].message) == NULL) ||
            (result != 0 && err.code != ANDIRON_E_VALUE))
            fail_msg("%s: %d %s", rows[i].text, result, err.message);
    }
}

static void what_was_not_checked_changes_nothing_either(void **state)
{
    static const char *const texts[] = {
        "DELETE FROM andiron.resource",
        "CREATE TABLE x(a int)",
        "SELECT set_config('transaction_read_only','off',false)",
        "WITH x AS (DELETE FROM andiron.resource RETURNING 1) SELECT count(*) FROM x",
        "COMMIT",
    };
    struct answer a;

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        int truth = ask(&a, texts[i], NULL, 0, 5000);
        assert_int_not_equal(truth, 1);
    }
    assert_string_equal(kit_sql(&kit, "SELECT count(*) FROM resource"), "3");
    /* Neither what a transaction that only reads may make all the same, nor locks of the session. */
    (void)ask(&a, "SELECT lo_creat(-1)", NULL, 0, 5000);
    assert_string_equal(kit_sql(&kit, "SELECT count(*) FROM pg_largeobject_metadata"), "0");
    assert_int_equal(ask(&a, "SELECT count(pg_advisory_lock(1,1)) FROM patient", NULL, 0, 5000), 1);
    assert_string_equal(kit_sql(&kit, "SELECT count(*) FROM pg_locks WHERE locktype='advisory'"),
                        "0");
}

static void long_queries_end(void **state)
{
    struct answer a;

    (void)state;
    assert_int_equal(ask(&a,
                         "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM n)"
                         " SELECT count(*) FROM n",
                         NULL, 0, 200),
                     -1);
    assert_int_equal(a.err.code, ANDIRON_E_TIMEOUT);
    assert_int_equal(ask(&a, "SELECT true", NULL, 0, 5000), 1);
}

static void lost_connection_is_made_again(void **state)
{
    struct answer a;

    (void)state;
    assert_int_equal(ask(&a, "SELECT true", NULL, 0, 5000), 1);
    assert_string_equal(kit_sql(&kit,
                                "SELECT count(pg_terminate_backend(pid,5000)) FROM pg_stat_activity"
                                " WHERE application_name='andiron policies'"
                                " AND datname=current_database()"),
                        "1");
    (void)ask(&a, "SELECT true", NULL, 0, 5000);
    assert_int_equal(ask(&a, "SELECT true", NULL, 0, 5000), 1);
}

static void role_is_poor_and_its_own(void **state)
{
    const char *user;
    char sql[200];
    struct andiron_error err;
    PGconn *pg = sql_role_connect(kit.store.sql_role, &err);

    (void)state;
    assert_non_null(pg);
    user = PQuser(pg);
    snprintf(sql, sizeof(sql),
             "SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls"
             " FROM pg_roles WHERE rolname='%s'",
             user);
    assert_string_equal(kit_sql(&kit, sql), "f");
    PQfinish(pg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_the_first_value_of_the_first_row),
        cmocka_unit_test(parameters_are_values_and_never_text),
        cmocka_unit_test(what_is_no_reading_of_the_views_is_refused),
        cmocka_unit_test(what_was_not_checked_changes_nothing_either),
        cmocka_unit_test(long_queries_end),
        cmocka_unit_test(lost_connection_is_made_again),
        cmocka_unit_test(role_is_poor_and_its_own),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
