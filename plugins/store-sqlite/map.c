/*
 * Keeping the mapping; see map.h. Stands between SQLite and its VFS for one method of one file.
 */
#include "map.h"

/* page NULL: the whole file, between two snapshots. */
static int unfetch(sqlite3_file *file, sqlite3_int64 offset, void *page)
{
    struct map *map = (struct map *)(uintptr_t)file->pMethods;
    sqlite3_int64 bytes;

    if (page == NULL && map->original->xFileSize(file, &bytes) == SQLITE_OK) {
        if (bytes == map->bytes)
            return SQLITE_OK;
        map->bytes = bytes;
    }
    return map->original->xUnfetch(file, offset, page);
}

void map_keep(struct map *map, struct db *db)
{
    sqlite3_file *file = NULL;

    if (sqlite3_file_control(db->handle, "main", SQLITE_FCNTL_FILE_POINTER, &file) != SQLITE_OK ||
        file == NULL || file->pMethods == NULL || file->pMethods->iVersion < 3)
        return;
    *map = (struct map){ .methods = *file->pMethods, .original = file->pMethods, .bytes = -1 };
    map->methods.xUnfetch = unfetch;
    file->pMethods = &map->methods;
}
