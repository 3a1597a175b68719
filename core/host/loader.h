/*
 * Modules: from a file name to a checked plugin table. Nothing of a plugin runs here, and
 * nothing is ever unloaded: a new version comes with a new worker.
 */
#ifndef CORE_HOST_LOADER_H
#define CORE_HOST_LOADER_H

#include <andiron/plugin.h>

/*
 * Where `module` lies: a bare name is looked for in the folders of module_path in order, a path
 * must lead into one of them. In arena; NULL and err if there is none.
 */
const char *loader_find(struct andiron_arena *arena, const char *module,
                        const char *const *module_path, struct andiron_error *err);

/*
 * Opens the module at path and copies its table to *ret; members that its headers did not know
 * read as 0. Checks the file's owner and mode, the symbol, the ABI and the table itself. -1 and a
 * sentence with the remedy otherwise.
 */
ANDIRON_MUST_CHECK int loader_open(const char *path, struct andiron_plugin *ret,
                                   struct andiron_error *err);

/* "kind/major" or "kind/major:instance". With is_pattern also "kind/major:", all instances. */
bool loader_service_ok(const char *name, bool is_pattern);

#endif
