/*
 * The background work on indexes: fills those of new search parameters, and drops those that no
 * definition asks for any more. One process of all does it, in slices; what has been done is in the
 * records (records.h), so whoever comes after goes on from there.
 */
#ifndef SEARCH_BUILDER_H
#define SEARCH_BUILDER_H

#include "search.h"

struct builder;

struct builder *builder_new(struct search *search);

/* From loop_start() and loop_stop() of the loop on which it works. */
int builder_loop_start(struct builder *builder, struct andiron_loop *loop,
                       struct andiron_error *err);
void builder_loop_stop(struct builder *builder);

/* On that loop: there is a new model, so perhaps something to do. */
void builder_kick(void *builder);

#endif
