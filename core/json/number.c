/*
 * Numbers as decimal text. A number is seen as 0.DDDD times a power of ten, where DDDD are its
 * significant digits without zeros at either end; nothing is rounded on the way.
 */
#include "json/number.h"

#include <math.h>
#include <stdlib.h>

struct decimal {
    bool negative;
    const char *digits, *end; /* first significant digit, past the last; may hold a '.' */
    int64_t point;            /* the value is 0.DDDD * 10^(point + exponent) */
    bool exponent_negative;
    andiron_str exponent; /* digits, without leading zeros */
};

static inline bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

const char *number_end(const char *p, const char *end)
{
    if (p < end && *p == '-')
        p++;
    if (p == end || !is_digit(*p))
        return NULL;
    if (*p++ != '0')
        while (p < end && is_digit(*p))
            p++;
    if (p < end && *p == '.') {
        if (++p == end || !is_digit(*p))
            return NULL;
        while (p < end && is_digit(*p))
            p++;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        if (p == end || !is_digit(*p))
            return NULL;
        while (p < end && is_digit(*p))
            p++;
    }
    return p;
}

static void read_exponent(const char *p, const char *end, struct decimal *d)
{
    if (p == end)
        return;
    p++; /* 'e' */
    d->exponent_negative = *p == '-';
    if (!is_digit(*p))
        p++;
    while (p < end && *p == '0')
        p++;
    d->exponent = (andiron_str){ p, (size_t)(end - p) };
}

/* Zero has no digits, no exponent and no sign, so that all its spellings are one. */
static struct decimal read_decimal(andiron_str text)
{
    struct decimal d = { .exponent = ANDIRON_STR("") };
    const char *p = text.data, *end = text.data + text.len;
    const char *mantissa_end = p;

    d.negative = *p == '-';
    if (d.negative)
        p++;
    while (mantissa_end < end && *mantissa_end != 'e' && *mantissa_end != 'E')
        mantissa_end++;
    bool fraction = false;
    for (; p < mantissa_end; p++) {
        if (*p == '.') {
            fraction = true;
            continue;
        }
        if (*p != '0' && d.digits == NULL)
            d.digits = p;
        if (d.digits != NULL && *p != '0')
            d.end = p + 1;
        if (d.digits != NULL && !fraction)
            d.point++;
        if (d.digits == NULL && fraction)
            d.point--;
    }
    if (d.digits == NULL)
        return (struct decimal){ .exponent = ANDIRON_STR("") };
    read_exponent(mantissa_end, end, &d);
    return d;
}

static inline const char *skip_point(const char *p, const char *end)
{
    return p < end && *p == '.' ? p + 1 : p;
}

static bool same_digits(const struct decimal *a, const struct decimal *b)
{
    const char *p = a->digits, *q = b->digits;
    while (p < a->end && q < b->end) {
        if (*p != *q)
            return false;
        p = skip_point(p + 1, a->end);
        q = skip_point(q + 1, b->end);
    }
    return p == a->end && q == b->end;
}

/*
 * Whether a's exponent minus b's is `wanted`, for exponents of any length: digit by digit from
 * the left, until the difference is too large to come back.
 */
static bool exponents_differ_by(const struct decimal *a, const struct decimal *b, int64_t wanted)
{
    const int64_t hopeless = INT64_C(1) << 56;
    size_t len = a->exponent.len > b->exponent.len ? a->exponent.len : b->exponent.len;
    int64_t difference = 0;

    for (size_t left = len; left > 0; left--) {
        int x = 0, y = 0;
        if (left <= a->exponent.len)
            x = a->exponent.data[a->exponent.len - left] - '0';
        if (left <= b->exponent.len)
            y = b->exponent.data[b->exponent.len - left] - '0';
        difference = difference * 10 + (a->exponent_negative ? -x : x);
        difference -= b->exponent_negative ? -y : y;
        if (difference > hopeless || difference < -hopeless)
            return false;
    }
    return difference == wanted;
}

bool number_equal(andiron_str a, andiron_str b)
{
    if (andiron_str_eq(a, b))
        return true;
    struct decimal x = read_decimal(a), y = read_decimal(b);
    return x.negative == y.negative && same_digits(&x, &y) &&
           exponents_differ_by(&x, &y, y.point - x.point);
}

/* Where the decimal point stands: exact below a thousand million, beyond it only far away. */
static int64_t scale(const struct decimal *d)
{
    int64_t exponent = 0;
    for (size_t i = 0; i < d->exponent.len && exponent < 1000000000000; i++)
        exponent = exponent * 10 + (d->exponent.data[i] - '0');
    return d->point + (d->exponent_negative ? -exponent : exponent);
}

int64_t number_int(andiron_str text, int64_t fallback)
{
    struct decimal d = read_decimal(text);
    int64_t left = scale(&d); /* digits before the point */
    uint64_t limit = d.negative ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX;
    uint64_t value = 0;

    if (d.digits == NULL)
        return 0;
    if (left > 19 || left < 1)
        return fallback;
    for (const char *p = d.digits; p < d.end; p = skip_point(p + 1, d.end)) {
        if (left-- == 0)
            return fallback; /* a significant digit behind the point */
        unsigned digit = (unsigned)(*p - '0');
        if (value > (limit - digit) / 10)
            return fallback;
        value = value * 10 + digit;
    }
    for (; left > 0; left--) {
        if (value > limit / 10)
            return fallback;
        value *= 10;
    }
    return d.negative ? (int64_t)(0 - value) : (int64_t)value;
}

/* Up to 15 digits and 22 powers of ten are exact in a double, and so is one operation on them. */
static bool exact_double(const struct decimal *d, int64_t left, double *ret)
{
    static const double powers[] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                     1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                     1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };
    int64_t value = 0, count = 0;

    for (const char *p = d->digits; p < d->end; p = skip_point(p + 1, d->end)) {
        if (++count > 15)
            return false;
        value = value * 10 + (*p - '0');
    }
    int64_t power = left - count;
    if (power < -22 || power > 22)
        return false;
    double result = (double)value;
    result = power < 0 ? result / powers[-power] : result * powers[power];
    *ret = d->negative ? -result : result;
    return true;
}

double number_double(andiron_str text)
{
    /* No halfway point between doubles has more digits: a 1 behind them stands for all others. */
    enum { MOST_DIGITS = 780 };
    struct decimal d = read_decimal(text);
    int64_t left = scale(&d);
    double value;

    if (d.digits == NULL)
        return text.data[0] == '-' ? -0.0 : 0.0;
    if (left > 400)
        return d.negative ? -HUGE_VAL : HUGE_VAL;
    if (left < -400)
        return d.negative ? -0.0 : 0.0;
    if (exact_double(&d, left, &value))
        return value;

    /* Digits and exponent without a point, which strtod() would take from the locale. */
    char copy[MOST_DIGITS + 16];
    int64_t count = 0;
    for (const char *p = d.digits; p < d.end && count < MOST_DIGITS; p = skip_point(p + 1, d.end))
        copy[count++] = *p;
    if (count == MOST_DIGITS)
        copy[count++] = '1';
    char *out = copy + count;
    int64_t power = left - count;
    *out++ = 'e';
    *out++ = power < 0 ? '-' : '+';
    power = power < 0 ? -power : power;
    for (int64_t unit = 1000; unit > 0; unit /= 10)
        *out++ = (char)('0' + power / unit % 10);
    *out = '\0';
    value = strtod(copy, NULL);
    return d.negative ? -value : value;
}
