/*
 * Configuration problems: all of them are collected, sorted and shown at once.
 */
#ifndef CORE_HOST_PROBLEMS_H
#define CORE_HOST_PROBLEMS_H

#include <stdio.h>

#include <andiron/base.h>

struct problem {
    const char *file; /* relative to the configuration folder, "-o", "environment"; or NULL */
    unsigned line;    /* 0: none */
    bool is_warning;  /* does not stop a start */
    const char *text; /* "auth.max-tll: unknown directive; did you mean \"max-ttl\"?" */
};

struct problems {
    struct andiron_arena *arena;
    struct problem *list;
    size_t count, room;
    size_t errors; /* those that are no warnings */
};

void problems_init(struct problems *problems, struct andiron_arena *arena);

/* file lives as long as the arena; the text is copied. Beyond 1000 problems only the count grows. */
void problem_add(struct problems *problems, const char *file, unsigned line, const char *fmt, ...)
    ANDIRON_PRINTF(4, 5);
void problem_warn(struct problems *problems, const char *file, unsigned line, const char *fmt, ...)
    ANDIRON_PRINTF(4, 5);

/* By file and line; those without a file come last. */
void problems_sort(struct problems *problems);

/* "FILE:LINE: text" for each, warnings marked as such; then "N errors" if there are any. */
void problems_print(const struct problems *problems, FILE *out);

#endif
