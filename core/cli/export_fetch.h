/*
 * Downloads of an export's files, several at a time. Each goes on where it was broken off, in this run or
 * an earlier one (Range with If-Range), is counted as it comes, and gets its name when it is whole and
 * on disk.
 */
#ifndef CORE_CLI_EXPORT_FETCH_H
#define CORE_CLI_EXPORT_FETCH_H

#include "cli/bulk_client.h"
#include "cli/export_state.h"

struct export_fetch {
    struct bulk_client *client;
    struct export_state *state;
    int64_t jobs, retries;
    uint64_t line_max; /* bytes */
    bool json;
    uint64_t lines, bytes; /* result: of files that this run finished; bytes: that came */
};

/* 0, or an exit status with the error printed. */
int export_fetch(struct export_fetch *f);

#endif
