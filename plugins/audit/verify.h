/*
 * POST /control/audit/verify, for `andiron audit verify`.
 */
#ifndef AUDIT_VERIFY_H
#define AUDIT_VERIFY_H

#include "audit.h"

/* A handler; its state is the plugin's own. */
enum andiron_step audit_verify(struct andiron_request *req, void *self);

#endif
