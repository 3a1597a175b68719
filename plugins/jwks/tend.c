/*
 * The job that keeps ring and store in step. Runs at the start, when the store tells of a change,
 * and when a key has ended.
 *
 * The first run of a worker also looks at the key files that were there when it started: those
 * that the store has never heard of are taken over. Where the store has no key, the newest file
 * for `token-alg` signs, or a key is made; where it has, a file (or, if `token-alg` was changed, a
 * new key) becomes the next one, so that it is published before it signs.
 */
#include <stdio.h>

#include "rows.h"

enum { JOB_DEADLINE_MS = 30000, CLAIM_S = 60, CHANGES_MAX = KEYFILE_MAX + KEYRING_MAX + 2 };

enum tend_state { IDLE, RUNNING, RUN_AGAIN };

struct tending {
    struct jwks *jwks;
    struct andiron_arena *arena;
    struct ring *ring;
    struct andiron_error error, reread; /* reread: of reading the store behind a commit */

    /* files of the start, which the store may have heard of */
    struct andiron_ref refs[KEYFILE_MAX];
    const struct keyfile *files[KEYFILE_MAX];
    size_t file_count;
    struct andiron_rows rows;

    struct new_key keys[KEYFILE_MAX + 1];
    size_t key_count;
    struct andiron_write writes[CHANGES_MAX];
    struct andiron_commit commit;
    bool is_stored;
};

static enum andiron_step look(struct andiron_request *req, struct tending *t);

/* Ends the job; a change that was told of meanwhile starts it anew. */
static enum andiron_step finish(struct jwks *jwks)
{
    jwks_wake(jwks);
    if (atomic_exchange(&jwks->tending, IDLE) == RUN_AGAIN)
        jwks_tend(jwks);
    return ANDIRON_DONE;
}

static enum andiron_step gave_up(struct tending *t, const struct andiron_error *err)
{
    andiron_log(t->jwks->host, ANDIRON_LOG_WARN, "keys.publish.failed",
                "the keys cannot be read from or put into the store: %s%s%s", err->where,
                err->where[0] != '\0' ? ": " : "", err->message);
    return finish(t->jwks);
}

/* ---- what is to be changed: on the pool -------------------------------------------------- */

static andiron_usec next_turn(const struct jwks *jwks)
{
    return andiron_now() + (jwks->config->max_age + KEYRING_AGREED_S * 1000) * 1000;
}

static void add_key(struct tending *t, const struct new_key *key, andiron_usec signs_from)
{
    t->keys[t->key_count] = *key;
    t->keys[t->key_count].signs_from = signs_from;
    t->writes[t->commit.count++] = row_of_new(t->jwks, t->arena, &t->keys[t->key_count]);
    t->key_count++;
}

static bool take_file(struct tending *t, const struct keyfile *file, andiron_usec signs_from)
{
    struct new_key key;

    if (new_key_of_file(t->jwks, t->arena, file, &key, &t->error) != 0)
        return false;
    add_key(t, &key, signs_from);
    return true;
}

static bool make_key(struct tending *t, andiron_usec signs_from)
{
    struct new_key key;

    if (new_key_make(t->jwks, t->arena, t->ring, (andiron_str){ NULL, 0 }, &key, &t->error) != 0)
        return false;
    andiron_log(t->jwks->host, ANDIRON_LOG_INFO, "keys.made", "made key %.*s for %s",
                (int)key.kid.len, key.kid.data, key.alg->name);
    add_key(t, &key, signs_from);
    return true;
}

/* The newest unknown file that may sign tokens; NULL: there is none. */
static const struct keyfile *newest_file(const struct tending *t)
{
    for (size_t i = t->file_count; i-- > 0;)
        if (t->files[i]->alg == t->jwks->token_alg)
            return t->files[i];
    return NULL;
}

/* A store without keys: all files are published, one key signs. */
static void plan_first(struct tending *t)
{
    const struct keyfile *signs = newest_file(t);
    andiron_usec now = andiron_now();
    bool ok = signs != NULL ? take_file(t, signs, now) : make_key(t, now);

    for (size_t i = 0; ok && i < t->file_count; i++)
        if (t->files[i] != signs)
            ok = take_file(t, t->files[i],
                           t->files[i]->created < now ? t->files[i]->created : now - 1);
    /* Whoever comes first makes it, on all nodes. */
    t->commit.claim = ANDIRON_STR("keys/first");
    t->commit.claim_expires = now + (andiron_usec)CLAIM_S * 1000000;
}

static void plan_next(struct tending *t)
{
    const struct keyfile *file = newest_file(t);
    const struct ring_key *newest = ring_newest(t->ring);
    andiron_usec turn = next_turn(t->jwks);

    for (size_t i = 0; i < t->file_count; i++)
        if (t->files[i] != file)
            andiron_log(t->jwks->host, ANDIRON_LOG_WARN, "keys.file.unused",
                        "the key file %s is not used: %s", t->files[i]->name,
                        file != NULL ? "another one is newer" : "it is not for `token-alg`");
    if (turn <= newest->signs_from)
        turn = newest->signs_from + 1;
    if (file == NULL && newest->alg == t->jwks->token_alg)
        return;
    if (!(file != NULL ? take_file(t, file, turn) : make_key(t, turn)))
        return;
    /* Its row is written again as it is: of two nodes that do this at a time one fails. */
    t->writes[t->commit.count++] = row_changed(t->arena, newest, newest->signs_from, false);
    andiron_log(t->jwks->host, ANDIRON_LOG_INFO, "keys.next",
                "key %.*s for %s signs in %lld s, after it has been published; `andiron keys "
                "rotate --now` makes it sign at once",
                (int)t->keys[0].kid.len, t->keys[0].kid.data, t->keys[0].alg->name,
                (long long)((turn - andiron_now()) / 1000000));
}

static void plan(void *state)
{
    struct tending *t = state;
    andiron_usec now = andiron_now();

    t->error.code = ANDIRON_OK;
    t->commit = (struct andiron_commit){ .writes = t->writes };
    if (ring_newest(t->ring) == NULL)
        plan_first(t);
    else if (!atomic_load(&t->jwks->settled))
        plan_next(t);
    for (size_t i = 0; i < t->ring->count; i++)
        if (t->ring->keys[i].for_tokens && now >= t->ring->keys[i].until)
            t->writes[t->commit.count++] = row_removed(&t->ring->keys[i]);
}

/* Key files whose keys have ended or were revoked. On the pool. */
static void remove_files(struct tending *t)
{
    andiron_usec now = andiron_now();
    struct andiron_error err;

    for (size_t i = 0; i < t->ring->count; i++) {
        const struct ring_key *key = &t->ring->keys[i];
        struct jose_private *private = NULL;
        char name[KEYFILE_NAME];
        if (!key->for_tokens || (now < key->until && !key->is_revoked))
            continue;
        if (keyfile_find(t->jwks->folder, t->jwks->token_alg, key->kid, &private, name, &err) !=
                0 ||
            (private != NULL && keyfile_remove(t->jwks->folder, name, &err) != 0))
            andiron_log(t->jwks->host, ANDIRON_LOG_WARN, "keys.file.left",
                        "%s: the file of a key that has ended: %s", err.where, err.message);
        else if (private != NULL)
            andiron_log(t->jwks->host, ANDIRON_LOG_INFO, "keys.file.removed",
                        "removed %s: its key has %s", name,
                        key->is_revoked ? "been revoked" : "ended");
        jose_private_free(private);
    }
}

/*
 * The file of a key that did not get into the store is of no use. Another node over one folder may
 * have found it there and put it into the store, though; and of a commit that failed nobody knows
 * what it did. So what counts is what the store was seen to have behind it.
 */
static void clean_up(void *state)
{
    struct tending *t = state;
    struct ring *ring = keyring_hold(&t->jwks->ring);

    for (size_t i = 0; i < t->key_count; i++)
        new_key_drop(t->jwks, &t->keys[i],
                     t->is_stored || t->reread.code != ANDIRON_OK ||
                         (ring != NULL && ring_key_of(ring, t->keys[i].kid) != NULL));
    t->key_count = 0;
    ring_drop(ring);
    remove_files(t);
}

/* ---- steps ------------------------------------------------------------------------------- */

/* What they hold is in the store now; the ring has read it again. */
static void forget_files(struct jwks *jwks)
{
    if (atomic_exchange(&jwks->settled, true))
        return;
    for (size_t i = 0; i < jwks->files.count; i++)
        if (!jwks->files.files[i].for_assertions) {
            jose_private_free(jwks->files.files[i].key);
            jwks->files.files[i].key = NULL;
        }
}

static void note_loaded(struct jwks *jwks)
{
    struct ring *ring = keyring_hold(&jwks->ring);
    atomic_store(&jwks->loaded, ring != NULL && ring_newest(ring) != NULL);
    ring_drop(ring);
}

static enum andiron_step end(struct andiron_request *req, void *state)
{
    struct tending *t = state;

    (void)req;
    if (t->error.code == ANDIRON_OK) {
        note_loaded(t->jwks);
        forget_files(t->jwks);
    }
    return t->error.code == ANDIRON_OK ? finish(t->jwks) : gave_up(t, &t->error);
}

static enum andiron_step cleaned(struct andiron_request *req, void *state)
{
    struct tending *t = state;
    if (t->error.code == ANDIRON_OK)
        t->error = t->reread;
    return end(req, t);
}

static enum andiron_step reread(struct andiron_request *req, void *state)
{
    return andiron_offload(req, clean_up, cleaned, state);
}

static enum andiron_step stored(struct andiron_request *req, void *state)
{
    struct tending *t = state;
    enum andiron_code code = t->commit.error.code;

    t->is_stored = code == ANDIRON_OK;
    /* A conflict means that another node was there first. */
    if (code != ANDIRON_OK && code != ANDIRON_E_CONFLICT && code != ANDIRON_E_PRECONDITION)
        t->error = t->commit.error;
    /* Whatever the commit did or met, what the store has now is right. */
    return jwks_reload(t->jwks, req, &t->reread, reread, t);
}

static enum andiron_step planned(struct andiron_request *req, void *state)
{
    struct tending *t = state;
    const struct andiron_store *store = t->jwks->store.table;

    if (t->error.code != ANDIRON_OK || t->commit.count == 0)
        return andiron_offload(req, clean_up, cleaned, t);
    return store->commit(t->jwks->store.self, req, &t->commit, stored, t);
}

static enum andiron_step known(struct andiron_request *req, void *state)
{
    struct tending *t = state;
    size_t kept = 0;

    if (t->rows.error.code != ANDIRON_OK)
        return gave_up(t, &t->rows.error);
    for (size_t i = 0; i < t->rows.count; i++) {
        const struct andiron_row *row = &t->rows.rows[i];
        if (row->ref.id.len == 0)
            t->files[kept++] = t->files[i];
        else if (row->deleted)
            andiron_log(t->jwks->host, ANDIRON_LOG_WARN, "keys.file.unused",
                        "the key file %s is not used: its key has ended; remove it",
                        t->files[i]->name);
    }
    t->file_count = kept;
    return andiron_offload(req, plan, planned, t);
}

static enum andiron_step loaded(struct andiron_request *req, void *state)
{
    struct tending *t = state;

    if (t->error.code != ANDIRON_OK)
        return gave_up(t, &t->error);
    /* Who waits need not wait for what is still to be tidied. */
    note_loaded(t->jwks);
    if (atomic_load(&t->jwks->loaded))
        jwks_wake(t->jwks);
    return look(req, t);
}

static void release(void *arg)
{
    struct tending *t = arg;
    ring_drop(t->ring);
    for (size_t i = 0; i < t->key_count; i++)
        jose_private_free(t->keys[i].key);
}

/* The ring is there: what do the files of the start add to it? */
static enum andiron_step look(struct andiron_request *req, struct tending *t)
{
    const struct andiron_store *store = t->jwks->store.table;
    struct keyfiles *files = &t->jwks->files;

    t->ring = keyring_hold(&t->jwks->ring);
    for (size_t i = 0; !atomic_load(&t->jwks->settled) && i < files->count; i++) {
        if (files->files[i].for_assertions || files->files[i].key == NULL)
            continue; /* test keys belong to this machine alone */
        t->files[t->file_count] = &files->files[i];
        t->refs[t->file_count++] =
            (struct andiron_ref){ .type = ANDIRON_STR("_Key"),
                                  .id = andiron_str_of(files->files[i].kid) };
    }
    if (t->file_count == 0)
        return andiron_offload(req, plan, planned, t);
    t->rows = (struct andiron_rows){ .total = -1 };
    return store->read(t->jwks->store.self, req, t->refs, t->file_count, &t->rows, known, t);
}

static enum andiron_step begin(struct andiron_request *req, void *state)
{
    struct tending *t = andiron_new(andiron_request_arena(req), struct tending);

    t->jwks = state;
    t->arena = andiron_request_arena(req);
    andiron_at_release(t->arena, release, t);
    return jwks_reload(t->jwks, req, &t->error, loaded, t);
}

void jwks_tend(struct jwks *jwks)
{
    struct andiron_loop *loop = andiron_host_loop(jwks->host, 0);
    int64_t now = jwks_clock();
    int seen = atomic_load(&jwks->tending), next;

    if (loop == NULL)
        return;
    /* A job that met its deadline never said so: it counts as running until twice that. */
    do {
        bool runs = seen != IDLE && now - atomic_load(&jwks->tend_began_ms) < 2 * JOB_DEADLINE_MS;
        next = runs ? RUN_AGAIN : RUNNING;
    } while (!atomic_compare_exchange_weak(&jwks->tending, &seen, next));
    if (next == RUN_AGAIN)
        return;
    atomic_store(&jwks->tend_began_ms, now);
    andiron_job_start(loop, "jwks.tend", JOB_DEADLINE_MS, begin, jwks);
}
