/*
 * From the store's rows to a new ring.
 *
 * Reading is asked on the loop; importing keys, unsealing and looking for files is done on the
 * pool. One `reloading` for each call, in the request's arena.
 */
#include "jwks.h"
#include "seal.h"

struct reloading {
    struct jwks *jwks;
    struct andiron_arena *arena;
    uint64_t ticket;
    struct ring *old, *ring;
    struct andiron_query query;
    struct andiron_rows rows;
    struct andiron_error error; /* of making the ring */
    struct andiron_error *ret_error;
    andiron_step_fn then;
    void *state;
};

static void report(struct jwks *jwks, const struct ring_key *key, const struct andiron_error *err)
{
    andiron_log(jwks->host, ANDIRON_LOG_ERROR, "keys.private.unusable",
                "the private part of key %.*s cannot be used: %s%s%s", (int)key->kid.len,
                key->kid.data, err->where, err->where[0] != '\0' ? ": " : "", err->message);
}

/* A ring before has it, or a row, or a file; or nobody here. */
static struct signer *find_signer(struct reloading *r, const struct ring_key *key)
{
    struct jwks *jwks = r->jwks;
    const struct ring_key *before = r->old != NULL ? ring_key_of(r->old, key->kid) : NULL;
    struct jose_private *found = NULL;
    char file[KEYFILE_NAME] = "";
    struct andiron_error err;
    int status = 0;

    if (before != NULL && before->signer != NULL) {
        atomic_fetch_add_explicit(&before->signer->references, 1, memory_order_relaxed);
        return before->signer;
    }
    if (key->sealed.data != NULL && jwks->config->seal_key[0] != '\0')
        status = seal_open(r->arena, andiron_str_of(jwks->config->seal_key), key->kid, key->sealed,
                           &found, &err);
    if (found == NULL && status == 0)
        status = keyfile_find(jwks->folder, jwks->token_alg, key->kid, &found, file, &err);
    if (status != 0)
        report(jwks, key, &err);
    return found != NULL ? signer_new(found, file) : NULL;
}

/* A broken row is reported and left out. */
static void add_row(struct reloading *r, const struct andiron_row *row)
{
    struct andiron_error err;
    struct ring_key *key;
    andiron_json root;

    if (row->deleted)
        return;
    if (andiron_json_parse(r->arena, row->body, &root, &err) == 0 &&
        ring_add_row(r->ring, row->ref.id, row->ref.version, root, &key, &err) == 0) {
        if (!key->is_revoked)
            key->signer = find_signer(r, key);
        return;
    }
    andiron_log(r->jwks->host, ANDIRON_LOG_ERROR, "keys.broken",
                "the stored key %.*s cannot be used: %s", (int)row->ref.id.len, row->ref.id.data,
                err.message);
}

static void build(void *state)
{
    struct reloading *r = state;
    const struct keyfiles *files = &r->jwks->files;

    r->ring = ring_new();
    r->ring->ticket = r->ticket;
    r->error.code = ANDIRON_OK;
    for (size_t i = 0; i < r->rows.count; i++)
        add_row(r, &r->rows.rows[i]);
    for (size_t i = 0; i < files->count; i++)
        if (files->files[i].for_assertions &&
            ring_add_test_key(r->ring, &files->files[i], &r->error) != 0)
            break;
    if (r->error.code == ANDIRON_OK &&
        ring_finish(r->ring, atomic_load(&r->jwks->life), andiron_now(), &r->error) != 0)
        return; /* r->error says why */
}

static enum andiron_step built(struct andiron_request *req, void *state)
{
    struct reloading *r = state;
    struct ring *ring = r->ring, *before;

    r->ring = NULL;
    if (r->error.code != ANDIRON_OK) {
        ring_drop(ring);
        *r->ret_error = r->error;
        return r->then(req, r->state);
    }
    atomic_fetch_add(&ring->references, 1); /* for the comparison: another may replace it at once */
    keyring_replace(&r->jwks->ring, ring, &before);
    if (before != NULL && ring_trusts_less(ring, before, andiron_now()))
        jwks_tell_revoked(r->jwks);
    ring_drop(before);
    ring_drop(ring);
    return r->then(req, r->state);
}

static enum andiron_step listed(struct andiron_request *req, void *state)
{
    struct reloading *r = state;

    if (r->rows.error.code != ANDIRON_OK) {
        *r->ret_error = r->rows.error;
        return r->then(req, r->state);
    }
    return andiron_offload(req, build, built, r);
}

/* Also where the request ended before the ring was put in force. */
static void release(void *arg)
{
    struct reloading *r = arg;
    ring_drop(r->ring);
    ring_drop(r->old);
}

enum andiron_step jwks_reload(struct jwks *jwks, struct andiron_request *req,
                              struct andiron_error *ret_error, andiron_step_fn then, void *state)
{
    const struct andiron_store *store = jwks->store.table;
    struct andiron_arena *arena = andiron_request_arena(req);
    struct reloading *r = andiron_new(arena, struct reloading);

    *ret_error = (struct andiron_error){ .code = ANDIRON_OK };
    r->jwks = jwks;
    r->arena = arena;
    r->ticket = atomic_fetch_add(&jwks->tickets, 1);
    r->old = keyring_hold(&jwks->ring);
    r->ret_error = ret_error;
    r->then = then;
    r->state = state;
    andiron_at_release(arena, release, r);
    r->query = (struct andiron_query){ .type = "_Key", .limit = KEYRING_MAX };
    r->rows = (struct andiron_rows){ .total = -1 };
    return store->search(jwks->store.self, req, &r->query, &r->rows, listed, r);
}
