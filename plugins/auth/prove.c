/*
 * Secrets are hashed slowly, so Basic on every request would cost 10 ms each: a proven one is
 * remembered in its Client's snapshot, as a MAC under a key of this process, for `secret-cache`.
 * A change of the Client ends the snapshot and with it what was proven.
 *
 * Requests that bring the same secret for the same client while it is being hashed wait for that
 * one hash: else a client with many connections would be told to come again whenever what was
 * proven has run out. This holds for clients that do not exist as well, so that nobody can tell
 * the two apart.
 *
 * Of `max-hashing` one address may have a quarter (2 at least), so that nobody's guesses keep others waiting.
 */
#include "prove.h"

enum { SHARES = 4 };

static void mac_of(const struct auth *auth, andiron_str id, andiron_str plain,
                   uint8_t out[SHA256_DIGEST_SIZE])
{
    struct hmac_sha256_ctx mac = auth->mac;
    hmac_sha256_update(&mac, id.len, (const uint8_t *)id.data);
    hmac_sha256_update(&mac, 1, (const uint8_t *)"\0");
    hmac_sha256_update(&mac, plain.len, (const uint8_t *)plain.data);
    hmac_sha256_digest(&mac, SHA256_DIGEST_SIZE, out);
}

bool secret_is_proven(struct auth *auth, struct client *client, andiron_str plain)
{
    uint8_t mac[SHA256_DIGEST_SIZE];

    if (client->proven_until_ms <= auth_clock())
        return false;
    mac_of(auth, client->id, plain, mac);
    return secret_same(mac, client->proven, sizeof(mac));
}

void secret_rounds_seen(struct auth *auth, unsigned rounds)
{
    unsigned most = atomic_load(&auth->rounds);
    while (rounds > most && !atomic_compare_exchange_weak(&auth->rounds, &most, rounds))
        ;
}

struct proving {
    struct proving *next;   /* in auth->hashing */
    struct proving *joined; /* those that wait for the same, then the next of them */
    struct andiron_request *req;
    struct auth *auth;
    struct client *client; /* NULL: unknown */
    struct secret secret;
    andiron_str plain;
    uint8_t mac[SHA256_DIGEST_SIZE]; /* of id and plain */
    char address[AUTH_ADDRESS];
    bool is_right;
    enum proof *ret_proof;
    andiron_step_fn then;
    void *state;
};

/* On the pool. The requests that joined are woken from here: the first may be gone by then. */
static void hash_now(void *state)
{
    struct proving *p = state, **link = &p->auth->hashing, *joined;

    p->is_right = secret_is(&p->secret, p->plain);
    /* Secrets stored under fewer rounds than others would tell by the time that they exist. */
    secret_spend(p->plain, p->secret.rounds, atomic_load(&p->auth->rounds));
    (void)pthread_mutex_lock(&p->auth->hashing_lock);
    while (*link != p)
        link = &(*link)->next;
    *link = p->next;
    joined = p->joined;
    (void)pthread_mutex_unlock(&p->auth->hashing_lock);
    while (joined != NULL) {
        struct proving *next = joined->joined; /* it may go on, and end, at once */
        joined->is_right = p->is_right;
        andiron_resume(joined->req);
        joined = next;
    }
}

static enum andiron_step hashed(struct andiron_request *req, void *state)
{
    struct proving *p = state;

    *p->ret_proof = p->is_right && p->client != NULL ? PROOF_RIGHT : PROOF_WRONG;
    if (*p->ret_proof == PROOF_RIGHT && p->auth->config->secret_cache > 0) {
        memcpy(p->client->proven, p->mac, sizeof(p->mac));
        p->client->proven_until_ms = auth_clock() + p->auth->config->secret_cache;
    }
    return p->then(req, p->state);
}

/* The same client, as it is now, and the same words for its secret. */
static bool is_same(const struct proving *a, const struct proving *b)
{
    return secret_same(a->mac, b->mac, sizeof(a->mac)) && a->secret.rounds == b->secret.rounds &&
           memcmp(a->secret.salt, b->secret.salt, sizeof(a->secret.salt)) == 0 &&
           memcmp(a->secret.hash, b->secret.hash, sizeof(a->secret.hash)) == 0;
}

/* Joins what is being hashed, begins to, or is told that too many are. */
static enum andiron_step hash_or_join(struct proving *p)
{
    struct auth *auth = p->auth;
    struct proving *other;
    int64_t count = 0, own = 0, most = auth->config->max_hashing,
            share = most / SHARES > 2 ? most / SHARES : 2;

    (void)pthread_mutex_lock(&auth->hashing_lock);
    for (other = auth->hashing; other != NULL && !is_same(other, p); other = other->next) {
        count++;
        own += strcmp(other->address, p->address) == 0;
    }
    bool may = count < most && own < share;
    if (other != NULL) {
        (void)andiron_wait(p->req, hashed, p); /* before anybody can wake it */
        p->joined = other->joined;
        other->joined = p;
    } else if (may) {
        p->next = auth->hashing;
        auth->hashing = p;
    }
    (void)pthread_mutex_unlock(&auth->hashing_lock);
    if (other != NULL)
        return ANDIRON_AGAIN;
    if (may)
        return andiron_offload(p->req, hash_now, hashed, p);
    *p->ret_proof = PROOF_BUSY;
    return andiron_ready(p->req, p->then, p->state);
}

enum andiron_step secret_prove(struct auth *auth, struct andiron_request *req, andiron_str id,
                               struct client *client, andiron_str plain, enum proof *ret_proof,
                               andiron_step_fn then, void *state)
{
    struct proving *p = andiron_new(andiron_request_arena(req), struct proving);

    if (client != NULL && secret_is_proven(auth, client, plain)) {
        *ret_proof = PROOF_RIGHT;
        return andiron_ready(req, then, state);
    }
    *p = (struct proving){ .req = req,
                           .auth = auth,
                           .client = client != NULL && client->has_secret ? client : NULL,
                           .plain = plain,
                           .ret_proof = ret_proof,
                           .then = then,
                           .state = state };
    auth_address(req, p->address);
    mac_of(auth, id, plain, p->mac);
    if (p->client != NULL)
        p->secret = p->client->secret;
    else
        p->secret.rounds = (unsigned)auth->config->secret_rounds; /* a salt and hash of zeros */
    return hash_or_join(p);
}
