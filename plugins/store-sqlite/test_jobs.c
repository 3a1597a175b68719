/*
 * Backup and restore, watches, readers' snapshots. Index maintenance: tests/store.
 */
#include "test_kit.h"

#include <sys/stat.h>
#include <sys/wait.h>

#include "backup.h"
#include "jobs.h"
#include "loop/loop.h"
#include "read.h"
#include "watch.h"

static int64_t matches(struct kit *k, const char *param)
{
    struct andiron_filter filter = kit_filter(ANDIRON_CMP_EQ, kit_token(param, "s", "x"));
    struct andiron_query query = { .type = "Patient", .filter = &filter, .limit = 100 };
    struct andiron_rows rows;

    assert_int_equal(kit_search(k, &query, &rows), 0);
    return (int64_t)rows.count;
}

static void backup_is_a_whole_copy_and_comes_back(void **state)
{
    struct kit *k = *state;
    struct andiron_error err;
    char copy[128];
    struct andiron_term term = kit_token("code", "s", "x");

    snprintf(copy, sizeof(copy), "%s/copy.db", k->folder);
    assert_int_equal(kit_put(k, "Patient", "a", "{}", &term, 1), 1);
    if (backup_run(&k->store, copy, &err) != 0)
        fail_msg("%s", err.message);
    assert_int_equal(backup_run(&k->store, copy, &err), -1); /* never over a file */
    assert_int_equal(kit_put(k, "Patient", "b", "{}", &term, 1), 1);
    assert_int_equal(matches(k, "code"), 2);
    assert_int_equal(backup_restore(&k->store, copy, &err), -1); /* in use */
    assert_non_null(strstr(err.message, "stop andiron"));
    kit_close(k);
    k->store = (struct store){ .config = &k->config, .path = k->path };
    if (backup_restore(&k->store, copy, &err) != 0)
        fail_msg("%s", err.message);
    kit_reopen(k);
    assert_int_equal(matches(k, "code"), 1);
    assert_int_equal(kit_put(k, "Patient", "c", "{}", &term, 1), 1);
    /* What is not a store's copy is refused, and changes nothing. */
    FILE *f = fopen(copy, "r+");
    assert_int_equal(fseek(f, 8192 * 3 + 100, SEEK_SET), 0);
    for (int i = 0; i < 8192; i++)
        fputc('x', f);
    fclose(f);
    kit_close(k);
    k->store = (struct store){ .config = &k->config, .path = k->path };
    assert_int_equal(backup_restore(&k->store, copy, &err), -1);
    kit_reopen(k);
    assert_int_equal(matches(k, "code"), 2);
    (void)unlink(copy);
}

/* ---- watches ------------------------------------------------------------------------------ */

struct heard {
    int count, any;
    char last[64];
    struct andiron_loop *loop;
    int until;
};

static void changed(void *arg, andiron_str type, andiron_str id)
{
    struct heard *h = arg;

    assert_true(andiron_str_eq(type, ANDIRON_STR("Client")));
    h->count++;
    h->any += id.len == 0;
    snprintf(h->last, sizeof(h->last), "%.*s", (int)id.len, id.data);
    if (h->count >= h->until)
        loop_quit(h->loop);
}

static void quit(void *arg)
{
    loop_quit(arg);
}

static void watch_hears_of_this_process_and_of_others(void **state)
{
    struct kit *k = *state;
    struct andiron_error err;
    struct heard h = { .until = 1 };

    assert_int_equal(kit_put(k, "Client", "before", "{}", NULL, 0), 1);
    kit_close(k);
    int fds[2];
    char go;
    assert_int_equal(pipe(fds), 0);
    pid_t child = fork();
    if (child == 0) {
        if (read(fds[0], &go, 1) != 1)
            _exit(1);
        kit_reopen(k);
        kit_put(k, "Patient", "p", "{}", NULL, 0);
        kit_put(k, "Client", "other", "{}", NULL, 0);
        kit_close(k);
        _exit(0);
    }
    kit_reopen(k);
    h.loop = loop_new(0, &err);
    assert_non_null(h.loop);
    assert_int_equal(watch_begin(k->store.watches, writer_view(k->store.writer).db), 0);
    assert_int_equal(watch_add(k->store.watches, h.loop, "Client", changed, &h, &err), 0);
    /* At once, from the commit itself. */
    assert_int_equal(kit_put(k, "Client", "mine", "{}", NULL, 0), 1);
    assert_int_equal(kit_put(k, "Patient", "not-watched", "{}", NULL, 0), 1);
    loop_run(h.loop);
    assert_int_equal(h.count, 1);
    assert_string_equal(h.last, "mine");
    /* By another process: by polling, which the writer's thread does. */
    h.until = 2;
    assert_int_equal(store_start(&k->store, &err), 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    loop_run(h.loop);
    assert_string_equal(h.last, "other");
    assert_int_equal(waitpid(child, NULL, 0), child);
    kit_close(k);
    loop_free(h.loop);
    kit_reopen(k);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

static void many_foreign_changes_become_any_of_them(void **state)
{
    struct kit *k = *state;
    struct andiron_error err;
    struct heard h = { .until = 1 };
    sqlite3 *other;
    struct db *db = writer_view(k->store.writer).db;

    assert_int_equal(kit_put(k, "Client", "a", "{}", NULL, 0), 1);
    h.loop = loop_new(0, &err);
    assert_int_equal(watch_begin(k->store.watches, db), 0);
    assert_int_equal(watch_add(k->store.watches, h.loop, "Client", changed, &h, &err), 0);
    assert_int_equal(sqlite3_open(k->path, &other), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(other,
                     "WITH RECURSIVE n(i) AS (SELECT 10 UNION ALL SELECT i+1 FROM n WHERE "
                     "i<1200) INSERT INTO version(vid,rid,type,ver,ts,op,enc) "
                     "SELECT i,1,1,i,1,2,0 FROM n",
                     NULL, NULL, NULL),
        SQLITE_OK);
    watch_poll(k->store.watches, k->store.names, db);
    h.until = 1001;
    loop_run(h.loop);
    assert_int_equal(h.any, 1);
    /* Told once, also when something else changes. */
    assert_int_equal(sqlite3_exec(other, "INSERT INTO meta VALUES('x',1)", NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(other);
    watch_poll(k->store.watches, k->store.names, db);
    andiron_loop_post(h.loop, quit, h.loop);
    loop_run(h.loop);
    assert_int_equal(h.count, 1001);
    loop_free(h.loop);
}

/* ---- snapshots -------------------------------------------------------------------------------- */

static void snapshot_is_kept_until_anybody_commits(void **state)
{
    struct kit *k = *state;
    uint64_t content;
    sqlite3 *other;

    assert_int_equal(kit_put(k, "Patient", "a", "{}", NULL, 0), 1);
    assert_int_equal(reader_enter(k->reader), 0);
    reader_leave(k->reader);
    assert_non_null(k->reader->shared);
    assert_int_equal(reader_enter(k->reader), 0); /* stays open: there is no timer to end it here */
    content = k->reader->content;
    assert_true(k->reader->open);
    assert_int_equal(reader_enter(k->reader), 0);
    assert_int_equal(k->reader->content, content);
    assert_int_equal(sqlite3_open(k->path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "INSERT INTO meta VALUES('x',1)", NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(other);
    assert_int_equal(reader_enter(k->reader), 0);
    assert_true(k->reader->content > content);
    sqlite3_stmt *s = db_statement(&k->reader->db, DB_META);
    db_bind_str(s, 1, ANDIRON_STR("x"));
    assert_int_equal(db_step(&k->reader->db, s), 1);
    sqlite3_reset(s);
    reader_leave(k->reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(backup_is_a_whole_copy_and_comes_back, kit_setup,
                                        kit_teardown),
        cmocka_unit_test_setup_teardown(watch_hears_of_this_process_and_of_others, kit_setup,
                                        kit_teardown),
        cmocka_unit_test_setup_teardown(many_foreign_changes_become_any_of_them, kit_setup,
                                        kit_teardown),
        cmocka_unit_test_setup_teardown(snapshot_is_kept_until_anybody_commits, kit_setup,
                                        kit_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
