/*
 * The file stays mapped while others commit, and what they committed is seen.
 */
#include "test_kit.h"

static sqlite3_io_methods counting;
static const sqlite3_io_methods *original;
static int unmapped;

static int count_unfetch(sqlite3_file *file, sqlite3_int64 offset, void *page)
{
    unmapped += page == NULL;
    return original->xUnfetch(file, offset, page);
}

/* Calls that reach SQLite's own file are counted from now on. */
static void count_from_here(struct kit *k)
{
    assert_non_null(k->reader->map.original);
    original = k->reader->map.original;
    counting = *original;
    counting.xUnfetch = count_unfetch;
    k->reader->map.original = &counting;
    unmapped = 0;
}

static int64_t version_seen(struct kit *k, const char *id)
{
    int64_t version = 0;

    assert_int_equal(reader_enter(k->reader), 0);
    sqlite3_stmt *s = db_statement(&k->reader->db, DB_FIND);
    assert_non_null(s);
    sqlite3_bind_int64(s, 1, 1);
    db_bind_str(s, 2, andiron_str_of(id));
    if (db_step(&k->reader->db, s) == 1)
        version = sqlite3_column_int64(s, 2);
    sqlite3_reset(s);
    reader_leave(k->reader);
    return version;
}

static void copy_log(struct kit *k)
{
    assert_int_equal(
        sqlite3_exec(writer_view(k->store.writer).db->handle, "PRAGMA wal_checkpoint(RESTART)",
                     NULL, NULL, NULL),
        SQLITE_OK);
}

static void commits_leave_the_mapping(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    assert_int_equal(kit_put(&k, "Patient", "a", "{}", NULL, 0), 1);
    copy_log(&k);
    assert_int_equal(version_seen(&k, "a"), 1);
    count_from_here(&k);
    for (int64_t v = 2; v < 10; v++) {
        assert_int_equal(kit_put(&k, "Patient", "a", "{}", NULL, 0), v);
        assert_int_equal(version_seen(&k, "a"), v);
    }
    assert_int_equal(unmapped, 0);
    kit_end(&k);
}

static void growth_is_mapped(void **state)
{
    (void)state;
    struct kit k;
    static char body[1 << 20];
    kit_open(&k);
    memset(body, ' ', sizeof(body) - 1);
    assert_int_equal(kit_put(&k, "Patient", "a", "{}", NULL, 0), 1);
    copy_log(&k);
    assert_int_equal(version_seen(&k, "a"), 1);
    count_from_here(&k);
    assert_int_equal(kit_put(&k, "Patient", "b", body, NULL, 0), 1);
    reader_close(k.reader);
    copy_log(&k);
    assert_int_equal(kit_put(&k, "Patient", "a", "{}", NULL, 0), 2);
    assert_int_equal(version_seen(&k, "a"), 2);
    assert_int_equal(unmapped, 1);
    kit_end(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commits_leave_the_mapping),
        cmocka_unit_test(growth_is_mapped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
