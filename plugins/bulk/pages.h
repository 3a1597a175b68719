/*
 * How many rows to ask a store for: a store may have read a whole page before it shows the first row, so what
 * is not taken was read in vain, and what is read lies in memory.
 */
#ifndef BULK_PAGES_H
#define BULK_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PAGES_FIRST = 32 };

struct pages_limits {
    size_t rows;
    uint64_t bytes;
};

/*
 * The next page, after one of `page` rows of which `seen` with so many bytes were taken; is_cut: though there
 * were more, since time was up. As many as make about the bytes of the limits if they are like these; never many
 * more than before.
 */
static inline size_t pages_next(size_t page, size_t seen, uint64_t bytes, bool is_cut,
                                const struct pages_limits *most)
{
    uint64_t fit = most->bytes * (seen + 1) / (bytes + 1);
    size_t next = is_cut ? seen : 4 * page;

    if (next < PAGES_FIRST)
        next = PAGES_FIRST;
    if (next > fit)
        next = (size_t)fit;
    if (next > most->rows)
        next = most->rows;
    return next > 0 ? next : 1;
}

#endif
