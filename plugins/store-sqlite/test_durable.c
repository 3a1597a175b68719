/*
 * A store that says it is durable has flushed each commit to the disk before it is acknowledged.
 */
#include <andiron/plugin.h>

#include "test_kit.h"

extern const struct andiron_plugin andiron_plugin_v1;

/* SQLite's own file system, but for the logs, of which it knows whether all was flushed. */
static sqlite3_vfs watching;
static const sqlite3_vfs *real;
static sqlite3_io_methods methods;
static const sqlite3_io_methods *real_methods;
static int writes, flushes;
static bool unflushed; /* was written behind the last flush */

static int watch_write(sqlite3_file *file, const void *bytes, int len, sqlite3_int64 at)
{
    writes++;
    unflushed = true;
    return real_methods->xWrite(file, bytes, len, at);
}

static int watch_sync(sqlite3_file *file, int how)
{
    flushes++;
    unflushed = false;
    return real_methods->xSync(file, how);
}

static int watch_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *ret)
{
    int rc = real->xOpen(vfs, name, file, flags, ret);

    if (rc != SQLITE_OK || (flags & SQLITE_OPEN_WAL) == 0)
        return rc;
    real_methods = file->pMethods;
    methods = *real_methods;
    methods.xWrite = watch_write;
    methods.xSync = watch_sync;
    file->pMethods = &methods;
    return rc;
}

static int watch_files(void **state)
{
    (void)state;
    real = sqlite3_vfs_find(NULL);
    watching = *real;
    watching.zName = "watching";
    watching.xOpen = watch_open;
    return sqlite3_vfs_register(&watching, 1);
}

static void open_with(struct kit *k, int synchronous)
{
    kit_open(k);
    kit_close(k);
    k->config.synchronous = synchronous;
    kit_reopen(k);
}

static void acknowledged_commits_are_flushed(void **state)
{
    (void)state;
    struct kit k;
    enum { LARGE = 400000 };
    char *large = malloc(LARGE);

    assert_non_null(large);
    open_with(&k, SYNCHRONOUS_FULL);
    struct db *db = writer_view(k.store.writer).db;
    assert_int_equal(kit_sql(db, "PRAGMA synchronous"), 2);
    for (int i = 0; i < 6; i++) {
        size_t len = i % 2 == 0 ? 10 : LARGE - 1; /* in one write, in many */
        memset(large, 'a', LARGE);
        large[len] = '\0';
        writes = flushes = 0;
        assert_int_not_equal(kit_put(&k, "Patient", "a", large, NULL, 0), 0);
        assert_true(writes > 0);
        assert_true(flushes > 0);
        assert_false(unflushed);
    }
    kit_end(&k);
    free(large);
}

/* What the other test can tell apart. */
static void commits_wait_for_no_flush_where_that_was_chosen(void **state)
{
    (void)state;
    struct kit k;

    open_with(&k, SYNCHRONOUS_NORMAL);
    assert_int_equal(kit_sql(writer_view(k.store.writer).db, "PRAGMA synchronous"), 1);
    assert_int_not_equal(kit_put(&k, "Patient", "a", "x", NULL, 0), 0);
    assert_true(unflushed);
    kit_end(&k);
}

static void a_store_is_durable_unless_told_otherwise(void **state)
{
    (void)state;
    const struct andiron_directive *d = andiron_plugin_v1.directives;

    while (d->name != NULL && strcmp(d->name, "synchronous") != 0)
        d++;
    assert_non_null(d->name);
    assert_int_equal(d->offset, offsetof(struct config, synchronous));
    assert_string_equal(d->fallback, "full");
    assert_string_equal(d->choices[SYNCHRONOUS_FULL], "full");
    assert_string_equal(d->choices[SYNCHRONOUS_NORMAL], "normal");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(acknowledged_commits_are_flushed),
        cmocka_unit_test(commits_wait_for_no_flush_where_that_was_chosen),
        cmocka_unit_test(a_store_is_durable_unless_told_otherwise),
    };
    return cmocka_run_group_tests(tests, watch_files, NULL);
}
