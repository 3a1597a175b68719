/*
 * The mark of a restore that has begun to change things: while it is there nothing is served.
 */
#ifndef CORE_HOST_UNFINISHED_H
#define CORE_HOST_UNFINISHED_H

#include <andiron/error.h>

#define UNFINISHED_NAME ".restore-unfinished"

/* Puts it into a folder, or takes it away, durably. -1: errno. */
ANDIRON_MUST_CHECK int unfinished_mark(const char *folder);
ANDIRON_MUST_CHECK int unfinished_clear(const char *folder);

/* -1 and err if it is in that folder. */
ANDIRON_MUST_CHECK int unfinished_check(const char *folder, struct andiron_error *err);

#endif
