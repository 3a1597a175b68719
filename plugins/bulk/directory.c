#include "directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "job.h"

enum { TOKEN_LEN = 32, LOCK_NAME = 40, FOLDER_MODE = 0700, FILE_MODE = 0600 };
static const char token_name[] = "token";
static const char lock_prefix[] = "node-";

struct directory {
    const char *path;
    int fd, lock;
    char token[TOKEN_LEN + 1], node[BULK_NODE_LEN + 1];
};

void bulk_random(char *out, size_t count)
{
    static const char hex[] = "0123456789abcdef";
    uint8_t byte;

    for (size_t i = 0; i < count; i++) {
        if (getrandom(&byte, 1, 0) != 1)
            abort(); /* only on a kernel without getrandom; guessable ids are no way out */
        out[2 * i] = hex[byte >> 4];
        out[2 * i + 1] = hex[byte & 15];
    }
    out[2 * count] = '\0';
}

const char *directory_token(const struct directory *d)
{
    return d->token;
}

const char *directory_node(const struct directory *d)
{
    return d->node;
}

/* ---- opening ------------------------------------------------------------------------------ */

static int fault(const struct directory *d, struct andiron_error *err, const char *what)
{
    return andiron_error_set(err, ANDIRON_E_UNAVAILABLE, "bulk.directory", "%s: %s: %s", d->path,
                             what, strerror(errno));
}

/* The token that is there, or one of our own: whoever links first. */
static int take_token(struct directory *d, struct andiron_error *err)
{
    char mine[TOKEN_LEN + 1], temporary[LOCK_NAME];

    bulk_random(mine, TOKEN_LEN / 2);
    (void)snprintf(temporary, sizeof(temporary), "new-%.16s", mine);
    for (int tries = 0; tries < 3; tries++) {
        int fd = openat(d->fd, token_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd >= 0) {
            ssize_t got = read(fd, d->token, TOKEN_LEN);
            (void)close(fd); /* only read from */
            if (got == TOKEN_LEN)
                return 0;
            errno = EINVAL;
            return fault(d, err, "its file \"token\" is not one that was made here");
        }
        fd = openat(d->fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
                    FILE_MODE);
        if (fd < 0)
            return fault(d, err, "cannot be written to");
        bool written = write(fd, mine, TOKEN_LEN) == TOKEN_LEN && fsync(fd) == 0;
        if (close(fd) != 0 || !written)
            return fault(d, err, "cannot be written to");
        if (linkat(d->fd, temporary, d->fd, token_name, 0) != 0 && errno != EEXIST)
            tries = 3; /* else another was first */
        (void)unlinkat(d->fd, temporary, 0);
    }
    return fault(d, err, "its file \"token\" cannot be made");
}

static void lock_name(andiron_str node, char out[LOCK_NAME])
{
    (void)snprintf(out, LOCK_NAME, "%s%.*s", lock_prefix, (int)node.len, node.data);
}

static int take_lock(struct directory *d, struct andiron_error *err)
{
    char name[LOCK_NAME];

    bulk_random(d->node, BULK_NODE_LEN / 2);
    lock_name(andiron_str_of(d->node), name);
    d->lock = openat(d->fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
    if (d->lock < 0)
        return fault(d, err, "cannot be written to");
    /* Without locks, whether a process lives is told by the leases of its jobs. */
    if (flock(d->lock, LOCK_EX | LOCK_NB) != 0)
        return fault(d, err, "files in it cannot be locked");
    return 0;
}

/* Files of processes that have ended. */
static void drop_locks(const struct directory *d)
{
    int fd = openat(d->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;

    if (list == NULL) {
        if (fd >= 0)
            (void)close(fd);
        return;
    }
    while ((entry = readdir(list)) != NULL) {
        if (strncmp(entry->d_name, lock_prefix, sizeof(lock_prefix) - 1) != 0)
            continue;
        andiron_str node = andiron_str_of(entry->d_name + sizeof(lock_prefix) - 1);
        if (directory_is_dead(d, node))
            (void)unlinkat(d->fd, entry->d_name, 0); /* it is in nobody's way if it stays */
    }
    (void)closedir(list);
}

struct directory *directory_open(struct bulk *bulk, struct andiron_error *err)
{
    struct andiron_arena *arena = andiron_host_arena(bulk->host);
    const char *state = andiron_host_setting(bulk->host, "core.state-dir");
    struct directory *d = andiron_new(arena, struct directory);

    *d = (struct directory){ .path = bulk->config->directory, .fd = -1, .lock = -1 };
    if (d->path[0] == '\0' && (state == NULL || state[0] == '\0')) {
        andiron_error_set(err, ANDIRON_E_INVALID, "bulk.directory",
                          "must be set where core.state-dir is not");
        return NULL;
    }
    if (d->path[0] == '\0')
        d->path = andiron_printf(arena, "%s/bulk", state);
    if (mkdir(d->path, FOLDER_MODE) != 0 && errno != EEXIST) {
        (void)fault(d, err, "cannot be made");
        return NULL;
    }
    d->fd = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (d->fd < 0) {
        (void)fault(d, err, "cannot be opened");
        return NULL;
    }
    if (take_token(d, err) != 0 || take_lock(d, err) != 0) {
        directory_close(d);
        return NULL;
    }
    drop_locks(d);
    return d;
}

void directory_close(struct directory *d)
{
    char name[LOCK_NAME];

    if (d == NULL)
        return;
    if (d->lock >= 0) {
        lock_name(andiron_str_of(d->node), name);
        (void)unlinkat(d->fd, name, 0); /* who finds it can have its lock */
        (void)close(d->lock);
    }
    if (d->fd >= 0)
        (void)close(d->fd);
    d->fd = d->lock = -1;
}

bool directory_is_dead(const struct directory *d, andiron_str node)
{
    char name[LOCK_NAME];
    bool dead;

    if (node.len != BULK_NODE_LEN || andiron_str_eq(node, andiron_str_of(d->node)))
        return false;
    lock_name(node, name);
    int fd = openat(d->fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT; /* it ended in order, and took its file along */
    dead = flock(fd, LOCK_SH | LOCK_NB) == 0;
    (void)close(fd);
    return dead;
}

/* ---- files ---------------------------------------------------------------------------------- */

static int open_job(const struct directory *d, const char *job)
{
    return openat(d->fd, job, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

int directory_create(const struct directory *d, const char *job, const char *name, bool is_first)
{
    int folder = open_job(d, job);

    if (folder < 0 && errno == ENOENT && is_first && mkdirat(d->fd, job, FOLDER_MODE) == 0 &&
        fsync(d->fd) == 0)
        folder = open_job(d, job);
    if (folder < 0)
        return -1;
    int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
    int saved = errno;
    (void)close(folder);
    errno = saved;
    return fd;
}

int directory_read(const struct directory *d, const char *job, const char *name)
{
    int folder = open_job(d, job);

    if (folder < 0)
        return -1;
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    int saved = errno;
    (void)close(folder);
    errno = saved;
    return fd;
}

int directory_sync(const struct directory *d, const char *job)
{
    int folder = open_job(d, job);

    if (folder < 0)
        return errno == ENOENT ? 0 : -1; /* it has no files yet */
    int rc = fsync(folder);
    (void)close(folder);
    return rc;
}

bool directory_remove(const struct directory *d, const char *job)
{
    int folder = open_job(d, job);
    DIR *list = folder >= 0 ? fdopendir(folder) : NULL;
    struct dirent *entry;

    if (list == NULL) {
        if (folder >= 0)
            (void)close(folder);
        return folder < 0 && errno == ENOENT;
    }
    while ((entry = readdir(list)) != NULL)
        if (entry->d_name[0] != '.')
            (void)unlinkat(folder, entry->d_name, 0); /* rmdir tells whether some is left */
    (void)closedir(list);
    return unlinkat(d->fd, job, AT_REMOVEDIR) == 0 || errno == ENOENT;
}

size_t directory_list(const struct directory *d, int64_t age_s, char (*ret)[BULK_ID_LEN + 1],
                      size_t max)
{
    int fd = openat(d->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;
    struct stat st;
    size_t count = 0;
    time_t now = time(NULL);

    if (list == NULL) {
        if (fd >= 0)
            (void)close(fd);
        return 0;
    }
    while (count < max && (entry = readdir(list)) != NULL) {
        if (!job_is_id(andiron_str_of(entry->d_name)) ||
            fstatat(d->fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(st.st_mode) ||
            now - st.st_mtime < age_s)
            continue;
        memcpy(ret[count++], entry->d_name, BULK_ID_LEN + 1);
    }
    (void)closedir(list);
    return count;
}

int64_t directory_free(const struct directory *d)
{
    struct statvfs st;

    if (fstatvfs(d->fd, &st) != 0 || st.f_frsize == 0)
        return -1;
    return (int64_t)(st.f_bavail * st.f_frsize);
}
