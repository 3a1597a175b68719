/*
 * How many rows to ask a store for, and how long to take them: a store may have read a whole page before it
 * shows the first row, so what is not taken was read in vain, and what is read lies in memory.
 */
#ifndef BULK_PAGES_H
#define BULK_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PAGES_FIRST = 32, PAGES_US = 20000 };

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

/* Of a slice, all 0 before its first row. */
struct pages_clock {
    int64_t until_us; /* monotonic */
    uint64_t seen;
    bool is_cut;
};

/*
 * A row is taken; false: it is the last for now. Time runs from the first row on, not from the question: else
 * a page that takes the store long is cut short however quickly its rows are taken, and read again.
 */
static inline bool pages_row(struct pages_clock *clock, int64_t (*now_us)(void))
{
    if (clock->seen++ == 0)
        clock->until_us = now_us() + PAGES_US;
    clock->is_cut = clock->seen % 16 == 0 && now_us() >= clock->until_us;
    return !clock->is_cut;
}

#endif
