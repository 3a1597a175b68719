/*
 * andiron/outbound.h - asking other servers whose addresses somebody has registered.
 *
 * Service "outbound/1", provided by jwks. What is registered may be hostile, so every request is
 * guarded as the fetches of key sets are: https and public addresses only, unless `allow` of jwks
 * lists the origin; one look-up of the name, the connection goes to a checked address; no
 * redirects, no proxy, no content coding; `timeout`, `max-size` and `max-posts` of jwks hold.
 */
#ifndef ANDIRON_OUTBOUND_H
#define ANDIRON_OUTBOUND_H

#include <andiron/async.h>

#define ANDIRON_OUTBOUND "outbound/1"

/* Lives until `then` is called, as do the answer and its error. */
struct andiron_outbound_post {
    size_t size; /* sizeof(struct andiron_outbound_post) */
    andiron_str url;
    andiron_str authorization; /* value of that header; absent: none */
    const char *content_type;  /* of body */
    andiron_str body;
};

struct andiron_outbound_answer {
    andiron_str body;           /* of a 200, in the request's arena */
    struct andiron_error error; /* ANDIRON_E_THROTTLED: `max-posts` of ours; else no such answer */
};

struct andiron_outbound {
    size_t size;

    /* 0 if somebody may register this URL, else -1 and why. Any thread. */
    int (*allowed)(void *self, andiron_str url, struct andiron_error *err);

    /* Posts, asking for JSON. */
    enum andiron_step (*post)(void *self, struct andiron_request *req,
                              const struct andiron_outbound_post *post,
                              struct andiron_outbound_answer *ret, andiron_step_fn then,
                              void *state);
};

#endif
