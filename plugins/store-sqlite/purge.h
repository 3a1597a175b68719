/*
 * Purging: resources that are to be as if they had never been, in slices for the writer.
 */
#ifndef STORE_SQLITE_PURGE_H
#define STORE_SQLITE_PURGE_H

#include "writer.h"

enum { PURGE_SLICE = 100 /* versions that one commit removes */ };

/* Where a purge has come to; each slice goes on behind the one before. */
struct purging {
    struct andiron_purge *purge;
    size_t at; /* the first of purge->refs that is not done with */
};

/* One slice, in arena. What it has done is in p only once purge_slice_done() was told. */
struct purge_job;
struct purge_job *purge_slice(struct andiron_arena *arena, struct purging *p);
struct job *purge_slice_job(struct purge_job *slice);
/* After the slice was committed. */
void purge_slice_done(struct purge_job *slice);

#endif
