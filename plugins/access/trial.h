/*
 * The body of POST /auth/test-policy: a request that somebody might make, and who they are
 * (seed-semantics DB-2).
 *
 * Turns it into an inner request that has been routed and got as far as policies, without
 * asking any.
 */
#ifndef ACCESS_TRIAL_H
#define ACCESS_TRIAL_H

#include <andiron/auth.h>
#include <andiron/plugin.h>

struct trial {
    struct andiron_service_ref scopes; /* scopes/1, or { NULL, NULL } */

    /* After trial_begin(): */
    andiron_json policy; /* MISSING: those in force */
    struct andiron_inner inner;
    struct andiron_principal principal;
    struct andiron_request *sub; /* routed; its status is 200 unless no policy would be asked */

    struct andiron_request *read; /* of the Client, the User, its Roles */
    andiron_json request;
    andiron_step_fn then;
    void *state;
};

/* Reads the body and fills *trial, whose scopes are set; what is wrong with it is answered. */
enum andiron_step trial_begin(struct andiron_request *req, struct trial *trial,
                              andiron_step_fn then, void *state);

#endif
