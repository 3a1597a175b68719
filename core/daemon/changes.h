/*
 * What a worker is configured with, as the text of LINK_READY, and what differs between two.
 * Values are hashed: the supervisor names what changed and never holds a secret.
 */
#ifndef CORE_DAEMON_CHANGES_H
#define CORE_DAEMON_CHANGES_H

#include "host/host.h"

/* "DRAIN_MS\n", then "section.name HASH\n" for each value that is set, and each plugin. In arena. */
andiron_str changes_text(struct host *host, int64_t drain_ms);

/* drain-timeout of such a text, milliseconds; 10 s if text is NULL or none. */
int64_t changes_drain_ms(const char *text);

/* "configuration reloaded: http.max-body, auth.max-ttl changed", cut to room. */
void changes_describe(const char *before, const char *after, char *out, size_t room);

#endif
