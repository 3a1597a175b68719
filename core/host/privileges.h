/*
 * Who the worker is: user and group, and what it may never gain.
 */
#ifndef CORE_HOST_PRIVILEGES_H
#define CORE_HOST_PRIVILEGES_H

#include <sys/types.h>

#include "host/settings.h"

struct identity {
    bool changes; /* false: stay who we are */
    uid_t uid;
    gid_t gid;
    char name[64]; /* of the user, for its groups */
};

/*
 * Whom the worker becomes. As an ordinary user: nobody else. As root: core.user, or where that
 * is empty the owner of state-dir; if that is root or not there yet, root (the caller warns).
 */
ANDIRON_MUST_CHECK int privileges_identity(const struct settings *settings, struct identity *ret,
                                           struct andiron_error *err);

/* Makes the folders that path lies in, mode 0755, where they are missing. */
ANDIRON_MUST_CHECK int privileges_parents(const char *path, struct andiron_error *err);

/* Makes folder with mode 0750 for that identity, and the folders above it, if they are missing. */
ANDIRON_MUST_CHECK int privileges_folder(const char *path, const struct identity *identity,
                                         struct andiron_error *err);

/* Makes a log file that is not there yet, for that identity to write; log_open() tells what fails. */
void privileges_log_file(const char *target, const struct identity *identity);

/* Becomes it for good. Single-threaded. */
ANDIRON_MUST_CHECK int privileges_drop(const struct identity *identity, struct andiron_error *err);

/*
 * For the rest of this process: no new privileges through exec, no core dump or ptrace by its
 * user (memory holds keys), files for nobody else, as many descriptors as allowed.
 */
void privileges_harden(void);

/* Soft limit of descriptors up to the hard one; the supervisor's children inherit it. */
void privileges_raise_files(void);

#endif
