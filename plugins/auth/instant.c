/*
 * Instants as FHIR writes them.
 */
#include <time.h>

#include "auth.h"

/* `count` decimal digits of value; returns what stands behind them. */
static char *put_digits(char *out, int value, int count)
{
    for (int i = count - 1; i >= 0; i--, value /= 10)
        out[i] = (char)('0' + value % 10);
    return out + count;
}

/* By hand: a token needs three of them, and printf takes a microsecond for each. */
andiron_str auth_instant(struct andiron_arena *arena, andiron_usec at)
{
    static const char frame[] = "0000-00-00T00:00:00.000000Z";
    time_t seconds = (time_t)(at / 1000000);
    char *text = andiron_copy(arena, (andiron_str){ frame, sizeof(frame) - 1 }), *p = text;
    struct tm tm;

    (void)gmtime_r(&seconds, &tm); /* fails only for years that do not fit an int */
    p = put_digits(p, tm.tm_year + 1900, 4) + 1;
    p = put_digits(p, tm.tm_mon + 1, 2) + 1;
    p = put_digits(p, tm.tm_mday, 2) + 1;
    p = put_digits(p, tm.tm_hour, 2) + 1;
    p = put_digits(p, tm.tm_min, 2) + 1;
    p = put_digits(p, tm.tm_sec, 2) + 1;
    (void)put_digits(p, (int)(at % 1000000), 6);
    return (andiron_str){ text, sizeof(frame) - 1 };
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
