/*
 * The shared mapping; see map.h. Stands between SQLite and its VFS for the methods that map.
 */
#include "map.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { LEAST = 16 << 20 };

void mapping_open(struct mapping *mapping, const char *path, int64_t limit)
{
    int fd = limit > 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;

    mapping->base = NULL;
    mapping->limit = 0;
    atomic_init(&mapping->bytes, 0);
    for (int64_t bytes = limit; fd >= 0 && mapping->base == NULL; bytes /= 2) {
        void *base = mmap(NULL, (size_t)bytes, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, 0);
        if (base != MAP_FAILED) {
            mapping->base = base;
            mapping->limit = bytes;
        } else if (bytes <= LEAST) {
            break; /* pages are read, then */
        }
    }
    if (fd >= 0)
        (void)close(fd); /* the mapping stays */
}

void mapping_close(struct mapping *mapping)
{
    if (mapping->base != NULL)
        (void)munmap(mapping->base, (size_t)mapping->limit);
    mapping->base = NULL;
    mapping->limit = 0;
}

/* The page at offset, or NULL in *ret: SQLite reads it, then. */
static int fetch(sqlite3_file *file, sqlite3_int64 offset, int amount, void **ret)
{
    struct map *map = (struct map *)(uintptr_t)file->pMethods;
    struct mapping *mapping = map->mapping;
    sqlite3_int64 bytes = atomic_load_explicit(&mapping->bytes, memory_order_relaxed);

    *ret = NULL;
    if (offset > mapping->limit - amount)
        return SQLITE_OK;
    if (offset > bytes - amount) { /* to touch what is behind the file's end would be fatal */
        if (map->original->xFileSize(file, &bytes) != SQLITE_OK || offset > bytes - amount)
            return SQLITE_OK;
        atomic_store_explicit(&mapping->bytes, bytes, memory_order_relaxed);
    }
    *ret = mapping->base + offset;
    return SQLITE_OK;
}

/* page NULL: the whole file, between two snapshots. */
static int unfetch(sqlite3_file *file, sqlite3_int64 offset, void *page)
{
    (void)file;
    (void)offset;
    (void)page;
    return SQLITE_OK;
}

void map_keep(struct map *map, struct mapping *mapping, struct db *db)
{
    sqlite3_file *file = NULL;

    if (mapping->base == NULL ||
        sqlite3_file_control(db->handle, "main", SQLITE_FCNTL_FILE_POINTER, &file) != SQLITE_OK ||
        file == NULL || file->pMethods == NULL || file->pMethods->iVersion < 3)
        return;
    *map =
        (struct map){ .methods = *file->pMethods, .original = file->pMethods, .mapping = mapping };
    map->methods.xFetch = fetch;
    map->methods.xUnfetch = unfetch;
    file->pMethods = &map->methods;
}
