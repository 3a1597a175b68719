/*
 * For the tests: a store on a real file in a folder of its own, driven synchronously.
 */
#ifndef STORE_SQLITE_TEST_KIT_H
#define STORE_SQLITE_TEST_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "commit.h"
#include "common/store/terms_kit.h"
#include "reader.h"
#include "search.h"
#include "store.h"
#include "writer.h"

struct kit {
    struct config config;
    struct store store;
    struct reader *reader;
    struct andiron_arena *arena;
    char folder[64], path[96];
};

static inline struct config kit_config(void)
{
    return (struct config){ .synchronous = SYNCHRONOUS_NORMAL, /* fewer flushes: tests take less */
                            .writer_cache = 8 << 20,
                            .reader_cache = 1 << 20,
                            .mmap_size = 1 << 28,
                            .timeout = 5000,
                            .loop_busy_timeout = 100,
                            .snapshot_age = 5,
                            .group_commit_max = 256,
                            .queue_max = 10000,
                            .scan_budget = 50000,
                            .scan_time = 2000,
                            .loop_budget = 1500,
                            .short_list = 1000,
                            .checkpoint = 1 << 20,
                            .checkpoint_hard = 256 << 20,
                            .poll_interval = 20,
                            .max_includes = 1000,
                            .sql_threads = 2,
                            .sql_queue = 100 };
}

static inline void kit_reopen(struct kit *k)
{
    struct andiron_error err = { .code = ANDIRON_OK };

    k->store = (struct store){ .config = &k->config, .path = k->path };
    if (store_open(&k->store, &err) != 0)
        fail_msg("store_open: %s", err.message);
    k->reader = reader_new(&k->store, 1000, &err);
    assert_non_null(k->reader);
}

static inline void kit_close(struct kit *k)
{
    reader_free(k->reader);
    k->reader = NULL;
    store_stop(&k->store);
}

static inline void kit_open(struct kit *k)
{
    *k = (struct kit){ .config = kit_config() };
    snprintf(k->folder, sizeof(k->folder), "/tmp/andiron-store-XXXXXX");
    assert_non_null(mkdtemp(k->folder));
    snprintf(k->path, sizeof(k->path), "%s/andiron.db", k->folder);
    k->arena = andiron_arena_new(0);
    kit_reopen(k);
}

static inline void kit_end(struct kit *k)
{
    char name[128];
    static const char *const files[] = { "", "-wal", "-shm", "-journal" };

    kit_close(k);
    andiron_arena_free(k->arena);
    for (size_t i = 0; i < 4; i++) {
        snprintf(name, sizeof(name), "%s%s", k->path, files[i]);
        (void)unlink(name);
    }
    (void)rmdir(k->folder);
}

/* Of a test: opens a kit of its own, in its state; and ends it. */
static inline int kit_setup(void **state)
{
    struct kit *k = malloc(sizeof(*k));

    assert_non_null(k);
    kit_open(k);
    *state = k;
    return 0;
}

static inline int kit_teardown(void **state)
{
    kit_end(*state);
    free(*state);
    return 0;
}

/* The number that a query gives. */
static inline int64_t kit_sql(struct db *db, const char *sql)
{
    sqlite3_stmt *s = NULL;

    assert_int_equal(sqlite3_prepare_v2(db->handle, sql, -1, &s, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    int64_t ret = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    return ret;
}

/* A commit, run now. 0 or -1 (commit->error). */
static inline int kit_commit_making(struct kit *k, struct andiron_commit *commit,
                                    const struct andiron_term_maker *maker)
{
    bool reads = reader_enter(k->reader) == 0;
    struct job *job = commit_job(&k->store, reads ? &k->reader->db : NULL, k->arena, commit, maker);

    reader_leave(k->reader);
    if (job != NULL)
        writer_run(k->store.writer, job);
    return commit->error.code == ANDIRON_OK ? 0 : -1;
}

static inline int kit_commit(struct kit *k, struct andiron_commit *commit)
{
    return kit_commit_making(k, commit, NULL);
}

static inline struct andiron_ref kit_ref(const char *type, const char *id)
{
    return (struct andiron_ref){ .type = andiron_str_of(type), .id = andiron_str_of(id) };
}

/* One resource with terms; its version, or 0 on failure. */
static inline uint64_t kit_put(struct kit *k, const char *type, const char *id, const char *body,
                               const struct andiron_term *terms, size_t count)
{
    struct andiron_write write = {
        .ref = kit_ref(type, id), .body = andiron_str_of(body), .terms = terms, .term_count = count
    };
    struct andiron_commit commit = { .writes = &write, .count = 1 };

    return kit_commit(k, &commit) == 0 ? write.ref.version : 0;
}

static inline int kit_search(struct kit *k, const struct andiron_query *query,
                             struct andiron_rows *rows)
{
    struct search_place place = {
        .store = &k->store, .db = &k->reader->db, .arena = k->arena, .counts = &k->reader->counts
    };

    assert_int_equal(reader_enter(k->reader), 0);
    place.content = k->reader->content;
    int rc = search_run(&place, query, rows);
    reader_leave(k->reader);
    return rc;
}

#endif
