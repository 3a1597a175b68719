/*
 * The issuers whose tokens are taken, as the stored TokenIntrospectors have them: a snapshot for
 * each loop, read again when one of them has changed.
 */
#ifndef AUTH_ISSUERS_H
#define AUTH_ISSUERS_H

#include "auth.h"

/* ENDPOINTS_MAX: an unknown token is asked about at each, one after the other. */
enum { ISSUERS_MAX = 64, ENDPOINTS_MAX = 8 };

struct client_keys; /* keys.h */

struct issuer {
    andiron_str id, iss;  /* iss absent: of an endpoint that speaks for no issuer by name */
    andiron_str jwks_uri; /* absent: keys or secret */
    andiron_json keys;    /* array, or MISSING */
    andiron_str secret;   /* for HS256 alone; absent: none */
    int64_t ttl_ms;       /* longest time that a verified token is remembered */
    andiron_str endpoint, authorization; /* for opaque tokens; endpoint absent: for JWTs */
    bool is_ambiguous;                   /* several have this iss: none of them counts */
    struct client_keys *imported;
};

/* Belongs to one loop; counted without atomics. */
struct issuers {
    unsigned references, epoch;
    struct andiron_arena *arena;
    struct issuer list[ISSUERS_MAX];
    size_t count, endpoints;
};

/* Those in force, held until the request ends. *ret_error tells of a store that cannot be read. */
enum andiron_step issuers_now(struct auth *auth, struct andiron_request *req,
                              struct issuers **ret_issuers, struct andiron_error *ret_error,
                              andiron_step_fn then, void *state);

/* The one for JWTs of that iss, byte for byte; NULL: there is none, or more than one. */
struct issuer *issuers_find(struct issuers *issuers, andiron_str iss);

/* Whether one or more are for JWTs of that iss; whether any has an introspection endpoint. */
bool issuers_has(const struct issuers *issuers, andiron_str iss);
bool issuers_has_endpoint(const struct issuers *issuers);

void issuers_drop(struct issuers *issuers); /* NULL is allowed */

#endif
