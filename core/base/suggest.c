/*
 * Nearest known name by edit distance (optimal string alignment). C library only.
 */
#include "base/suggest.h"

#include <strings.h>

enum { LONGEST = 64 };

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
    unsigned m = a < b ? a : b;
    return m < c ? m : c;
}

/* Edits (insert, delete, replace, swap of neighbours) from a to b; both at most LONGEST. */
static unsigned distance(andiron_str a, const char *b, size_t b_len)
{
    unsigned rows[3][LONGEST + 1];
    unsigned *before = rows[0], *last = rows[1], *now = rows[2];

    for (size_t j = 0; j <= b_len; j++)
        last[j] = (unsigned)j;
    for (size_t i = 1; i <= a.len; i++) {
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= b_len; j++) {
            unsigned replace = last[j - 1] + (a.data[i - 1] != b[j - 1]);
            now[j] = min3(last[j] + 1, now[j - 1] + 1, replace);
            if (i > 1 && j > 1 && a.data[i - 1] == b[j - 2] && a.data[i - 2] == b[j - 1] &&
                before[j - 2] + 1 < now[j])
                now[j] = before[j - 2] + 1;
        }
        unsigned *spare = before;
        before = last;
        last = now;
        now = spare;
    }
    return last[b_len];
}

const char *suggest(andiron_str wrong, const char *const *names)
{
    const char *best = NULL;
    unsigned best_distance = (unsigned)(wrong.len / 3 > 0 ? wrong.len / 3 : 1) + 1;

    if (wrong.len == 0 || wrong.len > LONGEST)
        return NULL;
    for (; *names != NULL; names++) {
        size_t len = strlen(*names);
        if (len > LONGEST)
            continue;
        if (len == wrong.len && strncasecmp(*names, wrong.data, len) == 0)
            return *names;
        unsigned d = distance(wrong, *names, len);
        if (d < best_distance) {
            best_distance = d;
            best = *names;
        }
    }
    return best;
}
