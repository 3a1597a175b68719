/*
 * Queries of scopes, "category=laboratory": conditions on the resources of one type, which
 * search/1 understands.
 */
#ifndef SMART_QUERY_H
#define SMART_QUERY_H

#include <andiron/search.h>

/* search/1, which is there once the server runs; table NULL: it is not loaded. */
struct query_search {
    const struct andiron_search *table;
    void *self;
};

/* What matches at least one of the expressions (NULL-terminated), in arena. -1 and err. */
int query_prepare(const struct query_search *search, struct andiron_arena *arena, int type,
                  const char *const *any_of, struct andiron_limit *ret, struct andiron_error *err);

/* Whether the type has the parameters of a query (SC-2): 0, or -1 and err. */
int query_check(const struct query_search *search, struct andiron_arena *arena, int type,
                andiron_str query, struct andiron_error *err);

/* Both conditions; what both say is said once. In arena. */
andiron_str query_join(struct andiron_arena *arena, andiron_str a, andiron_str b);

#endif
