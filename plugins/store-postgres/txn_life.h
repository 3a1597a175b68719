/*
 * Between the queue of a loop (commit.c) and its transactions (txn.c).
 */
#ifndef STORE_POSTGRES_TXN_LIFE_H
#define STORE_POSTGRES_TXN_LIFE_H

#include "txn.h"

struct writer {
    struct local *local;
    struct store *store;
    struct commit_job *first, **last;
    size_t queued;
    int64_t running; /* transactions */
    struct entries_marks marks;
    int64_t marks_voids; /* naming_seen().voids that marks belong to */
};

/* Starts a transaction of jobs, linked by next; w->running counts it. */
void txn_begin(struct writer *w, struct commit_job *jobs);

/* Queues a commit for a request, which waits. indexing: or NULL; maker: likewise. */
enum andiron_step writer_submit(struct writer *w, struct andiron_request *req,
                                struct andiron_commit *commit,
                                const struct andiron_term_maker *maker,
                                const struct indexing_job *indexing, andiron_step_fn then,
                                void *state);
/* Starts what can be started. */
void writer_pump(struct writer *w);
/* In front of all that wait. */
void writer_put_back(struct writer *w, struct commit_job *jobs);
/* Once more from the start: names are looked up, and terms packed. */
void writer_prepare(struct commit_job *job);
/* Adds the names that packing wanted, and then the same. */
void writer_add_names(struct commit_job *job);
/* The commit is over; its request goes on. */
void writer_answer(struct commit_job *job);

#endif
