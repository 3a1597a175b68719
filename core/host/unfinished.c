/*
 * A file without content; see unfinished.h.
 */
#include "host/unfinished.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* Its folder, opened for what names are in it. */
static int open_folder(const char *folder)
{
    return open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int unfinished_mark(const char *folder)
{
    int dir = open_folder(folder);
    int fd = dir >= 0
                 ? openat(dir, UNFINISHED_NAME, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)
                 : -1;
    int rc = fd >= 0 ? fsync(dir) : -1;

    if (fd >= 0)
        (void)close(fd); /* empty */
    if (dir >= 0)
        (void)close(dir); /* synced, or failed already */
    return rc;
}

int unfinished_clear(const char *folder)
{
    int dir = open_folder(folder);
    int rc = dir >= 0 ? unlinkat(dir, UNFINISHED_NAME, 0) : -1;

    if (rc == 0 || errno == ENOENT)
        rc = dir >= 0 ? fsync(dir) : 0; /* no folder, no mark */
    if (dir >= 0)
        (void)close(dir); /* synced, or failed already */
    return rc;
}

int unfinished_check(const char *folder, struct andiron_error *err)
{
    int dir = open_folder(folder);
    bool is_there = dir >= 0 && faccessat(dir, UNFINISHED_NAME, F_OK, AT_SYMLINK_NOFOLLOW) == 0;

    if (dir >= 0)
        (void)close(dir); /* only looked at */
    if (!is_there)
        return 0;
    return andiron_error_set(err, ANDIRON_E_INVALID, folder,
                             "a restore into it was interrupted; run it again to its end: andiron "
                             "restore FILE");
}
