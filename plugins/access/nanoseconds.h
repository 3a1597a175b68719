/*
 * The clock by which policies are timed.
 */
#ifndef ACCESS_NANOSECONDS_H
#define ACCESS_NANOSECONDS_H

#include <stdint.h>
#include <time.h>

static inline int64_t nanoseconds(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

#endif
