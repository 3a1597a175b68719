/*
 * Durations, sizes, instants and clocks. C library only.
 */
#include "base/units.h"

#include <stdio.h>
#include <time.h>

struct unit {
    const char *name;
    int64_t factor;
};

static const struct unit durations[] = {
    { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 }, { NULL, 0 }
};
static const struct unit sizes[] = {
    { "", 1 }, { "k", 1024 }, { "m", 1024 * 1024 }, { "g", 1024 * 1024 * 1024 }, { NULL, 0 }
};

/* Digits of text as a number; returns how many there were, 0 if none or too large. */
static size_t leading_number(andiron_str text, int64_t *ret)
{
    int64_t n = 0;
    size_t i = 0;
    for (; i < text.len && text.data[i] >= '0' && text.data[i] <= '9'; i++) {
        int digit = text.data[i] - '0';
        if (n > (INT64_MAX - digit) / 10)
            return 0;
        n = n * 10 + digit;
    }
    *ret = n;
    return i;
}

static int64_t with_unit(andiron_str text, const struct unit *units)
{
    int64_t n = 0;
    size_t digits = leading_number(text, &n);
    if (digits == 0)
        return -1;
    andiron_str rest = { text.data + digits, text.len - digits };
    if (n == 0 && rest.len == 0)
        return 0;
    for (const struct unit *u = units; u->name != NULL; u++)
        if (andiron_str_eq(rest, andiron_str_of(u->name)))
            return n > INT64_MAX / u->factor ? -1 : n * u->factor;
    return -1;
}

int64_t units_duration(andiron_str text)
{
    return with_unit(text, durations);
}

int64_t units_bytes(andiron_str text)
{
    return with_unit(text, sizes);
}

int units_int(andiron_str text, int64_t *ret)
{
    bool negative = text.len > 0 && text.data[0] == '-';
    andiron_str digits = { text.data + negative, text.len - negative };
    int64_t n;
    size_t used = leading_number(digits, &n);
    if (used == 0 || used != digits.len)
        return -1;
    *ret = negative ? -n : n;
    return 0;
}

/* Days since 1970-01-01 to year, month, day (proleptic Gregorian calendar). */
static void civil_of_days(int64_t days, int64_t *year, unsigned *month, unsigned *day)
{
    days += 719468; /* days since 0000-03-01 */
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    unsigned doe = (unsigned)(days - era * 146097);
    unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    unsigned mp = (5 * doy + 2) / 153;
    *day = doy - (153 * mp + 2) / 5 + 1;
    *month = mp < 10 ? mp + 3 : mp - 9;
    *year = (int64_t)yoe + era * 400 + (*month <= 2);
}

static int64_t days_of_civil(int64_t year, unsigned month, unsigned day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    unsigned yoe = (unsigned)(year - era * 400);
    unsigned doy = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    unsigned doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * 146097 + (int64_t)doe - 719468;
}

static char *put_digits(char *at, unsigned value, unsigned digits)
{
    for (unsigned i = digits; i-- > 0; value /= 10)
        at[i] = (char)('0' + value % 10);
    return at + digits;
}

struct civil {
    int64_t year, days;
    unsigned month, day, hour, minute, second, micros;
};

static struct civil civil_of(andiron_usec at)
{
    struct civil c = { 0 };
    int64_t seconds = at / 1000000;
    int64_t micros = at % 1000000;
    if (micros < 0) {
        micros += 1000000;
        seconds--;
    }
    int64_t rest = seconds % 86400;
    c.days = seconds / 86400;
    if (rest < 0) {
        rest += 86400;
        c.days--;
    }
    civil_of_days(c.days, &c.year, &c.month, &c.day);
    c.hour = (unsigned)rest / 3600;
    c.minute = (unsigned)rest / 60 % 60;
    c.second = (unsigned)rest % 60;
    c.micros = (unsigned)micros;
    return c;
}

void andiron_instant(andiron_usec at, char out[ANDIRON_INSTANT_LEN])
{
    struct civil c = civil_of(at);
    char *p = put_digits(out, (unsigned)(c.year < 0 || c.year > 9999 ? 9999 : c.year), 4);
    *p++ = '-';
    p = put_digits(p, c.month, 2);
    *p++ = '-';
    p = put_digits(p, c.day, 2);
    *p++ = 'T';
    p = put_digits(p, c.hour, 2);
    *p++ = ':';
    p = put_digits(p, c.minute, 2);
    *p++ = ':';
    p = put_digits(p, c.second, 2);
    *p++ = '.';
    p = put_digits(p, c.micros, 6);
    *p = 'Z';
}

size_t units_instant(andiron_usec at, char out[UNITS_INSTANT_MAX])
{
    andiron_instant(at, out);
    out[ANDIRON_INSTANT_LEN] = '\0';
    return ANDIRON_INSTANT_LEN;
}

static const char day_names[] = "SunMonTueWedThuFriSat";
static const char month_names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

void andiron_http_date(andiron_usec at, char out[ANDIRON_HTTP_DATE_LEN])
{
    struct civil c = civil_of(at);
    int64_t weekday = (c.days + 4) % 7; /* 1970-01-01 was a Thursday */
    if (weekday < 0)
        weekday += 7;
    char *p = out;
    memcpy(p, day_names + 3 * weekday, 3);
    p += 3;
    *p++ = ',';
    *p++ = ' ';
    p = put_digits(p, c.day, 2);
    *p++ = ' ';
    memcpy(p, month_names + (size_t)3 * (c.month - 1), 3);
    p += 3;
    *p++ = ' ';
    p = put_digits(p, (unsigned)(c.year < 0 || c.year > 9999 ? 9999 : c.year), 4);
    *p++ = ' ';
    p = put_digits(p, c.hour, 2);
    *p++ = ':';
    p = put_digits(p, c.minute, 2);
    *p++ = ':';
    p = put_digits(p, c.second, 2);
    memcpy(p, " GMT", 4);
}

static int month_of(const char *name)
{
    for (int m = 0; m < 12; m++)
        if (memcmp(month_names + (size_t)3 * (size_t)m, name, 3) == 0)
            return m + 1;
    return 0;
}

andiron_usec andiron_http_date_read(andiron_str text)
{
    char s[40], month[4] = "";
    unsigned day, year, hour, minute, second;
    int used = 0;

    if (text.len >= sizeof(s) || memchr(text.data != NULL ? text.data : "", 0, text.len) != NULL)
        return INT64_MIN;
    memcpy(s, text.data != NULL ? text.data : "", text.len);
    s[text.len] = '\0';
    /* IMF-fixdate, RFC 850 (two-digit year), asctime: RFC 9110 section 5.6.7 */
    if (sscanf(s, "%*3[A-Za-z], %2u %3[A-Za-z] %4u %2u:%2u:%2u GMT%n", &day, month, &year, &hour,
               &minute, &second, &used) == 6 &&
        used == (int)text.len) {
        ;
    } else if (used = 0, sscanf(s, "%*9[A-Za-z], %2u-%3[A-Za-z]-%2u %2u:%2u:%2u GMT%n", &day, month,
                                &year, &hour, &minute, &second, &used) == 6 &&
                             used == (int)text.len) {
        year += year < 70 ? 2000 : 1900;
    } else if (used = 0, sscanf(s, "%*3[A-Za-z] %3[A-Za-z] %2u %2u:%2u:%2u %4u%n", month, &day,
                                &hour, &minute, &second, &year, &used) != 6 ||
                             used != (int)text.len) {
        return INT64_MIN;
    }
    int m = strlen(month) == 3 ? month_of(month) : 0;
    if (m == 0 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 60 || year < 1601)
        return INT64_MIN;
    int64_t days = days_of_civil((int64_t)year, (unsigned)m, day);
    return (days * 86400 + hour * 3600 + minute * 60 + second) * 1000000;
}

andiron_usec andiron_now(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_REALTIME, &ts); /* cannot fail for this clock */
    return (andiron_usec)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t units_monotonic(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}
