/*
 * Access tokens of other issuers (seed-semantics AU-4, AU-5, US-3, US-4).
 */
#ifndef AUTH_FOREIGN_H
#define AUTH_FOREIGN_H

#include "common/jose/jws.h"
#include "issuers.h"

/*
 * Judges a token that is none of ours, as bearer_prove() does: of a JWT only keys of the issuer
 * that it names count, and only where a TokenIntrospector has that issuer; about any other token
 * introspection endpoints are asked.
 */
enum andiron_step auth_foreign(struct andiron_request *req, struct auth *auth, andiron_str text,
                               andiron_step_fn then, void *state);

struct lead; /* opaque.c */

struct foreign {
    struct auth *auth;
    andiron_str text;
    struct jose_jws jws; /* of an opaque token: only claims, which the endpoint told */
    struct issuers *issuers;
    struct issuer *issuer;
    unsigned epoch;

    const struct jose_alg *alg;
    andiron_str kid, set; /* set absent: the issuer's own keys */
    bool renewed, is_valid;
    const struct jose_key *key;
    double exp_s; /* 0: the endpoint told none */

    struct lead *lead; /* NULL: a JWT */

    struct andiron_ref ref; /* of the User */
    struct andiron_rows rows;
    andiron_json user, roles;
    struct andiron_filter filter; /* of the User's Roles */
    struct andiron_query query;
    struct andiron_error error;
    andiron_step_fn then;
    void *state;
};

/* Goes on with claims that are known to be the issuer's. */
enum andiron_step foreign_claims(struct andiron_request *req, struct foreign *f);

/* Ends with 401. */
enum andiron_step foreign_refuse(struct andiron_request *req, struct foreign *f,
                                 enum andiron_code code, const char *description);

#endif
