/*
 * Sessions: one for each token that was issued; ending one ends its token.
 */
#ifndef AUTH_SESSION_H
#define AUTH_SESSION_H

#include "clients.h"

enum { SESSION_ID = 36, SESSION_TERMS = 5 };

/*
 * Our own index term for opaque tokens; no search parameter of that name exists. It has the form
 * of an identifier with a type: nobody sorts by those, so a store keeps no list of all their values.
 */
struct andiron_term session_token_term(andiron_str token_hash);

/* What a new Session says. Texts called json are JSON already. */
struct session {
    andiron_str id; /* jti: a UUID */
    andiron_str client, issuer;
    andiron_str incarnation; /* of the client, see client.h; absent: it has none */
    andiron_str audience_json;
    andiron_str scope_json; /* array; absent: not limited by scopes */
    andiron_str token_hash; /* of an opaque token; absent for a JWT */
    andiron_usec start, end;
};

/* A UUID (RFC 9562 version 7: time, then 74 random bits), without NUL. */
void session_new_id(char out[SESSION_ID]);

/*
 * A new opaque token: 26 random bytes and 6 that tell that it is this issuer's, as base64url. So
 * one whose Session has ended is known for ours without any memory of it, and shown to nobody.
 */
andiron_str session_token_new(struct andiron_arena *arena, andiron_str issuer);
/* Whether it has that form. Anybody can make one: it says nothing of who may do what. */
bool session_token_is_ours(andiron_str token, andiron_str issuer);

/* SHA-256 of a token, as base64url. */
andiron_str session_token_hash(struct andiron_arena *arena, andiron_str token);

/* Fills a write that creates it, with its terms; all in arena. */
void session_write(struct andiron_arena *arena, const struct session *session,
                   struct andiron_write *ret);

/* A write that ends a Session as it was read: the same, but not active and without its token. */
bool session_end_write(struct andiron_arena *arena, const struct andiron_row *row,
                       struct andiron_write *ret); /* false: it has ended already */

/*
 * Ends the Session that was read, if it has not ended already. Its token is refused on all loops of
 * this process from then on.
 */
enum andiron_step session_end(struct auth *auth, struct andiron_request *req,
                              const struct andiron_row *row, struct andiron_error *ret_error,
                              andiron_step_fn then, void *state);

/* Ends all Sessions of a Client, in the background. */
void session_end_all(struct auth *auth, struct andiron_loop *loop, andiron_str client);

#endif
