/*
 * Numbers of JSON compared and divided exactly, whatever their size: 0.1 is a multiple of 0.01,
 * and 1e400 is more than 1e399.
 */
#ifndef JSON_SCHEMA_DECIMAL_H
#define JSON_SCHEMA_DECIMAL_H

#include <andiron/base.h>

/* A view into the text of a number: 0.d1d2d3... * 10^magnitude, without zeros at either end. */
struct decimal {
    bool negative;
    const char *text; /* at the first digit */
    size_t dot;       /* digits before the dot */
    size_t first;     /* digit d1; all before it are 0 */
    size_t count;     /* of digits from d1 on; 0: the number is 0 */
    int64_t magnitude;
};

/* What a number may be a multiple of: mantissa * 10^exponent, more than 0. */
struct divisor {
    uint64_t mantissa;
    int64_t exponent;
};

enum { DIVISOR_DIGITS_MAX = 18 };

/* text is a number as JSON writes it, and lives as long as the view. */
struct decimal decimal_of(andiron_str text);

bool decimal_is_integer(const struct decimal *d);

/* Less than 0, 0, more than 0. */
int decimal_compare(const struct decimal *a, const struct decimal *b);

/* -1: not more than 0, or of more than DIVISOR_DIGITS_MAX digits. */
int divisor_of(const struct decimal *d, struct divisor *ret);

bool decimal_is_multiple(const struct decimal *d, const struct divisor *divisor);

#endif
