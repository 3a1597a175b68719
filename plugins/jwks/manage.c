/*
 * Listing, rotating and retiring keys, for operators: over the control socket, and rotation also
 * at POST /auth/keys/$rotate.
 *
 * A change is decided on a ring that has just been read. It writes the row of the newest key
 * again, bound to the version that was read, so that of two changes at a time one fails and is
 * tried again on what the other left.
 */
#include "rows.h"

enum { LIST_MAX = 64 * 1024, TRIES = 3, ROOM = 4 };

enum change { CHANGE_NONE, CHANGE_ROTATE, CHANGE_RETIRE, CHANGE_REVOKE };

struct managing {
    struct jwks *jwks;
    struct andiron_arena *arena;
    bool by_control; /* errors are for `andiron keys` */
    enum change change;
    bool now;        /* rotate: sign with it at once */
    andiron_str kid; /* retire, revoke */
    andiron_str pem; /* rotate: absent: make one */
    int tries;

    struct ring *ring;
    struct andiron_error error, reread; /* reread: of reading the store behind a commit */
    struct new_key key;
    bool has_key, is_stored;
    struct andiron_write writes[4];
    struct andiron_commit commit;
};

/* ---- answers ----------------------------------------------------------------------------- */

static andiron_str instant(struct andiron_arena *arena, andiron_usec at)
{
    char *text = andiron_alloc(arena, ANDIRON_INSTANT_LEN);
    andiron_instant(at, text);
    return (andiron_str){ text, ANDIRON_INSTANT_LEN };
}

static void put_key(struct andiron_json_writer *w, struct managing *m, const struct ring *ring,
                    const struct ring_key *key, andiron_usec now)
{
    static const char states[][8] = { "next", "active", "retired", "ended", "revoked" };

    andiron_json_put_object(w, NULL);
    andiron_json_put_str(w, "kid", key->kid);
    if (key->alg != NULL)
        andiron_json_put_str(w, "alg", andiron_str_of(key->alg->name));
    andiron_json_put_str(w, "state", andiron_str_of(states[ring_state(ring, key, now)]));
    andiron_json_put_str(w, "created", instant(m->arena, key->created));
    andiron_json_put_str(w, key->is_revoked ? "revoked" : "signsFrom",
                         instant(m->arena, key->signs_from));
    if (key->until != INT64_MAX)
        andiron_json_put_str(w, "until", instant(m->arena, key->until));
    andiron_json_put_bool(w, "private", key->signer != NULL);
    andiron_json_put_end(w);
}

static enum andiron_step answer_list(struct andiron_request *req, struct managing *m)
{
    struct andiron_json_writer *w = andiron_json_write(m->arena, LIST_MAX);
    struct ring *ring = keyring_hold(&m->jwks->ring);
    andiron_usec now = andiron_now();

    andiron_json_put_object(w, NULL);
    andiron_json_put_array(w, "keys");
    for (size_t i = 0; ring != NULL && i < ring->count; i++)
        if (ring->keys[i].for_tokens)
            put_key(w, m, ring, &ring->keys[i], now);
    andiron_json_put_end(w);
    andiron_json_put_end(w);
    andiron_str text = andiron_json_written(w);
    ring_drop(ring);
    return andiron_reply(req, 200, "application/json", text);
}

static enum andiron_step refuse(struct andiron_request *req, struct managing *m)
{
    if (!m->by_control)
        return andiron_fail_with(req, &m->error);
    struct andiron_json_writer *w = andiron_json_write(m->arena, LIST_MAX);
    andiron_json_put_object(w, NULL);
    andiron_json_put_str(w, "result", ANDIRON_STR("refused"));
    andiron_json_put_str(w, "reason", andiron_str_of(m->error.message));
    andiron_json_put_end(w);
    return andiron_reply(req, andiron_code_http(m->error.code), "application/json",
                         andiron_json_written(w));
}

/* ---- decisions, on the pool --------------------------------------------------------------- */

static int add_new_key(struct managing *m, andiron_usec signs_from)
{
    if (m->ring->count > KEYRING_MAX - ROOM)
        return andiron_error_set(&m->error, ANDIRON_E_CONFLICT, "",
                                 "%zu keys are still published; wait until the oldest has ended",
                                 m->ring->count);
    if (new_key_make(m->jwks, m->arena, m->ring, m->pem, &m->key, &m->error) != 0)
        return -1;
    m->key.signs_from = signs_from;
    m->has_key = true;
    m->writes[m->commit.count++] = row_of_new(m->jwks, m->arena, &m->key);
    return 0;
}

static void change_row(struct managing *m, const struct ring_key *key, andiron_usec signs_from,
                       bool is_revoked)
{
    m->writes[m->commit.count++] = row_changed(m->arena, key, signs_from, is_revoked);
}

/* A key that signs at once must come behind all others. */
static andiron_usec turn_behind(const struct ring_key *newest, andiron_usec at)
{
    return newest != NULL && newest->signs_from >= at ? newest->signs_from + 1 : at;
}

/* What is published before it signs: as long as others may keep our key set, and nodes agree. */
static andiron_usec publishing(const struct jwks *jwks)
{
    return (jwks->config->max_age + KEYRING_AGREED_S * 1000) * 1000;
}

static int rotate(struct managing *m)
{
    const struct ring_key *newest = ring_newest(m->ring);
    andiron_usec now = andiron_now();
    bool is_pending = newest != NULL && newest->signs_from > now;

    if (is_pending && m->now && m->pem.data == NULL) {
        change_row(m, newest, now, false);
        return 0;
    }
    if (is_pending)
        return andiron_error_set(&m->error, ANDIRON_E_CONFLICT, "",
                                 "key %.*s is the next one already and signs in %lld s",
                                 (int)newest->kid.len, newest->kid.data,
                                 (long long)((newest->signs_from - now) / 1000000 + 1));
    if (add_new_key(m, turn_behind(newest, m->now ? now : now + publishing(m->jwks))) != 0)
        return -1;
    if (newest != NULL)
        change_row(m, newest, newest->signs_from, false);
    return 0;
}

/* The key to be retired or revoked; NULL and m->error: there is none. */
static const struct ring_key *find_key(struct managing *m)
{
    const struct ring_key *key = ring_key_of(m->ring, m->kid);

    if (key == NULL || !key->for_tokens)
        (void)andiron_error_set(&m->error, ANDIRON_E_NOT_FOUND, "", "there is no key '%.*s'",
                                (int)(m->kid.len < 64 ? m->kid.len : 64), m->kid.data);
    return key != NULL && key->for_tokens ? key : NULL;
}

/* 0 also where nothing is to be done. */
static int retire(struct managing *m)
{
    const struct ring_key *key = find_key(m), *newest = ring_newest(m->ring);
    andiron_usec now = andiron_now();

    if (key == NULL)
        return -1;
    switch (ring_state(m->ring, key, now)) {
    case KEY_NEXT: /* has signed nothing */
        m->writes[m->commit.count++] = row_removed(key);
        return 0;
    case KEY_ACTIVE:
        if (newest == key)
            return andiron_error_set(&m->error, ANDIRON_E_UNPROCESSABLE, "",
                                     "it signs, and no other key is there to take over; rotate "
                                     "first, then it retires by itself");
        if (now < newest->created + publishing(m->jwks))
            return andiron_error_set(&m->error, ANDIRON_E_CONFLICT, "",
                                     "the next key has not been published for long enough; the "
                                     "active one retires by itself in %lld s",
                                     (long long)((newest->signs_from - now) / 1000000 + 1));
        change_row(m, newest, now, false);
        return 0;
    default:
        return 0;
    }
}

static int revoke(struct managing *m)
{
    const struct ring_key *key = find_key(m), *newest = ring_newest(m->ring);
    andiron_usec now = andiron_now();

    if (key == NULL)
        return -1;
    if (key->is_revoked)
        return 0;
    bool was_active = ring_state(m->ring, key, now) == KEY_ACTIVE;
    change_row(m, key, now, true);
    if (was_active && newest != key)
        change_row(m, newest, now, false);
    else if (was_active)
        return add_new_key(m, now);
    return 0;
}

static void decide(void *state)
{
    struct managing *m = state;
    int status = 0;

    m->error.code = ANDIRON_OK;
    m->commit = (struct andiron_commit){ .writes = m->writes };
    switch (m->change) {
    case CHANGE_ROTATE:
        status = rotate(m);
        break;
    case CHANGE_RETIRE:
        status = retire(m);
        break;
    case CHANGE_REVOKE:
        status = revoke(m);
        break;
    default:
        break;
    }
    if (status != 0)
        m->commit.count = 0;
}

/*
 * The file of a key goes only if the store was seen to lack the key behind the commit: what a
 * commit that failed did is not known, and another node may have stored the same key.
 */
static void clean_up(void *state)
{
    struct managing *m = state;
    struct ring *ring = keyring_hold(&m->jwks->ring);

    if (m->has_key)
        new_key_drop(m->jwks, &m->key,
                     m->is_stored || m->reread.code != ANDIRON_OK ||
                         (ring != NULL && ring_key_of(ring, m->key.kid) != NULL));
    m->has_key = false;
    ring_drop(ring);
}

/* ---- steps -------------------------------------------------------------------------------- */

static enum andiron_step read_keys(struct andiron_request *req, struct managing *m);

static enum andiron_step changed(struct andiron_request *req, void *state)
{
    struct managing *m = state;
    static const char *const events[] = { "", "keys.rotated", "keys.retired", "keys.revoked" };

    if (m->error.code != ANDIRON_OK)
        return refuse(req, m);
    andiron_str kid = m->kid.data != NULL ? m->kid : m->key.kid;
    if (m->commit.count != 0)
        andiron_request_log(req, ANDIRON_LOG_INFO, events[m->change], "key %.*s", (int)kid.len,
                            kid.data != NULL ? kid.data : "");
    return answer_list(req, m);
}

static enum andiron_step cleaned(struct andiron_request *req, void *state)
{
    struct managing *m = state;
    enum andiron_code code = m->commit.error.code;

    if ((code == ANDIRON_E_CONFLICT || code == ANDIRON_E_PRECONDITION) && ++m->tries < TRIES)
        return read_keys(req, m);
    if (code != ANDIRON_OK) {
        m->error = m->commit.error;
        return refuse(req, m);
    }
    if (m->change == CHANGE_REVOKE)
        jwks_tend(m->jwks); /* its file is to go */
    m->error = m->reread;
    return changed(req, m);
}

static enum andiron_step reread(struct andiron_request *req, void *state)
{
    return andiron_offload(req, clean_up, cleaned, state);
}

static enum andiron_step stored(struct andiron_request *req, void *state)
{
    struct managing *m = state;
    m->is_stored = m->commit.error.code == ANDIRON_OK;
    return jwks_reload(m->jwks, req, &m->reread, reread, m);
}

static enum andiron_step decided(struct andiron_request *req, void *state)
{
    struct managing *m = state;
    const struct andiron_store *store = m->jwks->store.table;

    if (m->error.code != ANDIRON_OK)
        return refuse(req, m);
    if (m->commit.count == 0)
        return answer_list(req, m);
    return store->commit(m->jwks->store.self, req, &m->commit, stored, m);
}

static enum andiron_step loaded(struct andiron_request *req, void *state)
{
    struct managing *m = state;

    if (m->error.code != ANDIRON_OK)
        return refuse(req, m);
    if (m->change == CHANGE_NONE)
        return answer_list(req, m);
    ring_drop(m->ring);
    m->ring = keyring_hold(&m->jwks->ring);
    return andiron_offload(req, decide, decided, m);
}

static enum andiron_step read_keys(struct andiron_request *req, struct managing *m)
{
    return jwks_reload(m->jwks, req, &m->error, loaded, m);
}

static void release(void *arg)
{
    struct managing *m = arg;
    ring_drop(m->ring);
    if (m->has_key)
        jose_private_free(m->key.key);
}

static enum andiron_step begin_now(struct andiron_request *req, void *state)
{
    struct managing *m = state;

    if (!atomic_load(&m->jwks->loaded)) {
        (void)andiron_error_set(&m->error, ANDIRON_E_UNAVAILABLE, "",
                                "the keys cannot be read from the store; try again in a moment");
        return refuse(req, m);
    }
    return read_keys(req, m);
}

static enum andiron_step begin(struct andiron_request *req, struct jwks *jwks, bool by_control,
                               enum change change, const struct managing *of)
{
    struct managing *m = andiron_new(andiron_request_arena(req), struct managing);

    *m = *of;
    m->jwks = jwks;
    m->arena = andiron_request_arena(req);
    m->by_control = by_control;
    m->change = change;
    andiron_at_release(m->arena, release, m);
    return jwks_when_loaded(jwks, req, begin_now, m);
}

/* Whether a parameter without a value is there; *ret_value gets that of one with a value. */
static bool has_param(struct andiron_request *req, const char *name, andiron_str *ret_value)
{
    andiron_str given, value;
    size_t pos = 0;

    while (andiron_request_param(req, &pos, &given, &value))
        if (andiron_str_eq(given, andiron_str_of(name))) {
            if (ret_value != NULL)
                *ret_value = value;
            return true;
        }
    return false;
}

enum andiron_step jwks_list_keys(struct andiron_request *req, void *self)
{
    return begin(req, self, true, CHANGE_NONE, &(struct managing){ .now = false });
}

enum andiron_step jwks_rotate_keys(struct andiron_request *req, void *self)
{
    return begin(req, self, false, CHANGE_ROTATE, &(struct managing){ .now = false });
}

enum andiron_step jwks_rotate_by_control(struct andiron_request *req, void *self)
{
    struct managing of = { .now = has_param(req, "now", NULL), .pem = andiron_request_body(req) };
    if (of.pem.len == 0)
        of.pem = (andiron_str){ NULL, 0 };
    return begin(req, self, true, CHANGE_ROTATE, &of);
}

enum andiron_step jwks_retire_key(struct andiron_request *req, void *self)
{
    struct managing of = { .kid = ANDIRON_STR("") };
    (void)has_param(req, "kid", &of.kid);
    return begin(req, self, true, has_param(req, "revoke", NULL) ? CHANGE_REVOKE : CHANGE_RETIRE,
                 &of);
}
