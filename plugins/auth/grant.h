/*
 * What a Client is granted for a scope parameter: asked of scopes/1 once, then remembered.
 */
#ifndef AUTH_GRANT_H
#define AUTH_GRANT_H

#include "clients.h"

/* The texts are JSON, ready to be put into the response, the token and the Session. */
struct client_grant_memo {
    unsigned references;
    struct andiron_arena *arena;
    andiron_str requested;
    bool is_empty;
    andiron_str scope; /* string of the response */
    andiron_str claim; /* string of the token */
    andiron_str list;  /* array of the Session */
};

/*
 * The grant for `requested`, held until client_grant_free(). NULL and err if scopes cannot be
 * judged. One loop only.
 */
struct client_grant_memo *client_grant_ask(struct auth *auth, struct client *client,
                                           andiron_str requested, struct andiron_error *err);
void client_grant_free(struct client_grant_memo *memo); /* NULL is allowed */

#endif
