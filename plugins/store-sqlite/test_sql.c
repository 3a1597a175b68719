/*
 * SQL of policies: what it sees, what it may not do, what ends it.
 */
#include "test_kit.h"

#include <semaphore.h>

#include "sql.h"

static struct kit kit;

struct reply {
    sem_t over;
    bool truth;
    enum andiron_code code;
    char message[384];
};

static int set_up(void **state)
{
    (void)state;
    kit_open(&kit);
    assert_true(kit_put(&kit, "Patient", "p1", "{\"resourceType\":\"Patient\",\"active\":true,\"gender\":\"female\"}", NULL, 0) > 0);
    assert_true(kit_put(&kit, "Patient", "p2", "{\"resourceType\":\"Patient\",\"active\":false}", NULL, 0) > 0);
    assert_true(kit_put(&kit, "Encounter", "e1", "{\"resourceType\":\"Encounter\",\"subject\":{\"reference\":\"Patient/p1\"}}", NULL, 0) > 0);
    assert_true(kit_put(&kit, "Client", "c1", "{\"resourceType\":\"Client\",\"secret\":\"planted\"}", NULL, 0) > 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    kit_end(&kit);
    return 0;
}

static void done(void *arg, bool truth, const struct andiron_error *err)
{
    struct reply *reply = arg;
    reply->truth = truth;
    reply->code = err != NULL ? err->code : ANDIRON_OK;
    snprintf(reply->message, sizeof(reply->message), "%s", err != NULL ? err->message : "");
    sem_post(&reply->over);
}

static struct reply ask_within(const char *query, const char *value, int64_t limit_ms)
{
    struct reply reply;
    const andiron_str params[] = { value != NULL ? andiron_str_of(value) : (andiron_str){ NULL, 0 } };
    assert_int_equal(sem_init(&reply.over, 0, 0), 0);
    service_sql.ask(&kit.store, andiron_str_of(query), params, 1, limit_ms, done, &reply);
    assert_int_equal(sem_wait(&reply.over), 0);
    return reply;
}

static bool ask(const char *query, const char *value)
{
    struct reply reply = ask_within(query, value, 60000);
    if (reply.code != ANDIRON_OK)
        fail_msg("%s: %s", query, reply.message);
    return reply.truth;
}

static void queries_see_current_fhir_resources(void **state)
{
    (void)state;
    assert_true(ask("SELECT 1 FROM patient WHERE id=$1", "p1"));
    assert_false(ask("SELECT 1 FROM patient WHERE id=$1", "p3"));
    assert_false(ask("SELECT 1 FROM patient WHERE id=$1", NULL));
    assert_true(ask("SELECT count(*)=2 FROM Patient", NULL));
    assert_true(ask("SELECT resource->>'gender'='female' FROM patient WHERE id='p1'", NULL));
    assert_true(ask("SELECT true FROM encounter e JOIN patient p ON e.resource->'subject'->>'reference'='Patient/'||p.id "
                    "WHERE p.id=$1", "p1"));
    assert_true(ask("SELECT EXISTS(SELECT 1 FROM encounter WHERE resource->'subject'->>'reference'='Patient/'||$1)", "p1"));
    assert_false(ask("SELECT EXISTS(SELECT 1 FROM encounter WHERE resource->'subject'->>'reference'='Patient/'||$1)", "p2"));
    assert_true(ask("WITH x AS (SELECT id FROM patient) SELECT count(*)=2 FROM x", NULL));
    assert_true(ask("SELECT 'p1' IN (SELECT id FROM patient)", NULL));
    assert_true(ask("SELECT last_updated LIKE '20__-__-__T%Z' AND version_id='1' FROM patient", NULL));
    assert_true(ask("SELECT count(*)=0 FROM \"group\"", NULL));

    assert_true(kit_put(&kit, "Patient", "p1", "{\"resourceType\":\"Patient\",\"gender\":\"male\"}", NULL, 0) > 0);
    assert_true(ask("SELECT resource->>'gender'='male' AND version_id='2' FROM patient WHERE id='p1'", NULL));
    struct andiron_write drop = { .ref = kit_ref("Patient", "p2"), .remove = true };
    struct andiron_commit commit = { .writes = &drop, .count = 1 };
    assert_int_equal(kit_commit(&kit, &commit), 0);
    assert_true(ask("SELECT count(*)=1 FROM patient", NULL));
}

static void the_first_value_decides(void **state)
{
    static const struct {
        const char *query;
        bool truth;
    } rows[] = { { "SELECT 1", true },          { "SELECT 0", false },       { "SELECT 0.5", true },
                 { "SELECT 0.0", false },       { "SELECT 't'", true },      { "SELECT 'TRUE'", true },
                 { "SELECT 'false'", false },   { "SELECT 'yes'", false },   { "SELECT NULL", false },
                 { "SELECT '1'", false },       { "SELECT 1 WHERE 0", false }, { "SELECT 0, 1", false },
                 { "SELECT x FROM (SELECT 1 AS x UNION ALL SELECT 0)", true }, { "SELECT x'01'", false } };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (ask(rows[i].query, NULL) != rows[i].truth)
            fail_msg("%s", rows[i].query);
}

static void nothing_else_can_be_reached(void **state)
{
    static const char *const queries[] = {
        "SELECT body FROM version",
        "SELECT v FROM meta",
        "SELECT 1 FROM client",
        "SELECT 1 FROM main.version",
        "WITH patient AS (SELECT body FROM version) SELECT 1 FROM patient",
        "SELECT sql FROM sqlite_master",
        "SELECT sql FROM sqlite_schema",
        "SELECT 1 FROM sqlite_temp_master",
        "SELECT 1 FROM pragma_database_list",
        "PRAGMA database_list",
        "ATTACH 'other.db' AS x",
        "CREATE TABLE x(a)",
        "CREATE TEMP VIEW patient AS SELECT 1",
        "INSERT INTO patient(id) VALUES('x')",
        "UPDATE patient SET id='x'",
        "DELETE FROM patient",
        "WITH x AS (SELECT 1) DELETE FROM patient",
        "VACUUM INTO '/tmp/andiron-must-not-be'",
        "BEGIN",
        "EXPLAIN SELECT 1",
        "SELECT load_extension('x')",
        "SELECT randomblob(1000000)",
        "SELECT zeroblob(1000000000)",
        "SELECT printf('%.*c', 100000000, 'x')",
        "SELECT 1; SELECT 1",
        "SELECT 1; DROP TABLE patient",
        "SELECT ?",
        "SELECT ?1",
        "SELECT :a",
        "SELECT $2",
        "SELECT $a",
        "",
        "-- nothing",
        "SELECT",
        "SELECT 1 FROM patient WHERE",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++) {
        struct andiron_error err = { .where = "" };
        if (service_sql.check(&kit.store, andiron_str_of(queries[i]), 1, &err) == 0)
            fail_msg("%s passes", queries[i]);
        assert_int_equal(err.code, ANDIRON_E_VALUE);
        assert_true(err.message[0] != '\0');
        struct reply reply = ask_within(queries[i], "x", 60000);
        assert_false(reply.truth);
        assert_int_equal(reply.code, ANDIRON_E_VALUE);
    }
    assert_int_equal(access("/tmp/andiron-must-not-be", F_OK), -1);
}

static void checking_reads_nothing_and_knows_the_tables(void **state)
{
    struct andiron_error err = { .where = "" };
    (void)state;
    assert_int_equal(service_sql.check(&kit.store, ANDIRON_STR("SELECT 1 FROM observation WHERE id=$1 AND version_id=$2;\n"), 2, &err), 0);
    assert_int_equal(service_sql.check(&kit.store, ANDIRON_STR("SELECT value FROM patient, json_each(resource)"), 0, &err), 0);
    assert_int_equal(service_sql.check(&kit.store, ANDIRON_STR("SELECT body FROM patient"), 0, &err), -1);
    assert_non_null(strstr(err.message, "no such column: body"));
}

static void what_takes_too_long_is_ended(void **state)
{
    static const char *const queries[] = {
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM n) SELECT count(*) FROM n",
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM n) SELECT max(a.id||n.x) FROM patient a, n",
    };
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct reply reply = ask_within(queries[i], NULL, 50);
        assert_int_equal(reply.code, ANDIRON_E_TIMEOUT);
    }
    assert_true(ask("SELECT 1", NULL)); /* the connection still works */
    assert_true(ask("SELECT count(*)=2 FROM patient", NULL));
}

static void what_makes_too_much_is_ended(void **state)
{
    (void)state;
    struct reply reply = ask_within("SELECT length(replace(replace(replace(replace(hex('0123456789012345678901234567890123456789'),"
                                    "'3',hex('0123456789012345678901234567890123456789')),'3',hex('0123456789012345678901234567890123456789')),"
                                    "'3',hex('0123456789012345678901234567890123456789')),'3',hex('0123456789012345678901234567890123456789')))",
                                    NULL, 60000);
    assert_int_equal(reply.code, ANDIRON_E_UNPROCESSABLE);
    assert_non_null(strstr(reply.message, "too big"));
}

static void what_waits_when_the_store_stops_is_answered(void **state)
{
    static const char endless[] = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM n) SELECT count(*) FROM n";
    enum { COUNT = 5 }; /* more than threads */
    static struct reply replies[COUNT];
    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(sem_init(&replies[i].over, 0, 0), 0);
        service_sql.ask(&kit.store, ANDIRON_STR(endless), NULL, 0, 600000, done, &replies[i]);
    }
    kit_close(&kit);
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(sem_wait(&replies[i].over), 0);
        assert_false(replies[i].truth);
        assert_int_not_equal(replies[i].code, ANDIRON_OK);
    }
    kit_reopen(&kit);
}

static void a_full_queue_refuses(void **state)
{
    static const char endless[] = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM n) SELECT count(*) FROM n";
    static struct reply running[1];
    (void)state;
    kit.config.sql_threads = 1;
    kit.config.sql_queue = 1;
    kit_close(&kit);
    kit_reopen(&kit);
    unsigned refused = 0;
    assert_int_equal(sem_init(&running[0].over, 0, 0), 0);
    service_sql.ask(&kit.store, ANDIRON_STR(endless), NULL, 0, 600000, done, &running[0]);
    static struct reply more[3];
    for (size_t i = 0; i < 3; i++) { /* the first may still be taken by the thread, one waits */
        assert_int_equal(sem_init(&more[i].over, 0, 0), 0);
        service_sql.ask(&kit.store, ANDIRON_STR(endless), NULL, 0, 600000, done, &more[i]);
        if (sem_trywait(&more[i].over) == 0) {
            assert_int_equal(more[i].code, ANDIRON_E_UNAVAILABLE);
            refused++;
        }
    }
    assert_in_range(refused, 1, 3);
    kit_close(&kit);
    kit_reopen(&kit);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(queries_see_current_fhir_resources),
        TEST(the_first_value_decides),
        TEST(nothing_else_can_be_reached),
        TEST(checking_reads_nothing_and_knows_the_tables),
        TEST(what_takes_too_long_is_ended),
        TEST(what_makes_too_much_is_ended),
        TEST(what_waits_when_the_store_stops_is_answered),
        TEST(a_full_queue_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
