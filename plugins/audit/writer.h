/*
 * From the queue into the store: a job at a time, on the first loop.
 *
 * All processes over one store write one chain. A commit brings its events and a row of where the
 * chain stands then; event ids are numbers in the chain and must be free, so if another process was
 * first the commit fails, and is made again behind what that one wrote.
 */
#ifndef AUDIT_WRITER_H
#define AUDIT_WRITER_H

#include "audit.h"
#include "record.h"

#define AUDIT_HEAD_TYPE "_Audit"

struct audit_writer *audit_writer_new(struct audit *audit);
/* From loop_start() and loop_stop() of the first loop. */
int audit_writer_start(struct audit_writer *writer, struct andiron_loop *loop,
                       struct andiron_error *err);
void audit_writer_stop(struct audit_writer *writer);

/* Something is queued; now: do not wait for more. Any thread. */
void audit_writer_wake(struct audit_writer *writer, bool now);

/*
 * Reads where the chain stands, and goes on with `then`; *ret_found is false if there is no chain
 * yet.
 */
struct head_reading {
    struct andiron_walk walk;
    struct andiron_rows rows;
    struct audit_head *ret;
    bool *ret_found;
    struct andiron_error *ret_error;
    andiron_step_fn then;
    void *state;
};
enum andiron_step audit_head_find(const struct audit *audit, struct andiron_request *req,
                                  struct head_reading *reading);

andiron_str audit_key(const struct audit *audit);

#endif
