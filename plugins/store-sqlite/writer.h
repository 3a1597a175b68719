/*
 * The writer: one thread that owns the only connection which writes.
 *
 * Jobs of many requests share one transaction and one flush (group commit): it takes what is
 * queued, never waiting for more. A job first checks and then changes, so that a refused one
 * has changed nothing and needs no savepoint; if a change fails, the whole transaction is rolled
 * back and its jobs run again one by one.
 */
#ifndef STORE_SQLITE_WRITER_H
#define STORE_SQLITE_WRITER_H

#include "store.h"

/* Numbers that go on over all transactions; kept in meta, since two processes may write. */
struct counters {
    int64_t vid, rid, type, p; /* last used */
    int64_t updated;           /* lastUpdated of the last version, microseconds */
    int64_t names;             /* changes when numbers of names became void */
};

struct writer;

struct job {
    struct job *next;
    struct andiron_request *req; /* resumed when the job is over; NULL: `over` is called */
    void (*over)(struct job *job);
    struct andiron_error *error; /* result; code ANDIRON_OK when durable */
    bool is_patient; /* runs when nothing else waits, alone, or after PATIENCE_MS with the others */
    int64_t since_ms; /* the writer's */

    /*
     * Looks whether the job can be done, changing nothing. -1: error is filled in (refused), or
     * its code is ANDIRON_OK and db->rc says why the database failed. May run more than once.
     */
    int (*check)(struct writer *w, struct job *job);
    /* Does it. -1: db->rc, or error for what cannot be done. May run more than once. */
    int (*apply)(struct writer *w, struct job *job);
    /* After the commit, on the writer's thread, before the answer: tells watchers. Optional. */
    void (*done)(struct writer *w, struct job *job);
    /* Lets go of what nobody needs behind the job, before anybody is told that it is over. Optional. */
    void (*tidy)(struct job *job);
};

/* What the transaction at hand works with; for jobs, on the writer's thread. */
struct writer_view {
    struct store *store;
    struct db *db;
    struct counters *counters;
};

struct writer *writer_new(struct store *store, struct andiron_error *err);
/* From now on commits reach the log by few writes (walfile.h); the file is in WAL mode. */
void writer_gather(struct writer *w);
ANDIRON_MUST_CHECK int writer_start(struct writer *w, struct andiron_error *err);
/* Runs what is queued, ends the thread, closes the connection. NULL is allowed. */
void writer_free(struct writer *w);

/* Queues a job. -1 and job->error if the queue is full. Any thread. */
ANDIRON_MUST_CHECK int writer_submit(struct writer *w, struct job *job);
/* Runs a job now, on the calling thread; only while the thread does not run (tests, start). */
void writer_run(struct writer *w, struct job *job);

struct writer_view writer_view(struct writer *w);

/* Numbers of names, added to the file if they are new; in apply() only. -1: db->rc. */
int writer_type(struct writer *w, andiron_str name, int64_t *ret);
int writer_param(struct writer *w, int64_t type, andiron_str code, uint32_t kind, int64_t *ret);
/* Number of a resource; a stub is made for one that is not known. */
int writer_resource(struct writer *w, int64_t type, andiron_str id, int64_t *ret);

/* Whether the last attempt to write failed for a reason that lies with the file or disk. */
bool writer_is_broken(const struct writer *w, struct andiron_error *ret);
/* counters.names as of the last transaction: keys packed under another value are void. */
int64_t writer_names(struct writer *w);
/* Jobs that wait. */
size_t writer_queued(struct writer *w);
/* The longest a transaction took since the last call, or the last one; microseconds, -1: there was none. */
int64_t writer_latency(struct writer *w);

#endif
