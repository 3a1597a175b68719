/*
 * Public keys through the store, so that every process over it verifies the same tokens.
 *
 * One resource of the internal type _Key for each key: {"resourceType":"_Key","id":KID,"alg",
 * "state","created","jwk"}. The job puts ours there if they are missing, then reads all of
 * them into a new ring. It runs at start and whenever the store tells of a change.
 */
#include <inttypes.h>

#include "jwks.h"

enum { JOB_DEADLINE_MS = 30000 };

enum publish_state { IDLE, RUNNING, RUN_AGAIN };

struct publishing {
    struct jwks *jwks;
    struct andiron_ref refs[KEYFILE_MAX];
    const struct keyfile *files[KEYFILE_MAX];
    struct andiron_write writes[KEYFILE_MAX];
    size_t count;
    struct andiron_rows rows;
    struct andiron_commit commit;
    struct andiron_query query;
};

/* Ends the job; a change that was told of meanwhile starts it anew. */
static enum andiron_step finish(struct jwks *jwks)
{
    if (atomic_exchange(&jwks->publishing, IDLE) == RUN_AGAIN)
        jwks_publish(jwks);
    return ANDIRON_DONE;
}

static enum andiron_step gave_up(struct publishing *p, const struct andiron_error *err)
{
    andiron_log(p->jwks->host, ANDIRON_LOG_WARN, "keys.publish.failed",
                "the public keys cannot be read from or put into the store: %s", err->message);
    return finish(p->jwks);
}

/* A row into the ring; a broken one is reported and left out. */
static void add_row(struct publishing *p, struct andiron_arena *arena, struct ring *ring,
                    const struct andiron_row *row)
{
    andiron_json root;
    struct andiron_error err;

    if (row->deleted)
        return;
    if (andiron_json_parse(arena, row->body, &root, &err) == 0) {
        if (andiron_str_eq(andiron_json_str(andiron_json_get(root, "state")),
                           ANDIRON_STR("revoked")))
            return;
        if (ring_add_jwk(ring, row->ref.id, andiron_json_str(andiron_json_get(root, "alg")),
                         andiron_json_raw(andiron_json_get(root, "jwk")), &err) == 0)
            return;
    }
    andiron_log(p->jwks->host, ANDIRON_LOG_ERROR, "keys.broken",
                "the stored key %.*s cannot be used: %s", (int)row->ref.id.len, row->ref.id.data,
                err.message);
}

static enum andiron_step listed(struct andiron_request *req, void *state)
{
    struct publishing *p = state;
    struct andiron_error err;

    if (p->rows.error.code != ANDIRON_OK)
        return gave_up(p, &p->rows.error);
    struct ring *ring = ring_new();
    for (size_t i = 0; i < p->jwks->files.count; i++)
        if (ring_add_file(ring, &p->jwks->files.files[i], &err) != 0) {
            ring_drop(ring);
            return gave_up(p, &err);
        }
    for (size_t i = 0; i < p->rows.count; i++)
        add_row(p, andiron_request_arena(req), ring, &p->rows.rows[i]);
    if (ring_finish(ring, &err) != 0) {
        ring_drop(ring);
        return gave_up(p, &err);
    }
    keyring_replace(&p->jwks->ring, ring);
    atomic_store(&p->jwks->published, true);
    return finish(p->jwks);
}

static enum andiron_step list_all(struct andiron_request *req, struct publishing *p)
{
    const struct andiron_store *store = p->jwks->store.table;
    p->query = (struct andiron_query){ .type = "_Key", .limit = KEYRING_MAX };
    p->rows = (struct andiron_rows){ .total = -1 };
    return store->search(p->jwks->store.self, req, &p->query, &p->rows, listed, p);
}

static enum andiron_step stored(struct andiron_request *req, void *state)
{
    struct publishing *p = state;
    /* A conflict means that another process has put the same key there first. */
    if (p->commit.error.code != ANDIRON_OK && p->commit.error.code != ANDIRON_E_CONFLICT &&
        p->commit.error.code != ANDIRON_E_PRECONDITION)
        return gave_up(p, &p->commit.error);
    return list_all(req, p);
}

static void stamp(void *state, struct andiron_arena *arena, struct andiron_write *write)
{
    (void)arena;
    write->body = *(const andiron_str *)state;
}

static andiron_str body_of(struct andiron_arena *arena, const struct keyfile *file,
                           struct andiron_error *err)
{
    andiron_str jwk;
    struct andiron_json_writer *w = andiron_json_write(arena, 16 * 1024);

    if (jose_jwk_write(arena, jose_private_public(file->key), andiron_str_of(file->kid), file->alg,
                       &jwk, err) != 0)
        return (andiron_str){ NULL, 0 };
    andiron_json_put_object(w, NULL);
    andiron_json_put_str(w, "resourceType", ANDIRON_STR("_Key"));
    andiron_json_put_str(w, "id", andiron_str_of(file->kid));
    andiron_json_put_str(w, "alg", andiron_str_of(file->alg->name));
    andiron_json_put_str(w, "state", ANDIRON_STR("active"));
    andiron_json_put_int(w, "created", file->created / 1000000);
    andiron_json_put_raw(w, "jwk", jwk);
    andiron_json_put_end(w);
    return andiron_json_written(w);
}

static enum andiron_step known(struct andiron_request *req, void *state)
{
    struct publishing *p = state;
    struct andiron_arena *arena = andiron_request_arena(req);
    const struct andiron_store *store = p->jwks->store.table;
    struct andiron_error err;

    if (p->rows.error.code != ANDIRON_OK)
        return gave_up(p, &p->rows.error);
    p->commit = (struct andiron_commit){ .writes = p->writes };
    for (size_t i = 0; i < p->rows.count; i++) {
        if (p->rows.rows[i].ref.id.len != 0)
            continue;
        andiron_str *body = andiron_new(arena, andiron_str);
        *body = body_of(arena, p->files[i], &err);
        if (body->data == NULL)
            return gave_up(p, &err);
        p->writes[p->commit.count++] = (struct andiron_write){
            .ref = p->refs[i], .if_absent = true, .stamp = stamp, .stamp_state = body
        };
    }
    if (p->commit.count == 0)
        return list_all(req, p);
    return store->commit(p->jwks->store.self, req, &p->commit, stored, p);
}

static enum andiron_step begin(struct andiron_request *req, void *state)
{
    struct jwks *jwks = state;
    struct publishing *p = andiron_new(andiron_request_arena(req), struct publishing);
    const struct andiron_store *store = jwks->store.table;

    p->jwks = jwks;
    for (size_t i = 0; i < jwks->files.count; i++) {
        if (jwks->files.files[i].for_assertions)
            continue; /* it belongs to this machine's tests alone */
        p->files[p->count] = &jwks->files.files[i];
        p->refs[p->count++] =
            (struct andiron_ref){ .type = ANDIRON_STR("_Key"),
                                  .id = andiron_str_of(jwks->files.files[i].kid) };
    }
    p->rows = (struct andiron_rows){ .total = -1 };
    return store->read(jwks->store.self, req, p->refs, p->count, &p->rows, known, p);
}

void jwks_publish(struct jwks *jwks)
{
    struct andiron_loop *loop = andiron_host_loop(jwks->host, 0);
    int64_t now = jwks_clock();
    int seen = atomic_load(&jwks->publishing), next;

    if (loop == NULL)
        return;
    /* A job that met its deadline never said so: it counts as running until twice that. */
    do {
        bool runs =
            seen != IDLE && now - atomic_load(&jwks->publish_began_ms) < 2 * JOB_DEADLINE_MS;
        next = runs ? RUN_AGAIN : RUNNING;
    } while (!atomic_compare_exchange_weak(&jwks->publishing, &seen, next));
    if (next == RUN_AGAIN)
        return;
    atomic_store(&jwks->publish_began_ms, now);
    andiron_job_start(loop, "jwks.publish", JOB_DEADLINE_MS, begin, jwks);
}
