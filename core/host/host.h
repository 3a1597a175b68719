/*
 * Plugins of a worker: from configuration files to initialised modules, their services,
 * hooks and routes. core/daemon drives it; plugins see andiron/plugin.h.
 */
#ifndef CORE_HOST_HOST_H
#define CORE_HOST_HOST_H

#include <andiron/plugin.h>

#include "http/app.h"

/* A configuration problem; all are collected, sorted and shown at once. */
struct problem {
    const char *file; /* relative to the configuration folder, or NULL */
    unsigned line;    /* 0: none */
    const char *text; /* "auth.max-tll: unknown directive; did you mean \"max-ttl\"?" */
};

#endif
