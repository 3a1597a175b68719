/*
 * Resource type Client: what may be stored (seed-semantics 3.3), and how its secret is kept.
 */
#ifndef AUTH_CLIENT_H
#define AUTH_CLIENT_H

#include <andiron/resource.h>

/* Values of grant_types, as bits. */
enum client_grant {
    GRANT_BASIC = 1 << 0,
    GRANT_CLIENT_CREDENTIALS = 1 << 1,
    GRANT_AUTHORIZATION_CODE = 1 << 2,
    GRANT_REFRESH_TOKEN = 1 << 3,
    GRANT_PASSWORD = 1 << 4,
    GRANT_IMPLICIT = 1 << 5,
    GRANT_TOKEN_EXCHANGE = 1 << 6
};

/* Bit of a grant_types value or of the parameter grant_type; 0: unknown. */
unsigned client_grant(andiron_str name);

enum { CLIENT_MAX_TTL = 86400, CLIENT_MAX_BYTES = 1024 * 1024 };

/* jwt-bearer of RFC 7523 section 2.2 */
#define CLIENT_ASSERTION_TYPE "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

/* FHIR's id: [A-Za-z0-9\-.]{1,64}. */
bool client_is_id(andiron_str id);

/* What validation asks of others; each may be NULL, then it is not asked. */
struct client_checks {
    void *self;
    int (*jwks_uri)(void *self, andiron_str url, struct andiron_error *err);
    int (*scope)(void *self, andiron_str scope, struct andiron_error *err);
};

/* Rules CL-20 to CL-27 over a Client as it would be stored. err.where is the element. */
ANDIRON_MUST_CHECK int client_validate(struct andiron_arena *arena, andiron_json resource,
                                       bool has_secret, const struct client_checks *checks,
                                       struct andiron_error *err);

/*
 * CL-7: a random name that a stored Client gets when it is created, created again after its
 * deletion, or activated; its Sessions carry it. A Session of another one counts for nothing,
 * so no token outlives its Client, whether or not somebody has ended its Session.
 */
#define CLIENT_INCARNATION "incarnation"

/* The text to store: jwks as an array, both texts replaced; absent ones are left out. */
andiron_str client_text(struct andiron_arena *arena, andiron_json resource, andiron_str secret,
                        andiron_str incarnation);

/* Whether it is there and active. */
bool client_is_active(andiron_json resource);

#endif
