/*
 * A walk through the current versions of a store, in slices: each is a job with memory of its
 * own, so that millions of resources need no more than some hundred. Runs on one loop;
 * extraction is done on the pool.
 */
#ifndef SEARCH_SWEEP_H
#define SEARCH_SWEEP_H

#include "records.h"
#include "search.h"

struct sweep {
    /* given */
    struct search *search;
    struct andiron_loop *loop;
    const char *const *types; /* NULL-terminated; NULL: every type */
    enum andiron_index_op op; /* COMPARE: terms are those stored; ADD .. */
    bool is_repairing;        /* COMPARE: and REPLACE those that are not */
    const char *term;         /* ADD: only those of this name */
    andiron_usec since;       /* only versions from then on; 0: all */
    void (*found)(void *arg, const struct andiron_ref *ref, andiron_str what); /* COMPARE */
    void (*next)(void *arg); /* after each slice, on the loop */
    void *arg;

    /* result, and where it goes on */
    struct record_place cursor, horizon;
    andiron_usec horizon_time;
    bool is_done;
    int64_t seen, differing, repaired;
    int64_t unreadable;         /* ADD: left out */
    struct andiron_error error; /* of the last slice: it may be tried again */
};

/* Goes on by one slice, and then calls next. */
void sweep_slice(struct sweep *sweep);

#endif
