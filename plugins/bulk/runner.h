/*
 * Which jobs this process runs. On loop 0 alone, but for what is said to be for any thread.
 */
#ifndef BULK_RUNNER_H
#define BULK_RUNNER_H

#include "bulk.h"
#include "drive.h"
#include "job.h"
#include "judge.h"
#include "output.h"

/* A job that this process has taken. */
struct running {
    struct running *next;   /* in the runner's list */
    struct running *queued; /* behind it in the queue for a slice */
    struct bulk *bulk;
    char id[BULK_ID_LEN + 1];

    struct andiron_arena *arena; /* spec, patients, and what of the state does not change */
    bool is_prepared;            /* spec and patients are known */
    struct job_spec spec;
    struct judge_patients patients;
    bool has_patients;
    struct job_state state; /* as last stored, but for what is counted here */
    char *cursor;           /* malloc; NULL: at the beginning of its type */
    size_t cursor_len;
    struct output *output;
    struct drive *drive; /* of the type at work; NULL: not decided, or another way */
    bool is_counted;     /* how many of the type there are was asked */
    int64_t stored_ms;   /* when the state was stored last, monotonic */
    size_t page_rows;    /* that the store is asked for, see pages.h */

    bool in_slice;
    bool is_over;      /* it is to be dropped: finished, lost or failed in this process */
    bool is_cancelled; /* its record is gone; files are to go, too */
};

/* In start(). */
struct runner *runner_new(struct bulk *bulk);
/* In loop_start() and loop_stop() of loop 0. */
int runner_start(struct runner *r, struct andiron_loop *loop);
void runner_stop(struct runner *r);
/* In stop(), when nothing runs any more. Accepts NULL. */
void runner_free(struct runner *r);

/* Looks for jobs soon. Any thread. */
void runner_poke(struct runner *r);
/* Stops a job that may run here, whose record is gone. Any thread. */
void runner_cancel(struct runner *r, andiron_str id);

/* Bytes that all jobs hold on disk, as of the last look. Any thread. */
int64_t runner_bytes(const struct runner *r);

/* What run.c calls at the end of a slice: whatever became of it. */
void runner_slice_over(struct running *job);

/* The first step of a slice (run.c); state is struct running. */
enum andiron_step run_slice(struct andiron_request *req, void *state);

#endif
