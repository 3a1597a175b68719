/*
 * Whether terms satisfy a filter: store.h's comparisons, in memory. Any thread.
 */
#ifndef SEARCH_MATCHES_H
#define SEARCH_MATCHES_H

#include <andiron/store.h>

/* Whether terms suffice: the filter has neither a chain nor _has. */
bool matches_can_judge(const struct andiron_filter *filter);

/*
 * Terms are those of one resource. The store's own two parameters: id is given; a DATE term
 * of "_lastUpdated" may be among the terms. FILTER_TYPE is judged by type, which may be NULL.
 * A filter with chains or _has is never satisfied: it needs other resources.
 */
bool matches_filter(const struct andiron_filter *filter, const char *type, andiron_str id,
                    const struct andiron_term *terms, size_t count);

#endif
