/*
 * Files that the configuration names and that lie neither in its folder nor in the state: certificates and
 * their keys, secrets, the init bundle. In a backup they are files/ and their absolute path.
 */
#ifndef CORE_CLI_OUTSIDE_H
#define CORE_CLI_OUTSIDE_H

#include "cli/archive.h"
#include "host/settings.h"

/* Adds those that are there. dir is the configuration folder. 0, or an exit status, told on stderr. */
ANDIRON_MUST_CHECK int outside_save(struct archive_writer *w, const struct host *host,
                                    const struct settings *settings, const char *dir);

/*
 * Tells of each that is not here as it is in the archive; with put_back those that are missing are written. What
 * is there is never touched: it may be newer, a renewed certificate. 0, or an exit status, told on stderr.
 */
ANDIRON_MUST_CHECK int outside_restore(const struct archive *a, struct andiron_arena *arena,
                                       bool put_back);

#endif
