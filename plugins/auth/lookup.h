/*
 * What an access token stands for: its signature or hash, its Session, its Client.
 *
 * For authentication, introspection and revocation alike. Nothing is cached here; see tokens.h.
 */
#ifndef AUTH_LOOKUP_H
#define AUTH_LOOKUP_H

#include "clients.h"

enum lookup_result {
    LOOKUP_HOLDS,
    LOOKUP_FAILED,   /* error says why it cannot be told */
    LOOKUP_UNKNOWN,  /* not ours, malformed, or its Session has never been or is forgotten */
    LOOKUP_EXPIRED,  /* past its end, with skew */
    LOOKUP_ENDED,    /* its Session was ended */
    LOOKUP_NO_CLIENT /* its Client is gone or not active, or has been since it was issued */
};

struct lookup {
    struct auth *auth;
    andiron_str text;
    enum lookup_result result;
    struct andiron_error error;
    andiron_json claims; /* MISSING for an opaque token */
    andiron_str session_id, client_id;
    andiron_usec ends;
    unsigned session_epoch; /* noted before reading */
    atomic_uint *session_epoch_now;
    struct andiron_row row; /* of the Session */
    andiron_json session;
    struct client *client; /* held until the request ends */

    struct andiron_ref ref;
    struct andiron_filter filter;
    struct andiron_query query;
    struct andiron_rows rows;
    andiron_step_fn then;
    void *state;
};

/* Fills *ret and goes on with `then`. text must live with the request. */
enum andiron_step lookup_token(struct auth *auth, struct andiron_request *req, andiron_str text,
                               struct lookup *ret, andiron_step_fn then, void *state);

/* Whether text may be a token at all (RFC 6750 section 2.1); whether it has three parts. */
bool lookup_is_token(andiron_str text);
bool lookup_is_jws(andiron_str text);

#endif
