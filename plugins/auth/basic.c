/*
 * Basic authentication of Clients (seed-semantics AU-3).
 */
#include "basic.h"

#include <nettle/base64.h>

#include "client.h"
#include "guess.h"
#include "prove.h"

/* Nettle passes over blanks, which would give one secret many spellings. */
static bool is_base64(andiron_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
              c == '+' || c == '/' || c == '='))
            return false;
    }
    return text.len != 0;
}

int basic_read(struct andiron_arena *arena, andiron_str credentials, andiron_str *ret_id,
               andiron_str *ret_secret)
{
    struct base64_decode_ctx decode;
    size_t len = BASE64_DECODE_LENGTH(credentials.len);

    if (!is_base64(credentials))
        return -1;
    uint8_t *text = andiron_alloc(arena, len + 1);
    base64_decode_init(&decode);
    if (base64_decode_update(&decode, &len, text, credentials.len, credentials.data) != 1 ||
        base64_decode_final(&decode) != 1)
        return -1;
    const uint8_t *colon = memchr(text, ':', len);
    if (colon == NULL || memchr(text, '\0', len) != NULL)
        return -1;
    *ret_id = (andiron_str){ (const char *)text, (size_t)(colon - text) };
    *ret_secret = (andiron_str){ (const char *)colon + 1, len - ret_id->len - 1 };
    return 0;
}

struct basic {
    struct auth *auth;
    andiron_str id, secret;
    struct client *client;
    struct andiron_error error;
    enum proof proof;
};

/* Decoded, it was nowhere else. */
static void forget(struct basic *b)
{
    explicit_bzero((char *)(uintptr_t)b->secret.data, b->secret.len);
    b->secret = (andiron_str){ NULL, 0 };
}

/* AU-3: one answer, whatever was wrong. */
static enum andiron_step refuse(struct andiron_request *req)
{
    andiron_reply_header(req, "WWW-Authenticate", ANDIRON_STR("Basic realm=\"andiron\""));
    return andiron_fail(req, ANDIRON_E_CREDENTIALS, "Unauthorized");
}

/* AU-9: the same for right and wrong secrets, known and unknown clients. */
static enum andiron_step slow_down(struct andiron_request *req, struct auth *auth, int64_t seconds)
{
    guess_refuse(req, auth, seconds);
    return andiron_fail(req, ANDIRON_E_THROTTLED,
                        "too many failed authentications; try again in %lld s", (long long)seconds);
}

static bool may_use_basic(const struct client *client)
{
    return client != NULL && client->active && (client->grants & GRANT_BASIC) != 0;
}

static enum andiron_step proven(struct andiron_request *req, void *state)
{
    struct basic *b = state;

    if (b->proof == PROOF_BUSY)
        return andiron_fail(req, ANDIRON_E_UNAVAILABLE,
                            "too many secrets are being checked; try again in a moment");
    bool may = b->proof == PROOF_RIGHT && may_use_basic(b->client);
    int64_t seconds = may ? guess_wait(req, b->auth, b->id) : guess_failed(req, b->auth, b->id);
    if (seconds != 0)
        return slow_down(req, b->auth, seconds);
    if (!may)
        return refuse(req);
    andiron_request_set_principal(req, &b->client->principal);
    return ANDIRON_NEXT;
}

static enum andiron_step found(struct andiron_request *req, void *state)
{
    struct basic *b = state;

    if (b->error.code != ANDIRON_OK)
        return andiron_fail_with(req, &b->error);
    return secret_prove(b->auth, req, b->id, b->client, b->secret, &b->proof, proven, b);
}

enum andiron_step auth_basic(struct andiron_request *req, struct auth *auth,
                             andiron_str credentials)
{
    struct basic *b = andiron_new(andiron_request_arena(req), struct basic);

    b->auth = auth;
    bool is_read = basic_read(andiron_request_arena(req), credentials, &b->id, &b->secret) == 0;
    int64_t seconds = is_read ? guess_wait(req, auth, b->id) : 0;
    struct client *client = is_read && seconds == 0 ? client_cached(auth, req, b->id) : NULL;
    if (may_use_basic(client) && secret_is_proven(auth, client, b->secret)) {
        forget(b);
        client_keep(client, req);
        andiron_request_set_principal(req, &client->principal);
        return ANDIRON_NEXT;
    }
    andiron_arena_wipe(andiron_request_arena(req)); /* what follows makes copies */
    if (!is_read)
        return refuse(req);
    if (seconds != 0)
        return slow_down(req, auth, seconds);
    return client_find(auth, req, b->id, &b->client, &b->error, found, b);
}
