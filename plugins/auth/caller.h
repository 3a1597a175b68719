/*
 * Who calls an OAuth endpoint: client authentication by assertion or secret (seed-semantics 4.2).
 *
 * The same for the token endpoint, introspection and revocation. Failures are answered here.
 */
#ifndef AUTH_CALLER_H
#define AUTH_CALLER_H

#include "assertion.h"
#include "clients.h"
#include "gate.h"
#include "params.h"
#include "prove.h"

enum caller_method { METHOD_NONE, METHOD_HEADER, METHOD_POST, METHOD_ASSERTION };

struct caller {
    struct auth *auth;
    struct oauth_params params;
    andiron_str base, endpoint; /* endpoint: the token endpoint, for aud */
    enum caller_method method;
    struct andiron_error error;
    struct client *client; /* held; NULL: unknown */
    andiron_step_fn then;
    void *state;

    /* by secret */
    andiron_str id, secret;
    bool tried_decoded;
    enum proof proof;

    /* by assertion */
    struct assertion_rules rules;
    struct assertion assertion;
    andiron_str set; /* absent: the Client's own jwks */
    bool renewed, is_valid;
    const struct jose_key *key;
    struct gate_visit visit;

    bool looked_again;
    andiron_str jti; /* name to be claimed; absent: not by assertion */
    andiron_usec jti_until;
    bool was_free;
};

/*
 * Reads parameters and the way of authentication into *caller; false: it has been answered.
 * METHOD_HEADER is any Authorization header.
 */
bool caller_read(struct andiron_request *req, struct auth *auth, enum params_of of,
                 struct caller *caller);

/*
 * Goes on with `then` once caller->client is proven, and is active now. An assertion's jti is then
 * still to be claimed: by whoever stores something together with it, or by caller_claim().
 */
enum andiron_step caller_prove(struct andiron_request *req, struct caller *caller,
                               andiron_step_fn then, void *state);

/* Claims the jti, if there is one, and goes on; JA-12. */
enum andiron_step caller_claim(struct andiron_request *req, struct caller *caller,
                               andiron_step_fn then, void *state);

/* Answers that the jti was used before. */
enum andiron_step caller_refuse_used(struct andiron_request *req, struct caller *caller);

#endif
