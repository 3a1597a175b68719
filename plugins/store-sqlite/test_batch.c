/*
 * Index rows that wait: they reach the file before anybody reads it, and leave with their version.
 */
#include "batch.h"

#include "test_kit.h"

#include <semaphore.h>

#include "rows.h"

static struct db *writer_db(struct kit *k)
{
    return writer_view(k->store.writer).db;
}

static void add(struct db *db, enum batch_table table, struct batch_row row, const char *text)
{
    assert_int_equal(batch_add(db, table, row, andiron_str_of(text)), 0);
}

static void rows_wait_for_a_flush_and_are_inserted_once(void **state)
{
    struct db *db = writer_db(*state);

    assert_int_equal(db_run(db, "BEGIN IMMEDIATE"), 0);
    for (int i = 0; i < 2; i++) {
        add(db, BATCH_TOKEN, (struct batch_row){ 1, 7, { { -3 } } }, "");
        add(db, BATCH_REF, (struct batch_row){ 2, 7, { { 44 } } }, "");
        add(db, BATCH_DATE, (struct batch_row){ 3, 7, { { 1, -5, 6 } } }, "");
        add(db, BATCH_NUMBER, (struct batch_row){ .p = 4, .vid = 7, .of.number = { 9, 0.5, 1.5 } },
            "");
        add(db, BATCH_STRING, (struct batch_row){ .p = 5, .vid = 7 }, "m\xc3\xbcller");
        add(db, BATCH_STRING, (struct batch_row){ .p = 6, .vid = 7 }, "");
    }
    assert_int_equal(kit_sql(db, "SELECT count(*) FROM ix_token"), 0);
    assert_int_equal(batch_flush(db), 0);
    assert_int_equal(kit_sql(db, "SELECT count(*) FROM ix_token WHERE p=1 AND h=-3 AND vid=7"), 1);
    assert_int_equal(kit_sql(db, "SELECT count(*) FROM ix_ref WHERE p=2 AND tgt=44 AND vid=7"), 1);
    assert_int_equal(kit_sql(db, "SELECT count(*) FROM ix_date WHERE p=3 AND cls=1 AND lo=-5 "
                                 "AND hi=6 AND vid=7"),
                     1);
    assert_int_equal(kit_sql(db, "SELECT count(*) FROM ix_num WHERE p=4 AND g=9 AND lo=0.5 "
                                 "AND hi=1.5 AND vid=7"),
                     1);
    assert_int_equal(
        kit_sql(db, "SELECT count(*) FROM ix_str WHERE p=5 AND s='m\xc3\xbcller' AND vid=7"), 1);
    assert_int_equal(kit_sql(db, "SELECT count(*) FROM ix_str WHERE p=6 AND s='' AND vid=7"), 1);
    assert_int_equal(kit_sql(db, "SELECT count(*) FROM ix_str"), 2);
    assert_int_equal(db_run(db, "ROLLBACK"), 0);
}

static void more_than_fits_is_inserted_meanwhile(void **state)
{
    struct db *db = writer_db(*state);
    char text[257];

    memset(text, 'x', 256);
    text[256] = '\0';
    assert_int_equal(db_run(db, "BEGIN IMMEDIATE"), 0);
    for (int i = 0; i < 5000; i++) {
        add(db, BATCH_TOKEN, (struct batch_row){ 1, i, { { i } } }, "");
        text[0] = (char)('a' + i % 26);
        if (i % 4 == 0)
            add(db, BATCH_STRING, (struct batch_row){ .p = 5, .vid = i }, text);
    }
    assert_in_range(kit_sql(db, "SELECT count(*) FROM ix_token"), 1, 4999);
    assert_int_equal(batch_flush(db), 0);
    assert_int_equal(kit_sql(db, "SELECT count(*) FROM ix_token WHERE h=vid"), 5000);
    assert_int_equal(kit_sql(db, "SELECT count(*) FROM ix_str WHERE length(s)=256 "
                                 "AND substr(s,1,1)=char(97+vid%26)"),
                     1250);
    assert_int_equal(db_run(db, "ROLLBACK"), 0);
}

/* Neighbours in the file follow each other, so that each page is touched once. */
static void rows_are_inserted_in_the_order_of_their_keys(void **state)
{
    struct db *db = writer_db(*state);
    static const char *const texts[] = { "b", "ab", "", "abc", "\xc3\xbc", "a" };
    enum { ROWS = 6 };

    assert_int_equal(
        db_run(db, "CREATE TEMP TABLE seen(i INTEGER PRIMARY KEY, t, p, a, b, v);"
                   "CREATE TEMP TRIGGER t1 AFTER INSERT ON ix_token BEGIN "
                   "INSERT INTO seen(t,p,a,v) VALUES(1,NEW.p,NEW.h,NEW.vid); END;"
                   "CREATE TEMP TRIGGER t2 AFTER INSERT ON ix_ref BEGIN "
                   "INSERT INTO seen(t,p,a,v) VALUES(2,NEW.p,NEW.tgt,NEW.vid); END;"
                   "CREATE TEMP TRIGGER t3 AFTER INSERT ON ix_date BEGIN "
                   "INSERT INTO seen(t,p,a,b,v) VALUES(3,NEW.p,NEW.cls,NEW.lo,NEW.vid); END;"
                   "CREATE TEMP TRIGGER t4 AFTER INSERT ON ix_num BEGIN "
                   "INSERT INTO seen(t,p,a,b,v) VALUES(4,NEW.p,NEW.g,NEW.lo,NEW.vid); END;"
                   "CREATE TEMP TRIGGER t5 AFTER INSERT ON ix_str BEGIN "
                   "INSERT INTO seen(t,p,a,v) VALUES(5,NEW.p,NEW.s,NEW.vid); END;"
                   "BEGIN IMMEDIATE"),
        0);
    for (int i = 0; i < 2 * ROWS; i++) {
        int64_t p = 9 - i % 2, k = i * 5 % 7 - 3, vid = 100 - i;
        add(db, BATCH_TOKEN, (struct batch_row){ p, vid, { { k } } }, "");
        add(db, BATCH_REF, (struct batch_row){ p, vid, { { k + 10 } } }, "");
        add(db, BATCH_DATE, (struct batch_row){ p, vid, { { i % 2, k, 9 } } }, "");
        add(db, BATCH_NUMBER,
            (struct batch_row){ .p = p, .vid = vid, .of.number = { i % 3, (double)k / 2, 9 } }, "");
        add(db, BATCH_STRING, (struct batch_row){ .p = p, .vid = vid }, texts[i % ROWS]);
    }
    assert_int_equal(batch_flush(db), 0);
    assert_int_equal(kit_sql(db, "SELECT count(*) FROM seen"), 10 * ROWS);
    assert_int_equal(kit_sql(db, "SELECT count(*) FROM (SELECT i, row_number() OVER (ORDER BY "
                                 "t,p,a,b,v) AS n FROM seen) WHERE i<>n"),
                     0);
    assert_int_equal(db_run(db, "ROLLBACK"), 0);
}

static void what_was_rolled_back_is_forgotten(void **state)
{
    struct db *db = writer_db(*state);

    assert_int_equal(db_run(db, "BEGIN IMMEDIATE"), 0);
    add(db, BATCH_TOKEN, (struct batch_row){ 1, 7, { { 3 } } }, "");
    batch_drop(db);
    assert_int_equal(batch_flush(db), 0);
    assert_int_equal(kit_sql(db, "SELECT count(*) FROM ix_token"), 0);
    assert_int_equal(db_run(db, "ROLLBACK"), 0);
}

/* One transaction may write a resource and write it again. */
static void rows_that_wait_leave_with_their_version(void **state)
{
    struct kit *k = *state;
    struct db *db = writer_db(k);
    struct andiron_term terms[] = { kit_token("code", "http://x", "a"),
                                    kit_string("name", "ada", "Ada"), kit_number("n", 1, 2) };
    andiron_str keys = { NULL, 0 };
    int64_t vid = 0;

    assert_int_equal(kit_put(k, "Patient", "a", "{}", terms, 3), 1);
    assert_int_equal(kit_sql(db, "SELECT count(*) FROM ix_token"), 2);
    sqlite3_stmt *s = NULL;
    assert_int_equal(sqlite3_prepare_v2(db->handle, "SELECT vid,keys FROM version", -1, &s, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    vid = sqlite3_column_int64(s, 0);
    keys = db_str(s, 1);
    keys.data = andiron_copy(k->arena, keys);
    sqlite3_finalize(s);
    assert_int_equal(db_run(db, "BEGIN IMMEDIATE"), 0);
    assert_int_equal(rows_drop(db, &k->store.key, keys, vid), 0);
    assert_int_equal(rows_add(db, &k->store.key, keys, vid + 1), 0);
    assert_int_equal(rows_drop(db, &k->store.key, keys, vid + 1), 0);
    assert_int_equal(batch_flush(db), 0);
    assert_int_equal(kit_sql(db, "SELECT (SELECT count(*) FROM ix_token)+(SELECT count(*) FROM "
                                 "ix_str)+(SELECT count(*) FROM ix_num)"),
                     0);
    assert_int_equal(db_run(db, "ROLLBACK"), 0);
}

static sem_t both;

static void over(struct job *job)
{
    (void)job;
    sem_post(&both);
}

/* A condition on what another request of the same transaction has just written. */
static void conditions_see_rows_that_wait(void **state)
{
    struct kit *k = *state;
    struct andiron_term term = kit_token("identifier", "http://x", "1");
    struct andiron_filter filter = kit_filter(ANDIRON_CMP_EQ, term);
    struct andiron_query query = { .type = "Patient", .filter = &filter, .limit = 10 };
    struct andiron_write first = {
        .ref = kit_ref("Patient", "a"), .body = ANDIRON_STR("{}"), .terms = &term, .term_count = 1
    };
    struct andiron_write second = first;
    struct andiron_commit commits[] = { { .writes = &first, .count = 1 },
                                        { .writes = &second, .count = 1 } };
    struct andiron_error err = { .code = ANDIRON_OK };

    second.ref = kit_ref("Patient", "b");
    second.match = &query;
    second.if_none_exist = true;
    assert_int_equal(sem_init(&both, 0, 0), 0);
    for (int i = 0; i < 2; i++) {
        struct job *job = commit_job(&k->store, NULL, k->arena, &commits[i], NULL);
        job->over = over;
        assert_int_equal(writer_submit(k->store.writer, job), 0);
    }
    assert_int_equal(store_start(&k->store, &err), 0); /* takes both as one transaction */
    for (int i = 0; i < 2; i++)
        assert_int_equal(sem_wait(&both), 0);
    assert_int_equal(commits[0].error.code, ANDIRON_OK);
    assert_int_equal(commits[1].error.code, ANDIRON_OK);
    assert_true(first.created);
    assert_false(second.created);
    assert_true(andiron_str_eq(second.ref.id, ANDIRON_STR("a")));
    sem_destroy(&both);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(rows_wait_for_a_flush_and_are_inserted_once, kit_setup,
                                        kit_teardown),
        cmocka_unit_test_setup_teardown(more_than_fits_is_inserted_meanwhile, kit_setup,
                                        kit_teardown),
        cmocka_unit_test_setup_teardown(rows_are_inserted_in_the_order_of_their_keys, kit_setup,
                                        kit_teardown),
        cmocka_unit_test_setup_teardown(what_was_rolled_back_is_forgotten, kit_setup, kit_teardown),
        cmocka_unit_test_setup_teardown(rows_that_wait_leave_with_their_version, kit_setup,
                                        kit_teardown),
        cmocka_unit_test_setup_teardown(conditions_see_rows_that_wait, kit_setup, kit_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
