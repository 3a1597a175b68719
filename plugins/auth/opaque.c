/*
 * Asking introspection endpoints, one request for each token at a time. All on one loop, so
 * without locks.
 */
#include "opaque.h"

#include <stdlib.h>

#include "answer.h"
#include "bearer.h"
#include "secret.h"
#include "tokens.h"

enum { REFUSED = 1024, /* slots; a later one takes its place */ MAC = 16, SHARES = 4 };

/* A token that somebody asks about; in that request's arena. */
struct lead {
    struct lead *next, **at;
    struct asker *waiting;
    uint8_t mac[MAC];
    char address[AUTH_ADDRESS];
    size_t issuer; /* the next to be asked */
    bool failed;   /* one gave no answer */
    struct andiron_outbound_post post;
    struct andiron_outbound_answer answer;
};

/* A request that waits for the one that asks. */
struct asker {
    struct asker *next;
    struct andiron_request *req;
    struct foreign *f;
};

struct opaque {
    struct lead *leads;
    struct {
        uint8_t mac[MAC];
        unsigned epoch; /* of the TokenIntrospectors */
        int64_t until_ms;
    } refused[REFUSED];
};

void opaque_free(struct opaque *opaque)
{
    if (opaque == NULL)
        return;
    for (struct lead *lead = opaque->leads; lead != NULL; lead = lead->next)
        lead->at = NULL; /* requests that a drain cut off */
    free(opaque);
}

static struct opaque *opaque_of(struct andiron_request *req, struct auth *auth)
{
    struct auth_loop *loop = auth_loop_of(auth, req);
    if (loop->opaque == NULL && (loop->opaque = calloc(1, sizeof(*loop->opaque))) == NULL)
        abort(); /* as everywhere: out of memory ends the worker */
    return loop->opaque;
}

static size_t slot_of(const uint8_t mac[MAC])
{
    return (mac[0] | (size_t)mac[1] << 8) % REFUSED;
}

/* ---- one asks, the others wait ----------------------------------------------------------- */

static void lead_end(void *arg)
{
    struct lead *lead = arg;
    struct asker *asker = lead->waiting;

    if (lead->at == NULL)
        return; /* ended already */
    *lead->at = lead->next;
    if (lead->next != NULL)
        lead->next->at = lead->at;
    lead->at = NULL;
    while (asker != NULL) {
        struct asker *next = asker->next;
        andiron_resume(asker->req);
        asker = next;
    }
}

static void lead_begin(struct andiron_request *req, struct opaque *opaque, struct lead *lead)
{
    lead->next = opaque->leads;
    if (lead->next != NULL)
        lead->next->at = &lead->next;
    lead->at = &opaque->leads;
    opaque->leads = lead;
    andiron_at_release(andiron_request_arena(req), lead_end, lead); /* however it ends */
}

void opaque_admitted(struct foreign *f)
{
    if (f->lead != NULL)
        lead_end(f->lead);
}

void opaque_refused(struct andiron_request *req, struct foreign *f)
{
    if (f->lead == NULL)
        return;
    struct opaque *opaque = opaque_of(req, f->auth);
    size_t slot = slot_of(f->lead->mac);
    memcpy(opaque->refused[slot].mac, f->lead->mac, MAC);
    opaque->refused[slot].epoch = f->epoch;
    opaque->refused[slot].until_ms = auth_clock() + f->auth->config->refused_tokens;
    lead_end(f->lead);
}

/* The one that asked is through: the token is in the cache, or was refused, or it is our turn. */
static enum andiron_step lead_ended(struct andiron_request *req, void *state)
{
    struct asker *asker = state;
    struct foreign *f = asker->f;
    struct token *token = token_find(auth_loop_of(f->auth, req)->tokens, f->text);

    if (token == NULL)
        return opaque_ask(req, f);
    token_use(token, req);
    return f->then(req, f->state);
}

/* ---- asking ------------------------------------------------------------------------------- */

/* RFC 6749 appendix B; a token is visible ASCII. */
static andiron_str body_of(struct andiron_arena *arena, andiron_str token)
{
    static const char before[] = "token=", after[] = "&token_type_hint=access_token",
                      hex[] = "0123456789ABCDEF";
    char *text = andiron_alloc(arena, sizeof(before) + 3 * token.len + sizeof(after)), *at = text;

    memcpy(at, before, sizeof(before) - 1);
    at += sizeof(before) - 1;
    for (size_t i = 0; i < token.len; i++) {
        unsigned char c = (unsigned char)token.data[i];
        if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
            c == '-' || c == '.' || c == '_') {
            *at++ = (char)c;
        } else {
            *at++ = '%';
            *at++ = hex[c >> 4];
            *at++ = hex[c & 15];
        }
    }
    memcpy(at, after, sizeof(after) - 1);
    at += sizeof(after) - 1;
    return (andiron_str){ text, (size_t)(at - text) };
}

static enum andiron_step ask_next(struct andiron_request *req, struct foreign *f);

/*
 * Whoever has an introspector of their own speaks for no other issuer: neither for us, nor for one
 * whose tokens are checked with its keys, unless that is the iss that the introspector is for.
 */
static bool may_speak_for(struct andiron_request *req, const struct foreign *f, andiron_json claims)
{
    andiron_json iss = andiron_json_get(claims, "iss");
    andiron_str name = andiron_json_str(iss);

    if (f->issuer->iss.len != 0)
        return andiron_str_eq(name, f->issuer->iss);
    return andiron_json_type(iss) == ANDIRON_JSON_MISSING ||
           (name.len != 0 && !andiron_str_eq(name, andiron_request_base(req)) &&
            !issuers_has(f->issuers, name));
}

static enum andiron_step answered(struct andiron_request *req, void *state)
{
    struct foreign *f = state;
    struct lead *lead = f->lead;
    andiron_json claims;

    if (lead->answer.error.code == ANDIRON_E_THROTTLED)
        return andiron_fail(req, ANDIRON_E_UNAVAILABLE,
                            "too many tokens are being asked about; try again in a moment");
    if (lead->answer.error.code != ANDIRON_OK) {
        lead->failed = true;
        return ask_next(req, f);
    }
    switch (answer_read(andiron_request_arena(req), lead->answer.body, &claims, &f->error)) {
    case ANSWER_ACTIVE:
        if (!may_speak_for(req, f, claims))
            return ask_next(req, f);
        f->jws.claims = claims;
        return foreign_claims(req, f);
    case ANSWER_INACTIVE:
        return ask_next(req, f);
    default:
        andiron_log(f->auth->host, ANDIRON_LOG_WARN, "auth.introspector.answer",
                    "TokenIntrospector/%.*s gave an answer that is none: %s",
                    (int)f->issuer->id.len, f->issuer->id.data, f->error.message);
        lead->failed = true;
        return ask_next(req, f);
    }
}

static enum andiron_step ask_next(struct andiron_request *req, struct foreign *f)
{
    struct lead *lead = f->lead;
    const struct andiron_outbound *outbound = f->auth->outbound.table;

    while (lead->issuer < f->issuers->count && f->issuers->list[lead->issuer].endpoint.data == NULL)
        lead->issuer++;
    if (lead->issuer == f->issuers->count)
        return foreign_refuse(req, f, ANDIRON_E_CREDENTIALS,
                              lead->failed ? "the token's issuer cannot be asked"
                                           : "the token is not valid here");
    f->issuer = &f->issuers->list[lead->issuer++];
    lead->post.url = f->issuer->endpoint;
    lead->post.authorization = f->issuer->authorization;
    return outbound->post(f->auth->outbound.self, req, &lead->post, &lead->answer, answered, f);
}

static bool is_refused(const struct opaque *opaque, const struct foreign *f, const uint8_t *mac)
{
    size_t slot = slot_of(mac);
    return opaque->refused[slot].until_ms > auth_clock() &&
           opaque->refused[slot].epoch == f->epoch &&
           secret_same(opaque->refused[slot].mac, mac, MAC);
}

/* Joins who asks about the same token, or NULL. Counts those that ask for this address. */
static struct lead *lead_of(struct opaque *opaque, const struct lead *mine, int64_t *ret_count,
                            int64_t *ret_own)
{
    for (struct lead *lead = opaque->leads; lead != NULL; lead = lead->next) {
        if (secret_same(lead->mac, mine->mac, MAC))
            return lead;
        ++*ret_count;
        *ret_own += strcmp(lead->address, mine->address) == 0;
    }
    return NULL;
}

static enum andiron_step wait_for(struct andiron_request *req, struct foreign *f, struct lead *lead)
{
    struct asker *asker = andiron_new(andiron_request_arena(req), struct asker);
    *asker = (struct asker){ .next = lead->waiting, .req = req, .f = f };
    lead->waiting = asker;
    return andiron_wait(req, lead_ended, asker);
}

static struct lead *lead_new(struct andiron_request *req, const struct foreign *f)
{
    struct andiron_arena *arena = andiron_request_arena(req);
    struct lead *lead = andiron_new(arena, struct lead);
    uint8_t digest[SHA256_DIGEST_SIZE];
    struct hmac_sha256_ctx mac = f->auth->mac;

    andiron_arena_wipe(arena); /* the token will be in what is posted */
    hmac_sha256_update(&mac, f->text.len, (const uint8_t *)f->text.data);
    hmac_sha256_digest(&mac, sizeof(digest), digest);
    *lead = (struct lead){ .post = { .size = sizeof(lead->post),
                                     .content_type = "application/x-www-form-urlencoded" } };
    memcpy(lead->mac, digest, MAC);
    auth_address(req, lead->address);
    return lead;
}

enum andiron_step opaque_ask(struct andiron_request *req, struct foreign *f)
{
    int64_t count = 0, own = 0, most = f->auth->config->max_introspections,
            share = most / SHARES > 2 ? most / SHARES : 2;

    f->lead = NULL;
    if (!issuers_has_endpoint(f->issuers) || f->auth->outbound.table == NULL)
        return foreign_refuse(req, f, ANDIRON_E_CREDENTIALS, "the token is not valid here");
    struct opaque *opaque = opaque_of(req, f->auth);
    struct lead *mine = lead_new(req, f);
    if (is_refused(opaque, f, mine->mac))
        return foreign_refuse(req, f, ANDIRON_E_CREDENTIALS, "the token is not valid here");
    struct lead *other = lead_of(opaque, mine, &count, &own);
    if (other != NULL)
        return wait_for(req, f, other);
    if (count >= most || own >= share)
        return andiron_fail(req, ANDIRON_E_UNAVAILABLE,
                            "too many tokens are being asked about; try again in a moment");
    mine->post.body = body_of(andiron_request_arena(req), f->text);
    f->lead = mine;
    lead_begin(req, opaque, mine);
    return ask_next(req, f);
}
