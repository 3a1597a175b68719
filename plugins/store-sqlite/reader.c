/*
 * Readers and their snapshots; see reader.h.
 *
 * The header is looked at through SQLite's own mapping (xShmMap gives the mapped region); to
 * open the -shm file a second time would drop this process's locks on it when closed.
 */
#include "reader.h"

#include <stdlib.h>
#include <sys/time.h>

#include <event2/event.h>

#include <andiron/async.h>

#include "search.h"
#include "writer.h"

enum { SHM_REGION_BYTES = 32 * 1024, POOL_READERS_KEPT = 4 };

struct reader *reader_new(struct store *store, int64_t busy_ms, struct andiron_error *err)
{
    struct db_settings settings = store_db_settings(store, false);
    struct reader *reader = calloc(1, sizeof(*reader));

    if (reader == NULL) {
        andiron_error_set(err, ANDIRON_E_UNAVAILABLE, "", "out of memory");
        return NULL;
    }
    reader->store = store;
    settings.busy_ms = busy_ms;
    if (db_open(&reader->db, &settings, err) != 0) {
        free(reader);
        return NULL;
    }
    map_keep(&reader->map, &store->mapping, &reader->db);
    return reader;
}

void reader_free(struct reader *reader)
{
    if (reader == NULL)
        return;
    if (reader->timer != NULL)
        event_free(reader->timer);
    reader_close(reader);
    search_counts_free(reader->counts);
    db_close(&reader->db);
    free(reader);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct reader *reader = arg;

    (void)fd;
    (void)what;
    reader->armed = false;
    reader_close(reader);
}

int reader_attach(struct reader *reader, struct andiron_loop *loop, struct andiron_error *err)
{
    reader->timer = evtimer_new(andiron_loop_base(loop), on_timer, reader);
    if (reader->timer == NULL)
        return andiron_error_set(err, ANDIRON_E_UNAVAILABLE, "", "out of memory");
    return 0;
}

/* The shared header; only known once the connection has read in WAL mode. */
static void find_shared(struct reader *reader)
{
    sqlite3_file *file = NULL;
    volatile void *region = NULL;

    if (sqlite3_file_control(reader->db.handle, "main", SQLITE_FCNTL_FILE_POINTER, &file) !=
            SQLITE_OK ||
        file == NULL || file->pMethods == NULL || file->pMethods->iVersion < 2)
        return;
    if (file->pMethods->xShmMap(file, 0, SHM_REGION_BYTES, 0, &region) == SQLITE_OK)
        reader->shared = region;
}

static void copy_header(const struct reader *reader, uint8_t out[READER_HEADER_BYTES])
{
    const volatile uint64_t *shared = (const volatile uint64_t *)reader->shared;
    uint64_t words[READER_HEADER_BYTES / 8];

    for (size_t i = 0; i < READER_HEADER_BYTES / 8; i++)
        words[i] = shared[i];
    memcpy(out, words, READER_HEADER_BYTES);
}

static bool is_current(const struct reader *reader)
{
    uint8_t now[READER_HEADER_BYTES];

    if (reader->shared == NULL)
        return false;
    atomic_thread_fence(memory_order_seq_cst);
    copy_header(reader, now);
    return memcmp(now, reader->header, sizeof(now)) == 0;
}

int reader_enter(struct reader *reader)
{
    sqlite3_stmt *begin;
    bool changed = true;

    if (reader->open && is_current(reader))
        return 0;
    reader_close(reader);
    reader->db.names = writer_names(reader->store->writer);
    begin = db_statement(&reader->db, DB_BEGIN);
    /* Before the snapshot: a commit in between then makes it look old, never too new. */
    if (reader->shared != NULL) {
        uint8_t before[READER_HEADER_BYTES];
        memcpy(before, reader->header, sizeof(before));
        copy_header(reader, reader->header);
        atomic_thread_fence(memory_order_seq_cst);
        changed = memcmp(before, reader->header, sizeof(before)) != 0;
    }
    reader->content += changed;
    if (db_do(&reader->db, begin) != 0)
        return -1;
    reader->open = true;
    return 0;
}

void reader_leave(struct reader *reader)
{
    struct timeval age = { .tv_usec = (suseconds_t)reader->store->config->snapshot_age * 1000 };

    if (reader->timer == NULL || reader->shared == NULL) {
        if (reader->shared == NULL)
            find_shared(reader);
        reader_close(reader);
        return;
    }
    if (!reader->armed)
        reader->armed = evtimer_add(reader->timer, &age) == 0;
    if (!reader->armed)
        reader_close(reader);
}

void reader_close(struct reader *reader)
{
    if (!reader->open)
        return;
    reader->open = false;
    /* Cannot fail in a way that matters: a transaction that only read has nothing to lose. */
    (void)db_do(&reader->db, db_statement(&reader->db, DB_COMMIT));
}

/* ---- for the pool -------------------------------------------------------------- */

struct readers {
    pthread_mutex_t lock;
    struct reader *free;
    size_t count, lent;
};

struct readers *readers_new(void)
{
    struct readers *readers = calloc(1, sizeof(*readers));

    if (readers != NULL)
        pthread_mutex_init(&readers->lock, NULL);
    return readers;
}

void readers_free(struct readers *readers)
{
    if (readers == NULL)
        return;
    while (readers->free != NULL) {
        struct reader *next = readers->free->next;
        reader_free(readers->free);
        readers->free = next;
    }
    pthread_mutex_destroy(&readers->lock);
    free(readers);
}

struct reader *readers_take(struct store *store, struct andiron_error *err)
{
    struct readers *readers = store->readers;

    pthread_mutex_lock(&readers->lock);
    struct reader *reader = readers->free;
    if (reader != NULL) {
        readers->free = reader->next;
        readers->count--;
    }
    readers->lent++;
    pthread_mutex_unlock(&readers->lock);
    if (reader == NULL)
        reader = reader_new(store, store->config->timeout, err);
    if (reader == NULL) {
        pthread_mutex_lock(&readers->lock);
        readers->lent--;
        pthread_mutex_unlock(&readers->lock);
    }
    return reader;
}

void readers_give(struct store *store, struct reader *reader)
{
    struct readers *readers = store->readers;
    bool kept = false;

    reader_close(reader);
    pthread_mutex_lock(&readers->lock);
    readers->lent--;
    if (readers->count < POOL_READERS_KEPT) {
        reader->next = readers->free;
        readers->free = reader;
        readers->count++;
        kept = true;
    }
    pthread_mutex_unlock(&readers->lock);
    if (!kept)
        reader_free(reader);
}

void readers_count(struct readers *readers, size_t *ret_idle, size_t *ret_busy)
{
    pthread_mutex_lock(&readers->lock);
    *ret_idle = readers->count;
    *ret_busy = readers->lent;
    pthread_mutex_unlock(&readers->lock);
}
