/*
 * FHIR dates as ranges: one reader for all precisions.
 */
#include "dates.h"

#define SECOND INT64_C(1000000)
#define DAY (86400 * SECOND)

struct reader {
    const char *at, *end;
};

/* Exactly count digits; -1 if there are others. */
static int digits(struct reader *r, int count)
{
    int value = 0;
    if (r->end - r->at < count)
        return -1;
    for (int i = 0; i < count; i++) {
        char c = r->at[i];
        if (c < '0' || c > '9')
            return -1;
        value = value * 10 + (c - '0');
    }
    r->at += count;
    return value;
}

static bool take(struct reader *r, char c)
{
    if (r->at == r->end || *r->at != c)
        return false;
    r->at++;
    return true;
}

static bool is_leap(int year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int days_in(int year, int month)
{
    static const uint8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    return days[month - 1] + (month == 2 && is_leap(year) ? 1 : 0);
}

/* Days from 1970-01-01 to the first of a month, in the proleptic Gregorian calendar. */
static int64_t days_before(int year, int month)
{
    static const int16_t before[] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334 };
    int64_t past = year - 1;
    int64_t days = past * 365 + past / 4 - past / 100 + past / 400 - 719162;
    return days + before[month - 1] + (month > 2 && is_leap(year) ? 1 : 0);
}

/* ".123" behind the seconds: microseconds, and how long the last digit lasts. */
static int fraction(struct reader *r, andiron_usec *ret, andiron_usec *ret_width)
{
    andiron_usec value = 0, width = SECOND;
    if (r->at == r->end || *r->at < '0' || *r->at > '9')
        return -1;
    for (; r->at < r->end && *r->at >= '0' && *r->at <= '9'; r->at++) {
        if (width == 1)
            continue;
        width /= 10;
        value += (*r->at - '0') * width;
    }
    *ret = value;
    *ret_width = width;
    return 0;
}

/* "Z", "+04:00" or nothing: what to subtract to get UTC. */
static int zone(struct reader *r, andiron_usec *ret, bool *ret_has_zone)
{
    *ret = 0;
    *ret_has_zone = r->at < r->end;
    if (!*ret_has_zone || take(r, 'Z'))
        return 0;
    bool is_behind = *r->at == '-';
    if (!take(r, '+') && !take(r, '-'))
        return -1;
    int hours = digits(r, 2);
    if (hours < 0 || hours > 14 || !take(r, ':'))
        return -1;
    int minutes = digits(r, 2);
    if (minutes < 0 || minutes > 59 || (hours == 14 && minutes != 0))
        return -1;
    *ret = (hours * 60 + minutes) * (is_behind ? -60 : 60) * SECOND;
    return 0;
}

/* From behind the 'T' on; ret->low is the start of the day. */
static int time_of_day(struct reader *r, struct fhir_date *ret)
{
    andiron_usec width = 60 * SECOND, part = 0, offset;
    int hour = digits(r, 2);
    if (hour < 0 || hour > 23 || !take(r, ':'))
        return -1;
    int minute = digits(r, 2);
    if (minute < 0 || minute > 59)
        return -1;
    int second = 0;
    ret->precision = FHIR_DATE_MINUTE;
    if (take(r, ':')) {
        second = digits(r, 2);
        if (second < 0 || second > 60)
            return -1;
        width = SECOND;
        ret->precision = FHIR_DATE_SECOND;
        if (take(r, '.')) {
            if (fraction(r, &part, &width) != 0)
                return -1;
            ret->precision = FHIR_DATE_FRACTION;
        }
    }
    if (zone(r, &offset, &ret->has_zone) != 0)
        return -1;
    ret->low += (hour * 3600 + minute * 60 + second) * SECOND + part - offset;
    ret->high = ret->low + width;
    return 0;
}

int fhir_date_parse(andiron_str text, struct fhir_date *ret)
{
    if (text.len == 0)
        return -1;
    struct reader r = { text.data, text.data + text.len };
    struct fhir_date date = { .precision = FHIR_DATE_YEAR };

    int year = digits(&r, 4);
    if (year < 1)
        return -1;
    date.low = days_before(year, 1) * DAY;
    date.high = days_before(year + 1, 1) * DAY;
    if (take(&r, '-')) {
        int month = digits(&r, 2);
        if (month < 1 || month > 12)
            return -1;
        date.precision = FHIR_DATE_MONTH;
        date.low = days_before(year, month) * DAY;
        date.high = date.low + days_in(year, month) * DAY;
        if (take(&r, '-')) {
            int day = digits(&r, 2);
            if (day < 1 || day > days_in(year, month))
                return -1;
            date.precision = FHIR_DATE_DAY;
            date.low += (day - 1) * DAY;
            date.high = date.low + DAY;
            if (take(&r, 'T') && time_of_day(&r, &date) != 0)
                return -1;
        }
    }
    if (r.at != r.end)
        return -1;
    *ret = date;
    return 0;
}

bool fhir_is_date(andiron_str text)
{
    struct fhir_date date;
    return fhir_date_parse(text, &date) == 0 && date.precision <= FHIR_DATE_DAY;
}

bool fhir_is_datetime(andiron_str text)
{
    struct fhir_date date;
    return fhir_date_parse(text, &date) == 0 &&
           (date.precision <= FHIR_DATE_DAY ||
            (date.precision >= FHIR_DATE_SECOND && date.has_zone));
}

bool fhir_is_instant(andiron_str text)
{
    struct fhir_date date;
    return fhir_date_parse(text, &date) == 0 && date.precision >= FHIR_DATE_SECOND && date.has_zone;
}
