/*
 * Guesses at a client's credentials, throttled by client and address (AU-9); see throttle.h.
 */
#ifndef AUTH_GUESS_H
#define AUTH_GUESS_H

#include "auth.h"

/* Seconds for which credentials of this client are not looked at from this address; 0: none. */
int64_t guess_wait(struct andiron_request *req, struct auth *auth, andiron_str id);

/*
 * Counts wrong credentials. Not 0: that many had been wrong before, so nobody may be told whether
 * these were, and so many seconds are to be waited.
 */
int64_t guess_failed(struct andiron_request *req, struct auth *auth, andiron_str id);

/* Counts an answer of 429, and gives it its Retry-After. */
void guess_refuse(struct andiron_request *req, struct auth *auth, int64_t seconds);

#endif
