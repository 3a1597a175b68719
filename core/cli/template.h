/*
 * The project that `andiron new` writes: examples/policy-engine, put into the program by
 * cmake/template.cmake.
 */
#ifndef CORE_CLI_TEMPLATE_H
#define CORE_CLI_TEMPLATE_H

#include <andiron/base.h>

struct template_file {
    const char *name;
    andiron_str text;
};

/* Ends with a NULL name. */
extern const struct template_file template_files[];

#endif
