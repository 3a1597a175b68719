/*
 * Steps: verify the signature, or find the Session by the token's hash; read the Session; find
 * the Client.
 */
#include "lookup.h"

#include "client.h"
#include "common/fhir/dates.h"
#include "session.h"

enum { TOKEN_MAX = 16 * 1024 };

static enum andiron_step end(struct andiron_request *req, struct lookup *l,
                             enum lookup_result result)
{
    l->result = result;
    return l->then(req, l->state);
}

static enum andiron_step fail(struct andiron_request *req, struct lookup *l,
                              const struct andiron_error *err)
{
    l->error = *err;
    return end(req, l, LOOKUP_FAILED);
}

static bool has_expired(const struct lookup *l)
{
    return andiron_now() >= l->ends + l->auth->config->clock_skew * 1000;
}

/* ---- Session and Client ------------------------------------------------------------------- */

static enum andiron_step client_found(struct andiron_request *req, void *state)
{
    struct lookup *l = state;

    if (l->error.code != ANDIRON_OK)
        return end(req, l, LOOKUP_FAILED);
    /* AU-6; CL-7: also where nobody has ended the Session, or it was stored too late for that. */
    if (l->client == NULL || !l->client->active ||
        !andiron_str_eq(andiron_json_str(andiron_json_get(l->session, CLIENT_INCARNATION)),
                        l->client->incarnation))
        return end(req, l, LOOKUP_NO_CLIENT);
    return end(req, l, LOOKUP_HOLDS);
}

static andiron_usec instant_of(andiron_json v)
{
    struct fhir_date date;
    return fhir_date_parse(andiron_json_str(v), &date) == 0 ? date.low : 0;
}

/* Whether the stored Session is that of this token, and still runs. */
static bool session_holds(struct andiron_request *req, struct lookup *l)
{
    struct andiron_error err;
    andiron_str client;

    if (l->row.deleted || l->row.ref.id.len == 0 ||
        andiron_json_parse(andiron_request_arena(req), l->row.body, &l->session, &err) != 0 ||
        !andiron_json_true(andiron_json_get(l->session, "active")))
        return false;
    client = andiron_json_str(andiron_json_path(l->session, "client.id"));
    if (andiron_json_type(l->claims) == ANDIRON_JSON_MISSING) {
        l->client_id = client;
        l->ends = instant_of(andiron_json_get(l->session, "exp"));
    }
    return client.len != 0 && andiron_str_eq(client, l->client_id);
}

static enum andiron_step session_found(struct andiron_request *req, void *state)
{
    struct lookup *l = state;

    if (l->rows.error.code != ANDIRON_OK)
        return fail(req, l, &l->rows.error);
    if (l->rows.count != 1)
        return end(req, l, LOOKUP_UNKNOWN);
    l->row = l->rows.rows[0];
    if (!session_holds(req, l))
        return end(req, l, LOOKUP_ENDED);
    if (has_expired(l))
        return end(req, l, LOOKUP_EXPIRED);
    return client_find(l->auth, req, l->client_id, &l->client, &l->error, client_found, l);
}

static enum andiron_step read_session(struct andiron_request *req, struct lookup *l)
{
    const struct andiron_store *store = l->auth->store.table;

    l->session_epoch_now = auth_session_epoch(l->auth, l->session_id);
    l->session_epoch = atomic_load(l->session_epoch_now);
    l->ref = (struct andiron_ref){ .type = ANDIRON_STR("Session"), .id = l->session_id };
    l->rows = (struct andiron_rows){ .total = -1 };
    return store->read(l->auth->store.self, req, &l->ref, 1, &l->rows, session_found, l);
}

/* ---- JWT ---------------------------------------------------------------------------------- */

static enum andiron_step verified(struct andiron_request *req, void *state)
{
    struct lookup *l = state;

    if (l->error.code == ANDIRON_E_UNAVAILABLE)
        return end(req, l, LOOKUP_FAILED);
    if (l->error.code != ANDIRON_OK)
        return end(req, l, LOOKUP_UNKNOWN);
    andiron_str iss = andiron_json_str(andiron_json_get(l->claims, "iss"));
    int64_t exp = andiron_json_int(andiron_json_get(l->claims, "exp"), 0);
    l->session_id = andiron_json_str(andiron_json_get(l->claims, "jti"));
    l->client_id = andiron_json_str(andiron_json_get(l->claims, "client_id"));
    if (!andiron_str_eq(iss, andiron_request_base(req)) || l->session_id.len == 0 ||
        l->client_id.len == 0 || exp <= 0 || exp > INT64_MAX / 2000000)
        return end(req, l, LOOKUP_UNKNOWN);
    l->ends = exp * 1000000;
    if (has_expired(l))
        return end(req, l, LOOKUP_EXPIRED);
    return read_session(req, l);
}

/* ---- opaque ------------------------------------------------------------------------------- */

static enum andiron_step opaque_found(struct andiron_request *req, void *state)
{
    struct lookup *l = state;

    if (l->rows.error.code != ANDIRON_OK)
        return fail(req, l, &l->rows.error);
    if (l->rows.count != 1)
        return end(req, l, LOOKUP_UNKNOWN);
    /* Read again by id: only now is it known which epoch to note before reading. */
    l->session_id = l->rows.rows[0].ref.id;
    return read_session(req, l);
}

static enum andiron_step find_opaque(struct andiron_request *req, struct lookup *l)
{
    const struct andiron_store *store = l->auth->store.table;
    andiron_str hash = session_token_hash(andiron_request_arena(req), l->text);

    l->filter = (struct andiron_filter){ .op = ANDIRON_FILTER_TERM,
                                         .compare = ANDIRON_CMP_OF_TYPE,
                                         .term = session_token_term(hash) };
    l->query = (struct andiron_query){ .type = "Session", .filter = &l->filter, .limit = 2 };
    l->rows = (struct andiron_rows){ .total = -1 };
    return store->search(l->auth->store.self, req, &l->query, &l->rows, opaque_found, l);
}

/* ---- the way in --------------------------------------------------------------------------- */

bool lookup_is_jws(andiron_str text)
{
    size_t dots = 0;
    for (size_t i = 0; i < text.len; i++)
        dots += text.data[i] == '.';
    return dots == 2;
}

/* b64token of RFC 6750 section 2.1 */
bool lookup_is_token(andiron_str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] <= ' ' || text.data[i] > '~' || text.data[i] == '"')
            return false;
    return text.len != 0 && text.len <= TOKEN_MAX;
}

enum andiron_step lookup_token(struct auth *auth, struct andiron_request *req, andiron_str text,
                               struct lookup *l, andiron_step_fn then, void *state)
{
    const struct andiron_keys *keys = auth->keys.table;

    *l = (struct lookup){ .auth = auth, .text = text, .then = then, .state = state };
    if (!lookup_is_token(text))
        return end(req, l, LOOKUP_UNKNOWN);
    if (!lookup_is_jws(text))
        return find_opaque(req, l);
    return keys->verify(auth->keys.self, req, text, &l->claims, &l->error, verified, l);
}
