#include "meter.h"

#include <time.h>

#include <andiron/log.h>
#include <andiron/metrics.h>
#include <andiron/plugin.h>

/* An operation under way. */
struct metered {
    const struct store_meter *meter;
    enum meter_op op;
    int64_t began_us;
    const struct andiron_error *error; /* what it ends with */
    andiron_step_fn then;
    void *state;
};

static const char *const ops[METER_OPS] = { "read",  "search", "walk", "commit",
                                            "claim", "index",  "purge" };

static int64_t clock_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static enum meter_result result_of(enum andiron_code code)
{
    switch (code) {
    case ANDIRON_OK:
        return METER_OK;
    case ANDIRON_E_INTERNAL:
    case ANDIRON_E_UNAVAILABLE:
    case ANDIRON_E_TIMEOUT:
    case ANDIRON_E_NO_SPACE:
        return METER_FAILED;
    default:
        return METER_REFUSED;
    }
}

static enum andiron_step ended(struct andiron_request *req, void *arg)
{
    const struct metered *m = arg;
    int64_t took_us = clock_us() - m->began_us;

    andiron_count(m->meter->counts[m->op][result_of(m->error->code)], 1);
    andiron_observe(m->meter->times[m->op], took_us);
    if (m->meter->slow_us != 0 && took_us >= m->meter->slow_us)
        andiron_request_log(req, ANDIRON_LOG_WARN, "store.slow", "%s took %lld ms", ops[m->op],
                            (long long)(took_us / 1000));
    return m->then(req, m->state);
}

static struct metered *begin(void *self, struct andiron_request *req, enum meter_op op,
                             const struct andiron_error *error, andiron_step_fn then, void *state)
{
    struct metered *m = andiron_alloc(andiron_request_arena(req), sizeof(*m));

    *m = (struct metered){ self, op, clock_us(), error, then, state };
    return m;
}

static enum andiron_step meter_read(void *self, struct andiron_request *req,
                                    const struct andiron_ref *refs, size_t count,
                                    struct andiron_rows *ret, andiron_step_fn then, void *state)
{
    struct metered *m = begin(self, req, METER_READ, &ret->error, then, state);
    return m->meter->own->read(self, req, refs, count, ret, ended, m);
}

static enum andiron_step meter_search(void *self, struct andiron_request *req,
                                      const struct andiron_query *query, struct andiron_rows *ret,
                                      andiron_step_fn then, void *state)
{
    struct metered *m = begin(self, req, METER_SEARCH, &ret->error, then, state);
    return m->meter->own->search(self, req, query, ret, ended, m);
}

static enum andiron_step meter_walk(void *self, struct andiron_request *req,
                                    const struct andiron_walk *walk, struct andiron_rows *ret,
                                    andiron_step_fn then, void *state)
{
    struct metered *m = begin(self, req, METER_WALK, &ret->error, then, state);
    return m->meter->own->walk(self, req, walk, ret, ended, m);
}

static enum andiron_step meter_visit(void *self, struct andiron_request *req,
                                     const struct andiron_walk *walk,
                                     const struct andiron_visitor *visitor,
                                     struct andiron_rows *ret, andiron_step_fn then, void *state)
{
    struct metered *m = begin(self, req, METER_WALK, &ret->error, then, state);
    return m->meter->own->visit(self, req, walk, visitor, ret, ended, m);
}

static enum andiron_step meter_in_use(void *self, struct andiron_request *req,
                                      const char *const *types, const char *const *params,
                                      size_t limit, const struct andiron_visitor *visitor,
                                      struct andiron_rows *ret, andiron_step_fn then, void *state)
{
    struct metered *m = begin(self, req, METER_SEARCH, &ret->error, then, state);
    return m->meter->own->in_use(self, req, types, params, limit, visitor, ret, ended, m);
}

static enum andiron_step meter_commit(void *self, struct andiron_request *req,
                                      struct andiron_commit *commit, andiron_step_fn then,
                                      void *state)
{
    struct metered *m = begin(self, req, METER_COMMIT, &commit->error, then, state);
    return m->meter->own->commit(self, req, commit, ended, m);
}

static enum andiron_step meter_commit_making(void *self, struct andiron_request *req,
                                             struct andiron_commit *commit,
                                             const struct andiron_term_maker *maker,
                                             andiron_step_fn then, void *state)
{
    struct metered *m = begin(self, req, METER_COMMIT, &commit->error, then, state);
    return m->meter->own->commit_making(self, req, commit, maker, ended, m);
}

static enum andiron_step meter_claim(void *self, struct andiron_request *req, andiron_str name,
                                     andiron_usec expires, bool *ret_taken,
                                     struct andiron_error *ret_error, andiron_step_fn then,
                                     void *state)
{
    struct metered *m = begin(self, req, METER_CLAIM, ret_error, then, state);
    return m->meter->own->claim(self, req, name, expires, ret_taken, ret_error, ended, m);
}

static enum andiron_step meter_index(void *self, struct andiron_request *req,
                                     enum andiron_index_op op, struct andiron_indexing *items,
                                     size_t count, struct andiron_error *ret_error,
                                     andiron_step_fn then, void *state)
{
    struct metered *m = begin(self, req, METER_INDEX, ret_error, then, state);
    return m->meter->own->index(self, req, op, items, count, ret_error, ended, m);
}

static enum andiron_step meter_forget(void *self, struct andiron_request *req, const char *type,
                                      const char *param, struct andiron_error *ret_error,
                                      andiron_step_fn then, void *state)
{
    struct metered *m = begin(self, req, METER_INDEX, ret_error, then, state);
    return m->meter->own->forget(self, req, type, param, ret_error, ended, m);
}

static enum andiron_step meter_purge(void *self, struct andiron_request *req,
                                     struct andiron_purge *purge, andiron_step_fn then, void *state)
{
    struct metered *m = begin(self, req, METER_PURGE, &purge->error, then, state);
    return m->meter->own->purge(self, req, purge, ended, m);
}

void meter_init(struct store_meter *meter, struct andiron_host *host,
                const struct andiron_store *own, int64_t slow_ms, struct andiron_store *ret)
{
    static const char *const results[METER_RESULTS] = { "ok", "refused", "error" };
    struct andiron_arena *arena = andiron_host_arena(host);

    meter->own = own;
    meter->slow_us = slow_ms * 1000;
    for (size_t i = 0; i < METER_OPS; i++) {
        for (size_t j = 0; j < METER_RESULTS; j++)
            meter->counts[i][j] = andiron_counter(
                host, "andiron_store_operations_total",
                andiron_printf(arena, "op=\"%s\",result=\"%s\"", ops[i], results[j]),
                "What the store was asked for, and how it ended");
        meter->times[i] = andiron_histogram(host, "andiron_store_operation_seconds",
                                            andiron_printf(arena, "op=\"%s\"", ops[i]),
                                            "Time from asking the store to its answer");
    }
    *ret = *own;
    if (own->visit != NULL)
        ret->visit = meter_visit;
    if (own->in_use != NULL)
        ret->in_use = meter_in_use;
    if (own->commit_making != NULL)
        ret->commit_making = meter_commit_making;
    if (own->forget != NULL)
        ret->forget = meter_forget;
    if (own->purge != NULL)
        ret->purge = meter_purge;
    ret->read = meter_read;
    ret->search = meter_search;
    ret->walk = meter_walk;
    ret->commit = meter_commit;
    ret->claim = meter_claim;
    ret->index = meter_index;
}
