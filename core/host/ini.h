/*
 * INI text -> sections with file and line. Knows no meaning of any name.
 */
#ifndef CORE_HOST_INI_H
#define CORE_HOST_INI_H

#include "host/problems.h"

enum {
    INI_NAME_MAX = 48,   /* bytes of a section's or directive's name; libinih cuts at 49 */
    INI_LINE_MAX = 4096, /* bytes of a line; longer text belongs into a file (@path) */
};

struct ini_value {
    const char *name, *text;
    const char *file; /* label as given to ini_read(), "-o" or "environment" */
    unsigned line;    /* 0 where file is no file */
    struct ini_value *next;
};

struct ini_section {
    const char *title;  /* "http", "plugin jwks" */
    const char *plugin; /* "jwks", or NULL for core's sections */
    const char *file;
    unsigned line;
    struct ini_value *values;
    struct ini_section *next; /* in the order in which they were met */
};

struct ini {
    struct andiron_arena *arena;
    struct ini_section *sections;
};

/*
 * Reads one file's text into ini. label is what problems call the file and must outlive ini. A
 * name that another file gave already is replaced, one given twice in this file is a problem.
 */
void ini_read(struct ini *ini, const char *label, andiron_str text, struct problems *problems);

struct ini_section *ini_find(const struct ini *ini, const char *title);
struct ini_value *ini_value(const struct ini_section *section, const char *name);

/* Finds or makes a section: for overrides of one that no file has. */
struct ini_section *ini_section(struct ini *ini, const char *title, const char *file,
                                unsigned line);

/* Sets or replaces a value; all strings but name and text must outlive ini. */
void ini_set(struct ini *ini, struct ini_section *section, const char *name, andiron_str text,
             const char *file, unsigned line);

/* Lower-case letters, digits and single hyphens, a letter first, at most INI_NAME_MAX bytes. */
bool ini_name_ok(andiron_str name);

#endif
