/*
 * Decimals and the range that their digits imply (R4 search.html, 3.1.1.4.6). Any thread.
 */
#ifndef FHIR_DECIMALS_H
#define FHIR_DECIMALS_H

#include <andiron/base.h>

/*
 * low and high are inclusive: "5.40" is [5.395, 5.405), so high is the last double below
 * 5.405. They come from the digits, not from the double: equal texts give equal bounds.
 */
struct fhir_decimal {
    double value, low, high;
};

/* Reads a number as JSON writes it; -1 for anything else, and for what no double can hold. */
int fhir_decimal_parse(andiron_str text, struct fhir_decimal *ret);

/* The nearest double of a number as JSON writes it; -1 as above. */
int fhir_decimal_value(andiron_str text, double *ret);

#endif
