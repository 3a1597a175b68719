/*
 * Runs of bytes in JSON text: blanks, plain characters of a string, UTF-8 sequences.
 *
 * All functions read from p up to end, never past it. Sixteen bytes at a time with SSE2, eight
 * elsewhere.
 */
#ifndef CORE_JSON_SCAN_H
#define CORE_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__) && !defined(JSON_SCAN_PORTABLE)
#    include <emmintrin.h>
#    define JSON_SCAN_SSE2 1
#endif

static inline bool scan_is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* A byte that stands for itself inside a string and is ASCII. */
static inline bool scan_is_plain(char c)
{
    unsigned char u = (unsigned char)c;
    return u >= 0x20 && u < 0x80 && u != '"' && u != '\\';
}

#ifdef JSON_SCAN_SSE2

static inline const char *scan_blanks_run(const char *p, const char *end)
{
    for (; end - p >= 16; p += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i blank = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8(' ')),
                                                  _mm_cmpeq_epi8(v, _mm_set1_epi8('\n'))),
                                     _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('\r')),
                                                  _mm_cmpeq_epi8(v, _mm_set1_epi8('\t'))));
        unsigned other = ~(unsigned)_mm_movemask_epi8(blank) & 0xFFFF;
        if (other != 0)
            return p + __builtin_ctz(other);
    }
    while (p < end && scan_is_blank(*p))
        p++;
    return p;
}

/* The first byte that is not plain, or end. */
static inline const char *scan_plain(const char *p, const char *end)
{
    for (; end - p >= 16; p += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        /* Signed: bytes from 0x80 are negative, so one comparison finds them and the controls. */
        __m128i stop = _mm_or_si128(_mm_cmplt_epi8(v, _mm_set1_epi8(0x20)),
                                    _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')),
                                                 _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'))));
        unsigned found = (unsigned)_mm_movemask_epi8(stop);
        if (found != 0)
            return p + __builtin_ctz(found);
    }
    while (p < end && scan_is_plain(*p))
        p++;
    return p;
}

#else

static inline const char *scan_blanks_run(const char *p, const char *end)
{
    static const char eight[8] = { ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ' };
    for (;;) {
        while (end - p >= 8 && memcmp(p, eight, 8) == 0)
            p += 8;
        if (p == end || !scan_is_blank(*p))
            return p;
        p++;
    }
}

static inline const char *scan_plain(const char *p, const char *end)
{
    const uint64_t ones = 0x0101010101010101, highs = 0x8080808080808080;
    for (; end - p >= 8; p += 8) {
        uint64_t v;
        memcpy(&v, p, 8);
        uint64_t quote = v ^ (ones * '"'), slash = v ^ (ones * '\\');
        uint64_t stop =
            v | (v - ones * 0x20) | ((quote - ones) & ~quote) | ((slash - ones) & ~slash);
        if ((stop & highs) != 0)
            break;
    }
    while (p < end && scan_is_plain(*p))
        p++;
    return p;
}

#endif

/* The first byte that is not a blank, or end. Mostly there is no blank, or one, or a line's indent. */
static inline const char *scan_blanks(const char *p, const char *end)
{
    if (p < end && (unsigned char)*p > ' ')
        return p;
    return scan_blanks_run(p, end);
}

/* RFC 3629: the byte after a well-formed sequence that begins at p, or NULL. p < end. */
static inline const char *scan_utf8(const char *p, const char *end)
{
    const unsigned char *u = (const unsigned char *)p;
    ptrdiff_t left = end - p;
    unsigned char low = 0x80, high = 0xBF; /* range of the second byte */
    ptrdiff_t len;

    if (u[0] < 0x80)
        return p + 1;
    if (u[0] < 0xC2 || u[0] > 0xF4)
        return NULL; /* lone continuation, overlong, or above U+10FFFF */
    if (u[0] < 0xE0) {
        len = 2;
    } else if (u[0] < 0xF0) {
        len = 3;
        if (u[0] == 0xE0)
            low = 0xA0; /* overlong */
        else if (u[0] == 0xED)
            high = 0x9F; /* surrogates */
    } else {
        len = 4;
        if (u[0] == 0xF0)
            low = 0x90; /* overlong */
        else if (u[0] == 0xF4)
            high = 0x8F; /* above U+10FFFF */
    }
    if (left < len || u[1] < low || u[1] > high)
        return NULL;
    for (ptrdiff_t i = 2; i < len; i++)
        if ((u[i] & 0xC0) != 0x80)
            return NULL;
    return p + len;
}

#endif
