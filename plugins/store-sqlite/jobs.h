/*
 * Small jobs of the writer: claims, index maintenance, forgetting a parameter.
 */
#ifndef STORE_SQLITE_JOBS_H
#define STORE_SQLITE_JOBS_H

#include "writer.h"

/* Each in arena, ready to be submitted. */
struct job *claim_job(struct andiron_arena *arena, andiron_str name, andiron_usec expires,
                      bool *ret_taken, struct andiron_error *ret_error);
struct job *index_job(struct store *store, struct andiron_arena *arena, enum andiron_index_op op,
                      struct andiron_indexing *items, size_t count,
                      struct andiron_error *ret_error);
/* Takes a name on the writer's thread, in its transaction; -1: the database or the name is bad. */
int claim_take(struct writer *w, andiron_str name, andiron_usec expires, bool *ret_taken,
               struct andiron_error *err);
/* One slice; *ret_more: there is more to remove. */
struct job *forget_job(struct andiron_arena *arena, const char *type, const char *param,
                       bool *ret_more, struct andiron_error *ret_error);

/* Compares terms with those stored, in the snapshot open on db. -1 and err. */
int index_compare(struct store *store, struct db *db, struct andiron_arena *arena,
                  struct andiron_indexing *items, size_t count, struct andiron_error *err);

#endif
