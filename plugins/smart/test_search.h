/*
 * search/1 as far as scopes use it, for tests: plugins cannot link each other. A parameter is
 * known unless it is called "nope"; what was prepared is the first of the expressions.
 */
#ifndef SMART_TEST_SEARCH_H
#define SMART_TEST_SEARCH_H

#include "query.h"

static size_t test_prepared; /* calls so far */

static const struct andiron_prepared *test_prepare(void *self, struct andiron_arena *arena,
                                                   andiron_str type, const char *const *any_of,
                                                   struct andiron_error *err)
{
    (void)self;
    (void)arena;
    (void)type;
    test_prepared++;
    for (const char *const *one = any_of; *one != NULL; one++)
        if (strstr(*one, "nope") != NULL) {
            (void)andiron_error_set(err, ANDIRON_E_INVALID, "", "no such parameter");
            return NULL;
        }
    return (const void *)any_of;
}

static const struct andiron_search test_search_table = { .size = sizeof(test_search_table),
                                                         .prepare = test_prepare };
static const struct query_search test_search = { .table = &test_search_table };

#endif
