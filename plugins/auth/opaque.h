/*
 * Tokens that only their issuer's introspection endpoint can tell about (RFC 7662).
 *
 * Of requests that bring the same unknown token at a time one asks, the others wait for it. What
 * was refused is remembered for a moment, so that nobody can make us ask without end.
 */
#ifndef AUTH_OPAQUE_H
#define AUTH_OPAQUE_H

#include "foreign.h"

/* Asks the endpoints one after the other; with the first that knows it to foreign_claims(). */
enum andiron_step opaque_ask(struct andiron_request *req, struct foreign *f);

/* It is in the cache of tokens, or was refused: those that wait may look. */
void opaque_admitted(struct foreign *f);
void opaque_refused(struct andiron_request *req, struct foreign *f);

/* What a loop remembers. */
struct opaque;
void opaque_free(struct opaque *opaque); /* NULL is allowed */

#endif
