/*
 * Reading what a search asks about before it can be compiled to the end: see terminology.h.
 */
#ifndef SEARCH_READING_H
#define SEARCH_READING_H

#include <andiron/plugin.h>

#include "compile.h"

/* Like search_compile(); ret->unread is set if documents are wanted. store NULL: there is none. */
int reading_compile(struct compiling *c, const struct andiron_service_ref *store, andiron_str type,
                    andiron_str expression, struct andiron_search_plan *ret);

/* complete() of search/1. c is as for compiling; its err is where a failure is put. */
enum andiron_step reading_complete(const struct compiling *c, struct andiron_request *req,
                                   struct andiron_search_plan *plan, andiron_step_fn then,
                                   void *state);

#endif
