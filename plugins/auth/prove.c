/*
 * Secrets are hashed slowly, so Basic on every request would cost 10 ms each: a proven one is
 * remembered in its Client's snapshot, as a MAC under a key of this process, for `secret-cache`.
 * A change of the Client ends the snapshot and with it what was proven.
 */
#include "prove.h"

static void mac_of(const struct auth *auth, const struct client *client, andiron_str plain,
                   uint8_t out[SHA256_DIGEST_SIZE])
{
    struct hmac_sha256_ctx mac = auth->mac;
    hmac_sha256_update(&mac, client->id.len, (const uint8_t *)client->id.data);
    hmac_sha256_update(&mac, 1, (const uint8_t *)"\0");
    hmac_sha256_update(&mac, plain.len, (const uint8_t *)plain.data);
    hmac_sha256_digest(&mac, SHA256_DIGEST_SIZE, out);
}

bool secret_is_proven(struct auth *auth, struct client *client, andiron_str plain)
{
    uint8_t mac[SHA256_DIGEST_SIZE];

    if (client->proven_until_ms <= auth_clock())
        return false;
    mac_of(auth, client, plain, mac);
    return secret_same(mac, client->proven, sizeof(mac));
}

struct proving {
    struct auth *auth;
    struct client *client; /* NULL: unknown */
    struct secret secret;
    andiron_str plain;
    bool is_right;
    enum proof *ret_proof;
    andiron_step_fn then;
    void *state;
};

static void hash_now(void *state)
{
    struct proving *p = state;
    p->is_right = secret_is(&p->secret, p->plain);
    atomic_fetch_sub(&p->auth->hashing, 1);
}

static enum andiron_step hashed(struct andiron_request *req, void *state)
{
    struct proving *p = state;

    *p->ret_proof = p->is_right && p->client != NULL ? PROOF_RIGHT : PROOF_WRONG;
    if (*p->ret_proof == PROOF_RIGHT && p->auth->config->secret_cache > 0) {
        mac_of(p->auth, p->client, p->plain, p->client->proven);
        p->client->proven_until_ms = auth_clock() + p->auth->config->secret_cache;
    }
    return p->then(req, p->state);
}

enum andiron_step secret_prove(struct auth *auth, struct andiron_request *req,
                               struct client *client, andiron_str plain, enum proof *ret_proof,
                               andiron_step_fn then, void *state)
{
    struct proving *p = andiron_new(andiron_request_arena(req), struct proving);

    if (client != NULL && secret_is_proven(auth, client, plain)) {
        *ret_proof = PROOF_RIGHT;
        return andiron_ready(req, then, state);
    }
    *ret_proof = PROOF_BUSY;
    if (atomic_fetch_add(&auth->hashing, 1) >= (unsigned)auth->config->max_hashing) {
        atomic_fetch_sub(&auth->hashing, 1);
        return andiron_ready(req, then, state);
    }
    *p = (struct proving){ .auth = auth,
                           .client = client != NULL && client->has_secret ? client : NULL,
                           .plain = plain,
                           .ret_proof = ret_proof,
                           .then = then,
                           .state = state };
    if (p->client != NULL)
        p->secret = p->client->secret;
    else
        p->secret.rounds = (unsigned)auth->config->secret_rounds; /* a salt and hash of zeros */
    return andiron_offload(req, hash_now, hashed, p);
}
