/*
 * Backup and restore through SQLite's online backup; see backup.h.
 */
#include "backup.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "reader.h"
#include "schema.h"

enum { PAGES_AT_ONCE = 1024 };

/* Copies all of one connection's database into another's. -1: *ret_rc. */
static int copy_all(struct db *to, struct db *from, int *ret_rc)
{
    sqlite3_backup *copy = sqlite3_backup_init(to->handle, "main", from->handle, "main");
    int rc = SQLITE_OK;

    if (copy == NULL) {
        *ret_rc = sqlite3_extended_errcode(to->handle);
        return -1;
    }
    while (rc == SQLITE_OK)
        rc = sqlite3_backup_step(copy, PAGES_AT_ONCE);
    int end = sqlite3_backup_finish(copy);
    *ret_rc = rc == SQLITE_DONE ? end : rc;
    return *ret_rc == SQLITE_OK ? 0 : -1;
}

/* Makes the file and its name durable. */
static int sync_path(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int rc = fd >= 0 ? fsync(fd) : -1;

    if (fd >= 0)
        (void)close(fd); /* synced, or failed already */
    return rc;
}

static int sync_folder(const char *path)
{
    char *copy = strdup(path);
    int rc = copy != NULL ? sync_path(dirname(copy)) : -1;

    free(copy);
    return rc;
}

static int publish(const char *partial, const char *path, struct andiron_error *err)
{
    /* link() and not rename(): a file that appeared meanwhile is not overwritten. */
    if (sync_path(partial) == 0 && link(partial, path) == 0 && unlink(partial) == 0 &&
        sync_folder(path) == 0)
        return 0;
    return andiron_error_set(err, errno == ENOSPC ? ANDIRON_E_NO_SPACE : ANDIRON_E_UNAVAILABLE,
                             path, "cannot write %s: %s", path, strerror(errno));
}

/* A fresh file for a copy: nothing of it counts before it is published, so it needs no journal. */
static int open_partial(struct db *to, const char *partial, struct andiron_error *err)
{
    struct db_settings settings = { .path = partial, .writable = true, .cache_bytes = 1 << 20 };

    if (unlink(partial) != 0 && errno != ENOENT)
        return andiron_error_set(err, ANDIRON_E_UNAVAILABLE, partial, "cannot write %s: %s",
                                 partial, strerror(errno));
    int fd = open(partial, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0)
        (void)close(fd); /* if it could not be made, opening it says why */
    if (db_open(to, &settings, err) != 0)
        return -1;
    if (db_run(to, "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF") != 0) {
        db_error(to, err);
        db_close(to);
        return -1;
    }
    return 0;
}

int backup_run(struct store *store, const char *path, struct andiron_error *err)
{
    char *partial = NULL;
    struct db to = { .handle = NULL };
    struct reader *reader = NULL;
    int rc = -1, sqlite_rc = SQLITE_OK;

    if (access(path, F_OK) == 0)
        return andiron_error_set(err, ANDIRON_E_INVALID, path,
                                 "%s exists already; name a new file for the backup", path);
    if (asprintf(&partial, "%s.partial", path) < 0)
        return andiron_error_set(err, ANDIRON_E_UNAVAILABLE, "", "out of memory");
    reader = readers_take(store, err);
    if (reader == NULL || open_partial(&to, partial, err) != 0)
        goto out;
    /* One snapshot for the whole copy: without it every commit would make it start again. */
    if (reader_enter(reader) != 0) {
        db_error(&reader->db, err);
        goto out;
    }
    if (copy_all(&to, &reader->db, &sqlite_rc) != 0) {
        to.rc = sqlite_rc;
        db_error(&to, err);
        goto out;
    }
    db_close(&to);
    rc = publish(partial, path, err);
out:
    if (to.handle != NULL)
        db_close(&to);
    if (rc != 0)
        (void)unlink(partial); /* an unfinished copy is of no use to anybody */
    if (reader != NULL)
        readers_give(store, reader);
    free(partial);
    return rc;
}

/* Whether every page of the copy is sound. */
static int check_pages(struct db *db, const char *path, struct andiron_error *err)
{
    sqlite3_stmt *s = NULL;
    bool sound =
        sqlite3_prepare_v2(db->handle, "PRAGMA quick_check(1)", -1, &s, NULL) == SQLITE_OK &&
        sqlite3_step(s) == SQLITE_ROW && sqlite3_column_text(s, 0) != NULL &&
        strcmp((const char *)sqlite3_column_text(s, 0), "ok") == 0;

    sqlite3_finalize(s);
    if (sound)
        return 0;
    return andiron_error_set(err, ANDIRON_E_INVALID, path,
                             "%s is damaged; nothing was restored from it", path);
}

/* Opens the target for us alone. Leaving WAL mode needs that nobody else has it open. */
static int open_alone(struct db *to, const struct store *store, struct andiron_error *err)
{
    struct db_settings settings = store_db_settings(store, true);

    if (db_open(to, &settings, err) != 0)
        return -1;
    if (db_run(to, "PRAGMA journal_mode=DELETE") == 0)
        return 0;
    andiron_error_set(err, ANDIRON_E_UNAVAILABLE, store->path,
                      "%s is in use; stop andiron before restoring", store->path);
    db_close(to);
    return -1;
}

/* Opens a copy, if it is one: sound, and of a schema that we know. */
static int open_copy(struct db *ret, const char *path, struct andiron_error *err)
{
    struct db_settings settings = { .path = path, .cache_bytes = 1 << 20, .busy_ms = 1000 };

    if (db_open(ret, &settings, err) != 0)
        return -1;
    if (schema_check(ret, path, err) == 0 && check_pages(ret, path, err) == 0)
        return 0;
    db_close(ret);
    return -1;
}

int backup_check(const char *path, struct andiron_error *err)
{
    struct db db = { .handle = NULL };

    if (open_copy(&db, path, err) != 0)
        return -1;
    db_close(&db);
    return 0;
}

int backup_restore(struct store *store, const char *path, struct andiron_error *err)
{
    struct db from = { .handle = NULL }, to = { .handle = NULL };
    int rc = -1, sqlite_rc = SQLITE_OK;

    if (open_copy(&from, path, err) != 0)
        return -1;
    if (open_alone(&to, store, err) != 0)
        goto out;
    if (copy_all(&to, &from, &sqlite_rc) != 0) {
        to.rc = sqlite_rc;
        db_error(&to, err);
        goto out;
    }
    rc = 0;
out:
    if (to.handle != NULL)
        db_close(&to);
    db_close(&from);
    return rc;
}
