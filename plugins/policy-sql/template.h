/*
 * Queries with {{path}} in them: each becomes a bound parameter, never text. {{!path}} becomes the
 * name of a table, of which only those of FHIR types are there.
 *
 * Made once from an AccessPolicy, read-only after that. Knows nothing of requests.
 */
#ifndef POLICY_SQL_TEMPLATE_H
#define POLICY_SQL_TEMPLATE_H

#include <andiron/error.h>

enum { TEMPLATE_MAX = 12 * 1024, TEMPLATE_HOLES_MAX = 64 };

struct template_hole {
    size_t at;        /* in text: the name goes before this byte */
    const char *path; /* dotted, of the request object */
};

struct template {
    andiron_str text;   /* with $1 .. for values, and nothing for names */
    const char **values; /* paths of $1 .. */
    size_t value_count;
    const struct template_hole *names;
    size_t name_count;
};

/* -1 and what is wrong, and at which byte; err.where is left empty. Any thread. */
ANDIRON_MUST_CHECK int template_compile(struct andiron_arena *arena, andiron_str query,
                                        struct template *ret, struct andiron_error *err);

/*
 * The text with each name put in, in double quotes and lower case. names are as many as holes; each must be
 * that of a FHIR type, in any case: absent if one is not.
 */
andiron_str template_text(struct andiron_arena *arena, const struct template *t,
                          const andiron_str *names);

#endif
