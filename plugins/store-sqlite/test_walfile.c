/*
 * Commits reach the log by few writes, whole or not at all, and leave nothing behind.
 */
#include "walfile.h"

#include "test_kit.h"

struct pair {
    char folder[64], path[96];
    struct db one, other; /* what `one` writes is gathered */
    struct walfile walfile;
};

static sqlite3_io_methods counting;
static const sqlite3_io_methods *original;
static int writes, fail_at; /* the write that fails; 0: none */

static int count_write(sqlite3_file *file, const void *bytes, int len, sqlite3_int64 at)
{
    return ++writes == fail_at ? SQLITE_FULL : original->xWrite(file, bytes, len, at);
}

static void count_from_here(struct pair *p, int failing)
{
    writes = 0;
    fail_at = failing;
    if (p->walfile.log_original == &counting)
        return;
    original = p->walfile.log_original;
    counting = *original;
    counting.xWrite = count_write;
    p->walfile.log_original = &counting;
}

static void run(struct db *db, const char *sql)
{
    if (db_run(db, sql) != 0)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db->handle));
}

/* Inserts of as many blobs, each of a page's size, as one statement. */
static void insert(struct db *db, const char *what, int count)
{
    char sql[200];

    snprintf(sql, sizeof(sql),
             "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%d) "
             "INSERT INTO t(what,b) SELECT '%s',zeroblob(7000) FROM n",
             count, what);
    run(db, sql);
}

static void open_pair(struct pair *p)
{
    struct andiron_error err = { .code = ANDIRON_OK };
    struct db_settings settings = { .path = p->path, .writable = true, .busy_ms = 5000 };

    *p = (struct pair){ .folder = "/tmp/andiron-walfile-XXXXXX" };
    assert_non_null(mkdtemp(p->folder));
    snprintf(p->path, sizeof(p->path), "%s/a.db", p->folder);
    assert_int_equal(db_open(&p->one, &settings, &err), 0);
    run(&p->one, "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;"
                 "PRAGMA cache_size=10; PRAGMA cache_spill=ON;"
                 "CREATE TABLE t(id INTEGER PRIMARY KEY, what TEXT, b BLOB)");
    walfile_gather(&p->walfile, &p->one);
    assert_non_null(p->walfile.room);
    assert_int_equal(db_open(&p->other, &settings, &err), 0);
}

static void close_pair(struct pair *p)
{
    assert_int_equal(kit_sql(&p->other, "SELECT integrity_check='ok' FROM pragma_integrity_check"),
                     1);
    db_close(&p->other);
    db_close(&p->one);
    walfile_free(&p->walfile);
    (void)unlink(p->path);
    (void)rmdir(p->folder);
}

static void a_commit_is_few_writes(void **state)
{
    (void)state;
    struct pair p;
    open_pair(&p);
    run(&p.one, "PRAGMA cache_size=1000");
    count_from_here(&p, 0);
    insert(&p.one, "many", 60); /* 60 pages and more, two calls each */
    assert_in_range(writes, 1, 12);
    assert_int_equal(kit_sql(&p.other, "SELECT count(*) FROM t"), 60);
    close_pair(&p);
}

/* A transaction larger than the cache writes some pages while it reads others. */
static void reading_elsewhere_writes_nothing(void **state)
{
    (void)state;
    struct pair p;
    open_pair(&p);
    run(&p.one, "CREATE TABLE u(b BLOB)");
    insert(&p.one, "old", 100);
    count_from_here(&p, 0);
    run(&p.one, "INSERT INTO u SELECT b FROM t");
    assert_in_range(writes, 1, 30); /* 100 pages and more, two calls each */
    assert_int_equal(kit_sql(&p.other, "SELECT sum(length(b)) FROM u"), 100 * 7000);
    close_pair(&p);
}

static void copy(const char *from, const char *to)
{
    static char bytes[4 << 20];
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");

    assert_non_null(in);
    assert_non_null(out);
    size_t len = fread(bytes, 1, sizeof(bytes), in);
    assert_in_range(len, 1, sizeof(bytes) - 1);
    assert_int_equal(fwrite(bytes, 1, len, out), len);
    assert_int_equal(fclose(out), 0);
    (void)fclose(in);
}

/* What is in the files is all that there is after a crash: the log's sums must agree, too. */
static int64_t number_after_a_crash(const struct pair *p, const char *sql)
{
    struct andiron_error err = { .code = ANDIRON_OK };
    char path[128], log[128], to[160];
    struct db_settings settings = { .path = path, .writable = true, .busy_ms = 5000 };
    struct db db;

    snprintf(path, sizeof(path), "%s/copy.db", p->folder);
    copy(p->path, path);
    snprintf(log, sizeof(log), "%s-wal", p->path);
    snprintf(to, sizeof(to), "%s-wal", path);
    copy(log, to);
    assert_int_equal(db_open(&db, &settings, &err), 0);
    int64_t ret = kit_sql(&db, sql);
    db_close(&db);
    (void)unlink(path);
    return ret;
}

/* They leave the cache, are read back, changed, and leave it again. */
static void pages_change_while_they_are_gathered(void **state)
{
    (void)state;
    struct pair p;
    char sql[100];
    enum { PAGES = 10, TIMES = 4 }; /* all fit */

    open_pair(&p);
    insert(&p.one, "old", PAGES);
    run(&p.one, "PRAGMA cache_size=5; BEGIN IMMEDIATE");
    count_from_here(&p, 0);
    for (int i = 0; i < PAGES * TIMES; i++) {
        snprintf(sql, sizeof(sql), "UPDATE t SET what='change %d' WHERE id=%d", i / PAGES,
                 i % PAGES + 1);
        run(&p.one, sql);
        snprintf(sql, sizeof(sql), "SELECT count(*) FROM t WHERE what='change %d'", i / PAGES);
        assert_int_equal(kit_sql(&p.one, sql), i % PAGES + 1);
    }
    assert_int_equal(writes, 0);
    assert_in_range(p.walfile.len, PAGES * DB_PAGE, (PAGES + 4) * (DB_PAGE + 24));
    run(&p.one, "COMMIT");
    assert_in_range(writes, 1, 4);
    static const char last[] = "SELECT count(*) FROM t WHERE what='change 3' AND length(b)=7000";
    assert_int_equal(kit_sql(&p.one, last), PAGES);
    assert_int_equal(kit_sql(&p.other, last), PAGES);
    assert_int_equal(number_after_a_crash(&p, last), PAGES);
    close_pair(&p);
}

static void a_commit_is_in_the_file_when_it_is_over(void **state)
{
    (void)state;
    struct pair p;
    open_pair(&p);
    for (int i = 1; i <= 20; i++) {
        insert(&p.one, "one", 1);
        assert_int_equal(p.walfile.len, 0);
        assert_int_equal(kit_sql(&p.other, "SELECT count(*) FROM t"), i);
    }
    close_pair(&p);
}

static void pages_that_left_the_cache_are_read_back(void **state)
{
    (void)state;
    struct pair p;
    open_pair(&p);
    run(&p.one, "BEGIN IMMEDIATE");
    insert(&p.one, "long", 200);
    assert_int_equal(kit_sql(&p.one, "SELECT sum(length(b)) FROM t"), 200 * 7000);
    run(&p.one, "UPDATE t SET what='again', b=zeroblob(7001)");
    assert_int_equal(kit_sql(&p.one, "SELECT sum(length(b)) FROM t"), 200 * 7001);
    run(&p.one, "COMMIT");
    assert_int_equal(kit_sql(&p.other, "SELECT sum(length(b)) FROM t WHERE what='again'"),
                     200 * 7001);
    close_pair(&p);
}

/* Another process writes there, and would find its pages overwritten. */
static void what_was_rolled_back_is_never_written(void **state)
{
    (void)state;
    struct pair p;
    open_pair(&p);
    insert(&p.one, "kept", 3);
    run(&p.other,
        "PRAGMA wal_checkpoint(RESTART)"); /* rolling back then reads nothing from the log */
    run(&p.one, "BEGIN IMMEDIATE");
    insert(&p.one, "lost", 17);
    assert_int_not_equal(p.walfile.len, 0);
    run(&p.one, "ROLLBACK");
    assert_int_equal(p.walfile.len, 0);
    insert(&p.other, "other", 40);
    insert(&p.one, "after", 40);
    /* Not by `other`, which has its pages in memory. */
    assert_int_equal(kit_sql(&p.one, "SELECT count(*) FROM t WHERE what='lost'"), 0);
    assert_int_equal(kit_sql(&p.one, "SELECT count(*) FROM t WHERE what='other'"), 40);
    assert_int_equal(kit_sql(&p.one, "SELECT count(*) FROM t WHERE length(b)=7000"), 83);
    close_pair(&p);
}

static void a_failed_write_fails_its_commit_and_no_other(void **state)
{
    (void)state;
    struct pair p;
    open_pair(&p);
    insert(&p.one, "kept", 5);
    for (int which = 1; which <= 3; which++) {
        run(&p.one, "BEGIN IMMEDIATE");
        count_from_here(&p, which);
        int rc = db_run(&p.one,
                        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<50) "
                        "INSERT INTO t(what,b) SELECT 'lost',zeroblob(7000) FROM n; COMMIT");
        assert_int_equal(rc, -1);
        assert_int_equal(p.one.rc & 0xff, SQLITE_FULL);
        if (sqlite3_get_autocommit(p.one.handle) == 0)
            run(&p.one, "ROLLBACK");
        insert(&p.one, "after", 5);
    }
    assert_int_equal(kit_sql(&p.other, "SELECT count(*) FROM t WHERE what='lost'"), 0);
    assert_int_equal(kit_sql(&p.other, "SELECT count(*) FROM t"), 20);
    close_pair(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_commit_is_few_writes),
        cmocka_unit_test(reading_elsewhere_writes_nothing),
        cmocka_unit_test(pages_change_while_they_are_gathered),
        cmocka_unit_test(a_commit_is_in_the_file_when_it_is_over),
        cmocka_unit_test(pages_that_left_the_cache_are_read_back),
        cmocka_unit_test(what_was_rolled_back_is_never_written),
        cmocka_unit_test(a_failed_write_fails_its_commit_and_no_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
