/*
 * Resource type TokenIntrospector (seed-semantics US-3): whose tokens are taken besides our own.
 */
#ifndef AUTH_INTROSPECTOR_H
#define AUTH_INTROSPECTOR_H

#include "auth.h"

enum {
    INTROSPECTOR_MAX_BYTES = 256 * 1024,
    INTROSPECTOR_MIN_SECRET = 32, /* RFC 7518 section 3.2: as long as the hash */
    INTROSPECTOR_MAX_KEYS = 64,
    INTROSPECTOR_MAX_AUTHORIZATION = 4096,
    INTROSPECTOR_TTL_S = 300,
    INTROSPECTOR_MAX_TTL_S = 86400
};

/* What validation asks of others; both functions may be NULL. own_issuer absent: not known yet. */
struct introspector_checks {
    void *self;
    int (*jwks_uri)(void *self, andiron_str url, struct andiron_error *err);
    int (*endpoint)(void *self, andiron_str url, struct andiron_error *err);
    andiron_str own_issuer;
};

/* has_secret: jwt.secret will be there, sent or kept. err.where is the element. */
ANDIRON_MUST_CHECK int introspector_validate(struct andiron_arena *arena, andiron_json resource,
                                             bool has_secret,
                                             const struct introspector_checks *checks,
                                             struct andiron_error *err);

/* The resource with that secret in its jwt, in place of whatever is there; absent: with none. */
andiron_str introspector_text(struct andiron_arena *arena, andiron_json resource,
                              andiron_str secret);

extern const struct andiron_resource_type auth_introspector_type;

#endif
