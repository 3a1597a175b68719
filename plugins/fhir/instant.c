#include "instant.h"

static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
static const char weekdays[7][4] = { "Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed" };

enum { DAY = 86400 };

struct civil {
    unsigned year, month, day, hour, minute, second, micro, weekday; /* month 1..12 */
};

/*
 * Days are counted in eras of 400 years that begin on a first of March, so that
 * leap days come last and need no case of their own.
 */
static struct civil civil_of(andiron_usec at)
{
    int64_t seconds = at / 1000000, micro = at % 1000000;
    if (micro < 0) {
        micro += 1000000;
        seconds--;
    }
    int64_t days = seconds / DAY, rest = seconds % DAY;
    if (rest < 0) {
        rest += DAY;
        days--;
    }
    int64_t shifted = days + 719468;
    int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
    unsigned doe = (unsigned)(shifted - era * 146097);
    unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    unsigned mp = (5 * doy + 2) / 153;
    struct civil c = {
        .day = doy - (153 * mp + 2) / 5 + 1,
        .month = mp < 10 ? mp + 3 : mp - 9,
        .hour = (unsigned)rest / 3600,
        .minute = (unsigned)rest / 60 % 60,
        .second = (unsigned)rest % 60,
        .micro = (unsigned)micro,
        .weekday = (unsigned)((days % 7 + 7) % 7),
    };
    c.year = (unsigned)((int64_t)yoe + era * 400 + (c.month <= 2));
    return c;
}

static void digits(char *out, unsigned value, int count)
{
    while (count-- > 0) {
        out[count] = (char)('0' + value % 10);
        value /= 10;
    }
}

void instant_put(andiron_usec at, char out[INSTANT_LEN])
{
    struct civil c = civil_of(at);
    memcpy(out, "0000-00-00T00:00:00.000000Z", INSTANT_LEN);
    digits(out, c.year, 4);
    digits(out + 5, c.month, 2);
    digits(out + 8, c.day, 2);
    digits(out + 11, c.hour, 2);
    digits(out + 14, c.minute, 2);
    digits(out + 17, c.second, 2);
    digits(out + 20, c.micro, 6);
}

void instant_put_http(andiron_usec at, char out[INSTANT_HTTP_LEN])
{
    struct civil c = civil_of(at);
    memcpy(out, "Thu, 00 Jan 0000 00:00:00 GMT", INSTANT_HTTP_LEN);
    memcpy(out, weekdays[c.weekday], 3);
    digits(out + 5, c.day, 2);
    memcpy(out + 8, months[c.month - 1], 3);
    digits(out + 12, c.year, 4);
    digits(out + 17, c.hour, 2);
    digits(out + 20, c.minute, 2);
    digits(out + 23, c.second, 2);
}

static int number_at(andiron_str text, size_t at, size_t count)
{
    int value = 0;
    for (size_t i = at; i < at + count; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return -1;
        value = value * 10 + (text.data[i] - '0');
    }
    return value;
}

static int64_t days_of(int year, int month, int day)
{
    int y = year - (month <= 2);
    int era = y / 400, yoe = y - era * 400;
    int doy = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    int doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return (int64_t)era * 146097 + doe - 719468;
}

andiron_usec instant_parse_http(andiron_str text)
{
    if (text.len != INSTANT_HTTP_LEN || memcmp(text.data + 25, " GMT", 4) != 0)
        return -1;
    int month = 0;
    while (month < 12 && memcmp(months[month], text.data + 8, 3) != 0)
        month++;
    int day = number_at(text, 5, 2), year = number_at(text, 12, 4), hour = number_at(text, 17, 2);
    int minute = number_at(text, 20, 2), second = number_at(text, 23, 2);
    if (month == 12 || day < 1 || day > 31 || year < 1970 || hour < 0 || hour > 23 || minute < 0 ||
        minute > 59 || second < 0 || second > 60)
        return -1;
    return (days_of(year, month + 1, day) * DAY + hour * 3600 + minute * 60 + second) * 1000000;
}
