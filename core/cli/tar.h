/*
 * Headers of tar archives (POSIX.1 ustar): what a backup consists of, so that any tar can look
 * into it. Reads strictly what it writes itself: files, folders, symbolic links.
 */
#ifndef CORE_CLI_TAR_H
#define CORE_CLI_TAR_H

#include <andiron/base.h>

enum { TAR_BLOCK = 512, TAR_NAME_MAX = 256, TAR_LINK_MAX = 101, TAR_OWNER_MAX = 33 };

enum tar_type { TAR_FILE = '0', TAR_LINK = '2', TAR_FOLDER = '5' };

struct tar_entry {
    char name[TAR_NAME_MAX]; /* without a final '/' */
    char link[TAR_LINK_MAX]; /* of TAR_LINK: where it points to */
    enum tar_type type;
    unsigned mode; /* permission bits */
    uint64_t size; /* of TAR_FILE, otherwise 0 */
    int64_t mtime;
    char user[TAR_OWNER_MAX], group[TAR_OWNER_MAX]; /* names */
};

/* -1: its name or link does not fit. */
ANDIRON_MUST_CHECK int tar_write_header(const struct tar_entry *entry, uint8_t ret[TAR_BLOCK]);

/* 1 and the entry; 0 for the block of zeros behind the last; -1: no header of ours. */
int tar_read_header(const uint8_t block[TAR_BLOCK], struct tar_entry *ret);

/* Bytes that fill the last block of so many. */
static inline size_t tar_padding(uint64_t size)
{
    return (size_t)((TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK);
}

#endif
