/*
 * Private keys sealed for the store: AES-256-GCM under a key made from `seal-key`.
 *
 * Whoever reads the store learns nothing without the secret, and cannot give a key another name.
 */
#ifndef JWKS_SEAL_H
#define JWKS_SEAL_H

#include "common/jose/sign.h"

enum { SEAL_MIN_SECRET = 32 };

/* The sealed PEM of key as base64url. kid is bound into it. Any thread. */
ANDIRON_MUST_CHECK int seal_close(struct andiron_arena *arena, andiron_str secret, andiron_str kid,
                                  const struct jose_private *key, andiron_str *ret,
                                  struct andiron_error *err);

/* The key back; -1 if it was sealed with another secret, for another kid, or was changed. */
ANDIRON_MUST_CHECK int seal_open(struct andiron_arena *arena, andiron_str secret, andiron_str kid,
                                 andiron_str sealed, struct jose_private **ret,
                                 struct andiron_error *err);

#endif
