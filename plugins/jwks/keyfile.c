/*
 * Key files: permissions, atomic making, and the naming ALG-KID.pem.
 */
#include "keyfile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gnutls/gnutls.h>

enum { PEM_MAX = 64 * 1024 };

static const char assertion_prefix[] = "assertion-";

static int fault(struct andiron_error *err, const char *path, const char *what)
{
    return andiron_error_set(err, ANDIRON_E_INTERNAL, path, "%s: %s", what, strerror(errno));
}

/* ---- reading ------------------------------------------------------------------------ */

/* Keys in a file that others can read are no secret; better not to start than to sign with them. */
static int check_private(const struct stat *st, const char *path, struct andiron_error *err)
{
    bool is_folder = S_ISDIR(st->st_mode);

    if (!is_folder && !S_ISREG(st->st_mode))
        return andiron_error_set(err, ANDIRON_E_INTERNAL, path, "must be a regular file");
    if (st->st_uid != geteuid())
        return andiron_error_set(err, ANDIRON_E_INTERNAL, path,
                                 "belongs to user %u, but must belong to user %u, as which andiron "
                                 "runs; run: chown %u '%s'",
                                 (unsigned)st->st_uid, (unsigned)geteuid(), (unsigned)geteuid(),
                                 path);
    if ((st->st_mode & 077) != 0)
        return andiron_error_set(err, ANDIRON_E_INTERNAL, path,
                                 "is open to other users (mode %04o); run: chmod %s '%s'",
                                 (unsigned)st->st_mode & 07777, is_folder ? "700" : "600", path);
    return 0;
}

static int read_text(int fd, const char *path, char text[PEM_MAX], size_t *ret_len,
                     struct andiron_error *err)
{
    struct stat st;
    size_t len = 0;

    if (fstat(fd, &st) != 0)
        return fault(err, path, "cannot be examined");
    if (check_private(&st, path, err) != 0)
        return -1;
    while (len < PEM_MAX) {
        ssize_t n = read(fd, text + len, PEM_MAX - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fault(err, path, "cannot be read");
        if (n == 0)
            break;
        len += (size_t)n;
    }
    if (len == PEM_MAX)
        return andiron_error_set(err, ANDIRON_E_INTERNAL, path, "is larger than a key file can be");
    *ret_len = len;
    return 0;
}

/*
 * The algorithm in front of the name's '-', if it is one that fits; else the one that tokens are
 * to be signed with; else RS256 or the curve's.
 */
static const struct jose_alg *alg_of_name(const char *name, const struct jose_alg *wanted,
                                          const struct jose_private *key)
{
    size_t len = strcspn(name, "-");
    const struct jose_alg *alg = jose_alg_find((andiron_str){ name, len });
    if (alg != NULL && jose_private_fits(key, alg))
        return alg;
    if (jose_private_fits(key, wanted))
        return wanted;
    alg = jose_alg_find(ANDIRON_STR("RS256"));
    return jose_private_fits(key, alg) ? alg : jose_private_alg(key);
}

/* Fills in all but the key. */
static int describe(struct keyfile *file, const char *name, const struct jose_alg *wanted,
                    andiron_usec created, struct andiron_error *err)
{
    (void)snprintf(file->name, sizeof(file->name), "%s", name); /* names are shorter than 256 */
    file->for_assertions = strncmp(name, assertion_prefix, sizeof(assertion_prefix) - 1) == 0;
    if (file->for_assertions)
        name += sizeof(assertion_prefix) - 1;
    file->alg = alg_of_name(name, wanted, file->key);
    file->created = created;
    return jose_thumbprint(jose_private_public(file->key), file->kid, err);
}

/* The key in an open file; fd is closed. */
static int read_key(int fd, const char *path, struct jose_private **ret, andiron_usec *ret_created,
                    struct andiron_error *err)
{
    char text[PEM_MAX];
    struct stat st;
    struct andiron_error inner = { .code = ANDIRON_OK };
    size_t len = 0;
    int status = -1;

    if (read_text(fd, path, text, &len, err) != 0)
        goto out;
    status = fstat(fd, &st) != 0 ? -1 : jose_private_read((andiron_str){ text, len }, ret, &inner);
    if (status != 0)
        (void)andiron_error_set(err, ANDIRON_E_INTERNAL, path, "cannot be used: %s", inner.message);
    else
        *ret_created = (andiron_usec)st.st_mtim.tv_sec * 1000000 + st.st_mtim.tv_nsec / 1000;
out:
    gnutls_memset(text, 0, sizeof(text));
    (void)close(fd); /* nothing was written */
    return status;
}

static int read_file(int folder_fd, const char *folder, const char *name,
                     const struct jose_alg *wanted, struct keyfile *ret, struct andiron_error *err)
{
    char path[PATH_MAX + KEYFILE_NAME];
    andiron_usec created = 0;

    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    int fd = openat(folder_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return fault(err, path, "cannot be opened");
    if (read_key(fd, path, &ret->key, &created, err) != 0)
        return -1;
    int status = describe(ret, name, wanted, created, err);
    if (status != 0) {
        jose_private_free(ret->key);
        ret->key = NULL;
    }
    return status;
}

static int oldest_first(const void *a, const void *b)
{
    const struct keyfile *x = a, *y = b;
    return x->created != y->created ? (x->created < y->created ? -1 : 1) : strcmp(x->kid, y->kid);
}

/* A test key that was made once is left alone, and unread, while it is not wanted. */
static bool is_wanted(const char *name, bool test_key)
{
    size_t len = strlen(name);
    return name[0] != '.' && len > 4 && strcmp(name + len - 4, ".pem") == 0 &&
           (test_key || strncmp(name, assertion_prefix, sizeof(assertion_prefix) - 1) != 0);
}

static int read_all(int folder_fd, const char *folder, const struct jose_alg *wanted, bool test_key,
                    struct keyfiles *keys, struct andiron_error *err)
{
    int again = dup(folder_fd);
    DIR *dir = again >= 0 ? fdopendir(again) : NULL;
    const struct dirent *entry;
    int status = 0;

    if (dir == NULL) {
        if (again >= 0)
            (void)close(again);
        return fault(err, folder, "cannot be listed");
    }
    while (status == 0 && (entry = readdir(dir)) != NULL) {
        if (!is_wanted(entry->d_name, test_key))
            continue;
        if (keys->count == KEYFILE_MAX)
            status =
                andiron_error_set(err, ANDIRON_E_INTERNAL, folder,
                                  "holds more than %d key files; remove the oldest", KEYFILE_MAX);
        else
            status =
                read_file(folder_fd, folder, entry->d_name, wanted, &keys->files[keys->count], err);
        if (status == 0)
            keys->count++;
    }
    (void)closedir(dir);
    qsort(keys->files, keys->count, sizeof(keys->files[0]), oldest_first);
    return status;
}

/* ---- making -------------------------------------------------------------------------- */

static int write_all(int fd, andiron_str text)
{
    while (text.len != 0) {
        ssize_t n = write(fd, text.data, text.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        text.data += n;
        text.len -= (size_t)n;
    }
    return fsync(fd);
}

/* Written under another name first: a file of the final name is always whole. */
static int write_file(int folder_fd, const char *folder, const char *name, andiron_str pem,
                      struct andiron_error *err)
{
    static const char draft[] = ".new-key";

    (void)unlinkat(folder_fd, draft, 0); /* left by a worker that was killed; we hold the lock */
    int fd = openat(folder_fd, draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fault(err, folder, "cannot make a key file");
    int written = write_all(fd, pem);
    if (close(fd) != 0 || written != 0 || renameat(folder_fd, draft, folder_fd, name) != 0 ||
        fsync(folder_fd) != 0) {
        int failed = errno;
        (void)unlinkat(folder_fd, draft, 0);
        errno = failed;
        return fault(err, folder, "cannot write a key file");
    }
    return 0;
}

static int write_key(int folder_fd, const char *folder, const char *name,
                     const struct jose_private *key, struct andiron_error *err)
{
    andiron_str pem;

    if (jose_private_pem(key, &pem, err) != 0)
        return -1;
    int status = write_file(folder_fd, folder, name, pem, err);
    jose_pem_free(pem);
    return status;
}

static int name_of(const struct jose_private *key, const char *prefix, const struct jose_alg *alg,
                   char name[KEYFILE_NAME], struct andiron_error *err)
{
    char kid[JOSE_THUMBPRINT];

    if (jose_thumbprint(jose_private_public(key), kid, err) != 0)
        return -1;
    (void)snprintf(name, KEYFILE_NAME, "%s%s-%.*s.pem", prefix, alg->name, JOSE_THUMBPRINT, kid);
    return 0;
}

static bool has_test_key(const struct keyfiles *keys)
{
    for (size_t i = 0; i < keys->count; i++)
        if (keys->files[i].for_assertions)
            return true;
    return false;
}

static int make_test_key(int folder_fd, const char *folder, struct keyfiles *keys,
                         struct andiron_error *err)
{
    const struct jose_alg *alg = jose_alg_find(ANDIRON_STR("RS384"));
    char name[KEYFILE_NAME];

    if (keys->count == KEYFILE_MAX)
        return andiron_error_set(err, ANDIRON_E_INTERNAL, folder,
                                 "holds %d key files and no test key; remove the oldest",
                                 KEYFILE_MAX);
    struct keyfile *file = &keys->files[keys->count];
    if (jose_private_generate(alg, JOSE_RSA_MIN_BITS, &file->key, err) != 0)
        return -1;
    keys->count++;
    if (name_of(file->key, assertion_prefix, alg, name, err) != 0 ||
        describe(file, name, alg, andiron_now(), err) != 0)
        return -1;
    return write_key(folder_fd, folder, name, file->key, err);
}

/* ---- the folder --------------------------------------------------------------------- */

/* A locked descriptor of the folder, or -1; closing it ends the lock. */
static int open_folder(const char *folder, struct andiron_error *err)
{
    struct stat st;

    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        return fault(err, folder, "cannot be made");
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return fault(err, folder, "cannot be opened");
    if (flock(fd, LOCK_EX) != 0 || fstat(fd, &st) != 0)
        (void)fault(err, folder, "cannot be locked");
    else if (check_private(&st, folder, err) == 0)
        return fd;
    (void)close(fd); /* nothing was written */
    return -1;
}

int keyfiles_load(const char *folder, const struct jose_alg *alg, bool test_key,
                  struct keyfiles *ret, struct andiron_error *err)
{
    struct keyfiles keys = { .count = 0 };

    int fd = open_folder(folder, err);
    if (fd < 0)
        return -1;
    int status = read_all(fd, folder, alg, test_key, &keys, err);
    if (status == 0 && test_key && !has_test_key(&keys))
        status = make_test_key(fd, folder, &keys, err);
    (void)close(fd); /* ends the lock */
    if (status != 0) {
        keyfiles_free(&keys);
        return -1;
    }
    *ret = keys;
    return 0;
}

void keyfiles_free(struct keyfiles *keys)
{
    for (size_t i = 0; i < keys->count; i++)
        jose_private_free(keys->files[i].key);
    keys->count = 0;
}

int keyfile_write(const char *folder, const struct jose_private *key, const struct jose_alg *alg,
                  char ret_name[KEYFILE_NAME], struct andiron_error *err)
{
    if (name_of(key, "", alg, ret_name, err) != 0)
        return -1;
    int fd = open_folder(folder, err);
    if (fd < 0)
        return -1;
    int status = write_key(fd, folder, ret_name, key, err);
    (void)close(fd); /* synced already */
    return status;
}

int keyfile_find(const char *folder, const struct jose_alg *alg, andiron_str kid,
                 struct jose_private **ret_key, char ret_name[KEYFILE_NAME],
                 struct andiron_error *err)
{
    struct keyfiles keys;

    *ret_key = NULL;
    if (keyfiles_load(folder, alg, false, &keys, err) != 0)
        return -1;
    for (size_t i = 0; i < keys.count && *ret_key == NULL; i++) {
        if (!andiron_str_eq(andiron_str_of(keys.files[i].kid), kid))
            continue;
        *ret_key = keys.files[i].key;
        keys.files[i].key = NULL;
        memcpy(ret_name, keys.files[i].name, KEYFILE_NAME);
    }
    keyfiles_free(&keys);
    return 0;
}

int keyfile_remove(const char *folder, const char *name, struct andiron_error *err)
{
    int fd = open_folder(folder, err), status = 0;

    if (fd < 0)
        return -1;
    if ((unlinkat(fd, name, 0) != 0 && errno != ENOENT) || fsync(fd) != 0)
        status = fault(err, folder, "a key file cannot be removed");
    (void)close(fd); /* synced already */
    return status;
}
