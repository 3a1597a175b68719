/*
 * Writing a backup file; see archive.h.
 */
#include "cli/archive.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/exits.h"
#include "base/units.h"
#include "cli/cli.h"
#include "host/unfinished.h"

enum { MANIFEST_MAX = 16 << 20, DEPTH_MAX = 16, CHUNK = 64 * 1024 };

static const char zeros[TAR_BLOCK];

static int cannot_write(const struct archive_writer *w)
{
    return cli_fail(EXIT_NO_OUTPUT, NULL, "cannot write %s: %s", w->path, strerror(errno));
}

int archive_sync(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int rc = fd >= 0 ? fsync(fd) : -1;

    if (fd >= 0)
        (void)close(fd); /* synced, or failed already */
    return rc;
}

static void put_intro(struct andiron_json_writer *m, const struct archive_store *store)
{
    char now[UNITS_INSTANT_MAX];

    andiron_json_put_object(m, NULL);
    andiron_json_put_int(m, "format", 1);
    andiron_json_put_str(m, "andiron", ANDIRON_STR(ANDIRON_VERSION));
    andiron_json_put_str(m, "created", (andiron_str){ now, units_instant(andiron_now(), now) });
    if (store->plugin != NULL) {
        andiron_json_put_object(m, "store");
        andiron_json_put_str(m, "plugin", andiron_str_of(store->plugin));
        andiron_json_put_int(m, "schema", store->schema);
        andiron_json_put_end(m);
    }
    andiron_json_put_array(m, "files");
}

int archive_create(struct archive_writer *w, struct andiron_arena *arena, const char *path,
                   const struct archive_store *store)
{
    *w = (struct archive_writer){ .arena = arena, .path = path };
    if (access(path, F_OK) == 0)
        return cli_fail(EXIT_NO_OUTPUT, "name a new file; a backup is never overwritten",
                        "%s exists already", path);
    w->partial = andiron_printf(arena, "%s.partial", path);
    if (unlink(w->partial) != 0 && errno != ENOENT)
        return cannot_write(w);
    int fd = open(w->partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    w->file = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (w->file == NULL) {
        int status = cannot_write(w);
        if (fd >= 0)
            (void)close(fd); /* nothing was written */
        return status;
    }
    w->manifest = andiron_json_write(arena, MANIFEST_MAX);
    put_intro(w->manifest, store);
    return 0;
}

static int put(struct archive_writer *w, const void *bytes, size_t len)
{
    return fwrite(bytes, 1, len, w->file) == len ? 0 : cannot_write(w);
}

static bool is_plain(const char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < 0x20 || (unsigned char)*text > 0x7e)
            return false;
    return true;
}

int archive_member_begin(struct archive_writer *w, const struct tar_entry *entry)
{
    uint8_t block[TAR_BLOCK];

    if (!is_plain(entry->name) || !is_plain(entry->link) || tar_write_header(entry, block) != 0)
        return cli_fail(EXIT_BAD_DATA, "rename it, or move it out of the folder",
                        "a file name is too long for a backup, or not plain text: %.300s",
                        entry->name);
    w->entry = *entry;
    w->left = entry->size;
    sha256_init(&w->hash);
    return put(w, block, sizeof(block));
}

int archive_bytes(struct archive_writer *w, const void *bytes, size_t len)
{
    if (len > w->left)
        return cli_fail(EXIT_TRY_AGAIN, NULL, "%s grew while it was saved", w->entry.name);
    w->left -= len;
    sha256_update(&w->hash, len, bytes);
    return put(w, bytes, len);
}

/* 64 digits and a NUL. */
static void digest_hex(struct sha256_ctx *hash, char out[2 * SHA256_DIGEST_SIZE + 1])
{
    uint8_t digest[SHA256_DIGEST_SIZE];

    sha256_digest(hash, sizeof(digest), digest);
    for (size_t i = 0; i < sizeof(digest); i++) {
        out[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        out[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    out[2 * sizeof(digest)] = '\0';
}

int archive_member_end(struct archive_writer *w)
{
    const struct tar_entry *e = &w->entry;
    char hex[2 * SHA256_DIGEST_SIZE + 1];

    if (w->left > 0)
        return cli_fail(EXIT_TRY_AGAIN, NULL, "%s ended early", e->name);
    digest_hex(&w->hash, hex);
    andiron_json_put_object(w->manifest, NULL);
    andiron_json_put_str(w->manifest, "name", andiron_str_of(e->name));
    if (e->type == TAR_LINK)
        andiron_json_put_str(w->manifest, "link", andiron_str_of(e->link));
    andiron_json_put_bool(w->manifest, "folder", e->type == TAR_FOLDER);
    andiron_json_put_int(w->manifest, "mode", (int64_t)e->mode);
    andiron_json_put_str(w->manifest, "user", andiron_str_of(e->user));
    andiron_json_put_str(w->manifest, "group", andiron_str_of(e->group));
    andiron_json_put_int(w->manifest, "size", (int64_t)e->size);
    andiron_json_put_str(w->manifest, "sha256", andiron_str_of(hex));
    andiron_json_put_end(w->manifest);
    return put(w, zeros, tar_padding(e->size));
}

/* ---- folders --------------------------------------------------------------------- */

static int cannot_read(const char *path)
{
    return cli_fail(EXIT_NO_INPUT, errno == EACCES ? "run it as root" : NULL, "cannot read %s: %s",
                    path, strerror(errno));
}

static void fill_entry(struct tar_entry *e, const struct stat *st)
{
    const struct passwd *user = getpwuid(st->st_uid);
    const struct group *group = getgrgid(st->st_gid);

    e->mode = st->st_mode & 07777;
    e->mtime = st->st_mtime;
    if (user != NULL)
        (void)snprintf(e->user, sizeof(e->user), "%.32s", user->pw_name);
    if (group != NULL)
        (void)snprintf(e->group, sizeof(e->group), "%.32s", group->gr_name);
}

static int add_file(struct archive_writer *w, const char *path, struct tar_entry *e, int follow)
{
    char chunk[CHUNK];
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | follow);
    ssize_t got = 0;

    if (fd < 0)
        return errno == ENOENT ? 0 : cannot_read(path); /* a key that was just removed */
    int status = fstat(fd, &st) != 0 ? cannot_read(path) : 0;
    e->type = TAR_FILE;
    e->size = (uint64_t)st.st_size;
    fill_entry(e, &st);
    if (status == 0)
        status = archive_member_begin(w, e);
    while (status == 0 && (got = read(fd, chunk, sizeof(chunk))) > 0)
        status = archive_bytes(w, chunk, (size_t)got);
    if (status == 0 && got < 0)
        status = cannot_read(path);
    (void)close(fd); /* only read */
    return status != 0 ? status : archive_member_end(w);
}

static int add_link(struct archive_writer *w, const char *path, const struct stat *st,
                    struct tar_entry *e)
{
    ssize_t len = readlink(path, e->link, sizeof(e->link) - 1);

    if (len <= 0 || len == (ssize_t)sizeof(e->link) - 1)
        return cli_fail(EXIT_BAD_DATA, NULL, "%s points to nowhere, or too far for a backup", path);
    e->link[len] = '\0';
    e->type = TAR_LINK;
    fill_entry(e, st);
    int status = archive_member_begin(w, e);
    return status != 0 ? status : archive_member_end(w);
}

static int add_folder(struct archive_writer *w, const char *folder, const char *name,
                      unsigned depth);

static int add_any(struct archive_writer *w, const char *path, const char *name, unsigned depth)
{
    struct tar_entry e = { .size = 0 };
    struct stat st, own;

    if (lstat(path, &st) != 0)
        return errno == ENOENT ? 0 : cannot_read(path);
    if (fstat(fileno(w->file), &own) == 0 && own.st_dev == st.st_dev && own.st_ino == st.st_ino)
        return 0; /* the backup itself */
    if (strlen(name) >= sizeof(e.name) || depth == 0)
        return cli_fail(EXIT_BAD_DATA, NULL, "%s lies too deep for a backup", path);
    (void)snprintf(e.name, sizeof(e.name), "%.255s", name);
    if (S_ISREG(st.st_mode))
        return add_file(w, path, &e, O_NOFOLLOW);
    if (S_ISLNK(st.st_mode))
        return add_link(w, path, &st, &e);
    if (!S_ISDIR(st.st_mode))
        return 0; /* sockets and their like are made by whoever listens */
    e.type = TAR_FOLDER;
    fill_entry(&e, &st);
    int status = archive_member_begin(w, &e);
    if (status == 0)
        status = archive_member_end(w);
    return status != 0 ? status : add_folder(w, path, name, depth - 1);
}

static int is_shown(const struct dirent *entry)
{
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
           strcmp(entry->d_name, ".restore") != 0 && strcmp(entry->d_name, UNFINISHED_NAME) != 0;
}

static int add_folder(struct archive_writer *w, const char *folder, const char *name,
                      unsigned depth)
{
    struct dirent **list = NULL;
    int count = scandir(folder, &list, is_shown, alphasort);
    int status = 0;

    if (count < 0)
        return errno == ENOENT ? 0 : cannot_read(folder);
    for (int i = 0; i < count; i++) {
        if (status == 0)
            status = add_any(w, andiron_printf(w->arena, "%s/%s", folder, list[i]->d_name),
                             andiron_printf(w->arena, "%s/%s", name, list[i]->d_name), depth);
        free(list[i]);
    }
    free(list);
    return status;
}

int archive_tree(struct archive_writer *w, const char *folder, const char *prefix)
{
    return add_folder(w, folder, prefix, DEPTH_MAX);
}

int archive_file(struct archive_writer *w, const char *path, const char *name)
{
    struct tar_entry e = { .size = 0 };

    if (strlen(name) >= sizeof(e.name))
        return cli_fail(EXIT_BAD_DATA, NULL, "%s lies too deep for a backup", path);
    (void)snprintf(e.name, sizeof(e.name), "%.255s", name);
    return add_file(w, path, &e, 0);
}

/* ---- the end ----------------------------------------------------------------------- */

static int put_manifest(struct archive_writer *w)
{
    struct tar_entry e = { .name = "manifest.json", .type = TAR_FILE, .mode = 0600 };
    uint8_t block[TAR_BLOCK];

    andiron_json_put_end(w->manifest);
    andiron_json_put_end(w->manifest);
    andiron_str text = andiron_json_written(w->manifest);
    if (text.data == NULL)
        return cli_fail(EXIT_BAD_DATA, NULL, "there are too many files for one backup");
    e.size = text.len;
    e.mtime = andiron_now() / 1000000;
    if (tar_write_header(&e, block) != 0)
        return cli_fail(EXIT_INTERNAL, NULL, "the manifest has no name");
    int status = put(w, block, sizeof(block));
    if (status == 0)
        status = put(w, text.data, text.len);
    if (status == 0)
        status = put(w, zeros, tar_padding(text.len));
    for (int i = 0; status == 0 && i < 2; i++)
        status = put(w, zeros, sizeof(zeros));
    return status;
}

int archive_publish(struct archive_writer *w)
{
    int status = put_manifest(w);

    if (status != 0)
        return status;
    char *above = andiron_copy(w->arena, andiron_str_of(w->path));
    if (fflush(w->file) != 0 || fsync(fileno(w->file)) != 0)
        return cannot_write(w);
    /* link() and not rename(): a file that appeared meanwhile is not overwritten. */
    if (link(w->partial, w->path) != 0 || archive_sync(dirname(above)) != 0)
        return cannot_write(w);
    return 0;
}

void archive_close(struct archive_writer *w)
{
    if (w->file == NULL)
        return;
    (void)fclose(w->file);    /* synced, or not to be kept */
    (void)unlink(w->partial); /* complete: it has its name; else it is of no use */
}
