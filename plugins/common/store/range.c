/*
 * Bounds of conditions; see range.h. Pure computation.
 */
#include "range.h"

#include "rows.h"

void range_dates(const struct node *n, int64_t class, int64_t *ret_from, int64_t *ret_to)
{
    andiron_usec low = n->term->range.date.low, high = n->term->range.date.high;
    int64_t from = INT64_MIN, to = INT64_MAX;
    int64_t reach = class == 0 ? ROWS_DAY : INT64_MAX; /* how far before its end a date begins */

    switch (n->compare) {
    case ANDIRON_CMP_EQ:
        from = low;
        to = high;
        break;
    case ANDIRON_CMP_AP:
        to = high;
        from = class == 0 && low > INT64_MIN + reach ? low - reach : INT64_MIN;
        break;
    case ANDIRON_CMP_GE:
        from = class == 0 && high > INT64_MIN + reach ? high - reach : INT64_MIN;
        if (low < from)
            from = low;
        break;
    case ANDIRON_CMP_GT:
        from = class == 0 && high > INT64_MIN + reach ? high - reach : INT64_MIN;
        break;
    case ANDIRON_CMP_LT:
    case ANDIRON_CMP_EB:
        to = low;
        break;
    case ANDIRON_CMP_LE:
        to = low > high ? low : high;
        break;
    case ANDIRON_CMP_SA:
        from = high;
        break;
    default:
        break;
    }
    if (from > *ret_from)
        *ret_from = from;
    if (to < *ret_to)
        *ret_to = to;
}

void range_numbers(const struct node *n, double *ret_from, double *ret_to)
{
    double low = n->term->range.number.low, high = n->term->range.number.high;
    double from = -1.0 / 0.0, to = 1.0 / 0.0;

    /* Only the lower end is in the index order; ranges may begin far below. */
    if (n->compare == ANDIRON_CMP_EQ || n->compare == ANDIRON_CMP_SA)
        from = n->compare == ANDIRON_CMP_EQ ? low : high;
    if (n->compare == ANDIRON_CMP_EQ || n->compare == ANDIRON_CMP_AP)
        to = high;
    if (n->compare == ANDIRON_CMP_LT || n->compare == ANDIRON_CMP_EB)
        to = low;
    if (n->compare == ANDIRON_CMP_LE)
        to = high > low ? high : low;
    if (from > *ret_from)
        *ret_from = from;
    if (to < *ret_to)
        *ret_to = to;
}
