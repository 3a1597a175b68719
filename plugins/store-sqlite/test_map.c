/*
 * Readers see the file by the mapping that they share: also what it has grown by, and what others committed.
 */
#include "test_kit.h"

static int pages_read;

static int count_read(sqlite3_file *file, void *to, int amount, sqlite3_int64 offset)
{
    const struct map *map = (const struct map *)(uintptr_t)file->pMethods;

    pages_read += amount == DB_PAGE && offset > 0; /* the first one is never mapped */
    return map->original->xRead(file, to, amount, offset);
}

/* Pages that are read, instead of looked at in the mapping, are counted from now on. */
static void count_from_here(struct kit *k)
{
    k->reader->map.methods.xRead = count_read;
    pages_read = 0;
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
    assert_int_equal(sqlite3_exec(writer_view(k->store.writer).db->handle,
                                  "PRAGMA wal_checkpoint(RESTART)", NULL, NULL, NULL),
                     SQLITE_OK);
}

/* Commits of a patient, and one of a length that makes the file grow by more than a megabyte. */
static void commit_and_grow(struct kit *k)
{
    static char body[2 << 20];

    uint32_t noise = 1;
    for (size_t i = 0; i + 1 < sizeof(body); i++) { /* what packing does not make small */
        noise = noise * 1664525u + 1013904223u;
        body[i] = (char)('!' + (noise >> 24) % 90);
    }
    assert_int_equal(kit_put(k, "Patient", "a", "{}", NULL, 0), 1);
    copy_log(k);
    assert_int_equal(version_seen(k, "a"), 1);
    count_from_here(k);
    for (int64_t v = 2; v < 10; v++) {
        assert_int_equal(kit_put(k, "Patient", "a", "{}", NULL, 0), v);
        assert_int_equal(version_seen(k, "a"), v);
    }
    assert_int_equal(kit_put(k, "Patient", "b", body, NULL, 0), 1);
    reader_close(k->reader);
    copy_log(k);
    assert_int_equal(kit_put(k, "Patient", "c", "{}", NULL, 0), 1);
    reader_close(k->reader);
    copy_log(k);
    assert_int_equal(version_seen(k, "c"), 1);
    assert_int_equal(reader_enter(k->reader), 0);
    assert_int_equal(sqlite3_exec(k->reader->db.handle,
                                  "SELECT max(substr(body, -1)), count(keys) FROM version", NULL,
                                  NULL, NULL),
                     SQLITE_OK);
    reader_leave(k->reader);
}

static void commits_and_growth_show_in_the_mapping(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    assert_non_null(k.reader->map.original);
    commit_and_grow(&k);
    assert_true(k.store.mapping.bytes > 2 << 20);
    assert_int_equal(pages_read, 0);
    kit_end(&k);
}

static void what_lies_behind_the_mapping_is_read(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    kit_close(&k);
    k.config.mmap_size = 1 << 18;
    kit_reopen(&k);
    commit_and_grow(&k);
    assert_true(pages_read > 10);
    kit_end(&k);
}

static void without_a_mapping_all_is_read(void **state)
{
    (void)state;
    struct kit k;
    kit_open(&k);
    kit_close(&k);
    k.config.mmap_size = 0;
    kit_reopen(&k);
    assert_null(k.reader->map.original);
    assert_int_equal(kit_put(&k, "Patient", "a", "{}", NULL, 0), 1);
    copy_log(&k);
    assert_int_equal(version_seen(&k, "a"), 1);
    kit_end(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commits_and_growth_show_in_the_mapping),
        cmocka_unit_test(what_lies_behind_the_mapping_is_read),
        cmocka_unit_test(without_a_mapping_all_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
