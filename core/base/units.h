/*
 * Durations, sizes and instants: text to number and back. No allocation, any thread.
 */
#ifndef CORE_BASE_UNITS_H
#define CORE_BASE_UNITS_H

#include <andiron/base.h>

/*
 * Milliseconds of "250ms", "30s", "5m", "1h" or "7d" (units are required, "0" is
 * allowed alone), or -1 if text is anything else or does not fit.
 */
int64_t units_duration(andiron_str text);

/* Bytes of "512", "512k", "16m", "1g" (1024-based), or -1. */
int64_t units_bytes(andiron_str text);

/* Whole number with optional '-', *ret untouched and -1 if text is anything else or does not fit. */
int units_int(andiron_str text, int64_t *ret);

enum { UNITS_INSTANT_MAX = 32, UNITS_HTTP_DATE_MAX = 30 };

/* "2024-08-29T15:51:05.117806Z"; returns its length, without the final NUL. */
size_t units_instant(andiron_usec at, char out[UNITS_INSTANT_MAX]);

/* IMF-fixdate of RFC 9110 section 5.6.7, "Sun, 06 Nov 1994 08:49:37 GMT"; seconds precision. */
size_t units_http_date(andiron_usec at, char out[UNITS_HTTP_DATE_MAX]);

/* Instant of an HTTP date in any of the three forms of RFC 9110 section 5.6.7, or INT64_MIN. */
andiron_usec units_parse_http_date(andiron_str text);

/* Microseconds of the monotonic clock: for deadlines and durations. */
int64_t units_monotonic(void);

#endif
