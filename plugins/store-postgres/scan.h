/*
 * Going through the candidates of a source, judging each.
 */
#ifndef STORE_POSTGRES_SCAN_H
#define STORE_POSTGRES_SCAN_H

#include "source.h"

struct scan {
    const struct source *source;
    struct node *filter;
    bool ascending;
    bool bodies;  /* candidates come with them, and with ids */
    bool lazy;    /* the statement itself leaves out what does not match, and stops at `batch` */
    size_t batch; /* candidates, or matches if lazy, of a statement */

    int64_t begin;     /* of the window */
    int64_t counts_to; /* not 0: the first statement counts all of the source as well, up to this */
    int64_t counted;   /* -1: it has not, or there was no row to tell it */
    int64_t position;  /* all before and at it have been looked at, or are in the window */
    bool is_asked, has_ended, seeks_position;
    int64_t looked; /* candidates that a lazy statement may look at */
    struct candidate *window;
    size_t count, at;
};

/* From position on; few: how many matches will do. */
struct scan *scan_new(struct run *run, const struct source *source, struct node *filter,
                      bool ascending, int64_t position, size_t few, bool bodies);
/*
 * The next match: 1, *ret lives as long as the search; 0: there are no more; RUN_WAIT, RUN_FAILED,
 * RUN_STOPPED.
 */
int scan_next(struct run *run, struct scan *s, struct candidate *ret);
/* The same, but the match stays the next one. */
int scan_peek(struct run *run, struct scan *s, struct candidate *ret);
void scan_skip(struct scan *s);
/* Where to go on from: nothing before it is left. */
int64_t scan_position(const struct scan *s);

#endif
