/*
 * The configuration folder, the environment and -o -> one set of sections.
 */
#ifndef CORE_HOST_CONFIG_H
#define CORE_HOST_CONFIG_H

#include <andiron/error.h>

#include "host/ini.h"

enum { CONFIG_FILE_MAX = 1 << 20, SECRET_FILE_MAX = 64 * 1024 }; /* bytes */

struct config_sources {
    const char *dir;                  /* absolute; holds andiron.conf, conf.d, plugins.d */
    const char *const *core_sections; /* known names, NULL-terminated */
    const char *const *overrides;     /* of -o: "section.name=value", NULL-terminated, or NULL */
    char *const *environment;         /* "ANDIRON_SECTION__NAME=value" among others, or NULL */
};

/*
 * Reads andiron.conf, conf.d/ and plugins.d/ in name order, then applies the environment and
 * -o. Every problem is added; what could be read is in *ini all the same.
 */
void config_read(const struct config_sources *sources, struct ini *ini, struct problems *problems);

/* Whole file in arena, NUL-terminated, or -1 and the reason: at most max bytes, no folder or device. */
ANDIRON_MUST_CHECK int config_file(struct andiron_arena *arena, const char *path, size_t max,
                                   andiron_str *ret, struct andiron_error *err);

/* A warning at the place where the secret was named if everybody on the machine may read or write its file. */
void config_warn_open(struct problems *problems, const char *file, unsigned line,
                      const char *directive, const char *path);

/* path itself if absolute, else below dir. In arena. */
const char *config_path(struct andiron_arena *arena, const char *dir, const char *path);

/* Names in folder that end in suffix and do not begin with a dot, in byte order; NULL-terminated. */
const char *const *config_list(struct andiron_arena *arena, const char *folder, const char *suffix);

#endif
