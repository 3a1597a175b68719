/*
 * A job that a request names: its records, if they are there and the request's own.
 */
#ifndef BULK_LOOKUP_H
#define BULK_LOOKUP_H

#include "bulk.h"
#include "job.h"

struct lookup {
    struct bulk *bulk;
    struct job_spec spec;
    struct job_state state;

    struct andiron_ref refs[2]; /* private from here */
    struct andiron_rows rows;
    andiron_step_fn then;
    void *state_of_then;
};

/*
 * By the route's {job}. Goes on with then(req, state) only if there is such a job of whoever
 * asks; 404 else, the same for jobs of others.
 */
enum andiron_step lookup_job(struct bulk *bulk, struct andiron_request *req, struct lookup *ret,
                             andiron_step_fn then, void *state);

enum andiron_step lookup_unknown(struct andiron_request *req);

#endif
