/*
 * Forgetting old events, on one process at a time, from the oldest on.
 *
 * First an event and the row of where the chain stands say up to where; then they are purged. So
 * what is missing is either said to be forgotten, or was removed by somebody else.
 */
#ifndef AUDIT_RETENTION_H
#define AUDIT_RETENTION_H

#include "audit.h"

struct audit_retention *audit_retention_new(struct audit *audit);
/* From loop_start() and loop_stop() of the first loop. Without `keep` neither does anything. */
int audit_retention_start(struct audit_retention *retention, struct andiron_loop *loop,
                          struct andiron_error *err);
void audit_retention_stop(struct audit_retention *retention);

/* The writer has stored the event that says so. On the first loop. */
void audit_retention_agreed(struct audit_retention *retention, const struct audit_event *event);

#endif
