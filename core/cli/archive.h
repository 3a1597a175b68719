/*
 * A backup file: a tar of store.db, keys/, config/ and files/, and behind them manifest.json with what
 * each of them must be. Written beside its name and renamed when it is complete and on disk;
 * read only as a whole, every checksum before anything of it is used.
 */
#ifndef CORE_CLI_ARCHIVE_H
#define CORE_CLI_ARCHIVE_H

#include <stdio.h>

#include <nettle/sha2.h>

#include <andiron/json.h>

#include "cli/tar.h"

/* ---- writing ------------------------------------------------------------------- */

struct archive_writer {
    struct andiron_arena *arena;
    const char *path;
    char *partial;
    FILE *file;
    struct andiron_json_writer *manifest;
    struct tar_entry entry; /* the current one */
    struct sha256_ctx hash;
    uint64_t left; /* of its bytes */
};

/* What the manifest says of the store; plugin NULL: it is not in here. */
struct archive_store {
    const char *plugin;
    int64_t schema;
};

/*
 * Of these each returns 0, or an exit status that was told on stderr. Members come one after the
 * other: header, as many bytes as it says, end.
 */
ANDIRON_MUST_CHECK int archive_create(struct archive_writer *w, struct andiron_arena *arena,
                                      const char *path, const struct archive_store *store);
ANDIRON_MUST_CHECK int archive_member_begin(struct archive_writer *w,
                                            const struct tar_entry *entry);
ANDIRON_MUST_CHECK int archive_bytes(struct archive_writer *w, const void *bytes, size_t len);
ANDIRON_MUST_CHECK int archive_member_end(struct archive_writer *w);
/* Everything below folder (or nothing if there is no such folder) as prefix/...; regular files, folders and links. */
ANDIRON_MUST_CHECK int archive_tree(struct archive_writer *w, const char *folder,
                                    const char *prefix);
/* The file that path leads to, also through links, as name. */
ANDIRON_MUST_CHECK int archive_file(struct archive_writer *w, const char *path, const char *name);
/* Writes the manifest, syncs, and gives the file its name. */
ANDIRON_MUST_CHECK int archive_publish(struct archive_writer *w);
/* Ends it however far it is; removes what has no name yet. */
void archive_close(struct archive_writer *w);

/* ---- reading -------------------------------------------------------------------- */

struct archive_member {
    struct tar_entry entry;
    uint64_t offset;
    uint8_t sha256[SHA256_DIGEST_SIZE];
};

struct archive {
    const char *path;
    FILE *file;
    struct archive_member *members; /* without the manifest */
    size_t count;
    andiron_json manifest;
    struct archive_store store;
};

/* Reads all of it and compares it with its manifest. 0, or an exit status, told on stderr. */
ANDIRON_MUST_CHECK int archive_open(struct archive *ret, struct andiron_arena *arena,
                                    const char *path);

/*
 * Writes those members whose name is prefix or begins with prefix/ below folder, which is made anew
 * and is for its owner alone; each is compared once more, and synced. 0, or an exit status, told on stderr.
 */
ANDIRON_MUST_CHECK int archive_extract(const struct archive *archive, const char *prefix,
                                       const char *folder);

/* Writes one member, a file, to a path that is not there yet. 0, or an exit status, told on stderr. */
ANDIRON_MUST_CHECK int archive_write_file(const struct archive *archive,
                                          const struct archive_member *member, const char *path);
/* Whether the file at path has the member's bytes. */
bool archive_is_same(const struct archive_member *member, const char *path);

/* Removes a folder with all that is in it, or a file; nothing there is fine. -1: errno. */
int archive_remove_tree(const char *path);

/* Makes a folder's or file's content durable. -1: errno. */
int archive_sync(const char *path);

#endif
