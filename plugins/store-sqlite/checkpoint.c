/*
 * Checkpoints; see checkpoint.h.
 */
#include "checkpoint.h"

#include <stdlib.h>

enum { FINISH_MS = 50 };

struct checkpointer {
    struct store *store;
    struct db db;
    pthread_t thread;
    bool running;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool wanted, stopping;
    _Atomic bool copied; /* the thread has copied what there was; the writer does the rest */
    _Atomic int done;    /* pages it had copied then */

    /* The writer's: */
    int pages; /* in the log, as of the last commit */
    int next;  /* at which the thread is woken */
};

static int base_of(const struct checkpointer *c)
{
    return (int)(c->store->config->checkpoint / DB_PAGE);
}

static void wake(struct checkpointer *c)
{
    pthread_mutex_lock(&c->lock);
    if (!c->wanted) {
        c->wanted = true;
        pthread_cond_signal(&c->wake);
    }
    pthread_mutex_unlock(&c->lock);
}

static int on_commit(void *arg, sqlite3 *handle, const char *name, int pages)
{
    struct checkpointer *c = arg;

    (void)handle;
    (void)name;
    if (pages < c->pages)
        c->next = base_of(c); /* the log has started over */
    c->pages = pages;
    if (pages >= c->next && !atomic_load(&c->copied))
        wake(c);
    return SQLITE_OK;
}

static void run(struct checkpointer *c)
{
    int log = 0, done = 0;
    int rc = sqlite3_wal_checkpoint_v2(c->db.handle, NULL, SQLITE_CHECKPOINT_PASSIVE, &log, &done);

    if (rc == SQLITE_OK) {
        atomic_store(&c->done, done);
        atomic_store(&c->copied, true);
    } else if ((rc & 0xff) != SQLITE_BUSY) {
        store_log(c->store, ANDIRON_LOG_WARN, "store.checkpoint", "checkpoint failed: %s (%d)",
                  sqlite3_errstr(rc), rc);
    }
}

static void *checkpoint_main(void *arg)
{
    struct checkpointer *c = arg;

    pthread_mutex_lock(&c->lock);
    while (!c->stopping) {
        if (!c->wanted) {
            pthread_cond_wait(&c->wake, &c->lock);
            continue;
        }
        pthread_mutex_unlock(&c->lock);
        run(c);
        pthread_mutex_lock(&c->lock);
        c->wanted = false;
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

struct checkpointer *checkpointer_new(struct store *store, struct db *writer,
                                      struct andiron_error *err)
{
    struct checkpointer *c = calloc(1, sizeof(*c));
    struct db_settings settings = store_db_settings(store, true);

    if (c == NULL) {
        andiron_error_set(err, ANDIRON_E_UNAVAILABLE, "", "out of memory");
        return NULL;
    }
    c->store = store;
    c->next = base_of(c);
    settings.cache_bytes = 1024 * 1024;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->wake, NULL);
    if (db_open(&c->db, &settings, err) != 0)
        goto failed;
    int rc = pthread_create(&c->thread, NULL, checkpoint_main, c);
    if (rc != 0) {
        andiron_error_set(err, ANDIRON_E_UNAVAILABLE, "", "cannot start the checkpoint thread: %s",
                          strerror(rc));
        goto failed;
    }
    pthread_setname_np(c->thread, "store-ckpt");
    c->running = true;
    sqlite3_wal_autocheckpoint(c->db.handle, 0);
    sqlite3_wal_autocheckpoint(writer->handle, 0);
    sqlite3_wal_hook(writer->handle, on_commit, c);
    return c;
failed:
    checkpointer_free(c);
    return NULL;
}

void checkpoint_finish(struct checkpointer *c, struct db *writer)
{
    int log = 0, done = 0;

    if (c == NULL || !atomic_load(&c->copied))
        return;
    atomic_store(&c->copied, false);
    bool is_long = (int64_t)c->pages * DB_PAGE >= c->store->config->checkpoint_hard;
    if (c->pages - atomic_load(&c->done) > 2 * base_of(c) && !is_long) {
        wake(c); /* too much was appended meanwhile to copy it here */
        return;
    }
    /* Snapshots of loops end within milliseconds; for a long search of the pool nobody waits. */
    sqlite3_busy_timeout(writer->handle, FINISH_MS);
    int rc =
        sqlite3_wal_checkpoint_v2(writer->handle, NULL, SQLITE_CHECKPOINT_RESTART, &log, &done);
    sqlite3_busy_timeout(writer->handle, (int)c->store->config->timeout);
    c->next = rc == SQLITE_OK ? base_of(c) : c->pages + base_of(c);
}

void checkpointer_free(struct checkpointer *c)
{
    if (c == NULL)
        return;
    if (c->running) {
        pthread_mutex_lock(&c->lock);
        c->stopping = true;
        pthread_cond_signal(&c->wake);
        pthread_mutex_unlock(&c->lock);
        pthread_join(c->thread, NULL);
    }
    db_close(&c->db);
    pthread_cond_destroy(&c->wake);
    pthread_mutex_destroy(&c->lock);
    free(c);
}
