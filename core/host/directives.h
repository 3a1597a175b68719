/*
 * Sections -> config structs, checked against tables of directives.
 */
#ifndef CORE_HOST_DIRECTIVES_H
#define CORE_HOST_DIRECTIVES_H

#include <andiron/config.h>
#include <andiron/error.h>

#include "host/ini.h"

/* A directive with what it was set to; for print-config and andiron_host_setting(). */
struct directive_value {
    const struct andiron_directive *directive;
    const char *text; /* as written; a PATH made absolute; a SECRET as written, "@..." or not */
    const char *file; /* NULL: the default */
    unsigned line;
};

/* What happens to the files that secrets name. */
enum directives_secrets {
    SECRETS_READ,
    SECRETS_CHECK, /* check-config: one that may not be read is a warning */
    SECRETS_SKIP   /* not opened; the value is then empty */
};

struct directives_context {
    struct andiron_arena *arena; /* of values; lives as long as the config struct */
    const char *dir;             /* configuration folder, for relative paths */
    struct problems *problems;
    enum directives_secrets secrets;
};

/*
 * Fills config, a zeroed struct, from section (NULL: defaults only) and returns one value for
 * each directive of table, in its order. name is what problems call the section, "auth".
 */
const struct directive_value *directives_fill(const struct directives_context *context,
                                              const char *name,
                                              const struct andiron_directive *table,
                                              const struct ini_section *section, void *config);

/* Problems of a table itself: a plugin's fault. 0, or -1 and err. */
ANDIRON_MUST_CHECK int directives_check(const struct andiron_directive *table, size_t config_size,
                                        struct andiron_error *err);

/* "a whole number from 1 to 100", "a duration such as 30s": what a value must look like. */
const char *directive_expects(struct andiron_arena *arena,
                              const struct andiron_directive *directive);

/* Number of entries; table may be NULL. */
size_t directives_count(const struct andiron_directive *table);

#endif
