/*
 * From a request to an event: which kind it is, and what of it is kept.
 */
#ifndef AUDIT_EVENT_H
#define AUDIT_EVENT_H

#include "audit.h"

/* What the request would be recorded as, if it is let through. On its loop, once it is routed. */
enum audit_kind event_kind(const struct audit *audit, const struct andiron_request *req);

/* The same for one that is answered; AUDIT_NOTHING: it is not recorded. */
enum audit_kind event_kind_answered(const struct audit *audit, const struct andiron_request *req);

struct audit_event *event_of(const struct andiron_request *req, enum audit_kind kind, int status);

/* Of LOST or FORGOT. */
struct audit_event *event_of_count(enum audit_kind kind, int64_t count);

void event_drop(struct audit_event *event);

#endif
