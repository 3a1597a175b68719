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

enum { UNITS_INSTANT_MAX = ANDIRON_INSTANT_LEN + 1 };

/* andiron_instant() with a final NUL; returns its length without it. */
size_t units_instant(andiron_usec at, char out[UNITS_INSTANT_MAX]);

/* Microseconds of the monotonic clock: for deadlines and durations. */
int64_t units_monotonic(void);

#endif
