/*
 * Instants as FHIR writes them.
 */
#include <time.h>

#include "auth.h"

andiron_str auth_instant(struct andiron_arena *arena, andiron_usec at)
{
    time_t seconds = (time_t)(at / 1000000);
    struct tm tm;
    (void)gmtime_r(&seconds, &tm); /* fails only for years that do not fit an int */
    return andiron_str_of(andiron_printf(arena, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ",
                                         tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
                                         tm.tm_min, tm.tm_sec, (int)(at % 1000000)));
}

/* Digits from text[*at] up to `count`, which must all be there; -1 otherwise. */
static int digits(andiron_str text, size_t *at, size_t count)
{
    int value = 0;
    if (text.len - *at < count)
        return -1;
    for (size_t i = 0; i < count; i++) {
        char c = text.data[*at + i];
        if (c < '0' || c > '9')
            return -1;
        value = value * 10 + (c - '0');
    }
    *at += count;
    return value;
}

static bool passes(andiron_str text, size_t *at, char c)
{
    if (*at >= text.len || text.data[*at] != c)
        return false;
    (*at)++;
    return true;
}

andiron_usec auth_instant_read(andiron_str text)
{
    static const char behind[] = "--T::";
    static const size_t widths[] = { 4, 2, 2, 2, 2, 2 };
    int parts[6];
    size_t at = 0;
    andiron_usec fraction = 0, unit = 100000;

    for (int i = 0; i < 6; i++) {
        parts[i] = digits(text, &at, widths[i]);
        if (parts[i] < 0 || (i < 5 && !passes(text, &at, behind[i])))
            return 0;
    }
    if (passes(text, &at, '.'))
        for (int d; (d = digits(text, &at, 1)) >= 0; unit /= 10)
            fraction += d * unit;
    if (!passes(text, &at, 'Z') || at != text.len)
        return 0;
    struct tm tm = { .tm_year = parts[0] - 1900,
                     .tm_mon = parts[1] - 1,
                     .tm_mday = parts[2],
                     .tm_hour = parts[3],
                     .tm_min = parts[4],
                     .tm_sec = parts[5] };
    return (andiron_usec)timegm(&tm) * 1000000 + fraction;
}
