/*
 * Resources that satisfy a condition which no list of the index names in order, if they are few. 0:
 * *ret is them, or NULL: too many, or too much work; RUN_WAIT; RUN_FAILED. beside: only if they are so
 * few as to be the better driver.
 */
#ifndef STORE_POSTGRES_GATHER_H
#define STORE_POSTGRES_GATHER_H

#include "source.h"

/* Of a range of dates, numbers or strings. all: the conjunction that n belongs to, or NULL. */
int gather_range(struct run *run, struct node *n, const struct node *all, bool beside,
                 struct source **ret);
/* Those that refer to targets which satisfy a chain's inner condition. */
int gather_chain(struct run *run, struct node *n, bool beside, struct source **ret);
/* Of _has: those whom resources refer to that satisfy its inner condition. */
int gather_has(struct run *run, struct node *n, bool beside, struct source **ret);

/*
 * Puts " AND .." about lo and hi of an index of ranges: all that n says, and what others of `all` say of the
 * same single value. cls: of dates.
 */
void gather_put_range(struct compose *c, const struct node *n, const struct node *all, int64_t cls);
bool gather_covers(const struct node *n, const struct node *other);

/* Takes the numbers. */
struct source *source_of_vids(struct run *run, const struct node *n, int64_t *vids, size_t count,
                              const char *name);
struct source *source_of_references(struct run *run, const struct node *n, const int64_t *rids,
                                    size_t count, const char *name);

#endif
