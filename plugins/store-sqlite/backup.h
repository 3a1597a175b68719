/*
 * Copies of the whole database, and putting one back.
 */
#ifndef STORE_SQLITE_BACKUP_H
#define STORE_SQLITE_BACKUP_H

#include "store.h"

/* A consistent copy into a new file, while serving; takes its time. -1 and err. */
int backup_run(struct store *store, const char *path, struct andiron_error *err);

/* Whether a copy is sound and of a schema that this program knows. -1 and err. */
ANDIRON_MUST_CHECK int backup_check(const char *path, struct andiron_error *err);

/*
 * Replaces the content of the store's file by a copy's, all or nothing. Only while nobody uses
 * the file: not after store_start(), and with no connection of store open. -1 and err.
 */
ANDIRON_MUST_CHECK int backup_restore(struct store *store, const char *path,
                                      struct andiron_error *err);

#endif
