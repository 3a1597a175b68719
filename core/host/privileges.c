/*
 * Identity and limits of the process. Reads the user database; changes ids, modes and limits.
 */
#include "host/privileges.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define FAIL(err, where, ...) andiron_error_set((err), ANDIRON_E_INVALID, (where), __VA_ARGS__)

static int named_group(const char *name, gid_t *ret, struct andiron_error *err)
{
    const struct group *group = getgrnam(name);
    if (group == NULL)
        return FAIL(err, "core.group", "there is no group \"%.60s\" on this machine", name);
    *ret = group->gr_gid;
    return 0;
}

static void take_user(struct identity *id, const struct passwd *user)
{
    id->changes = user->pw_uid != 0;
    id->uid = user->pw_uid;
    id->gid = user->pw_gid;
    (void)snprintf(id->name, sizeof(id->name), "%s", user->pw_name);
}

int privileges_identity(const struct settings *settings, struct identity *ret,
                        struct andiron_error *err)
{
    struct identity id = { .uid = geteuid(), .gid = getegid() };
    struct stat st;

    if (id.uid != 0) {
        *ret = id;
        return 0;
    }
    if (settings->user[0] != '\0') {
        const struct passwd *user = getpwnam(settings->user);
        if (user == NULL)
            return FAIL(err, "core.user", "there is no user \"%.60s\" on this machine",
                        settings->user);
        take_user(&id, user);
    } else if (stat(settings->state_dir, &st) == 0 && st.st_uid != 0) {
        const struct passwd *user = getpwuid(st.st_uid);
        if (user == NULL)
            return FAIL(err, "core.state-dir",
                        "%s belongs to user id %u, which has no name here; set core.user",
                        settings->state_dir, (unsigned)st.st_uid);
        take_user(&id, user);
    }
    if (settings->group[0] != '\0' && named_group(settings->group, &id.gid, err) != 0)
        return -1;
    *ret = id;
    return 0;
}

static int make_folder(const char *path, const struct identity *id, struct andiron_error *err)
{
    if (mkdir(path, 0750) != 0)
        return errno == EEXIST ? 0 : FAIL(err, "", "cannot make %s: %s", path, strerror(errno));
    if (id->changes && chown(path, id->uid, id->gid) != 0)
        return FAIL(err, "", "cannot give %s to %s: %s", path, id->name, strerror(errno));
    return 0;
}

int privileges_parents(const char *path, struct andiron_error *err)
{
    char above[4096];
    mode_t before = umask(022); /* others pass through them */
    int status = 0;

    (void)snprintf(above, sizeof(above), "%s", path);
    for (char *slash = above[0] != '\0' ? strchr(above + 1, '/') : NULL; slash != NULL && status == 0;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(above, 0755) != 0 && errno != EEXIST)
            status = FAIL(err, "", "cannot make %s: %s", above, strerror(errno));
        *slash = '/';
    }
    (void)umask(before);
    return status;
}

int privileges_folder(const char *path, const struct identity *identity, struct andiron_error *err)
{
    char above[4096];
    struct stat st;

    if (stat(path, &st) == 0)
        return S_ISDIR(st.st_mode) ? 0 : FAIL(err, "", "%s is no folder", path);
    (void)snprintf(above, sizeof(above), "%s", path);
    char *slash = strrchr(above, '/');
    if (slash != NULL && slash != above) {
        *slash = '\0';
        if (privileges_parents(above, err) != 0 || make_folder(above, identity, err) != 0)
            return -1;
    }
    return make_folder(path, identity, err);
}

void privileges_log_file(const char *target, const struct identity *identity)
{
    if (!identity->changes || strncmp(target, "file:", 5) != 0)
        return;
    int fd = open(target + 5, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
    if (fd < 0)
        return; /* there already, or log_open() will say why not */
    (void)!fchown(fd, identity->uid, identity->gid);
    (void)close(fd); /* nothing was written */
}

int privileges_drop(const struct identity *id, struct andiron_error *err)
{
    if (!id->changes)
        return 0;
    if (initgroups(id->name, id->gid) != 0 || setresgid(id->gid, id->gid, id->gid) != 0 ||
        setresuid(id->uid, id->uid, id->uid) != 0)
        return FAIL(err, "core.user", "cannot become %s: %s", id->name, strerror(errno));
    /* Impossible after the call above; if it were not, everything would run as root. */
    if (setresuid(0, 0, 0) == 0)
        return FAIL(err, "core.user", "could become root again after becoming %s", id->name);
    return 0;
}

void privileges_harden(void)
{
    (void)umask(077);
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); /* fails only before Linux 3.5 */
#ifndef __SANITIZE_ADDRESS__ /* the leak checker reads its own process through ptrace */
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
}

void privileges_raise_files(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit); /* if not, the old limit goes on to hold */
}
