/*
 * What a thread is running right now: set by the phase engine around each step, read by the
 * crash handler of the same thread, which names plugin and request, and by the slow-step watch.
 */
#ifndef CORE_BASE_CURRENT_H
#define CORE_BASE_CURRENT_H

#include <stddef.h>

/* Both strings are NUL-terminated and outlive the step; NULL: none. Plain stores, no lock. */
struct current {
    const char *plugin;
    const char *request_id;
};

extern _Thread_local struct current current;

#endif
