/*
 * The parts of `andiron doctor`: what it looks at, each told by doctor_say().
 */
#ifndef CORE_CLI_DOCTOR_H
#define CORE_CLI_DOCTOR_H

#include <andiron/json.h>

#include "cli/loaded.h"

enum verdict { DOCTOR_OK, DOCTOR_WARN, DOCTOR_FAIL };

struct doctor {
    struct andiron_arena *arena;
    struct settings settings;
    struct host *host;
    struct andiron_json_writer *writer; /* NULL: lines of text */
    size_t counts[3];
};

/* One line: a check may have several. remedy (or NULL) is shown unless it is ok. */
void doctor_say(struct doctor *d, enum verdict verdict, const char *check, const char *remedy,
                const char *fmt, ...) ANDIRON_PRINTF(5, 6);

/* Configuration, modules, file modes, clock, disk, certificate. */
void doctor_files(struct doctor *d);

/* base-url, and what the running server says of itself. */
void doctor_server(struct doctor *d);

#endif
