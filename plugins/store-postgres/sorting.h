/*
 * Pages in the order of sort keys: absent values last in either direction, then by vid in the
 * direction of the last key.
 *
 * Few matches are all looked at and sorted. Otherwise the index of the first key is followed, and
 * those with the same value of it are sorted by the others. Both keep exactly the same order, so that
 * pages may be made in different ways and still fit together.
 */
#ifndef STORE_POSTGRES_SORTING_H
#define STORE_POSTGRES_SORTING_H

#include "scan.h"

/* Fills run->page, sets rows->cursor and perhaps rows->total. 0, RUN_WAIT, RUN_FAILED. */
int sorting_page(struct run *run);
/* The same by latest change (sort_count is 0), and rows->previous. */
int by_vid_page(struct run *run);
/* Whether the statements that are asked for may bring all of the page. */
bool sorting_is_single(const struct run *run);
bool by_vid_is_single(const struct run *run);
/* The next match of all plans' scans, whose it is; it stays the next one. 1, 0, RUN_WAIT.. */
int by_vid_next(struct run *run, struct run_plan **ret_plan, struct candidate *ret);

/* ---- walking along the index of a sort key (stream.c) ---------------------------------------- */

struct entry {
    struct cursor_value value;
    int64_t vid;
    bool is_candidate; /* it may match; else only its place is known */
    struct candidate c;
};

struct stream;

/* In place of a vid: before, or behind, all that have the value. */
enum { STREAM_WITH = -1, STREAM_BEHIND = -2 };

/* Streams of the first key of a plan: *count of them. from: a value to begin at or behind, or NULL. */
struct stream **stream_new(struct run *run, const struct run_plan *plan,
                           const struct cursor_value *from, int64_t vid, size_t *ret_count);
/* The next entry: 1; 0 at the end; RUN_WAIT, RUN_STOPPED. */
int stream_peek(struct run *run, struct stream *t, struct entry *ret);
void stream_skip(struct stream *t);
/* Whether its statements stop at what the page needs, with bodies. */
bool stream_is_lazy(const struct stream *t);
/* The entry that comes i behind the next one, if it is at hand. */
const struct entry *stream_ahead(const struct stream *t, size_t i);

#endif
