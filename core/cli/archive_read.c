/*
 * Reading a backup file; see archive.h. The file is not trusted: names are checked before they
 * become paths, and nothing is taken from it that its manifest does not confirm.
 */
#include "cli/archive.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/exits.h"
#include "cli/cli.h"
#include "cli/whole.h"

enum { MEMBERS_MAX = 10000, MANIFEST_MAX = 16 << 20, CHUNK = 64 * 1024, TREE_FDS = 16 };

/* ---- names --------------------------------------------------------------------------- */

/* "files/A/B": a file of an absolute path, without the folders above it. */
static bool is_outside(const char *name)
{
    return strncmp(name, "files/", 6) == 0;
}

/* "store.db", "keys/NAME", "config/A/B", "files/A/B": no empty, "." or ".." segment. */
static bool is_name(const char *name)
{
    if (strcmp(name, "store.db") == 0)
        return true;
    if (strncmp(name, "keys/", 5) != 0 && strncmp(name, "config/", 7) != 0 && !is_outside(name))
        return false;
    for (const char *at = strchr(name, '/'); at != NULL; at = strchr(at + 1, '/')) {
        size_t len = strcspn(at + 1, "/");
        if (len == 0 || (at[1] == '.' && (len == 1 || (len == 2 && at[2] == '.'))))
            return false;
    }
    return true;
}

/* Whether what it lies in is a folder of this archive: not a link, through which it would lead out. */
static bool is_placed(const struct archive *a, const struct tar_entry *entry)
{
    const char *name = entry->name, *slash = strrchr(name, '/');
    size_t len = slash != NULL ? (size_t)(slash - name) : 0;

    if (is_outside(name))
        return entry->type == TAR_FILE;
    if (len == 0 || strchr(name, '/') == slash)
        return true;
    for (size_t i = a->count; i-- > 0;) {
        const struct tar_entry *e = &a->members[i].entry;
        if (strlen(e->name) == len && memcmp(e->name, name, len) == 0)
            return e->type == TAR_FOLDER;
    }
    return false;
}

/* ---- reading all ------------------------------------------------------------------------ */

static int damaged(const struct archive *a, const char *what)
{
    return cli_fail(EXIT_BAD_DATA, "nothing was changed; take another backup",
                    "%s is damaged or incomplete: %s", a->path, what);
}

/* Feeds size bytes from here to the hash and, unless it is -1, to fd. -1: they are not there, or errno of fd. */
static int pass(FILE *file, uint64_t size, struct sha256_ctx *hash, int fd)
{
    uint8_t chunk[CHUNK];

    errno = 0;
    while (size > 0) {
        size_t want = size < sizeof(chunk) ? (size_t)size : sizeof(chunk);
        if (fread(chunk, 1, want, file) != want)
            return -1;
        sha256_update(hash, want, chunk);
        if (fd >= 0 && whole_write(fd, (andiron_str){ (const char *)chunk, want }) != 0)
            return -1;
        size -= want;
    }
    return 0;
}

static int skip_padding(FILE *file, uint64_t size)
{
    return fseeko(file, (off_t)tar_padding(size), SEEK_CUR);
}

/* The bytes of the manifest. */
static int read_manifest(struct archive *a, struct andiron_arena *arena, uint64_t size)
{
    if (size == 0 || size > MANIFEST_MAX)
        return damaged(a, "its manifest has no possible size");
    char *text = andiron_alloc(arena, (size_t)size);
    if (fread(text, 1, (size_t)size, a->file) != size)
        return damaged(a, "it ends within its manifest");
    if (andiron_json_parse(arena, (andiron_str){ text, (size_t)size }, &a->manifest, NULL) != 0)
        return damaged(a, "its manifest is no JSON");
    return 0;
}

static struct archive_member *add_member(struct archive *a, const struct tar_entry *entry)
{
    if (a->count == MEMBERS_MAX)
        return NULL;
    if ((a->count & (a->count - 1)) == 0) { /* a power of two is full */
        size_t room = a->count == 0 ? 1 : 2 * a->count;
        struct archive_member *more = realloc(a->members, room * sizeof(*more));
        if (more == NULL)
            return NULL;
        a->members = more;
    }
    struct archive_member *m = &a->members[a->count++];
    *m = (struct archive_member){ .entry = *entry };
    return m;
}

static int read_members(struct archive *a, struct andiron_arena *arena)
{
    uint8_t block[TAR_BLOCK];
    struct tar_entry entry;
    struct sha256_ctx hash;

    for (;;) {
        if (fread(block, 1, sizeof(block), a->file) != sizeof(block))
            return damaged(a, "it ends early");
        int got = tar_read_header(block, &entry);
        if (got <= 0)
            return damaged(a,
                           got == 0 ? "it has no manifest" : "a header is not as it was written");
        if (strcmp(entry.name, "manifest.json") == 0)
            return read_manifest(a, arena, entry.size);
        if (!is_name(entry.name) || !is_placed(a, &entry))
            return damaged(a, "it holds a file that is none of a backup");
        struct archive_member *m = add_member(a, &entry);
        if (m == NULL)
            return damaged(a, "it holds too many files");
        m->offset = (uint64_t)ftello(a->file);
        sha256_init(&hash);
        if (pass(a->file, entry.size, &hash, -1) != 0 || skip_padding(a->file, entry.size) != 0)
            return damaged(a, "it ends early");
        sha256_digest(&hash, sizeof(m->sha256), m->sha256);
    }
}

/* ---- the manifest ------------------------------------------------------------------------- */

static bool is_text(andiron_json object, const char *name, const char *expected)
{
    return andiron_str_eq(andiron_json_str(andiron_json_get(object, name)),
                          andiron_str_of(expected));
}

static bool is_digest(andiron_str hex, const uint8_t digest[SHA256_DIGEST_SIZE])
{
    if (hex.len != 2 * SHA256_DIGEST_SIZE)
        return false;
    for (size_t i = 0; i < hex.len; i++) {
        unsigned half = i % 2 == 0 ? digest[i / 2] >> 4 : digest[i / 2] & 15;
        if (hex.data[i] != "0123456789abcdef"[half])
            return false;
    }
    return true;
}

static bool is_as_listed(const struct archive_member *m, andiron_json listed)
{
    const struct tar_entry *e = &m->entry;
    return is_text(listed, "name", e->name) && is_text(listed, "user", e->user) &&
           is_text(listed, "group", e->group) &&
           andiron_json_int(andiron_json_get(listed, "mode"), -1) == (int64_t)e->mode &&
           andiron_json_int(andiron_json_get(listed, "size"), -1) == (int64_t)e->size &&
           andiron_json_true(andiron_json_get(listed, "folder")) == (e->type == TAR_FOLDER) &&
           (e->type == TAR_LINK ? is_text(listed, "link", e->link)
                                : andiron_json_str(andiron_json_get(listed, "link")).len == 0) &&
           is_digest(andiron_json_str(andiron_json_get(listed, "sha256")), m->sha256);
}

static int check_manifest(struct archive *a, struct andiron_arena *arena)
{
    struct andiron_json_iter it = { .of = andiron_json_get(a->manifest, "files") };
    andiron_json store = andiron_json_get(a->manifest, "store");
    bool has_store = false;
    size_t i = 0;

    if (andiron_json_int(andiron_json_get(a->manifest, "format"), -1) != 1)
        return cli_fail(EXIT_BAD_DATA, "install the newer andiron",
                        "%s is of a form that this andiron does not know", a->path);
    for (; andiron_json_next(&it); i++) {
        if (i >= a->count || !is_as_listed(&a->members[i], it.value))
            return damaged(a, i < a->count ? a->members[i].entry.name : "a file is missing");
        has_store = has_store || strcmp(a->members[i].entry.name, "store.db") == 0;
    }
    if (i != a->count)
        return damaged(a, "it holds a file that its manifest does not list");
    andiron_str plugin = andiron_json_str(andiron_json_get(store, "plugin"));
    if (has_store != (plugin.len > 0))
        return damaged(a, "store.db");
    if (has_store)
        a->store = (struct archive_store){ andiron_copy(arena, plugin),
                                           andiron_json_int(andiron_json_get(store, "schema"), 0) };
    return 0;
}

static void close_archive(void *arg)
{
    struct archive *a = arg;
    (void)fclose(a->file); /* only read */
    free(a->members);
    a->members = NULL;
}

int archive_open(struct archive *ret, struct andiron_arena *arena, const char *path)
{
    *ret = (struct archive){ .path = path, .file = fopen(path, "re") };
    if (ret->file == NULL)
        return cli_fail(EXIT_NO_INPUT, NULL, "%s: %s", path, strerror(errno));
    andiron_at_release(arena, close_archive, ret);
    int status = read_members(ret, arena);
    return status != 0 ? status : check_manifest(ret, arena);
}

/* ---- extracting -------------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

int archive_remove_tree(const char *path)
{
    if (nftw(path, remove_one, TREE_FDS, FTW_DEPTH | FTW_PHYS) == 0 || errno == ENOENT)
        return 0;
    return -1;
}

/* As root: to whom it belonged, if there is such a user here. */
static int give(int fd, const struct tar_entry *e)
{
    const struct passwd *user = e->user[0] != '\0' ? getpwnam(e->user) : NULL;
    const struct group *group = e->group[0] != '\0' ? getgrnam(e->group) : NULL;

    if (geteuid() != 0)
        return 0;
    return fchown(fd, user != NULL ? user->pw_uid : 0, group != NULL ? group->gr_gid : 0);
}

int archive_write_file(const struct archive *a, const struct archive_member *m, const char *path)
{
    uint8_t digest[SHA256_DIGEST_SIZE];
    struct sha256_ctx hash;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    int rc = fd >= 0 && fseeko(a->file, (off_t)m->offset, SEEK_SET) == 0 ? 0 : -1;

    sha256_init(&hash);
    if (rc == 0)
        rc = pass(a->file, m->entry.size, &hash, fd);
    /* The mode last: changing the owner takes bits away. */
    if (rc == 0 && (give(fd, &m->entry) != 0 || fchmod(fd, m->entry.mode) != 0 || fsync(fd) != 0))
        rc = -1;
    int error = errno;
    if (fd >= 0)
        (void)close(fd); /* synced, or failed already */
    if (rc != 0)
        return cli_fail(EXIT_NO_OUTPUT, NULL, "cannot write %s: %s", path,
                        error != 0 ? strerror(error) : "the backup ends early");
    sha256_digest(&hash, sizeof(digest), digest);
    return memcmp(digest, m->sha256, sizeof(digest)) == 0 ? 0 : damaged(a, m->entry.name);
}

bool archive_is_same(const struct archive_member *m, const char *path)
{
    uint8_t digest[SHA256_DIGEST_SIZE];
    struct sha256_ctx hash;
    struct stat st;
    FILE *file = fopen(path, "re");
    bool same = file != NULL && fstat(fileno(file), &st) == 0 && S_ISREG(st.st_mode) &&
                (uint64_t)st.st_size == m->entry.size;

    sha256_init(&hash);
    same = same && pass(file, m->entry.size, &hash, -1) == 0;
    sha256_digest(&hash, sizeof(digest), digest);
    if (file != NULL)
        (void)fclose(file); /* only read */
    return same && memcmp(digest, m->sha256, sizeof(digest)) == 0;
}

static int write_member(const struct archive *a, const struct archive_member *m, const char *path)
{
    int rc = 0;

    switch (m->entry.type) {
    case TAR_FILE:
        return archive_write_file(a, m, path);
    case TAR_LINK:
        rc = symlink(m->entry.link, path);
        break;
    case TAR_FOLDER:
        rc = mkdir(path,
                   0700); /* its own mode is of no use before its files are where they belong */
        break;
    }
    return rc == 0 ? 0
                   : cli_fail(EXIT_NO_OUTPUT, NULL, "cannot write %s: %s", path, strerror(errno));
}

int archive_extract(const struct archive *archive, const char *prefix, const char *folder)
{
    size_t len = strlen(prefix);
    char path[4096];
    int status = 0;

    if (archive_remove_tree(folder) != 0 || mkdir(folder, 0700) != 0)
        return cli_fail(EXIT_NO_OUTPUT, errno == EACCES ? "run it as root" : NULL,
                        "cannot write %s: %s", folder, strerror(errno));
    for (size_t i = 0; status == 0 && i < archive->count; i++) {
        const struct archive_member *m = &archive->members[i];
        const char *name = m->entry.name;
        if (strncmp(name, prefix, len) != 0 || (name[len] != '/' && name[len] != '\0'))
            continue;
        const char *rest = name[len] == '/' ? name + len + 1 : name;
        if (snprintf(path, sizeof(path), "%s/%s", folder, rest) >= (int)sizeof(path))
            status = cli_fail(EXIT_NO_OUTPUT, NULL, "%s is too long a path", folder);
        else
            status = write_member(archive, m, path);
    }
    if (status == 0 && archive_sync(folder) != 0)
        status = cli_fail(EXIT_NO_OUTPUT, NULL, "cannot write %s: %s", folder, strerror(errno));
    return status;
}
