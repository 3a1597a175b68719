/*
 * Ends of tokens: POST /auth/revoke (RFC 7009, seed-semantics RV-1) and DELETE /Session (RV-2).
 *
 * A token ends with its Session. DELETE /Session/<id>, for administrators, is fhir's: types.c
 * puts it into force.
 */
#include "bearer.h"
#include "caller.h"
#include "lookup.h"
#include "oauth.h"
#include "session.h"

/* ---- POST /auth/revoke --------------------------------------------------------------------- */

struct revocation {
    struct caller caller;
    struct lookup found;
    struct andiron_error error;
};

static enum andiron_step reply_revoked(struct andiron_request *req, struct revocation *r)
{
    oauth_count(req, r->caller.auth, NULL);
    return andiron_reply(req, 200, NULL, ANDIRON_STR(""));
}

static enum andiron_step ended(struct andiron_request *req, void *state)
{
    struct revocation *r = state;

    if (r->error.code != ANDIRON_OK)
        return oauth_fail_with(req, r->caller.auth, &r->error);
    andiron_request_log(req, ANDIRON_LOG_INFO, "auth.token.revoked", "Session/%.*s",
                        (int)r->found.session_id.len, r->found.session_id.data);
    return reply_revoked(req, r);
}

/* Unknown tokens and those of others get the same answer: there is nothing to be learnt here. */
static enum andiron_step looked_up(struct andiron_request *req, void *state)
{
    struct revocation *r = state;

    if (r->found.result == LOOKUP_FAILED)
        return oauth_fail_with(req, r->caller.auth, &r->found.error);
    if (r->found.result != LOOKUP_HOLDS ||
        !andiron_str_eq(r->found.client_id, r->caller.client->id))
        return reply_revoked(req, r);
    return session_end(r->caller.auth, req, &r->found.row, &r->error, ended, r);
}

static enum andiron_step look_up(struct andiron_request *req, void *state)
{
    struct revocation *r = state;
    return lookup_token(r->caller.auth, req, r->caller.params.token, &r->found, looked_up, r);
}

static enum andiron_step proven(struct andiron_request *req, void *state)
{
    struct revocation *r = state;
    return caller_claim(req, &r->caller, look_up, r);
}

enum andiron_step auth_revoke(struct andiron_request *req, void *self)
{
    struct revocation *r = andiron_new(andiron_request_arena(req), struct revocation);

    if (!caller_read(req, self, PARAMS_OF_TOKEN, &r->caller))
        return ANDIRON_DONE;
    if (r->caller.params.token.data == NULL)
        return oauth_fail(req, self, "invalid_request", "token is missing");
    return caller_prove(req, &r->caller, proven, r);
}

/* ---- DELETE /Session ----------------------------------------------------------------------- */

struct leaving {
    struct auth *auth;
    struct andiron_ref ref;
    struct andiron_rows rows;
    struct andiron_error error;
};

static enum andiron_step left(struct andiron_request *req, void *state)
{
    struct leaving *l = state;

    if (l->error.code != ANDIRON_OK)
        return andiron_fail_with(req, &l->error);
    return andiron_reply(req, 204, NULL, (andiron_str){ NULL, 0 });
}

static enum andiron_step own_read(struct andiron_request *req, void *state)
{
    struct leaving *l = state;

    if (l->rows.error.code != ANDIRON_OK)
        return andiron_fail_with(req, &l->rows.error);
    if (l->rows.count != 1)
        return left(req, l); /* it has been forgotten meanwhile */
    return session_end(l->auth, req, &l->rows.rows[0], &l->error, left, l);
}

static enum andiron_step end_own(struct andiron_request *req, void *state)
{
    struct leaving *l = state;
    const struct andiron_store *store = l->auth->store.table;
    andiron_json session = andiron_request_principal(req)->session;

    if (andiron_json_type(session) == ANDIRON_JSON_MISSING) /* of another issuer */
        return bearer_refuse(req, ANDIRON_E_CREDENTIALS, "the token has no session here");
    l->ref = (struct andiron_ref){ .type = ANDIRON_STR("Session"),
                                   .id = andiron_json_str(andiron_json_get(session, "id")) };
    l->rows = (struct andiron_rows){ .total = -1 };
    return store->read(l->auth->store.self, req, &l->ref, 1, &l->rows, own_read, l);
}

enum andiron_step auth_end_session(struct andiron_request *req, void *self)
{
    struct leaving *l = andiron_new(andiron_request_arena(req), struct leaving);
    andiron_str token;

    l->auth = self;
    if (auth_scheme(andiron_request_header(req, "authorization"), &token) != AUTH_BEARER)
        return andiron_fail(req, ANDIRON_E_UNAUTHENTICATED,
                            "needs the Bearer token whose session is to end");
    return bearer_prove(req, self, token, end_own, l);
}
