/*
 * Writing all of something to a file or pipe, whatever a single write() takes.
 */
#ifndef CORE_CLI_WHOLE_H
#define CORE_CLI_WHOLE_H

#include <andiron/base.h>

/* 0, or -1 and errno; what was written before a failure stays. */
ANDIRON_MUST_CHECK int whole_write(int fd, andiron_str text);

#endif
