/*
 * Access tokens of other issuers (seed-semantics AU-4, US-3, US-4).
 */
#ifndef AUTH_FOREIGN_H
#define AUTH_FOREIGN_H

#include "auth.h"

/*
 * Judges a token that is none of ours, as bearer_prove() does: only keys of the issuer that it
 * names count, and only where a TokenIntrospector has that issuer.
 */
enum andiron_step auth_foreign(struct andiron_request *req, struct auth *auth, andiron_str text,
                               andiron_step_fn then, void *state);

#endif
