/*
 * Sorted pages: of the few that match by sorting them, of the many by following the indexes of
 * the sort keys.
 */
#ifndef STORE_SQLITE_SORT_H
#define STORE_SQLITE_SORT_H

#include "common/store/cursor.h"
#include "plan.h"

/* A match, with what it is sorted by. */
struct hit {
    int64_t vid;
    struct cursor_value values[PLAN_SORTS];
};

struct sorted_page {
    struct hit *hits;
    size_t count;
    bool complete;          /* nothing follows */
    struct cursor position; /* else: where the next page begins (mode, key and values) */
    int64_t total;          /* all matches, if they were all seen; -1 */
};

/*
 * A page of at most limit hits behind *from (NULL: from the start). -1: run->error. If
 * run->stopped is set, the page is short, and position says how far it came.
 */
ANDIRON_MUST_CHECK int sort_page(struct run *run, const struct cursor *from, size_t limit,
                                 struct sorted_page *ret);

/* The plan for a type; NULL if it is not searched. */
struct plan *sort_plan_of(struct run *run, int64_t type);

#endif
