/*
 * The init bundle: read, filled in, and applied as the system principal before anything is
 * served (seed-semantics.md section 10).
 */
#ifndef CORE_DAEMON_BUNDLE_H
#define CORE_DAEMON_BUNDLE_H

#include <andiron/error.h>

#include "http/server.h"

enum { BUNDLE_FILE_MAX = 64 << 20 }; /* bytes */

/*
 * Replaces ${env:NAME} and ${file:/path} inside the strings of JSON text; what replaces them is
 * escaped. -1 and err if a variable is not set or a file cannot be read.
 */
ANDIRON_MUST_CHECK int bundle_fill_in(struct andiron_arena *arena, andiron_str text,
                                      andiron_str *ret, struct andiron_error *err);

/*
 * Applies the bundle at path and waits for its end; loops run already. -1 and err if it cannot be
 * read or is no batch or transaction, or if a transaction fails; an entry of a batch that
 * fails is a warning in the log.
 */
ANDIRON_MUST_CHECK int bundle_apply(struct http_server *server, const struct route_table *routes,
                                    const char *path, struct andiron_error *err);

#endif
