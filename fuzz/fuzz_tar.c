/*
 * Headers of a backup: what is read has a name and an end, and written again it reads the same.
 */
#include "cli/tar.h"
#include "target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tar_entry entry, again;
    uint8_t block[TAR_BLOCK];

    if (size < TAR_BLOCK || tar_read_header(data, &entry) != 1)
        return 0;
    FUZZ_CHECK(entry.name[0] != '\0' && strlen(entry.name) < sizeof(entry.name));
    FUZZ_CHECK(entry.type == TAR_FILE || entry.size == 0);
    FUZZ_CHECK(strlen(entry.user) < sizeof(entry.user) &&
               strlen(entry.group) < sizeof(entry.group));
    if (tar_write_header(&entry, block) != 0)
        return 0; /* divided where we would not divide it */
    FUZZ_CHECK(tar_read_header(block, &again) == 1);
    FUZZ_CHECK(strcmp(entry.name, again.name) == 0 && strcmp(entry.link, again.link) == 0);
    FUZZ_CHECK(entry.size == again.size && entry.mode == again.mode && entry.mtime == again.mtime);
    return 0;
}
