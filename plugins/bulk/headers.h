/*
 * Headers of requests: Prefer, Accept, Accept-Encoding, Range. Pure functions over their values.
 */
#ifndef BULK_HEADERS_H
#define BULK_HEADERS_H

#include <andiron/base.h>

/* Whether a Prefer header names the preference ("respond-async", "handling=lenient"; RFC 7240). */
bool headers_prefer(andiron_str prefer, const char *preference);

/* Whether Accept allows one of the media types (NULL-terminated, lower case); absent: yes. */
bool headers_accept(andiron_str accept, const char *const *types);

/* Whether Accept-Encoding allows gzip; absent: no. */
bool headers_accept_gzip(andiron_str accept_encoding);

enum range_kind {
    RANGE_WHOLE, /* none, several, or of other units: the whole is the answer */
    RANGE_PART,
    RANGE_UNSATISFIABLE
};

/* RFC 9110 section 14: what of `size` bytes Range asks for; *ret_length is not 0 for RANGE_PART. */
enum range_kind headers_range(andiron_str range, uint64_t size, uint64_t *ret_from,
                              uint64_t *ret_length);

/* Whether a list of ETags (If-None-Match) has that one, or is "*". Weak ones count. */
bool headers_has_etag(andiron_str list, andiron_str etag);

#endif
