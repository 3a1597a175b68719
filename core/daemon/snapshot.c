/*
 * Copies of the store. A copy belongs to its request: whatever becomes of that, its file is removed
 * with the request's arena, and what a killed worker left is removed by the next request.
 */
#include "daemon/snapshot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <andiron/store.h>

#include "base/log.h"

#define PREFIX "snapshot-"

struct snapshot {
    char *path;
    struct andiron_error err;
};

/* True for a file that a worker wrote which is there no more. */
static bool is_left_over(const char *name)
{
    if (strncmp(name, PREFIX, sizeof(PREFIX) - 1) != 0)
        return false;
    long pid = strtol(name + sizeof(PREFIX) - 1, NULL, 10);
    return pid > 0 && kill((pid_t)pid, 0) != 0 && errno == ESRCH;
}

static void remove_left_over(const char *folder)
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;

    if (dir == NULL)
        return; /* the store says what is wrong with it */
    while ((entry = readdir(dir)) != NULL)
        if (is_left_over(entry->d_name) && unlinkat(dirfd(dir), entry->d_name, 0) != 0)
            log_event(ANDIRON_LOG_WARN, "backup.left", NULL, "cannot remove %s/%s: %s", folder,
                      entry->d_name, strerror(errno));
    (void)closedir(dir); /* only read */
}

static void remove_file(void *arg)
{
    (void)unlink(arg); /* mostly gone already */
}

static enum andiron_step refuse(struct andiron_request *req, int status, const char *reason)
{
    struct andiron_json_writer *w = andiron_json_write(andiron_request_arena(req), 4096);

    andiron_json_put_object(w, NULL);
    andiron_json_put_str(w, "reason", andiron_str_of(reason));
    andiron_json_put_end(w);
    return andiron_reply(req, status, "application/json", andiron_json_written(w));
}

static enum andiron_step send_file(struct andiron_request *req, void *state)
{
    struct snapshot *s = state;
    struct stat st;

    if (s->err.code != ANDIRON_OK)
        return refuse(req, andiron_code_http(s->err.code), s->err.message);
    int fd = open(s->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &st) != 0) {
        const char *why = strerror(errno);
        if (fd >= 0)
            (void)close(fd); /* only read */
        return refuse(req, 503, why);
    }
    remove_file(s->path);
    return andiron_reply_file(req, 200, "application/octet-stream", fd, 0, (uint64_t)st.st_size);
}

enum andiron_step snapshot_send(struct andiron_request *req, const struct host *host,
                                const char *state_dir)
{
    static atomic_uint count;
    struct andiron_arena *arena = andiron_request_arena(req);
    struct andiron_service_ref ref;
    const char *name;
    size_t pos = 0;

    if (!host_service(host, ANDIRON_STORE, &pos, &ref, &name))
        return refuse(req, 404, "no enabled plugin is a store");
    const struct andiron_store *store = ref.table;
    if (store->size < offsetof(struct andiron_store, restore) || store->backup == NULL)
        return refuse(req, 501, "this store makes no copies of itself");
    remove_left_over(state_dir);
    struct snapshot *s = andiron_new(arena, struct snapshot);
    s->path = andiron_printf(arena, "%s/" PREFIX "%d-%u.db", state_dir, (int)getpid(),
                             atomic_fetch_add(&count, 1));
    andiron_at_release(arena, remove_file, s->path);
    log_event(ANDIRON_LOG_INFO, "backup.started", NULL, "copying the store");
    return store->backup(ref.self, req, s->path, &s->err, send_file, s);
}
