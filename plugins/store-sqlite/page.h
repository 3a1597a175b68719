/*
 * Rows of a page, and what identifies them inside the store.
 */
#ifndef STORE_SQLITE_PAGE_H
#define STORE_SQLITE_PAGE_H

#include "plan.h"

struct page {
    struct andiron_row *rows;
    int64_t *vids, *rids; /* of each row */
    size_t count, room;
};

/* The row of a loaded candidate, with its body unless the search wants references only. */
ANDIRON_MUST_CHECK int page_add(struct run *run, struct page *page, const struct candidate *c,
                                bool included);
/* A stored body in arena; -1 and err if it cannot be read, or is not what was stored. */
ANDIRON_MUST_CHECK int page_body(struct andiron_arena *arena, int64_t encoding, sqlite3_stmt *s,
                                 int column, andiron_str *ret, struct andiron_error *err);

/* Rows that the query's includes ask for, behind the matches; says in rows what was left out. */
ANDIRON_MUST_CHECK int include_rows(struct run *run, struct page *page, struct andiron_rows *rows);

#endif
