/*
 * Growing byte buffer on malloc, with a mandatory maximum.
 */
#ifndef CORE_BASE_BUFFER_H
#define CORE_BASE_BUFFER_H

#include <andiron/base.h>

struct buffer {
    char *data;
    size_t len, cap; /* bytes used, bytes allocated */
    size_t max;      /* never grows past this */
    bool overflowed; /* an append was refused since buffer_init() */
};

/* An empty buffer that allocates nothing yet. */
static inline void buffer_init(struct buffer *b, size_t max)
{
    *b = (struct buffer){ .max = max };
}

/* Frees the memory; the buffer is then empty and usable again. */
void buffer_free(struct buffer *b);

/* Room for `more` bytes behind data[len]; -1 and unchanged if that would pass max. */
ANDIRON_MUST_CHECK int buffer_reserve(struct buffer *b, size_t more);

/*
 * Appends; -1 and unchanged if that would pass max. A row of appends may be checked once, at
 * its end, by `overflowed`.
 */
int buffer_add(struct buffer *b, const void *bytes, size_t len);
int buffer_printf(struct buffer *b, const char *fmt, ...) ANDIRON_PRINTF(2, 3);

/* Drops the first `len` bytes (at most all). */
void buffer_drop(struct buffer *b, size_t len);

static inline andiron_str buffer_str(const struct buffer *b)
{
    andiron_str s = { b->data != NULL ? b->data : "", b->len };
    return s;
}

#endif
