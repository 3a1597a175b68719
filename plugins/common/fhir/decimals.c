/*
 * Decimals: taken apart into digits and exponent, put together again half a unit away.
 */
#include "decimals.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Digits kept: a double holds 17; behind these the bounds no longer differ. */
enum { DIGITS_MAX = 40, EXPONENT_MAX = 400 };

struct parts {
    bool is_negative;
    char digits[DIGITS_MAX + 1];
    int count;    /* of digits, without leading zeros; 0: the number is zero */
    int exponent; /* of the last digit */
};

static bool is_digit(const char *at, const char *end)
{
    return at < end && *at >= '0' && *at <= '9';
}

static void add_digit(struct parts *p, char digit, bool is_fraction)
{
    if (p->count == DIGITS_MAX) {
        p->exponent += is_fraction ? 0 : 1;
        return;
    }
    p->exponent -= is_fraction ? 1 : 0;
    if (p->count > 0 || digit != '0')
        p->digits[p->count++] = digit;
}

/* Behind 'e': optional sign, digits. */
static int read_exponent(const char **at, const char *end, int *ret)
{
    bool is_negative = false;
    int value = 0;
    if (*at < end && (**at == '+' || **at == '-'))
        is_negative = *(*at)++ == '-';
    if (!is_digit(*at, end))
        return -1;
    for (; is_digit(*at, end); (*at)++)
        if (value <= EXPONENT_MAX)
            value = value * 10 + (**at - '0');
    *ret = is_negative ? -value : value;
    return 0;
}

/* RFC 8259 section 6. */
static int take_apart(andiron_str text, struct parts *ret)
{
    const char *at = text.data;
    const char *end = text.len > 0 ? at + text.len : at;
    struct parts p = { .exponent = 0 };
    bool has_fraction = false;
    int exponent = 0;

    if (at < end && *at == '-') {
        p.is_negative = true;
        at++;
    }
    if (!is_digit(at, end) || (*at == '0' && is_digit(at + 1, end)))
        return -1;
    for (; is_digit(at, end); at++)
        add_digit(&p, *at, false);
    if (at < end && *at == '.') {
        has_fraction = true;
        at++;
        if (!is_digit(at, end))
            return -1;
        for (; is_digit(at, end); at++)
            add_digit(&p, *at, true);
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        if (read_exponent(&at, end, &exponent) != 0)
            return -1;
        /* The standard's example: 1e2 is [95, 105), as if it were 1.0e2. */
        if (!has_fraction)
            add_digit(&p, '0', true);
    }
    p.exponent += exponent;
    if (at != end || p.exponent > EXPONENT_MAX || p.exponent < -2 * EXPONENT_MAX)
        return -1;
    p.digits[p.count] = '\0';
    *ret = p;
    return 0;
}

static double put_together(const char *sign, const char *digits, const char *last, int exponent)
{
    char text[DIGITS_MAX + 16];
    (void)snprintf(text, sizeof(text), "%s%s%se%d", sign, digits, last, exponent);
    return strtod(text, NULL);
}

/* digits - 1, as text of the same length; digits is not zero. */
static void decrement(char *digits, int count)
{
    int i = count - 1;
    while (digits[i] == '0')
        digits[i--] = '9';
    digits[i]--;
}

int fhir_decimal_value(andiron_str text, double *ret)
{
    struct parts p;
    if (take_apart(text, &p) != 0)
        return -1;
    double value =
        put_together(p.is_negative ? "-" : "", p.count > 0 ? p.digits : "0", "", p.exponent);
    if (!isfinite(value))
        return -1;
    *ret = value;
    return 0;
}

int fhir_decimal_parse(andiron_str text, struct fhir_decimal *ret)
{
    struct parts p;
    struct fhir_decimal d;

    if (take_apart(text, &p) != 0 || fhir_decimal_value(text, &d.value) != 0)
        return -1;
    /* Half a unit of the last digit further from zero, and nearer to it. */
    double outer = put_together("", p.digits, "5", p.exponent - 1);
    double inner = -outer;
    if (p.count > 0) {
        decrement(p.digits, p.count);
        inner = put_together("", p.digits, "5", p.exponent - 1);
    }
    if (!isfinite(outer))
        return -1;
    d.low = p.is_negative ? -outer : inner;
    d.high = nextafter(p.is_negative ? -inner : outer, -INFINITY);
    /* Behind the last digit that a double can tell, the range must still hold the value itself. */
    d.low = fmin(d.low, d.value);
    d.high = fmax(d.high, d.value);
    *ret = d;
    return 0;
}
