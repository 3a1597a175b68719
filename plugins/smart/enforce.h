/*
 * What a scope-limited principal may ask for (seed-semantics section 7.4): a table of
 * operations and the letters they need. Scopes only take away.
 */
#ifndef SMART_ENFORCE_H
#define SMART_ENFORCE_H

#include <andiron/auth.h>

#include "set.h"

/* A request as the table looks at it. */
struct enforce_question {
    andiron_str operation, path, type, id;
};

/* Whether the set (NULL: none) covers it. */
bool enforce_would_cover(const struct scope_set *set, const struct enforce_question *question);

/* Whether the principal is limited by scopes and they cover the request. */
bool enforce_covered(const struct andiron_request *req);

/* The AUTHORIZE hook: 403 insufficient_scope, or NEXT. */
enum andiron_step enforce_authorize(struct andiron_request *req, void *self);

#endif
