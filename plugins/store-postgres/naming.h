/*
 * Numbers of types and parameters (common/store/names.h) and the database that gives them out.
 *
 * A number is added in a transaction of its own, committed before anything uses it, so that nothing
 * has to be taken back when a write fails. `meta` counts the changes: "names" each of them,
 * "names-void" those after which a number means nothing any more (a parameter was forgotten, a resource
 * purged). Whoever depends on names reads the count in the snapshot that it works in, and loads them
 * anew if it is not naming_seen().
 */
#ifndef STORE_POSTGRES_NAMING_H
#define STORE_POSTGRES_NAMING_H

#include "common/store/names.h"
#include "store.h"

/* A name that is needed, and kinds of terms (bits, NAMES_SEVERAL too) that it must be known to have. */
struct naming_want {
    struct naming_want *next;
    andiron_str type, code; /* code absent: the type alone */
    uint32_t kinds;
};

/* The counts as of the last load; store_open() does the first. */
struct naming_counts {
    int64_t names, voids;
};
struct naming_counts naming_seen(const struct store *store);

/* Adds to b a statement whose one row has both counts: columns 0 and 1. */
void naming_ask(struct wire_batch *b);

/*
 * All names anew; done(arg, err) is called once, on the loop: err is NULL if they are there. arena
 * lives until then.
 */
void naming_load(struct local *local, struct andiron_arena *arena,
                 void (*done)(void *arg, const struct andiron_error *err), void *arg);

/* The same, if they have changed since the last load: before a name is taken to be unknown. */
void naming_refresh(struct local *local, struct andiron_arena *arena,
                    void (*done)(void *arg, const struct andiron_error *err), void *arg);

/* Adds what is wanted and not there yet; each (type, code) once in the list. As naming_load(). */
void naming_add(struct local *local, struct andiron_arena *arena, const struct naming_want *wanted,
                void (*done)(void *arg, const struct andiron_error *err), void *arg);

/* Statements that note a change: in the transaction that makes it. */
void naming_bump(struct wire_batch *b, bool voids);

#endif
