/*
 * Plugins that could be enabled: files of plugins-available, and modules of module-path that no
 * file names. For `andiron plugins --all` and for hints.
 */
#ifndef CORE_HOST_AVAILABLE_H
#define CORE_HOST_AVAILABLE_H

#include <andiron/plugin.h>

struct available {
    const char *name;   /* of its section, or of the module file */
    const char *file;   /* "20-auth.conf" in plugins-available, or NULL */
    const char *module; /* path, or NULL if it was not found */
    bool is_usable;     /* table was read */
    struct andiron_plugin table;
    const char *why_not; /* else */
};

/* All of them, by file name; *ret_count rows in arena. Reads tables, runs nothing. */
struct available *available_list(struct andiron_arena *arena, const char *dir,
                                 const char *const *module_path, size_t *ret_count);

#endif
