/*
 * Sums of bodies; see body.h. Pure computation.
 */
#include "body.h"

#include <string.h>

enum { FORMAT_PLAIN = 0, FORMAT_MASK = 0xff };

static inline uint64_t mix(uint64_t sum, uint64_t word)
{
    sum = (sum ^ word) * 0x9E6C63D0676A9A99;
    return sum ^ sum >> 32;
}

static inline uint64_t word_at(const char *at, size_t len)
{
    uint64_t word = 0;
    memcpy(&word, at, len);
    return word;
}

/*
 * Not against forgery, but against disks: each step maps different values to different ones, so
 * that a change within eight bytes cannot go unnoticed, and others hardly. Four rows, because
 * a processor multiplies several things at a time.
 */
static uint64_t sum_of(andiron_str s)
{
    enum { ROWS = 4, WORD = 8 };
    uint64_t rows[ROWS] = { s.len, 1, 2, 3 };

    for (; s.len >= ROWS * WORD; s.data += ROWS * WORD, s.len -= ROWS * WORD)
        for (size_t i = 0; i < ROWS; i++)
            rows[i] = mix(rows[i], word_at(s.data + i * WORD, WORD));
    for (size_t i = 1; i < ROWS; i++)
        rows[0] = mix(rows[0], rows[i]);
    for (; s.len >= WORD; s.data += WORD, s.len -= WORD)
        rows[0] = mix(rows[0], word_at(s.data, WORD));
    return mix(rows[0], word_at(s.data, s.len));
}

int64_t body_encoding(andiron_str body)
{
    uint64_t sum = sum_of(body) & ~(uint64_t)FORMAT_MASK;
    return (int64_t)(sum != 0 ? sum : FORMAT_MASK + 1) | FORMAT_PLAIN;
}

int body_check(int64_t encoding, andiron_str body, struct andiron_error *err)
{
    if ((encoding & FORMAT_MASK) == FORMAT_PLAIN && body.data != NULL &&
        (encoding == FORMAT_PLAIN || encoding == body_encoding(body)))
        return 0;
    return andiron_error_set(err, ANDIRON_E_INTERNAL, "",
                             "a stored resource cannot be read; the storage is damaged or of a "
                             "newer version");
}
