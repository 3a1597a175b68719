/*
 * Edit distance of short names: insertions, deletions, replacements and swaps of neighbours
 * count one each (optimal string alignment); case counts nothing.
 */
#include "nearest.h"

enum { LONGEST = 40 };

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool same(char a, char b)
{
    return lower(a) == lower(b);
}

static uint8_t least(unsigned a, unsigned b, unsigned c)
{
    unsigned ab = a < b ? a : b;
    return (uint8_t)(ab < c ? ab : c);
}

/* Both have at most LONGEST bytes. */
static size_t distance(andiron_str a, andiron_str b)
{
    uint8_t rows[3][LONGEST + 1];
    uint8_t *before = rows[0], *last = rows[1], *now = rows[2];

    for (size_t j = 0; j <= b.len; j++)
        last[j] = (uint8_t)j;
    for (size_t i = 1; i <= a.len; i++) {
        now[0] = (uint8_t)i;
        for (size_t j = 1; j <= b.len; j++) {
            unsigned cost = same(a.data[i - 1], b.data[j - 1]) ? 0 : 1;
            now[j] = least(last[j] + 1u, now[j - 1] + 1u, last[j - 1] + cost);
            if (i > 1 && j > 1 && same(a.data[i - 1], b.data[j - 2]) &&
                same(a.data[i - 2], b.data[j - 1]) && before[j - 2] + 1u < now[j])
                now[j] = (uint8_t)(before[j - 2] + 1u);
        }
        uint8_t *oldest = before;
        before = last;
        last = now;
        now = oldest;
    }
    return last[b.len];
}

void fhir_nearest_try(struct fhir_nearest *nearest, const char *name)
{
    andiron_str other = andiron_str_of(name);
    /* A third of a name may be wrong; further away it is another word. */
    size_t limit = nearest->wanted.len / 3;

    if (nearest->wanted.len > LONGEST || other.len > LONGEST)
        return;
    size_t far = distance(nearest->wanted, other);
    if (far > limit || (nearest->best != NULL && far >= nearest->distance))
        return;
    nearest->best = name;
    nearest->distance = far;
}
