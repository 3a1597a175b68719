/*
 * store/1 on requests; see service.h. What is short runs here, on the loop, with the loop's own
 * reader; what is long goes to the pool; writes go to the writer.
 */
#include <stdio.h>

#include <andiron/metrics.h>

#include "backup.h"
#include "commit.h"
#include "in_use.h"
#include "jobs.h"
#include "purge.h"
#include "read.h"
#include "reader.h"
#include "search.h"
#include "service.h"
#include "walk.h"
#include "watch.h"

enum { READ_ON_LOOP = 64, WALK_ON_LOOP = 32, PACK_ON_LOOP = 64 };
enum { SLOW_COMMIT_US = 1000000 };

/* One reading call, wherever it runs. */
struct call {
    struct store *store;
    struct andiron_request *req;
    struct andiron_arena *arena;
    struct andiron_rows *rows; /* result; or error alone */
    struct andiron_error *error;

    int (*run)(struct search_place *place, struct call *call);
    const struct andiron_ref *refs;
    size_t count;
    const struct andiron_query *query;
    const struct andiron_walk *walk;
    const struct andiron_visitor *visitor;
    struct andiron_indexing *items;
    const char *const *types, *const *params;
};

static int call_read(struct search_place *place, struct call *call)
{
    return read_run(place, call->refs, call->count, call->rows);
}

static int call_search(struct search_place *place, struct call *call)
{
    return search_run(place, call->query, call->rows);
}

static int call_walk(struct search_place *place, struct call *call)
{
    return walk_run(place, call->walk, call->rows);
}

static int call_visit(struct search_place *place, struct call *call)
{
    return walk_visit(place, call->walk, call->visitor, call->rows);
}

static int call_in_use(struct search_place *place, struct call *call)
{
    return in_use_run(place, call->types, call->params, call->count, call->visitor, call->rows);
}

static int call_compare(struct search_place *place, struct call *call)
{
    return index_compare(place->store, place->db, place->arena, call->items, call->count,
                         call->error);
}

static struct call *call_new(struct store *store, struct andiron_request *req,
                             struct andiron_error *error,
                             int (*run)(struct search_place *, struct call *))
{
    struct call *call = andiron_new(andiron_request_arena(req), struct call);

    call->store = store;
    call->req = req;
    call->arena = andiron_request_arena(req);
    call->error = error;
    call->run = run;
    return call;
}

static void set_rows(struct call *call, struct andiron_rows *rows)
{
    *rows = (struct andiron_rows){ .total = -1 };
    call->rows = rows;
    call->error = &rows->error;
}

/* Runs the call with a reader. true: it is answered; false: it should run on the pool. */
static bool run_with(struct call *call, struct reader *reader, bool brief)
{
    struct search_place place = { .store = call->store,
                                  .db = &reader->db,
                                  .arena = call->arena,
                                  .counts = &reader->counts,
                                  .brief = brief };
    bool answered = true;

    reader->db.rc = 0;
    if (reader_enter(reader) != 0) {
        if (brief && (reader->db.rc & 0xff) == SQLITE_BUSY)
            return false; /* locked: wait for it elsewhere */
        db_error(&reader->db, call->error);
        return true;
    }
    place.content = reader->content;
    if (call->run(&place, call) != 0)
        answered = !(brief && (reader->db.rc & 0xff) == SQLITE_BUSY);
    else if (brief && place.stopped)
        answered = false;
    reader_leave(reader);
    return answered;
}

static void log_damage(const struct call *call, int rc)
{
    if (db_is_damage(rc))
        store_log(call->store, ANDIRON_LOG_ERROR, "store.read.failed", "reading %s failed: %s (%d)",
                  call->store->path, sqlite3_errstr(rc), rc);
}

/* On the pool. */
static void call_work(void *arg)
{
    struct call *call = arg;
    struct reader *reader = readers_take(call->store, call->error);

    if (reader == NULL)
        return;
    (void)run_with(call, reader, false); /* without `brief` it is always answered */
    if (call->error->code != ANDIRON_OK)
        log_damage(call, reader->db.rc);
    readers_give(call->store, reader);
}

/*
 * `then` gets its own state while the work gets the call: core hands both the same pointer, so
 * the continuation travels in a struct of ours.
 */
struct continuing {
    struct call *call;
    andiron_step_fn then;
    void *state;
};

static void continuing_work(void *arg)
{
    struct continuing *c = arg;
    call_work(c->call);
}

static enum andiron_step continuing_then(struct andiron_request *req, void *arg)
{
    struct continuing *c = arg;
    return c->then(req, c->state);
}

static enum andiron_step to_pool(struct call *call, andiron_step_fn then, void *state)
{
    struct continuing *c = andiron_new(call->arena, struct continuing);

    *c = (struct continuing){ call, then, state };
    store_count(call->store->metrics.offloaded, 1);
    return andiron_offload(call->req, continuing_work, continuing_then, c);
}

/* On the loop if it is short and turns out so. */
static enum andiron_step answer(struct call *call, bool is_short, andiron_step_fn then, void *state)
{
    struct reader *reader = andiron_loop_state(andiron_request_loop(call->req), call->store);

    if (is_short && reader != NULL && run_with(call, reader, true)) {
        if (call->error->code != ANDIRON_OK)
            log_damage(call, reader->db.rc);
        return andiron_ready(call->req, then, state);
    }
    *call->error = (struct andiron_error){ .code = ANDIRON_OK };
    return to_pool(call, then, state);
}

static enum andiron_step store_read(void *self, struct andiron_request *req,
                                    const struct andiron_ref *refs, size_t count,
                                    struct andiron_rows *ret, andiron_step_fn then, void *state)
{
    struct call *call = call_new(self, req, NULL, call_read);

    set_rows(call, ret);
    call->refs = refs;
    call->count = count;
    return answer(call, count <= READ_ON_LOOP, then, state);
}

static enum andiron_step store_search(void *self, struct andiron_request *req,
                                      const struct andiron_query *query, struct andiron_rows *ret,
                                      andiron_step_fn then, void *state)
{
    struct call *call = call_new(self, req, NULL, call_search);

    set_rows(call, ret);
    call->query = query;
    return answer(call, true, then, state);
}

static enum andiron_step store_walk(void *self, struct andiron_request *req,
                                    const struct andiron_walk *walk, struct andiron_rows *ret,
                                    andiron_step_fn then, void *state)
{
    struct call *call = call_new(self, req, NULL, call_walk);

    set_rows(call, ret);
    call->walk = walk;
    return answer(call, walk->limit <= WALK_ON_LOOP, then, state);
}

static enum andiron_step store_visit(void *self, struct andiron_request *req,
                                     const struct andiron_walk *walk,
                                     const struct andiron_visitor *visitor,
                                     struct andiron_rows *ret, andiron_step_fn then, void *state)
{
    struct call *call = call_new(self, req, NULL, call_visit);

    set_rows(call, ret);
    call->walk = walk;
    call->visitor = visitor;
    return to_pool(call, then, state); /* a visitor may not be shown a row twice */
}

static enum andiron_step store_in_use(void *self, struct andiron_request *req,
                                      const char *const *types, const char *const *params,
                                      size_t limit, const struct andiron_visitor *visitor,
                                      struct andiron_rows *ret, andiron_step_fn then, void *state)
{
    struct call *call = call_new(self, req, NULL, call_in_use);

    set_rows(call, ret);
    call->types = types;
    call->params = params;
    call->count = limit;
    call->visitor = visitor;
    return answer(call, false, then, state);
}

/* ---- writing -------------------------------------------------------------------------- */

static enum andiron_step submit(struct store *store, struct andiron_request *req, struct job *job,
                                andiron_step_fn then, void *state)
{
    enum andiron_step step = andiron_wait(req, then, state);

    /* From here on the answer may come at any moment, from the writer's thread. */
    job->req = req;
    if (writer_submit(store->writer, job) != 0)
        andiron_resume(req);
    return step;
}

/* A commit on its way to the writer. */
struct committing {
    struct store *store;
    struct andiron_arena *arena;
    struct andiron_commit *commit;
    const struct andiron_term_maker *maker;
    struct job *job; /* NULL: refused */
    andiron_step_fn then;
    void *state;
};

/* Of many writes, on the pool. Without a reader the writer packs their terms. */
static void committing_work(void *arg)
{
    struct committing *c = arg;
    struct andiron_error ignored;
    struct reader *reader = readers_take(c->store, &ignored);
    bool reads = reader != NULL && reader_enter(reader) == 0;

    c->job = commit_job(c->store, reads ? &reader->db : NULL, c->arena, c->commit, c->maker);
    if (reads)
        reader_leave(reader);
    if (reader != NULL)
        readers_give(c->store, reader);
}

static enum andiron_step committing_then(struct andiron_request *req, void *arg)
{
    struct committing *c = arg;

    if (c->job == NULL)
        return c->then(req, c->state);
    return submit(c->store, req, c->job, c->then, c->state);
}

static enum andiron_step store_commit_making(void *self, struct andiron_request *req,
                                             struct andiron_commit *commit,
                                             const struct andiron_term_maker *maker,
                                             andiron_step_fn then, void *state)
{
    struct store *store = self;
    struct andiron_arena *arena = andiron_request_arena(req);
    struct reader *reader = andiron_loop_state(andiron_request_loop(req), store);
    struct job *job;

    commit->error = (struct andiron_error){ .code = ANDIRON_OK };
    if (commit->count > PACK_ON_LOOP) {
        struct committing *c = andiron_new(arena, struct committing);
        *c = (struct committing){ store, arena, commit, maker, NULL, then, state };
        return andiron_offload(req, committing_work, committing_then, c);
    }
    bool reads = reader != NULL && reader_enter(reader) == 0;
    job = commit_job(store, reads ? &reader->db : NULL, arena, commit, maker);
    if (reads)
        reader_leave(reader);
    if (job == NULL)
        return andiron_ready(req, then, state);
    return submit(store, req, job, then, state);
}

static enum andiron_step store_commit(void *self, struct andiron_request *req,
                                      struct andiron_commit *commit, andiron_step_fn then,
                                      void *state)
{
    return store_commit_making(self, req, commit, NULL, then, state);
}

static enum andiron_step store_claim(void *self, struct andiron_request *req, andiron_str name,
                                     andiron_usec expires, bool *ret_taken,
                                     struct andiron_error *ret_error, andiron_step_fn then,
                                     void *state)
{
    struct job *job = claim_job(andiron_request_arena(req), name, expires, ret_taken, ret_error);

    *ret_error = (struct andiron_error){ .code = ANDIRON_OK };
    return submit(self, req, job, then, state);
}

static int store_watch(void *self, struct andiron_loop *loop, const char *type,
                       void (*changed)(void *arg, andiron_str type, andiron_str id), void *arg,
                       struct andiron_error *err)
{
    struct store *store = self;
    return watch_add(store->watches, loop, type, changed, arg, err);
}

static enum andiron_step store_index(void *self, struct andiron_request *req,
                                     enum andiron_index_op op, struct andiron_indexing *items,
                                     size_t count, struct andiron_error *ret_error,
                                     andiron_step_fn then, void *state)
{
    struct store *store = self;

    *ret_error = (struct andiron_error){ .code = ANDIRON_OK };
    if (op != ANDIRON_INDEX_COMPARE)
        return submit(store, req,
                      index_job(store, andiron_request_arena(req), op, items, count, ret_error),
                      then, state);
    struct call *call = call_new(store, req, ret_error, call_compare);
    call->items = items;
    call->count = count;
    return answer(call, count <= READ_ON_LOOP, then, state);
}

/* Slices of a parameter's removal, one job after the other. */
struct forgetting {
    struct store *store;
    const char *type, *param;
    struct andiron_error *ret_error;
    andiron_step_fn then;
    void *state;
    bool more;
};

static enum andiron_step forget_slice(struct andiron_request *req, void *arg)
{
    struct forgetting *f = arg;
    struct job *job;

    if (f->ret_error->code != ANDIRON_OK || !f->more)
        return f->then(req, f->state);
    job = forget_job(andiron_request_arena(req), f->type, f->param, &f->more, f->ret_error);
    return submit(f->store, req, job, forget_slice, f);
}

static enum andiron_step store_forget(void *self, struct andiron_request *req, const char *type,
                                      const char *param, struct andiron_error *ret_error,
                                      andiron_step_fn then, void *state)
{
    struct forgetting *f = andiron_new(andiron_request_arena(req), struct forgetting);

    *ret_error = (struct andiron_error){ .code = ANDIRON_OK };
    *f = (struct forgetting){ self, type, param, ret_error, then, state, true };
    return forget_slice(req, f);
}

/* Slices of a purge, one job after the other. */
struct purging_call {
    struct store *store;
    struct purging purging;
    struct purge_job *slice;
    andiron_step_fn then;
    void *state;
};

static enum andiron_step purge_more(struct andiron_request *req, void *arg)
{
    struct purging_call *p = arg;
    struct andiron_purge *purge = p->purging.purge;

    if (p->slice != NULL && purge->error.code == ANDIRON_OK)
        purge_slice_done(p->slice);
    if (purge->error.code != ANDIRON_OK || p->purging.at == purge->count)
        return p->then(req, p->state);
    p->slice = purge_slice(andiron_request_arena(req), &p->purging);
    return submit(p->store, req, purge_slice_job(p->slice), purge_more, p);
}

static enum andiron_step store_purge(void *self, struct andiron_request *req,
                                     struct andiron_purge *purge, andiron_step_fn then, void *state)
{
    struct purging_call *p = andiron_new(andiron_request_arena(req), struct purging_call);

    purge->error = (struct andiron_error){ .code = ANDIRON_OK };
    purge->purged = 0;
    *p = (struct purging_call){
        .store = self, .purging = { .purge = purge }, .then = then, .state = state
    };
    return purge_more(req, p);
}

/* ---- copies ------------------------------------------------------------------------------- */

struct backing_up {
    struct store *store;
    const char *path;
    struct andiron_error *ret_error;
    andiron_step_fn then;
    void *state;
};

static void backup_work(void *arg)
{
    struct backing_up *b = arg;
    (void)backup_run(b->store, b->path, b->ret_error); /* the error says it */
}

static enum andiron_step backup_then(struct andiron_request *req, void *arg)
{
    struct backing_up *b = arg;
    return b->then(req, b->state);
}

static enum andiron_step store_backup(void *self, struct andiron_request *req, const char *path,
                                      struct andiron_error *ret_error, andiron_step_fn then,
                                      void *state)
{
    struct backing_up *b = andiron_new(andiron_request_arena(req), struct backing_up);

    *ret_error = (struct andiron_error){ .code = ANDIRON_OK };
    *b = (struct backing_up){ self, path, ret_error, then, state };
    return andiron_offload(req, backup_work, backup_then, b);
}

static int store_restore(void *self, const char *path, struct andiron_error *err)
{
    struct store *store = self;

    if (store->checkpointer != NULL)
        return andiron_error_set(err, ANDIRON_E_UNAVAILABLE, "",
                                 "the store is running; stop andiron before restoring");
    writer_free(store->writer); /* its connection would be in the way */
    store->writer = NULL;
    return backup_restore(store, path, err);
}

/* ---- health --------------------------------------------------------------------------------- */

static int health_check(void *self, struct andiron_error *err)
{
    struct store *store = self;
    return writer_is_broken(store->writer, err) ? -1 : 0;
}

static size_t health_measure(void *self, struct andiron_measure *ret, size_t max)
{
    struct store *store = self;
    int64_t took_us = writer_latency(store->writer);
    int64_t waiting = (int64_t)writer_queued(store->writer), limit = store->config->queue_max;

    if (max < 2)
        return 0;
    ret[0] = (struct andiron_measure){ .name = "store:latency", .unit = "us", .value = took_us };
    if (took_us > SLOW_COMMIT_US)
        (void)snprintf(ret[0].warning, sizeof(ret[0].warning),
                       "a transaction took %lld ms: is the disk slow?",
                       (long long)(took_us / 1000));
    ret[1] = (struct andiron_measure){ .name = "store:pool",
                                       .unit = "waiting writes",
                                       .value = waiting };
    if (waiting * 2 > limit)
        (void)snprintf(ret[1].warning, sizeof(ret[1].warning),
                       "%lld writes wait; from %lld (queue-max) on they are refused",
                       (long long)waiting, (long long)limit);
    return 2;
}

const struct andiron_store service_store = {
    .size = sizeof(struct andiron_store),
    .read = store_read,
    .search = store_search,
    .walk = store_walk,
    .commit = store_commit,
    .claim = store_claim,
    .watch = store_watch,
    .index = store_index,
    .forget = store_forget,
    .backup = store_backup,
    .restore = store_restore,
    .commit_making = store_commit_making,
    .purge = store_purge,
    .visit = store_visit,
    .in_use = store_in_use,
    .makes_settled = true,
};

const struct andiron_health service_health = {
    .size = sizeof(struct andiron_health),
    .check = health_check,
    .measure = health_measure,
};
