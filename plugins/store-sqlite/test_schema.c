/*
 * Opening files: new ones are made, those of others or of a newer version are refused untouched.
 */
#include "test_kit.h"

#include <sys/stat.h>
#include <sys/wait.h>

static void run_sql(const char *path, const char *sql)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void expect_refused(struct kit *k, const char *words)
{
    struct andiron_error err = { .code = ANDIRON_OK };
    struct stat before, after;

    assert_int_equal(stat(k->path, &before), 0);
    k->store = (struct store){ .config = &k->config, .path = k->path };
    assert_int_equal(store_open(&k->store, &err), -1);
    store_stop(&k->store);
    if (strstr(err.message, words) == NULL)
        fail_msg("\"%s\" lacks \"%s\"", err.message, words);
    assert_non_null(strstr(err.message, k->path));
    assert_int_equal(stat(k->path, &after), 0);
    assert_int_equal(before.st_size, after.st_size);
    assert_int_equal(before.st_mtim.tv_sec, after.st_mtim.tv_sec);
    assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
}

static void newer_schema_is_refused_untouched(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    kit_close(&k);
    run_sql(k.path, "UPDATE meta SET v=7 WHERE k='schema'");
    expect_refused(&k, "schema version 7");
    run_sql(k.path, "UPDATE meta SET v=4 WHERE k='schema'");
    kit_reopen(&k);
    kit_end(&k);
}

/* A process of its own, as SQLite's locks are. Ends with 0 once the store is open. */
static pid_t open_elsewhere(struct kit *k, const int start[2])
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    struct andiron_error err = { .code = ANDIRON_OK };
    char byte;
    k->store = (struct store){ .config = &k->config, .path = k->path };
    (void)close(start[1]);
    if (read(start[0], &byte, 1) != 0) /* the end of the pipe: for all at once */
        _exit(2);
    int rc = store_open(&k->store, &err);
    if (rc != 0)
        fprintf(stderr, "%s\n", err.message);
    _exit(rc == 0 ? 0 : 1);
}

static void processes_that_open_a_new_file_at_once_all_do(void **state)
{
    (void)state;
    enum { ROUNDS = 20, PROCESSES = 4 };
    for (int i = 0; i < ROUNDS; i++) {
        struct kit k;
        int start[2];
        pid_t pids[PROCESSES];

        kit_open(&k);
        kit_close(&k);
        assert_int_equal(unlink(k.path), 0);
        assert_int_equal(pipe(start), 0);
        for (int p = 0; p < PROCESSES; p++) {
            pids[p] = open_elsewhere(&k, start);
            assert_true(pids[p] > 0);
        }
        (void)close(start[0]);
        (void)close(start[1]);
        for (int p = 0; p < PROCESSES; p++) {
            int status = -1;
            assert_int_equal(waitpid(pids[p], &status, 0), pids[p]);
            assert_int_equal(status, 0);
        }
        kit_reopen(&k);
        kit_end(&k);
    }
}

/* Ids of Observations by code, in one string. */
static void expect_by_code(struct kit *k, const char *expected)
{
    struct andiron_sort sort = { "code", ANDIRON_TERM_TOKEN, false };
    struct andiron_query query = {
        .type = "Observation", .sort = &sort, .sort_count = 1, .limit = 9
    };
    struct andiron_rows rows;
    char got[64] = "";

    k->config.short_list = 0; /* follow the index */
    assert_int_equal(kit_search(k, &query, &rows), 0);
    for (size_t i = 0; i < rows.count; i++)
        strncat(got, rows.rows[i].ref.id.data, sizeof(got) - strlen(got) - 1);
    assert_string_equal(got, expected);
}

static void older_schema_is_brought_up_to_date(void **state)
{
    (void)state;
    struct kit k;
    struct andiron_term b = kit_token("code", "s", "b"), a = kit_token("code", "s", "a");
    kit_open(&k);
    assert_int_equal(kit_put(&k, "Observation", "1", "{}", &b, 1), 1);
    assert_int_equal(kit_put(&k, "Observation", "2", "{}", &a, 1), 1);
    kit_close(&k);
    run_sql(k.path,
            "DROP TABLE ix_value; CREATE INDEX ix_ref_v ON ix_ref(vid,p,tgt);"
            "CREATE INDEX ix_date_v ON ix_date(vid,p,lo,hi);"
            "CREATE INDEX ix_num_v ON ix_num(vid,p,lo,hi);"
            "CREATE INDEX ix_str_v ON ix_str(vid,p,s); UPDATE meta SET v=1 WHERE k='schema'");
    kit_reopen(&k);
    expect_by_code(&k, "21");
    kit_end(&k);
}

static void values_of_a_failed_write_are_listed_by_the_next_one(void **state)
{
    (void)state;
    struct kit k;
    struct andiron_term b = kit_token("code", "s", "b"), a = kit_token("code", "s", "a");
    kit_open(&k);
    assert_int_equal(kit_put(&k, "Observation", "1", "{}", &b, 1), 1);
    /* Fails behind the index rows: with the counters, at the end of the transaction. */
    run_sql(k.path, "CREATE TRIGGER no BEFORE INSERT ON meta BEGIN SELECT RAISE(ABORT,'no'); END");
    assert_int_equal(kit_put(&k, "Observation", "2", "{}", &a, 1), 0);
    run_sql(k.path, "DROP TRIGGER no");
    assert_int_equal(kit_put(&k, "Observation", "2", "{}", &a, 1), 1);
    expect_by_code(&k, "21");
    kit_end(&k);
}

static void database_of_another_program_is_refused_untouched(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    kit_close(&k);
    (void)unlink(k.path);
    run_sql(k.path, "CREATE TABLE mine(x); INSERT INTO mine VALUES(1)");
    expect_refused(&k, "another program");
    (void)unlink(k.path);
    kit_reopen(&k);
    kit_end(&k);
}

static void file_that_is_no_database_is_refused_untouched(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    kit_close(&k);
    (void)unlink(k.path);
    FILE *f = fopen(k.path, "w");
    for (int i = 0; i < 2000; i++)
        fputs("this is a diary\n", f);
    fclose(f);
    expect_refused(&k, "not a database of Andiron");
    (void)unlink(k.path);
    kit_reopen(&k);
    kit_end(&k);
}

static void missing_folder_is_named(void **state)
{
    (void)state;
    struct config config = kit_config();
    struct store store = { .config = &config, .path = "/nonexistent/andiron.db" };
    struct andiron_error err = { .code = ANDIRON_OK };
    assert_int_equal(store_open(&store, &err), -1);
    store_stop(&store);
    assert_non_null(strstr(err.message, "/nonexistent/andiron.db"));
    assert_non_null(strstr(err.message, "folder must exist"));
}

static void file_is_as_designed(void **state)
{
    (void)state;
    struct kit k;
    sqlite3_stmt *s;
    kit_open(&k);
    assert_int_equal(sqlite3_prepare_v2(writer_view(k.store.writer).db->handle,
                                        "SELECT (SELECT page_size FROM pragma_page_size),"
                                        "(SELECT journal_mode FROM pragma_journal_mode),"
                                        "(SELECT count(*) FROM sqlite_master WHERE type='table')",
                                        -1, &s, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    assert_int_equal(sqlite3_column_int(s, 0), 8192);
    assert_string_equal(sqlite3_column_text(s, 1), "wal");
    assert_int_equal(sqlite3_column_int(s, 2), 12);
    sqlite3_finalize(s);
    struct stat file; /* patient data: for nobody else */
    assert_int_equal(stat(k.path, &file), 0);
    assert_int_equal(file.st_mode & 0777, 0600);
    kit_end(&k);
}

/* SQLite counts pages, and before it has seen the file it takes them for smaller ones. */
static void caches_of_a_new_file_are_not_larger_than_asked(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    sqlite3 *handle = writer_view(k.store.writer).db->handle;
    int used = 0, highest = 0;

    assert_int_equal(sqlite3_exec(handle,
                                  "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n "
                                  "WHERE i<6000) INSERT INTO version(vid,rid,type,ver,ts,op,enc,"
                                  "body) SELECT i,1,1,1,1,1,0,zeroblob(5000) FROM n",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_db_status(handle, SQLITE_DBSTATUS_CACHE_USED, &used, &highest, 0),
                     SQLITE_OK);
    assert_in_range(used, k.config.writer_cache / 2, k.config.writer_cache * 9 / 8);
    kit_end(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(newer_schema_is_refused_untouched),
        cmocka_unit_test(processes_that_open_a_new_file_at_once_all_do),
        cmocka_unit_test(older_schema_is_brought_up_to_date),
        cmocka_unit_test(values_of_a_failed_write_are_listed_by_the_next_one),
        cmocka_unit_test(database_of_another_program_is_refused_untouched),
        cmocka_unit_test(file_that_is_no_database_is_refused_untouched),
        cmocka_unit_test(missing_folder_is_named),
        cmocka_unit_test(file_is_as_designed),
        cmocka_unit_test(caches_of_a_new_file_are_not_larger_than_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
