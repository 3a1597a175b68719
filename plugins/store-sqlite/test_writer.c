/*
 * The writer as a thread: group commit, full queues and disks, kill -9, two processes.
 */
#include "test_kit.h"

#include <semaphore.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "common/store/keys.h"
#include "read.h"

/* A commit of one resource that another thread waits for. */
struct waiting {
    sem_t *over;
    struct andiron_arena *arena;
    struct andiron_write write;
    struct andiron_commit commit;
    char id[32];
};

static sem_t *over_of[4096];
static struct job *job_of[4096];
static size_t waiting_count;

static void over(struct job *job)
{
    for (size_t i = 0; i < waiting_count; i++)
        if (job_of[i] == job)
            sem_post(over_of[i]);
}

static void prepare(struct kit *k, struct waiting *w, sem_t *sem, const char *type, const char *id)
{
    w->arena = andiron_arena_new(0);
    snprintf(w->id, sizeof(w->id), "%s", id);
    w->write = (struct andiron_write){ .ref = kit_ref(type, w->id), .body = ANDIRON_STR("{}") };
    w->commit = (struct andiron_commit){ .writes = &w->write, .count = 1 };
    struct job *job = commit_job(&k->store, NULL, w->arena, &w->commit, NULL);
    job->over = over;
    over_of[waiting_count] = sem;
    job_of[waiting_count++] = job;
}

static int64_t number(struct kit *k, const char *sql)
{
    sqlite3 *db;
    sqlite3_stmt *s;
    int64_t n = -1;

    assert_int_equal(sqlite3_open_v2(k->path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    sqlite3_busy_timeout(db, 5000);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &s, NULL), SQLITE_OK);
    if (sqlite3_step(s) == SQLITE_ROW)
        n = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    sqlite3_close(db);
    return n;
}

/* Transactions so far: iChange of the WAL index (walformat section 2.1). */
static uint32_t commits(struct kit *k)
{
    uint32_t n;

    assert_int_equal(reader_enter(k->reader), 0);
    reader_leave(k->reader);
    assert_non_null(k->reader->shared);
    memcpy(&n, (const void *)(uintptr_t)(k->reader->shared + 8), sizeof(n));
    return n;
}

static void jobs_that_wait_share_a_commit(void **state)
{
    struct kit *k = *state;
    struct waiting w[200];
    sem_t sem;
    char id[16];
    struct andiron_error err;

    sem_init(&sem, 0, 0);
    waiting_count = 0;
    for (int i = 0; i < 200; i++) {
        snprintf(id, sizeof(id), "%d", i);
        prepare(k, &w[i], &sem, "Patient", id);
        assert_int_equal(writer_submit(k->store.writer, job_of[i]), 0);
    }
    assert_int_equal(writer_queued(k->store.writer), 200);
    k->config.group_commit_max = 50;
    uint32_t before = commits(k);
    assert_int_equal(store_start(&k->store, &err), 0);
    for (int i = 0; i < 200; i++)
        sem_wait(&sem);
    assert_int_equal(commits(k) - before, 4);
    assert_int_equal(number(k, "SELECT count(*) FROM version"), 200);
    assert_int_equal(number(k, "SELECT max(vid) FROM version"), 200);
    for (int i = 0; i < 200; i++) {
        assert_int_equal(w[i].commit.error.code, ANDIRON_OK);
        andiron_arena_free(w[i].arena);
    }
}

static void refused_job_leaves_the_others_of_its_group(void **state)
{
    struct kit *k = *state;
    struct waiting w[3];
    sem_t sem;
    struct andiron_error err;

    sem_init(&sem, 0, 0);
    waiting_count = 0;
    prepare(k, &w[0], &sem, "Patient", "a");
    prepare(k, &w[1], &sem, "Patient", "b");
    w[1].write.if_version = 3;
    prepare(k, &w[2], &sem, "Patient", "c");
    for (int i = 0; i < 3; i++)
        assert_int_equal(writer_submit(k->store.writer, job_of[i]), 0);
    assert_int_equal(store_start(&k->store, &err), 0);
    for (int i = 0; i < 3; i++)
        sem_wait(&sem);
    assert_int_equal(w[0].commit.error.code, ANDIRON_OK);
    assert_int_equal(w[1].commit.error.code, ANDIRON_E_PRECONDITION);
    assert_int_equal(w[2].commit.error.code, ANDIRON_OK);
    assert_int_equal(number(k, "SELECT count(*) FROM resource"), 2);
    for (int i = 0; i < 3; i++)
        andiron_arena_free(w[i].arena);
}

static void broken_job_fails_alone(void **state)
{
    struct kit *k = *state;
    struct waiting w[3];
    sem_t sem;
    struct andiron_error err;
    struct andiron_term *terms = calloc((KEYS_MAX + 1), sizeof(*terms));

    sem_init(&sem, 0, 0);
    waiting_count = 0;
    for (int i = 0; i < (KEYS_MAX + 1); i++)
        terms[i] = kit_token("code", "s", "x");
    prepare(k, &w[0], &sem, "Patient", "a");
    prepare(k, &w[1], &sem, "Patient", "b");
    w[1].write.terms = terms;
    w[1].write.term_count = (KEYS_MAX + 1);
    prepare(k, &w[2], &sem, "Patient", "c");
    for (int i = 0; i < 3; i++)
        assert_int_equal(writer_submit(k->store.writer, job_of[i]), 0);
    assert_int_equal(store_start(&k->store, &err), 0);
    for (int i = 0; i < 3; i++)
        sem_wait(&sem);
    assert_int_equal(w[0].commit.error.code, ANDIRON_OK);
    assert_int_equal(w[1].commit.error.code, ANDIRON_E_UNPROCESSABLE);
    assert_int_equal(w[2].commit.error.code, ANDIRON_OK);
    assert_int_equal(number(k, "SELECT group_concat(vid)='1,2' FROM version"), 1);
    for (int i = 0; i < 3; i++)
        andiron_arena_free(w[i].arena);
    free(terms);
}

static void full_queue_refuses(void **state)
{
    struct kit *k = *state;
    struct waiting w[3];
    sem_t sem;
    struct andiron_error err;

    sem_init(&sem, 0, 0);
    waiting_count = 0;
    k->config.queue_max = 2;
    for (int i = 0; i < 3; i++)
        prepare(k, &w[i], &sem, "Patient", i == 0 ? "a" : i == 1 ? "b" : "c");
    assert_int_equal(writer_submit(k->store.writer, job_of[0]), 0);
    assert_int_equal(writer_submit(k->store.writer, job_of[1]), 0);
    assert_int_equal(writer_submit(k->store.writer, job_of[2]), -1);
    assert_int_equal(w[2].commit.error.code, ANDIRON_E_UNAVAILABLE);
    assert_int_equal(store_start(&k->store, &err), 0);
    sem_wait(&sem);
    sem_wait(&sem);
    for (int i = 0; i < 3; i++)
        andiron_arena_free(w[i].arena);
}

static void full_disk_is_told_and_heals(void **state)
{
    struct kit *k = *state;
    struct db *db = writer_view(k->store.writer).db;
    struct andiron_error err;
    char *large = malloc(4000001);

    memset(large, 'x', 4000000);
    large[4000000] = '\0';
    assert_int_equal(kit_put(k, "Patient", "a", "{}", NULL, 0), 1);
    /* SQLite's own limit fails as a full disk does. */
    assert_int_equal(sqlite3_exec(db->handle, "PRAGMA max_page_count=60", NULL, NULL, NULL),
                     SQLITE_OK);
    struct andiron_write write = { .ref = kit_ref("Patient", "b"), .body = { large, 4000000 } };
    struct andiron_commit commit = { .writes = &write, .count = 1 };
    assert_int_equal(kit_commit(k, &commit), -1);
    assert_int_equal(commit.error.code, ANDIRON_E_NO_SPACE);
    assert_true(writer_is_broken(k->store.writer, &err));
    assert_int_equal(err.code, ANDIRON_E_NO_SPACE);
    assert_int_equal(kit_put(k, "Patient", "c", "{}", NULL, 0), 1); /* small ones still fit */
    assert_false(writer_is_broken(k->store.writer, &err));
    assert_int_equal(sqlite3_exec(db->handle, "PRAGMA max_page_count=1000000", NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(kit_commit(k, &commit), 0);
    assert_int_equal(number(k, "SELECT count(*) FROM resource"), 3);
    free(large);
}

static void foreign_lock_is_waited_for_and_then_told(void **state)
{
    struct kit *k = *state;
    sqlite3 *other;

    assert_int_equal(sqlite3_open(k->path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_busy_timeout(writer_view(k->store.writer).db->handle, 50);
    struct andiron_write write = { .ref = kit_ref("Patient", "b"), .body = ANDIRON_STR("{}") };
    struct andiron_commit commit = { .writes = &write, .count = 1 };
    assert_int_equal(kit_commit(k, &commit), -1);
    assert_int_equal(commit.error.code, ANDIRON_E_UNAVAILABLE);
    assert_int_equal(sqlite3_exec(other, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(kit_commit(k, &commit), 0);
    sqlite3_close(other);
}

/* ---- crashes ------------------------------------------------------------------------------- */

static void note_over(struct job *job)
{
    (void)job;
}

/* Writes without end, and tells through the pipe what was acknowledged. */
static void write_forever(struct kit *k, int fd)
{
    for (uint32_t i = 0;; i++) {
        char id[32], body[64];
        struct andiron_term term = kit_token("code", "s", "x");
        struct andiron_arena *arena = andiron_arena_new(0);
        snprintf(id, sizeof(id), "r%u", i % 500);
        snprintf(body, sizeof(body), "{\"n\":%u}", i);
        struct andiron_write one = { .ref = kit_ref("Patient", id),
                                     .body = andiron_str_of(body),
                                     .terms = &term,
                                     .term_count = 1 };
        struct andiron_commit commit = { .writes = &one, .count = 1 };
        struct job *job = commit_job(&k->store, NULL, arena, &commit, NULL);
        job->over = note_over;
        writer_run(k->store.writer, job);
        if (commit.error.code != ANDIRON_OK || write(fd, &i, sizeof(i)) != (ssize_t)sizeof(i))
            _exit(1);
        andiron_arena_free(arena);
    }
}

static void acknowledged_writes_survive_kill_9(void **state)
{
    struct kit *k = *state;
    uint32_t last = 0;

    kit_close(k);
    for (int round = 0; round < 4; round++) {
        int fds[2];
        assert_int_equal(pipe(fds), 0);
        pid_t child = fork();
        if (child == 0) {
            (void)close(fds[0]);
            kit_reopen(k);
            write_forever(k, fds[1]);
        }
        (void)close(fds[1]);
        /* Somewhere in the middle of a commit. */
        struct timespec wait = { .tv_nsec = 150000000 + round * 37000000 };
        nanosleep(&wait, NULL);
        assert_int_equal(kill(child, SIGKILL), 0);
        uint32_t n;
        last = 0;
        while (read(fds[0], &n, sizeof(n)) == (ssize_t)sizeof(n))
            last = n;
        (void)close(fds[0]);
        assert_int_equal(waitpid(child, NULL, 0), child);
        assert_true(last > 0);
        kit_reopen(k);
        char id[32];
        snprintf(id, sizeof(id), "r%u", last % 500);
        struct andiron_ref ref = kit_ref("Patient", id);
        struct andiron_rows rows;
        struct search_place place = { .store = &k->store, .db = &k->reader->db, .arena = k->arena };
        assert_int_equal(reader_enter(k->reader), 0);
        assert_int_equal(read_run(&place, &ref, 1, &rows), 0);
        reader_leave(k->reader);
        assert_int_equal(rows.count, 1);
        /* The one that was being written may be there as well, as a whole. */
        assert_true((uint32_t)atoi(rows.rows[0].body.data + 5) >= last);
        /* Index rows and versions agree. */
        assert_int_equal(number(k, "SELECT count(*) FROM ix_token t WHERE NOT EXISTS "
                                   "(SELECT 1 FROM resource r WHERE r.vid=t.vid)"),
                         0);
        assert_int_equal(number(k, "SELECT (SELECT count(*) FROM ix_token)=2*(SELECT count(*) FROM "
                                   "resource)"),
                         1);
        kit_close(k);
    }
    kit_reopen(k);
}

/* ---- reading that fails ------------------------------------------------------------------------- */

static int remove_unreferred(struct kit *k, const char *id)
{
    struct andiron_write write = { .ref = kit_ref("Patient", id), .remove = true };
    struct andiron_commit commit = { .writes = &write, .count = 1, .check_references = true };

    return kit_commit(k, &commit);
}

/* Whether something refers to a resource is not known then. */
static void nothing_is_removed_when_references_cannot_be_read(void **state)
{
    struct kit *k = *state;
    struct db *db = writer_view(k->store.writer).db;
    struct andiron_term term = kit_reference("subject", "Patient", "a");

    assert_int_equal(kit_put(k, "Observation", "o", "{}", &term, 1), 1);
    assert_int_equal(kit_put(k, "Patient", "b", "{}", NULL, 0), 1);
    assert_int_equal(kit_put(k, "Patient", "c", "{}", NULL, 0), 1);
    assert_int_equal(remove_unreferred(k, "b"), 0);
    assert_int_equal(db_run(db, "ALTER TABLE ix_ref RENAME TO elsewhere"), 0);
    assert_int_equal(remove_unreferred(k, "c"), -1);
    assert_int_equal(db_run(db, "ALTER TABLE elsewhere RENAME TO ix_ref"), 0);
    assert_int_equal(kit_sql(db, "SELECT ver FROM resource WHERE id='c'"), 1);
    assert_int_equal(remove_unreferred(k, "c"), 0);
}

/* ---- two processes ------------------------------------------------------------------------------ */

static void two_processes_write_one_file(void **state)
{
    struct kit *k = *state;
    enum { EACH = 150 };
    char id[32];
    pid_t child;

    kit_close(k);
    child = fork();
    kit_reopen(k);
    for (int i = 0; i < EACH; i++) {
        /* The same types and parameters are made by both, and one resource is fought for. */
        struct andiron_term term = kit_token(i % 2 ? "code" : "status", "s", "x");
        snprintf(id, sizeof(id), "%s%d", child == 0 ? "child" : "parent", i);
        uint64_t a = kit_put(k, i % 3 ? "Patient" : "Device", id, "{}", &term, 1);
        uint64_t b = kit_put(k, "Patient", "shared", "{}", &term, 1);
        if (child == 0 && (a != 1 || b == 0))
            _exit(1);
        assert_true(child == 0 || (a == 1 && b > 0));
    }
    if (child == 0) {
        kit_close(k);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(number(k, "SELECT count(*) FROM version"), 4 * EACH);
    assert_int_equal(number(k, "SELECT max(vid) FROM version"), 4 * EACH);
    assert_int_equal(number(k, "SELECT ver FROM resource WHERE id='shared'"), 2 * EACH);
    assert_int_equal(number(k, "SELECT count(*) FROM param"), 4);
    assert_int_equal(number(k, "SELECT count(*) FROM restype"), 2);
    assert_int_equal(number(k, "SELECT count(*) FROM version a JOIN version b ON b.vid=a.vid+1 "
                               "WHERE b.ts<a.ts"),
                     0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(jobs_that_wait_share_a_commit, kit_setup, kit_teardown),
        cmocka_unit_test_setup_teardown(refused_job_leaves_the_others_of_its_group, kit_setup,
                                        kit_teardown),
        cmocka_unit_test_setup_teardown(broken_job_fails_alone, kit_setup, kit_teardown),
        cmocka_unit_test_setup_teardown(full_queue_refuses, kit_setup, kit_teardown),
        cmocka_unit_test_setup_teardown(full_disk_is_told_and_heals, kit_setup, kit_teardown),
        cmocka_unit_test_setup_teardown(foreign_lock_is_waited_for_and_then_told, kit_setup,
                                        kit_teardown),
        cmocka_unit_test_setup_teardown(acknowledged_writes_survive_kill_9, kit_setup,
                                        kit_teardown),
        cmocka_unit_test_setup_teardown(nothing_is_removed_when_references_cannot_be_read,
                                        kit_setup, kit_teardown),
        cmocka_unit_test_setup_teardown(two_processes_write_one_file, kit_setup, kit_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
