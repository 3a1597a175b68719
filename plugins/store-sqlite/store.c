/*
 * Making and ending a store; see store.h.
 */
#include "store.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "checkpoint.h"
#include "lookup.h"
#include "reader.h"
#include "schema.h"
#include "sql.h"
#include "watch.h"
#include "writer.h"

struct db_settings store_db_settings(const struct store *store, bool writable)
{
    const struct config *config = store->config;

    return (struct db_settings){
        .path = store->path,
        .writable = writable,
        .normal = config->synchronous == SYNCHRONOUS_NORMAL,
        .cache_bytes = writable ? config->writer_cache : config->reader_cache,
        .mmap_bytes = config->mmap_size,
        .busy_ms = config->timeout,
    };
}

void store_log(const struct store *store, enum andiron_level level, const char *event,
               const char *fmt, ...)
{
    char text[512];
    va_list args;

    if (store->host == NULL)
        return;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    andiron_log(store->host, level, event, "%s", text);
}

/* Another key for cursors, so that their seals tell nothing of index hashes. */
static struct hash_key seal_of(const struct hash_key *key)
{
    struct hash128 h = hash_of128(key, ANDIRON_STR("andiron cursor seal"));
    return hash_key_of(h.bytes);
}

void store_make_private(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd >= 0)
        (void)close(fd); /* if it could not be made, opening it says why */
}

int store_open(struct store *store, struct andiron_error *err)
{
    struct db *db;

    store_make_private(store->path);
    mapping_open(&store->mapping, store->path, store->config->mmap_size);
    store->writer = writer_new(store, err);
    if (store->writer == NULL)
        return -1;
    db = writer_view(store->writer).db;
    int64_t before = 0;
    if (schema_version(db, store->path, &before, err) != 0 ||
        schema_open(db, store->path, err) != 0)
        return -1;
    if (before != 0 && before < SCHEMA_VERSION)
        store_log(store, ANDIRON_LOG_INFO, "store.migrated", "from schema version %lld to %d",
                  (long long)before, SCHEMA_VERSION);
    if (schema_hash_key(db, &store->key) != 0)
        return db_error(db, err);
    store->seal = seal_of(&store->key);
    store->names = names_new(&store->key);
    store->watches = watches_new();
    store->readers = readers_new();
    store->sql = sql_questions(store);
    if (store->watches == NULL || store->readers == NULL || store->sql == NULL)
        return andiron_error_set(err, ANDIRON_E_UNAVAILABLE, "", "out of memory");
    if (names_load(store->names, db) != 0)
        return db_error(db, err);
    writer_gather(store->writer);
    return 0;
}

int store_start(struct store *store, struct andiron_error *err)
{
    struct db *db = writer_view(store->writer).db;

    if (watch_begin(store->watches, db) != 0)
        return db_error(db, err);
    store->checkpointer = checkpointer_new(store, db, err);
    if (store->checkpointer == NULL)
        return -1;
    return writer_start(store->writer, err);
}

void store_stop(struct store *store)
{
    questions_free(store->sql);
    store->sql = NULL;
    writer_free(store->writer);
    checkpointer_free(store->checkpointer);
    readers_free(store->readers);
    watches_free(store->watches);
    names_free(store->names);
    mapping_close(&store->mapping);
    store->writer = NULL;
    store->checkpointer = NULL;
    store->readers = NULL;
    store->watches = NULL;
    store->names = NULL;
}
