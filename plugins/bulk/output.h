/*
 * The files that a running job writes: one of each kind at a time, begun anew when it is full or
 * the type changes. On the pool, one thread at a time. Names carry the epoch, so that a process
 * which was taken for dead and comes back writes into files that nobody looks at.
 */
#ifndef BULK_OUTPUT_H
#define BULK_OUTPUT_H

#include "directory.h"
#include "job.h"

struct output;

/* Goes on behind the files of an earlier epoch, which stay as they are. id lives as long. */
struct output *output_new(struct bulk *bulk, const char *id, uint64_t epoch,
                          const struct job_file *files, size_t count);
void output_free(struct output *o); /* accepts NULL */

/* Adds a line without its end. type is a literal. */
int output_line(struct output *o, enum job_kind kind, const char *type, andiron_str line,
                struct andiron_error *err);

/* All that was written is on disk behind this. */
int output_sync(struct output *o, struct andiron_error *err);
/* And the next line begins a new file. */
int output_close(struct output *o, struct andiron_error *err);

/* Of what is on disk. */
const struct job_file *output_files(const struct output *o, size_t *ret_count);
/* Of all that was written. */
uint64_t output_bytes(const struct output *o);

#endif
