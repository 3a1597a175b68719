/*
 * A batch of an import at work: a Bundle of type batch, run beside the import's request as an inner request
 * of its client, so that every line passes policies, scopes and validation as a request of its own, and
 * those that pass are one commit. On the import's loop, but for what is offloaded.
 */
#ifndef BULK_IMPORT_BATCH_H
#define BULK_IMPORT_BATCH_H

#include <andiron/async.h>

#include "upload.h"

struct import_batch {
    struct upload_batch lines;
    struct bytes bundle, again; /* its text; that of the lines that are tried again */
    struct andiron_arena *arena;
    struct andiron_request *sub;
    int status; /* of the Bundle's answer; 200 where there was nothing to send */
    struct andiron_error error;
    bool is_done;
    bool ran_beside; /* an earlier batch was at work when it began */
    bool is_again;
    void (*done)(void *arg);
    void *done_arg;
};

/*
 * Cuts the next batch, in an arena of its own. Any thread. false: there is none as long as the others,
 * which are at work, have what its first line names.
 */
bool import_batch_cut(struct import_batch *b, struct upload *u,
                      const struct upload_batch *const *others, size_t other_count);

/* Runs it; is_done will be set and done called, from the loop. What it points to stays until then. */
void import_batch_start(struct andiron_request *req, struct import_batch *b);

/*
 * Whether lines were refused that may have needed what an earlier batch was about to store: they are to be
 * started again, when all earlier ones are done.
 */
bool import_batch_is_early(const struct import_batch *b);

/* Forgets the batch; what can be used for the next one stays. */
void import_batch_clear(struct import_batch *b);
void import_batch_free(struct import_batch *b);

#endif
