/*
 * Queue of commits on a loop; see commit.h. A commit is packed, waits, and goes with others into a
 * transaction (txn.h) as soon as a connection for writing is free, never later in order to wait for more.
 */
#include "commit.h"

#include <stdlib.h>

#include "service.h"
#include "txn_life.h"

enum {
    LARGE = 64,    /* writes from which on packing goes to the pool */
    SMALL = 4,     /* writes up to which a commit shares a transaction */
    OWN = 1024,    /* bytes, about: items and keys of a single write */
    ROUNDS_MAX = 8 /* of names that are wanted: types, parameters, their kinds */
};

struct writer *writer_new(struct local *local)
{
    struct writer *w = calloc(1, sizeof(*w));

    if (w == NULL)
        abort(); /* out of memory: the worker ends and is restarted */
    w->local = local;
    w->store = local->store;
    w->last = &w->first;
    return w;
}

void writer_free(struct writer *w)
{
    free(w);
}

size_t writer_queued(const struct writer *w)
{
    return w->queued;
}

/* ---- answering --------------------------------------------------------------------------- */

void writer_answer(struct commit_job *job)
{
    struct andiron_request *req = job->req;

    if (job->commit->error.code != ANDIRON_OK)
        store_count(job->writer->store->metrics.failures, 1);
    if (job->indexing != NULL)
        *job->indexing->ret_error = job->commit->error;
    andiron_arena_free(job->own); /* job is in the request's arena */
    job->own = NULL;
    andiron_resume(req);
}

/* ---- forming transactions ------------------------------------------------------------------- */

static bool same_ref(const struct andiron_ref *a, const struct andiron_ref *b)
{
    return andiron_str_eq(a->id, b->id) && andiron_str_eq(a->type, b->type);
}

/* Whether both write one resource, or take one name: then one of them has to see the other's result. */
static bool collide(const struct commit_job *a, const struct commit_job *b)
{
    if (a->commit->claim.data != NULL && b->commit->claim.data != NULL &&
        andiron_str_eq(a->commit->claim, b->commit->claim))
        return true;
    for (size_t i = 0; i < a->commit->count; i++) {
        for (size_t j = 0; j < b->commit->count; j++) {
            if (same_ref(&a->given[i], &b->given[j]))
                return true;
        }
    }
    return false;
}

static bool fits(const struct commit_job *group, const struct commit_job *job)
{
    for (; group != NULL; group = group->next) {
        if (collide(group, job))
            return false;
    }
    return true;
}

/* Takes the first of the queue, and what can share a transaction with it. */
static struct commit_job *take(struct writer *w)
{
    struct commit_job *group = w->first, **end = &group->next;
    size_t writes = group->commit->count;

    w->first = group->next;
    group->next = NULL;
    w->queued--;
    if (!group->is_alone) {
        for (struct commit_job **at = &w->first; *at != NULL;) {
            struct commit_job *job = *at;
            if (writes + job->commit->count > (size_t)w->store->config->group_commit_max)
                break;
            if (job->is_alone || !fits(group, job)) {
                at = &job->next;
                continue;
            }
            *at = job->next;
            job->next = NULL;
            *end = job;
            end = &job->next;
            writes += job->commit->count;
            w->queued--;
        }
    }
    w->last = &w->first;
    while (*w->last != NULL)
        w->last = &(*w->last)->next;
    return group;
}

void writer_pump(struct writer *w)
{
    while (w->first != NULL && w->running < w->store->config->write_connections) {
        w->running++;
        txn_begin(w, take(w));
    }
}

void writer_put_back(struct writer *w, struct commit_job *jobs)
{
    struct commit_job *last = jobs;

    w->queued++;
    for (; last->next != NULL; last = last->next)
        w->queued++;
    last->next = w->first;
    if (w->first == NULL)
        w->last = &last->next;
    w->first = jobs;
}

static void enqueue(struct commit_job *job)
{
    struct writer *w = job->writer;

    if (w->queued >= (size_t)w->store->config->queue_max) {
        andiron_error_set(&job->commit->error, ANDIRON_E_UNAVAILABLE, "",
                          "too many writes are waiting; try again later");
        writer_answer(job);
        return;
    }
    job->next = NULL;
    *w->last = job;
    w->last = &job->next;
    w->queued++;
    writer_pump(w);
}

/* ---- preparing ---------------------------------------------------------------------------------- */

static void prepare(struct commit_job *job);

static void named(void *arg, const struct andiron_error *err)
{
    struct commit_job *job = arg;

    if (err == NULL) {
        prepare(job);
        return;
    }
    job->commit->error = *err;
    writer_answer(job);
}

void writer_add_names(struct commit_job *job)
{
    job->next = NULL;
    if (++job->rounds > ROUNDS_MAX) {
        andiron_error_set(&job->commit->error, ANDIRON_E_INTERNAL, "",
                          "names of parameters cannot be added to the database");
        writer_answer(job);
        return;
    }
    naming_add(job->writer->local, job->own, pack_wanted(job->pack), named, job);
}

static void prepared(void *arg)
{
    struct commit_job *job = arg;
    const struct naming_want *wanted = pack_wanted(job->pack);

    if (job->commit->error.code != ANDIRON_OK) {
        writer_answer(job);
    } else if (wanted == NULL) {
        enqueue(job);
    } else {
        writer_add_names(job);
    }
}

static void pack(struct commit_job *job)
{
    if (job->packs_late)
        pack_types(job->pack);
    else
        pack_run(job->pack); /* commit->error says it */
}

static void pack_on_pool(void *arg)
{
    struct commit_job *job = arg;

    pack(job);
    andiron_loop_post(job->writer->local->loop, prepared, job);
}

static void prepare(struct commit_job *job)
{
    if (job->commit->count > LARGE) {
        andiron_pool_post(pack_on_pool, job);
        return;
    }
    pack(job);
    prepared(job);
}

void writer_prepare(struct commit_job *job)
{
    job->rounds = 0;
    prepare(job);
}

static void look_at(struct commit_job *job)
{
    const struct andiron_commit *commit = job->commit;
    bool removes = false, has_terms = false;

    job->given = andiron_alloc(job->own, (commit->count + 1) * sizeof(job->given[0]));
    for (size_t i = 0; i < commit->count; i++) {
        const struct andiron_write *write = &commit->writes[i];
        job->given[i] = write->ref;
        job->is_conditional |= write->match != NULL;
        job->packs_late |= write->match != NULL && !write->match_is_ref;
        removes |= write->remove;
        has_terms |= write->terms != NULL;
    }
    /* A stamp may put matches into the terms that writes have, but not into those that are made. */
    job->stamps_late = commit->bodies_are_brief && !(job->packs_late && has_terms);
    job->is_alone = commit->count == 0 || job->is_conditional || commit->count > SMALL ||
                    (commit->check_references && removes);
}

enum andiron_step writer_submit(struct writer *w, struct andiron_request *req,
                                struct andiron_commit *commit,
                                const struct andiron_term_maker *maker,
                                const struct indexing_job *indexing, andiron_step_fn then,
                                void *state)
{
    struct andiron_arena *arena = andiron_request_arena(req);
    struct commit_job *job = andiron_new(arena, struct commit_job);
    enum andiron_step step = andiron_wait(req, then, state);

    commit->error = (struct andiron_error){ .code = ANDIRON_OK };
    commit->failed = 0;
    job->writer = w;
    job->req = req;
    job->arena = arena;
    job->commit = commit;
    job->indexing = indexing;
    job->own = andiron_arena_new(commit->count > 1 ? 0 : OWN);
    look_at(job);
    job->pack = pack_new(w->store, job->own, commit, maker);
    if (commit->claim.data != NULL && !claim_is_name(commit->claim, &commit->error)) {
        commit->failed = commit->count;
        writer_answer(job);
        return step;
    }
    writer_prepare(job);
    return step;
}

enum andiron_step service_commit_making(void *self, struct andiron_request *req,
                                        struct andiron_commit *commit,
                                        const struct andiron_term_maker *maker,
                                        andiron_step_fn then, void *state)
{
    struct local *local = store_local(self, andiron_request_loop(req));

    return writer_submit(local->writer, req, commit, maker, NULL, then, state);
}

enum andiron_step service_commit(void *self, struct andiron_request *req,
                                 struct andiron_commit *commit, andiron_step_fn then, void *state)
{
    return service_commit_making(self, req, commit, NULL, then, state);
}
