/*
 * Parameters of the OAuth endpoints, from a form or a JSON object (seed-semantics TK-1, TK-2).
 * Pure computation.
 */
#ifndef AUTH_PARAMS_H
#define AUTH_PARAMS_H

#include <andiron/json.h>

/* Absent where it was not sent, or sent empty (RFC 6749 section 3.2). */
struct oauth_params {
    andiron_str client_id, client_secret, client_assertion, client_assertion_type;
    andiron_str grant_type, scope, audience; /* of the token endpoint */
    andiron_str token, token_type_hint;      /* of introspection and revocation */
};

/* Whose parameters are known, besides those of client authentication; others are ignored. */
enum params_of { PARAMS_OF_GRANT = 1, PARAMS_OF_TOKEN = 2 };

/* Values in arena or views into body. err says what is wrong with the request. */
ANDIRON_MUST_CHECK int params_read(struct andiron_arena *arena, andiron_str content_type,
                                   andiron_str body, enum params_of of, struct oauth_params *ret,
                                   struct andiron_error *err);

/* application/x-www-form-urlencoded to bytes, in arena or text itself; -1 for a broken %-sequence or a NUL. */
ANDIRON_MUST_CHECK int params_decode(struct andiron_arena *arena, andiron_str text,
                                     andiron_str *ret);

#endif
