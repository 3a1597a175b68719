/*
 * How far a long command is: on a terminal one line that is rewritten, otherwise a line every ten
 * seconds, with --json an event each second.
 */
#ifndef CORE_CLI_PROGRESS_H
#define CORE_CLI_PROGRESS_H

#include <andiron/base.h>

struct progress {
    bool json;
    int64_t began_us, shown_us;
    uint64_t done;
};

struct progress progress_new(bool json);

/* So many bytes more of total (0: not known). */
void progress_add(struct progress *p, uint64_t bytes, uint64_t total);

/* Leaves the line for what comes next. */
void progress_end(const struct progress *p);

#endif
