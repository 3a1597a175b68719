/*
 * Gathering writes to the log; see walfile.h. Stands between SQLite and its VFS for some methods
 * of two files: those that read or write the log, and the locks of the shared index.
 *
 * What is gathered never outlives its transaction: a commit flushes it, and what is still there
 * when the lock for writing is given up was rolled back. Another process may write there then.
 */
#include "walfile.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum {
    ROOM = 120 * 1024, /* SQLite's own write takes less than 128 KiB at a time */
    WRITE_LOCK = 0     /* slot of the shared index: WAL_WRITE_LOCK of the file format */
};

static struct walfile *of_log(sqlite3_file *file)
{
    return (struct walfile *)(uintptr_t)file->pMethods;
}

static struct walfile *of_main(sqlite3_file *file)
{
    return (struct walfile *)(uintptr_t)((const char *)file->pMethods -
                                         offsetof(struct walfile, main));
}

/* SQLITE_OK when all is in the file; what was written before a failure is void. */
static int flush(struct walfile *w)
{
    int len = w->len;

    w->len = 0;
    if (len != 0 && w->failed == SQLITE_OK)
        w->failed = w->log_original->xWrite(w->file, w->room, len, w->at);
    return w->failed;
}

static bool is_gathered(const struct walfile *w, int len, sqlite3_int64 at)
{
    return at >= w->at && at + len <= w->at + w->len;
}

static int log_write(sqlite3_file *file, const void *bytes, int len, sqlite3_int64 at)
{
    struct walfile *w = of_log(file);
    bool fits = at == w->at + w->len && len <= ROOM - w->len;

    if (w->failed == SQLITE_OK && is_gathered(w, len, at)) { /* it has left the cache again */
        memcpy(w->room + (at - w->at), bytes, (size_t)len);
        return SQLITE_OK;
    }
    if (w->failed != SQLITE_OK || (w->len != 0 && !fits && flush(w) != SQLITE_OK))
        return w->failed;
    if (len > ROOM)
        return w->log_original->xWrite(file, bytes, len, at);
    if (w->len == 0)
        w->at = at;
    memcpy(w->room + w->len, bytes, (size_t)len);
    w->len += len;
    return SQLITE_OK;
}

static int log_read(sqlite3_file *file, void *bytes, int len, sqlite3_int64 at)
{
    struct walfile *w = of_log(file);

    if (w->failed != SQLITE_OK)
        return w->failed;
    if (is_gathered(w, len, at)) {
        memcpy(bytes, w->room + (at - w->at), (size_t)len);
        return SQLITE_OK;
    }
    /* Pages of a large transaction leave the cache while others are read, mostly elsewhere. */
    if (at < w->at + w->len && at + len > w->at && flush(w) != SQLITE_OK)
        return w->failed;
    return w->log_original->xRead(file, bytes, len, at);
}

static int log_truncate(sqlite3_file *file, sqlite3_int64 bytes)
{
    struct walfile *w = of_log(file);
    int rc = flush(w);

    return rc != SQLITE_OK ? rc : w->log_original->xTruncate(file, bytes);
}

static int log_sync(sqlite3_file *file, int how)
{
    struct walfile *w = of_log(file);
    int rc = flush(w);

    return rc != SQLITE_OK ? rc : w->log_original->xSync(file, how);
}

static int log_size(sqlite3_file *file, sqlite3_int64 *ret)
{
    struct walfile *w = of_log(file);
    int rc = flush(w);

    return rc != SQLITE_OK ? rc : w->log_original->xFileSize(file, ret);
}

/* SQLite closes and forgets the file; what a transaction left behind was rolled back. */
static int log_close(sqlite3_file *file)
{
    struct walfile *w = of_log(file);

    w->len = 0;
    w->file = NULL;
    return w->log_original->xClose(file);
}

static int main_lock(sqlite3_file *file, int slot, int count, int flags)
{
    struct walfile *w = of_main(file);

    if ((flags & SQLITE_SHM_UNLOCK) != 0 && slot == WRITE_LOCK) {
        w->len = 0;
        w->failed = SQLITE_OK;
    }
    return w->main_original->xShmLock(file, slot, count, flags);
}

static sqlite3_file *file_of(struct db *db, int which)
{
    sqlite3_file *file = NULL;

    if (sqlite3_file_control(db->handle, "main", which, &file) != SQLITE_OK || file == NULL ||
        file->pMethods == NULL)
        return NULL;
    return file;
}

/* Otherwise SQLite pads commits to whole sectors, behind the flush. */
static bool is_unpadded(struct db *db)
{
    int psow = -1;

    return sqlite3_file_control(db->handle, "main", SQLITE_FCNTL_POWERSAFE_OVERWRITE, &psow) ==
               SQLITE_OK &&
           psow == 1;
}

void walfile_gather(struct walfile *w, struct db *db)
{
    sqlite3_file *log = file_of(db, SQLITE_FCNTL_JOURNAL_POINTER);
    sqlite3_file *base = file_of(db, SQLITE_FCNTL_FILE_POINTER);

    if (log == NULL || base == NULL || base->pMethods->iVersion < 2 || !is_unpadded(db))
        return;
    *w = (struct walfile){ .log = *log->pMethods,
                           .main = *base->pMethods,
                           .log_original = log->pMethods,
                           .main_original = base->pMethods,
                           .file = log,
                           .room = malloc(ROOM) };
    if (w->room == NULL)
        return;
    w->log.xClose = log_close;
    w->log.xRead = log_read;
    w->log.xWrite = log_write;
    w->log.xTruncate = log_truncate;
    w->log.xSync = log_sync;
    w->log.xFileSize = log_size;
    w->main.xShmLock = main_lock;
    log->pMethods = &w->log;
    base->pMethods = &w->main;
}

void walfile_free(struct walfile *w)
{
    free(w->room);
    w->room = NULL;
}
