/*
 * POST /auth/introspect: what a token stands for (RFC 7662, seed-semantics IN-1 to IN-3).
 *
 * Steps: who asks (a client by its own means, or a Bearer token), what the token is, whether it
 * is the asker's own or policies allow the operation Introspect. Whatever fails behind the
 * first step is {"active":false} and nothing more.
 */
#include "bearer.h"
#include "caller.h"
#include "common/fhir/dates.h"
#include "lookup.h"
#include "oauth.h"

struct introspection {
    struct caller caller;
    struct lookup found;
    struct andiron_request *question;
};

static enum andiron_step reply(struct andiron_request *req, struct introspection *i,
                               andiron_str body)
{
    oauth_count(req, i->caller.auth, NULL);
    return andiron_reply(req, 200, "application/json", body);
}

static enum andiron_step reply_inactive(struct andiron_request *req, struct introspection *i)
{
    return reply(req, i, ANDIRON_STR("{\"active\":false}"));
}

/* An array of strings as one, with blanks between. */
static void put_scope(struct andiron_json_writer *w, struct andiron_arena *arena, andiron_json list)
{
    size_t room = andiron_json_raw(list).len + 1, len = 0;
    char *text = andiron_alloc(arena, room);
    struct andiron_json_iter it = { .of = list };

    if (andiron_json_type(list) == ANDIRON_JSON_MISSING)
        return;
    while (andiron_json_next(&it)) {
        andiron_str scope = andiron_json_str(it.value);
        if (scope.len == 0)
            continue;
        if (len != 0)
            text[len++] = ' ';
        memcpy(text + len, scope.data, scope.len);
        len += scope.len;
    }
    andiron_json_put_str(w, "scope", (andiron_str){ text, len });
}

static void put_date(struct andiron_json_writer *w, const char *name, andiron_json instant)
{
    struct fhir_date date;
    if (fhir_date_parse(andiron_json_str(instant), &date) == 0)
        andiron_json_put_int(w, name, date.low / 1000000);
}

/* IN-2 */
static enum andiron_step reply_active(struct andiron_request *req, struct introspection *i)
{
    struct andiron_arena *arena = andiron_request_arena(req);
    struct andiron_json_writer *w = andiron_json_write(arena, 1024 * 1024);
    andiron_json session = i->found.session;

    andiron_json_put_object(w, NULL);
    andiron_json_put_bool(w, "active", true);
    put_scope(w, arena, andiron_json_get(session, "scope"));
    andiron_json_put_str(w, "client_id", i->found.client_id);
    andiron_json_put_str(w, "token_type", ANDIRON_STR("Bearer"));
    put_date(w, "exp", andiron_json_get(session, "exp"));
    put_date(w, "iat", andiron_json_get(session, "start"));
    andiron_json_put_str(w, "sub", i->found.client_id);
    andiron_json_put(w, "aud", andiron_json_get(session, "audience"));
    andiron_json_put(w, "iss", andiron_json_get(session, "iss"));
    andiron_json_put_str(w, "jti", i->found.session_id);
    andiron_json_put_end(w);
    andiron_str body = andiron_json_written(w);
    return body.data != NULL ? reply(req, i, body) : reply_inactive(req, i);
}

/* ---- may they know? ----------------------------------------------------------------------- */

static enum andiron_step judged(struct andiron_request *req, void *state)
{
    struct introspection *i = state;
    return andiron_reply_status(i->question) == 200 ? reply_active(req, i) : reply_inactive(req, i);
}

/* IN-3: others' tokens are shown only to whom a policy allows the operation. */
static enum andiron_step looked_up(struct andiron_request *req, void *state)
{
    struct introspection *i = state;
    const struct andiron_principal *principal = andiron_request_principal(req);
    const struct andiron_inner inner = { .size = sizeof(inner),
                                         .method = ANDIRON_STR("POST"),
                                         .target = ANDIRON_STR("/auth/introspect"),
                                         .check_only = true,
                                         .public_too = true };

    if (i->found.result == LOOKUP_FAILED)
        return oauth_fail_with(req, i->caller.auth, &i->found.error);
    if (i->found.result != LOOKUP_HOLDS)
        return reply_inactive(req, i);
    /* A User may have the id of a Client. */
    if (principal->kind == ANDIRON_CLIENT &&
        andiron_str_eq(i->found.client_id, andiron_str_of(principal->id)))
        return reply_active(req, i);
    return andiron_request_run(req, &inner, &i->question, judged, i);
}

static enum andiron_step look_up(struct andiron_request *req, void *state)
{
    struct introspection *i = state;
    return lookup_token(i->caller.auth, req, i->caller.params.token, &i->found, looked_up, i);
}

/* ---- who asks ----------------------------------------------------------------------------- */

static enum andiron_step client_proven(struct andiron_request *req, void *state)
{
    struct introspection *i = state;
    andiron_request_set_principal(req, &i->caller.client->principal);
    return caller_claim(req, &i->caller, look_up, i);
}

enum andiron_step auth_introspect(struct andiron_request *req, void *self)
{
    struct introspection *i = andiron_new(andiron_request_arena(req), struct introspection);
    const struct oauth_params *p = &i->caller.params;
    andiron_str bearer;

    if (!caller_read(req, self, PARAMS_OF_TOKEN, &i->caller))
        return ANDIRON_DONE;
    if (p->token.data == NULL)
        return oauth_fail(req, self, "invalid_request", "token is missing");
    if (auth_scheme(andiron_request_header(req, "authorization"), &bearer) != AUTH_BEARER)
        return caller_prove(req, &i->caller, client_proven, i);
    if (p->client_secret.data != NULL || p->client_assertion.data != NULL ||
        p->client_assertion_type.data != NULL)
        return oauth_fail(req, self, "invalid_request",
                          "only one way of client authentication may be used");
    return bearer_prove(req, self, bearer, look_up, i);
}
