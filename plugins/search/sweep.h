/*
 * A walk through the current versions of a store, in slices: each is a job with memory of its
 * own, so that millions of resources need no more than some hundred. Runs on one loop;
 * extraction is done on the pool.
 */
#ifndef SEARCH_SWEEP_H
#define SEARCH_SWEEP_H

#include "search.h"

enum { SWEEP_PLACE_MAX = 512 };

/* A cursor or horizon of the store, kept between slices. */
struct sweep_place {
    char text[SWEEP_PLACE_MAX];
    size_t len; /* 0: none yet */
};

struct sweep {
    /* given */
    struct search *search;
    struct andiron_loop *loop;
    const char *const *types;     /* NULL-terminated; NULL: every type */
    enum andiron_index_op op;     /* COMPARE: terms are those stored; ADD .. */
    bool is_repairing;            /* COMPARE: and REPLACE those that are not */
    const char *const *params;    /* ADD: only the terms of these, and their #word */
    const char *const *pass_over; /* COMPARE */
    void (*found)(void *arg, const struct andiron_ref *ref, andiron_str what); /* COMPARE */
    void (*next)(void *arg); /* after each slice, on the loop */
    void *arg;

    /* result, and where it goes on */
    struct sweep_place cursor, horizon;
    bool is_done;
    int64_t seen, differing, repaired;
    struct andiron_error error; /* of the last slice: it may be tried again */
};

/* Goes on by one slice, and then calls next. */
void sweep_slice(struct sweep *sweep);

#endif
