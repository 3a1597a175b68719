/*
 * Key files: permissions, atomic making, and the naming ALG-KID.pem.
 */
#include "keyfile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gnutls/gnutls.h>

enum { PEM_MAX = 64 * 1024, NAME_MAX_BYTES = 128 };

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

/* The algorithm in front of the name's '-', if it is one that fits; else RS256 or the curve's. */
static const struct jose_alg *alg_of_name(const char *name, const struct jose_private *key)
{
    size_t len = strcspn(name, "-");
    const struct jose_alg *alg = jose_alg_find((andiron_str){ name, len });
    if (alg != NULL && jose_private_fits(key, alg))
        return alg;
    alg = jose_alg_find(ANDIRON_STR("RS256"));
    return jose_private_fits(key, alg) ? alg : jose_private_alg(key);
}

static int describe(struct keyfile *file, const char *name, andiron_usec created,
                    struct andiron_error *err)
{
    file->for_assertions = strncmp(name, assertion_prefix, sizeof(assertion_prefix) - 1) == 0;
    if (file->for_assertions)
        name += sizeof(assertion_prefix) - 1;
    file->alg = alg_of_name(name, file->key);
    file->created = created;
    return jose_thumbprint(jose_private_public(file->key), file->kid, err);
}

static int read_file(int folder_fd, const char *folder, const char *name, struct keyfile *ret,
                     struct andiron_error *err)
{
    char path[sizeof(err->where)], text[PEM_MAX];
    struct stat st;
    struct andiron_error inner = { .code = ANDIRON_OK };
    size_t len = 0;
    int status = -1;

    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    int fd = openat(folder_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return fault(err, path, "cannot be opened");
    if (read_text(fd, path, text, &len, err) != 0)
        goto out;
    if (fstat(fd, &st) != 0 ||
        jose_private_read((andiron_str){ text, len }, &ret->key, &inner) != 0) {
        (void)andiron_error_set(err, ANDIRON_E_INTERNAL, path, "cannot be used: %s", inner.message);
        goto out;
    }
    status = describe(ret, name,
                      (andiron_usec)st.st_mtim.tv_sec * 1000000 + st.st_mtim.tv_nsec / 1000, err);
    if (status != 0) {
        jose_private_free(ret->key);
        ret->key = NULL;
    }
out:
    gnutls_memset(text, 0, sizeof(text));
    (void)close(fd); /* nothing was written */
    return status;
}

static int newest_first(const void *a, const void *b)
{
    const struct keyfile *x = a, *y = b;
    return x->created != y->created ? (x->created < y->created ? 1 : -1) : strcmp(x->kid, y->kid);
}

/* A test key that was made once is left alone, and unread, while it is not wanted. */
static bool is_wanted(const char *name, bool test_key)
{
    size_t len = strlen(name);
    return name[0] != '.' && len > 4 && strcmp(name + len - 4, ".pem") == 0 &&
           (test_key || strncmp(name, assertion_prefix, sizeof(assertion_prefix) - 1) != 0);
}

static int read_all(int folder_fd, const char *folder, bool test_key, struct keyfiles *keys,
                    struct andiron_error *err)
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
            status = read_file(folder_fd, folder, entry->d_name, &keys->files[keys->count], err);
        if (status == 0)
            keys->count++;
    }
    (void)closedir(dir);
    qsort(keys->files, keys->count, sizeof(keys->files[0]), newest_first);
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

static int make(int folder_fd, const char *folder, const struct jose_alg *alg, unsigned bits,
                const char *prefix, struct keyfiles *keys, struct andiron_error *err)
{
    struct keyfile *file = &keys->files[keys->count];
    char name[NAME_MAX_BYTES];
    andiron_str pem;

    if (keys->count == KEYFILE_MAX)
        return andiron_error_set(err, ANDIRON_E_INTERNAL, folder,
                                 "holds %d key files and none for %s; remove the oldest",
                                 KEYFILE_MAX, alg->name);
    if (jose_private_generate(alg, bits, &file->key, err) != 0)
        return -1;
    keys->count++;
    keys->made++;
    (void)snprintf(name, sizeof(name), "%s%s-", prefix, alg->name);
    if (describe(file, name, andiron_now(), err) != 0 ||
        jose_private_pem(file->key, &pem, err) != 0)
        return -1;
    (void)snprintf(name, sizeof(name), "%s%s-%s.pem", prefix, alg->name, file->kid);
    int status = write_file(folder_fd, folder, name, pem, err);
    jose_pem_free(pem);
    qsort(keys->files, keys->count, sizeof(keys->files[0]), newest_first);
    return status;
}

const struct keyfile *keyfiles_active(const struct keyfiles *keys, const struct jose_alg *alg)
{
    for (size_t i = 0; i < keys->count; i++)
        if (!keys->files[i].for_assertions && keys->files[i].alg == alg)
            return &keys->files[i];
    return NULL;
}

static bool has_test_key(const struct keyfiles *keys)
{
    for (size_t i = 0; i < keys->count; i++)
        if (keys->files[i].for_assertions)
            return true;
    return false;
}

static int load_locked(int folder_fd, const char *folder, const struct jose_alg *alg, unsigned bits,
                       bool test_key, struct keyfiles *keys, struct andiron_error *err)
{
    struct stat st;

    if (flock(folder_fd, LOCK_EX) != 0 || fstat(folder_fd, &st) != 0)
        return fault(err, folder, "cannot be locked");
    if (check_private(&st, folder, err) != 0 ||
        read_all(folder_fd, folder, test_key, keys, err) != 0)
        return -1;
    if (keyfiles_active(keys, alg) == NULL &&
        make(folder_fd, folder, alg, bits, "", keys, err) != 0)
        return -1;
    if (test_key && !has_test_key(keys) &&
        make(folder_fd, folder, jose_alg_find(ANDIRON_STR("RS384")), JOSE_RSA_MIN_BITS,
             assertion_prefix, keys, err) != 0)
        return -1;
    return 0;
}

int keyfiles_load(const char *folder, const struct jose_alg *alg, unsigned bits, bool test_key,
                  struct keyfiles *ret, struct andiron_error *err)
{
    struct keyfiles keys = { .count = 0 };

    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        return fault(err, folder, "cannot be made");
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return fault(err, folder, "cannot be opened");
    int status = load_locked(fd, folder, alg, bits, test_key, &keys, err);
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
