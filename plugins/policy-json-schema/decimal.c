/*
 * Exact decimals by their digits.
 */
#include "decimal.h"

enum { EXPONENT_MAX = 1000000000 /* beyond it all exponents are the same; no text is that long */ };

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static char digit(const struct decimal *d, size_t i)
{
    size_t at = d->first + i;
    return d->text[at < d->dot ? at : at + 1];
}

static int64_t exponent_of(const char *p, const char *end)
{
    bool negative = p < end && *p == '-';
    int64_t exponent = 0;
    if (p < end && (*p == '-' || *p == '+'))
        p++;
    for (; p < end && exponent < EXPONENT_MAX; p++)
        exponent = exponent * 10 + (*p - '0');
    if (exponent > EXPONENT_MAX)
        exponent = EXPONENT_MAX;
    return negative ? -exponent : exponent;
}

struct decimal decimal_of(andiron_str text)
{
    struct decimal d = { .text = text.data };
    const char *end = text.data + text.len;
    if (d.text < end && *d.text == '-')
        d.negative = true, d.text++;

    const char *p = d.text;
    while (p < end && is_digit(*p))
        p++;
    d.dot = (size_t)(p - d.text);
    size_t digits = d.dot;
    if (p < end && *p == '.')
        for (p++; p < end && is_digit(*p); p++)
            digits++;
    int64_t exponent = p < end ? exponent_of(p + 1, end) : 0;

    while (d.first < digits && digit(&d, 0) == '0')
        d.first++;
    d.count = digits - d.first;
    while (d.count > 0 && digit(&d, d.count - 1) == '0')
        d.count--;
    d.magnitude = (int64_t)d.dot - (int64_t)d.first + exponent;
    if (d.count == 0)
        d.negative = false;
    return d;
}

bool decimal_is_integer(const struct decimal *d)
{
    return d->count == 0 || d->magnitude >= (int64_t)d->count;
}

static int compare_sizes(const struct decimal *a, const struct decimal *b)
{
    if (a->count == 0 || b->count == 0)
        return (a->count > 0) - (b->count > 0);
    if (a->magnitude != b->magnitude)
        return a->magnitude < b->magnitude ? -1 : 1;
    for (size_t i = 0; i < a->count && i < b->count; i++)
        if (digit(a, i) != digit(b, i))
            return digit(a, i) < digit(b, i) ? -1 : 1;
    return (a->count > b->count) - (a->count < b->count);
}

int decimal_compare(const struct decimal *a, const struct decimal *b)
{
    if (a->negative != b->negative)
        return a->negative ? -1 : 1;
    return a->negative ? compare_sizes(b, a) : compare_sizes(a, b);
}

int divisor_of(const struct decimal *d, struct divisor *ret)
{
    if (d->negative || d->count == 0 || d->count > DIVISOR_DIGITS_MAX)
        return -1;
    ret->mantissa = 0;
    for (size_t i = 0; i < d->count; i++)
        ret->mantissa = ret->mantissa * 10 + (uint64_t)(digit(d, i) - '0');
    ret->exponent = d->magnitude - (int64_t)d->count;
    return 0;
}

bool decimal_is_multiple(const struct decimal *d, const struct divisor *divisor)
{
    if (d->count == 0)
        return true;
    /* As integers: d's digits with `zeros` zeros behind them, by the mantissa. */
    int64_t zeros = d->magnitude - (int64_t)d->count - divisor->exponent;
    if (zeros < 0) /* d's last digit is not 0, so it is no multiple of 10 */
        return false;
    uint64_t rest = 0;
    for (size_t i = 0; i < d->count; i++)
        rest = (rest * 10 + (uint64_t)(digit(d, i) - '0')) % divisor->mantissa;
    /* 60 tens hold every 2 and 5 that a mantissa below 2^60 can have; more change nothing. */
    for (int64_t i = 0; i < zeros && i < 60 && rest != 0; i++)
        rest = rest * 10 % divisor->mantissa;
    return rest == 0;
}
