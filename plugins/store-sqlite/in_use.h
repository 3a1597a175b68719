/*
 * Values in use of parameters, by resources that have them. In the snapshot open on a connection.
 */
#ifndef STORE_SQLITE_IN_USE_H
#define STORE_SQLITE_IN_USE_H

#include "search.h"

/* See in_use() of struct andiron_store. 0; -1 and rows->error. */
int in_use_run(struct search_place *place, const char *const *types, const char *const *params,
               size_t limit, const struct andiron_visitor *visitor, struct andiron_rows *rows);

#endif
