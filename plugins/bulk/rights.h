/*
 * What of each type a request may see: scopes and policies decide, as they do about searches.
 */
#ifndef BULK_RIGHTS_H
#define BULK_RIGHTS_H

#include "bulk.h"
#include "job.h"

/* One type that is asked about. */
struct rights_of_type {
    const char *name;
    bool is_granted;                  /* result */
    const char *const *const *limits; /* result: as in struct job_type */
};

struct rights {
    struct rights_of_type *types;
    size_t count;

    size_t at; /* private from here */
    struct andiron_request *sub;
    andiron_step_fn then;
    void *state;
};

/* Fills in what is granted, then goes on with then(req, state). */
enum andiron_step rights_ask(struct andiron_request *req, struct rights *rights,
                             andiron_step_fn then, void *state);

/* 403, with the challenge of the last refusal if a scope was missing. */
enum andiron_step rights_refuse(struct andiron_request *req, const struct rights *rights);

/*
 * Whether what was made under `then` may be shown under `now`: everything that limits the
 * request now limited it then, too.
 */
bool rights_still_hold(const char *const *const *then, const char *const *const *now);

/* "Client/a" of whoever asks; "" of the server itself. */
andiron_str rights_principal(struct andiron_request *req);

#endif
