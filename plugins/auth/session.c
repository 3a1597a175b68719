/*
 * Making and ending Sessions, straight through the store: the token endpoint is their only
 * author, so they pass no FHIR validation.
 */
#include "session.h"

#include <stdlib.h>

#include <gnutls/crypto.h>
#include <nettle/sha2.h>

#include "client.h"
#include "common/jose/base64url.h"

enum {
    BODY_MAX = 1024 * 1024 /* far more than a grant and an audience */,
    END_PAGE = 100,
    END_DEADLINE_MS = 60000
};

void session_new_id(char out[SESSION_ID])
{
    static const char hex[] = "0123456789abcdef";
    uint8_t id[16];
    size_t at = 0;
    uint64_t ms = (uint64_t)(andiron_now() / 1000);

    /* Time first: new ids lie beside each other in the store's index, not all over it. */
    for (size_t i = 0; i < 6; i++)
        id[i] = (uint8_t)(ms >> (40 - 8 * i));
    if (gnutls_rnd(GNUTLS_RND_RANDOM, id + 6, sizeof(id) - 6) != 0)
        abort(); /* without random numbers no token may be made */
    id[6] = (uint8_t)((id[6] & 0x0f) | 0x70);
    id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
    for (size_t i = 0; i < sizeof(id); i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            out[at++] = '-';
        out[at++] = hex[id[i] >> 4];
        out[at++] = hex[id[i] & 15];
    }
}

/* ---- opaque tokens ------------------------------------------------------------------------- */

enum { TOKEN_RANDOM = 26, TOKEN_MARK = 6, TOKEN_TEXT = 43 };

static void mark_token(const uint8_t random[TOKEN_RANDOM], andiron_str issuer,
                       uint8_t ret[TOKEN_MARK])
{
    static const char what[] = "opaque access token of ";
    struct sha256_ctx hash;

    sha256_init(&hash);
    sha256_update(&hash, sizeof(what) - 1, (const uint8_t *)what);
    sha256_update(&hash, issuer.len, (const uint8_t *)issuer.data);
    sha256_update(&hash, TOKEN_RANDOM, random);
    sha256_digest(&hash, TOKEN_MARK, ret);
}

andiron_str session_token_new(struct andiron_arena *arena, andiron_str issuer)
{
    uint8_t bytes[TOKEN_RANDOM + TOKEN_MARK];

    if (gnutls_rnd(GNUTLS_RND_KEY, bytes, TOKEN_RANDOM) != 0)
        abort(); /* without random numbers no token may be made */
    mark_token(bytes, issuer, bytes + TOKEN_RANDOM);
    return jose_base64url_text(arena, bytes, sizeof(bytes));
}

bool session_token_is_ours(andiron_str token, andiron_str issuer)
{
    uint8_t bytes[TOKEN_RANDOM + TOKEN_MARK], mark[TOKEN_MARK];
    size_t len;

    if (token.len != TOKEN_TEXT || jose_base64url_decode(token, bytes, &len) != 0)
        return false;
    mark_token(bytes, issuer, mark);
    return memcmp(bytes + TOKEN_RANDOM, mark, TOKEN_MARK) == 0; /* no secret */
}

andiron_str session_token_hash(struct andiron_arena *arena, andiron_str token)
{
    struct sha256_ctx hash;
    uint8_t digest[SHA256_DIGEST_SIZE];

    sha256_init(&hash);
    sha256_update(&hash, token.len, (const uint8_t *)token.data);
    sha256_digest(&hash, sizeof(digest), digest);
    return jose_base64url_text(arena, digest, sizeof(digest));
}

struct andiron_term session_token_term(andiron_str token_hash)
{
    return (struct andiron_term){ .param = "_access-token",
                                  .kind = ANDIRON_TERM_TOKEN,
                                  .system = ANDIRON_STR("andiron"),
                                  .text = ANDIRON_STR("access_token"),
                                  .exact = token_hash };
}

#define TEXT(literal)                                                                              \
    {                                                                                              \
        (literal), sizeof(literal) - 1                                                             \
    }

/* ---- writing ------------------------------------------------------------------------------ */

/* A body is its members before and behind meta, which only the store can fill. */
struct stamping {
    andiron_str before, behind; /* `{...` without its end; `,...}` */
    andiron_str created_at;     /* absent: this is the first version */
};

static andiron_str instant(struct andiron_arena *arena, andiron_usec at)
{
    char *text = andiron_alloc(arena, ANDIRON_INSTANT_LEN);
    andiron_instant(at, text);
    return (andiron_str){ text, ANDIRON_INSTANT_LEN };
}

static char *put(char *out, andiron_str text)
{
    memcpy(out, text.data, text.len);
    return out + text.len;
}

/* On the writer's thread, once for each token: no printf. */
static void stamp(void *state, struct andiron_arena *arena, struct andiron_write *write)
{
    static const andiron_str version = TEXT(",\"meta\":{\"versionId\":\""),
                             update = TEXT("\",\"lastUpdated\":\""),
                             creation = TEXT("\",\"createdAt\":\""), end = TEXT("\"}");
    const struct stamping *s = state;
    andiron_str updated = instant(arena, write->updated);
    andiron_str created = s->created_at.data != NULL ? s->created_at : updated;
    char digits[24];
    size_t digit = sizeof(digits);
    uint64_t number = write->ref.version;

    do
        digits[--digit] = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    char *text = andiron_alloc(arena, s->before.len + version.len + sizeof(digits) + update.len +
                                          updated.len + creation.len + created.len + end.len +
                                          s->behind.len);
    char *at = put(put(text, s->before), version);
    at = put(at, (andiron_str){ digits + digit, sizeof(digits) - digit });
    at = put(put(put(put(at, update), updated), creation), created);
    at = put(put(at, end), s->behind);
    write->body = (andiron_str){ text, (size_t)(at - text) };
}

static andiron_str head_of(struct andiron_arena *arena, andiron_str id)
{
    /* An id is of FHIR's alphabet: nothing to escape. */
    return andiron_str_of(andiron_printf(arena, "{\"resourceType\":\"Session\",\"id\":\"%.*s\"",
                                         (int)id.len, id.data));
}

/* `,...}` from an object: what stands behind meta. */
static andiron_str tail_of(andiron_str object)
{
    char *text = (char *)(uintptr_t)object.data; /* the writer's, in our arena */
    text[0] = ',';
    return object;
}

static andiron_str new_tail(struct andiron_arena *arena, const struct session *s)
{
    struct andiron_json_writer *w = andiron_json_write(arena, BODY_MAX);

    andiron_json_put_object(w, NULL);
    andiron_json_put_str(w, "type", ANDIRON_STR("client_credentials"));
    andiron_json_put_object(w, "client");
    andiron_json_put_str(w, "resourceType", ANDIRON_STR("Client"));
    andiron_json_put_str(w, "id", s->client);
    andiron_json_put_end(w);
    if (s->incarnation.len != 0)
        andiron_json_put_str(w, CLIENT_INCARNATION, s->incarnation);
    if (s->scope_json.data != NULL)
        andiron_json_put_raw(w, "scope", s->scope_json);
    andiron_json_put_str(w, "iss", s->issuer);
    andiron_json_put_raw(w, "audience", s->audience_json);
    andiron_json_put_str(w, "start", instant(arena, s->start));
    andiron_json_put_str(w, "exp", instant(arena, s->end));
    andiron_json_put_bool(w, "active", true);
    if (s->token_hash.data != NULL)
        andiron_json_put_str(w, "access_token", s->token_hash);
    andiron_json_put_end(w);
    return tail_of(andiron_json_written(w));
}

/*
 * Terms of the search parameters client and active, as fhir would make them, and ours for an
 * opaque token (absent: none).
 */
static const struct andiron_term *terms_of(struct andiron_arena *arena, andiron_str client,
                                           bool active, andiron_str token_hash, size_t *ret_count)
{
    static const andiron_str booleans =
        TEXT("http://terminology.hl7.org/CodeSystem/special-values");
    struct andiron_term *terms = andiron_alloc(arena, SESSION_TERMS * sizeof(*terms));
    size_t count = 0;

    terms[count++] = (struct andiron_term){ .param = "client",
                                            .kind = ANDIRON_TERM_REFERENCE,
                                            .system = ANDIRON_STR("Client"),
                                            .text = client };
    terms[count++] = (struct andiron_term){ .param = "client", .kind = ANDIRON_TERM_PRESENT };
    terms[count++] =
        (struct andiron_term){ .param = "active",
                               .kind = ANDIRON_TERM_TOKEN,
                               .system = booleans,
                               .text = active ? ANDIRON_STR("true") : ANDIRON_STR("false") };
    terms[count++] = (struct andiron_term){ .param = "active", .kind = ANDIRON_TERM_PRESENT };
    if (token_hash.data != NULL)
        terms[count++] = session_token_term(token_hash);
    *ret_count = count;
    return terms;
}

void session_write(struct andiron_arena *arena, const struct session *session,
                   struct andiron_write *ret)
{
    struct stamping *s = andiron_new(arena, struct stamping);

    s->before = head_of(arena, session->id);
    s->behind = new_tail(arena, session);
    *ret = (struct andiron_write){ .ref = { .type = ANDIRON_STR("Session"), .id = session->id },
                                   .if_absent = true,
                                   .stamp = stamp,
                                   .stamp_state = s };
    ret->terms = terms_of(arena, session->client, true, session->token_hash, &ret->term_count);
}

/* ---- ending ------------------------------------------------------------------------------- */

bool session_end_write(struct andiron_arena *arena, const struct andiron_row *row,
                       struct andiron_write *ret)
{
    andiron_json session;
    andiron_str client;
    struct andiron_json_writer *w = andiron_json_write(arena, BODY_MAX);
    struct stamping *s = andiron_new(arena, struct stamping);

    if (row->deleted || andiron_json_parse(arena, row->body, &session, NULL) != 0 ||
        !andiron_json_true(andiron_json_get(session, "active")))
        return false;
    client = andiron_json_str(andiron_json_path(session, "client.id"));
    struct andiron_json_iter it = { .of = session };
    andiron_json_put_object(w, NULL);
    while (andiron_json_next(&it))
        if (!andiron_str_eq(it.name, ANDIRON_STR("resourceType")) &&
            !andiron_str_eq(it.name, ANDIRON_STR("id")) &&
            !andiron_str_eq(it.name, ANDIRON_STR("meta")) &&
            !andiron_str_eq(it.name, ANDIRON_STR("active")) &&
            !andiron_str_eq(it.name, ANDIRON_STR("access_token")))
            andiron_json_put_member(w, it.name, it.value);
    andiron_json_put_bool(w, "active", false);
    andiron_json_put_end(w);
    s->before = head_of(arena, row->ref.id);
    s->behind = tail_of(andiron_json_written(w));
    s->created_at = andiron_json_str(andiron_json_path(session, "meta.createdAt"));
    *ret = (struct andiron_write){ .ref = { .type = ANDIRON_STR("Session"), .id = row->ref.id },
                                   .stamp = stamp,
                                   .stamp_state = s };
    ret->terms = terms_of(arena, client, false, (andiron_str){ NULL, 0 }, &ret->term_count);
    return true;
}

struct ending_one {
    struct auth *auth;
    struct andiron_write write;
    struct andiron_commit commit;
    struct andiron_error *ret_error;
    andiron_step_fn then;
    void *state;
};

static enum andiron_step one_ended(struct andiron_request *req, void *state)
{
    struct ending_one *e = state;
    *e->ret_error = e->commit.error;
    if (e->commit.error.code == ANDIRON_OK)
        atomic_fetch_add(auth_session_epoch(e->auth, e->write.ref.id), 1);
    return e->then(req, e->state);
}

enum andiron_step session_end(struct auth *auth, struct andiron_request *req,
                              const struct andiron_row *row, struct andiron_error *ret_error,
                              andiron_step_fn then, void *state)
{
    const struct andiron_store *store = auth->store.table;
    struct ending_one *e = andiron_new(andiron_request_arena(req), struct ending_one);

    *ret_error = (struct andiron_error){ .code = ANDIRON_OK };
    if (!session_end_write(andiron_request_arena(req), row, &e->write))
        return then(req, state);
    e->auth = auth;
    e->ret_error = ret_error;
    e->then = then;
    e->state = state;
    e->commit = (struct andiron_commit){ .writes = &e->write, .count = 1 };
    return store->commit(auth->store.self, req, &e->commit, one_ended, e);
}

struct ending {
    struct auth *auth;
    andiron_str client;
    struct andiron_filter filter;
    struct andiron_query query;
    struct andiron_rows rows;
    struct andiron_commit commit;
    struct andiron_write writes[END_PAGE];
};

static enum andiron_step end_page(struct andiron_request *req, struct ending *e);

static enum andiron_step end_failed(struct ending *e, const struct andiron_error *err)
{
    /* Its tokens are refused all the same while the Client is inactive or gone. */
    andiron_log(e->auth->host, ANDIRON_LOG_WARN, "auth.sessions.kept",
                "sessions of Client/%.*s cannot be ended: %s", (int)e->client.len, e->client.data,
                err->message);
    return ANDIRON_DONE;
}

static enum andiron_step page_ended(struct andiron_request *req, void *state)
{
    struct ending *e = state;

    if (e->commit.error.code != ANDIRON_OK)
        return end_failed(e, &e->commit.error);
    for (size_t i = 0; i < e->commit.count; i++)
        atomic_fetch_add(auth_session_epoch(e->auth, e->writes[i].ref.id), 1);
    if (e->rows.cursor.data == NULL)
        return ANDIRON_DONE;
    e->query.cursor = e->rows.cursor;
    return end_page(req, e);
}

static enum andiron_step page_read(struct andiron_request *req, void *state)
{
    struct ending *e = state;
    const struct andiron_store *store = e->auth->store.table;

    if (e->rows.error.code != ANDIRON_OK)
        return end_failed(e, &e->rows.error);
    e->commit = (struct andiron_commit){ .writes = e->writes };
    for (size_t i = 0; i < e->rows.count && e->commit.count < END_PAGE; i++)
        if (session_end_write(andiron_request_arena(req), &e->rows.rows[i],
                              &e->writes[e->commit.count]))
            e->commit.count++;
    if (e->commit.count == 0)
        return page_ended(req, e);
    return store->commit(e->auth->store.self, req, &e->commit, page_ended, e);
}

static enum andiron_step end_page(struct andiron_request *req, struct ending *e)
{
    const struct andiron_store *store = e->auth->store.table;
    e->rows = (struct andiron_rows){ .total = -1 };
    return store->search(e->auth->store.self, req, &e->query, &e->rows, page_read, e);
}

/* What a job begins with outlives the call that started it. */
struct end_order {
    struct auth *auth;
    size_t len;
    char client[];
};

static enum andiron_step end_begin(struct andiron_request *req, void *state)
{
    struct end_order *order = state;
    struct andiron_arena *arena = andiron_request_arena(req);
    struct ending *e = andiron_new(arena, struct ending);

    e->auth = order->auth;
    e->client = (andiron_str){ andiron_copy(arena, (andiron_str){ order->client, order->len }),
                               order->len };
    free(order);
    e->filter = (struct andiron_filter){ .op = ANDIRON_FILTER_TERM,
                                         .compare = ANDIRON_CMP_EQ,
                                         .term = { .param = "client",
                                                   .kind = ANDIRON_TERM_REFERENCE,
                                                   .system = ANDIRON_STR("Client"),
                                                   .text = e->client } };
    e->query = (struct andiron_query){ .type = "Session", .filter = &e->filter, .limit = END_PAGE };
    return end_page(req, e);
}

void session_end_all(struct auth *auth, struct andiron_loop *loop, andiron_str client)
{
    struct end_order *order = malloc(sizeof(*order) + client.len);
    if (order == NULL)
        abort(); /* as everywhere: out of memory ends the worker */
    order->auth = auth;
    order->len = client.len;
    memcpy(order->client, client.data, client.len);
    andiron_job_start(loop, "auth.sessions.end", END_DEADLINE_MS, end_begin, order);
}
