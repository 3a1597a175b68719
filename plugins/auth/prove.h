/*
 * Proving a Client's secret: on the pool, and remembered for a while.
 */
#ifndef AUTH_PROVE_H
#define AUTH_PROVE_H

#include "clients.h"

enum proof {
    PROOF_WRONG,
    PROOF_RIGHT,
    PROOF_BUSY /* too many secrets are being hashed already, or too many of this address */
};

/* Tells how many rounds a stored secret has, so that proving any takes as long. Any thread. */
void secret_rounds_seen(struct auth *auth, unsigned rounds);

/* Whether plain was proven lately to be the secret; costs an HMAC. */
bool secret_is_proven(struct auth *auth, struct client *client, andiron_str plain);

/*
 * Whether plain is the secret of client, whose id is given. An unknown client (NULL), and one
 * without a secret, take as long as a wrong secret. Keeps client while it works; id and plain
 * must live with the request.
 */
enum andiron_step secret_prove(struct auth *auth, struct andiron_request *req, andiron_str id,
                               struct client *client, andiron_str plain, enum proof *ret_proof,
                               andiron_step_fn then, void *state);

#endif
