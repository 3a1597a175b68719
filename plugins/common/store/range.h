/*
 * Where in an index of ranges, which is in the order of their lower ends, those lie that
 * satisfy a condition.
 */
#ifndef COMMON_STORE_RANGE_H
#define COMMON_STORE_RANGE_H

#include "node.h"

/* Narrows [*from, *to], of lower ends of dates of a class, to what satisfies n. */
void range_dates(const struct node *n, int64_t class, int64_t *from, int64_t *to);
/* The same of numbers and quantities. */
void range_numbers(const struct node *n, double *from, double *to);

#endif
