/*
 * Bearer tokens of requests.
 */
#ifndef AUTH_BEARER_H
#define AUTH_BEARER_H

#include "auth.h"

/* Makes what the token stands for the request's principal and goes on; or fails it with 401. */
enum andiron_step bearer_prove(struct andiron_request *req, struct auth *auth, andiron_str text,
                               andiron_step_fn then, void *state);

/* AU-7: fails it with 401 and the challenge that says so. */
enum andiron_step bearer_refuse(struct andiron_request *req, enum andiron_code code,
                                const char *description);

#endif
