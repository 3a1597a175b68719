/*
 * Values in use; see in_use() of struct andiron_store. ix_token has the rows of a parameter in the order
 * of the values' numbers, and of each value in that of versions: from one value to the next is one step down
 * the tree, however many have it. All of it is one snapshot.
 */
#include "common/store/body.h"
#include "naming.h"
#include "service.h"

#include <stdlib.h>

enum {
    NUMBERS_EACH = 2, /* of a code with a system: one with it, and one without */
    SLICE = 100,      /* bodies that lie in memory together */
    LOADS_MAX = 3     /* of names, while others go on adding some */
};

static const struct wire_sql values = {
    "in_use_values",
    "SELECT w.vid FROM unnest($1) q(p) CROSS JOIN LATERAL (WITH RECURSIVE t AS ("
    "(SELECT i.h,i.vid FROM ix_token i WHERE i.p=q.p ORDER BY i.h DESC,i.vid DESC LIMIT 1)"
    " UNION ALL SELECT x.h,x.vid FROM t CROSS JOIN LATERAL (SELECT i.h,i.vid FROM ix_token i"
    " WHERE i.p=q.p AND i.h<t.h ORDER BY i.h DESC,i.vid DESC LIMIT 1) x) SELECT vid FROM t) w"
    " LIMIT $2",
    { WIRE_INT4_ARRAY, WIRE_INT8 }
};
static const struct wire_sql versions = { "in_use_versions",
                                          "SELECT v.type,r.id,v.ver,v.ts,v.enc,v.body FROM "
                                          "unnest($1) t(vid) JOIN version v ON v.vid=t.vid"
                                          " JOIN resource r ON r.rid=v.rid",
                                          { WIRE_INT8_ARRAY } };
enum { AT_TYPE, AT_ID, AT_VER, AT_TS, AT_ENC, AT_BODY };

struct using
{
    struct local *local;
    struct andiron_request *req;
    struct andiron_arena *arena;
    const char *const *types, *const *params;
    const struct andiron_visitor *visitor;
    struct andiron_rows *ret;
    int64_t limit;              /* numbers that are looked at */
    struct naming_counts names; /* by which they were asked for */
    int loads;
    struct wire_lease *lease;
    struct wire_batch *batch;
    int64_t *vids;
    size_t count, at;
    bool has_ended; /* the visitor has seen enough */
    struct andiron_error error;
    andiron_step_fn then;
    void *state;
};

static enum andiron_step begin(struct andiron_request *req, void *state);

static enum andiron_step end(struct using *u, const struct andiron_error *err)
{
    struct andiron_error why = *err; /* may lie in what is let go of */

    wire_abandon(u->lease);
    u->lease = NULL;
    u->ret->error = why;
    if (why.code != ANDIRON_OK)
        u->ret->cursor = (andiron_str){ NULL, 0 };
    return u->then(u->req, u->state);
}

/* ---- showing --------------------------------------------------------------------------------- */

/* On the pool: whoever visits may take their time. */
static void show(void *state)
{
    struct using *u = state;
    const struct wire_batch *b = u->batch;

    for (size_t i = 0; i < wire_rows(b, 0) && !u->has_ended; i++) {
        struct andiron_row row = { .updated = wire_get_int(b, 0, i, AT_TS),
                                   .body = wire_get_str(b, 0, i, AT_BODY) };
        row.ref.type = names_of_type(u->local->store->names, wire_get_int(b, 0, i, AT_TYPE));
        row.ref.id = wire_get_str(b, 0, i, AT_ID);
        row.ref.version = (uint64_t)wire_get_int(b, 0, i, AT_VER);
        if (body_check(wire_get_int(b, 0, i, AT_ENC), row.body, &u->error) != 0)
            return;
        u->has_ended = !u->visitor->row(u->visitor->state, &row);
    }
}

static enum andiron_step next_slice(struct andiron_request *req, void *state);

static enum andiron_step came(struct andiron_request *req, void *state)
{
    struct using *u = state;

    if (u->batch->reply.outcome != WIRE_OK)
        return end(u, &u->batch->reply.error);
    return andiron_offload(req, show, next_slice, u);
}

static enum andiron_step next_slice(struct andiron_request *req, void *state)
{
    struct using *u = state;
    size_t count = u->count - u->at < SLICE ? u->count - u->at : SLICE;

    wire_release(u->batch); /* the bodies that were shown */
    if (u->error.code != ANDIRON_OK || u->has_ended || count == 0)
        return end(u, &u->error);
    u->batch = wire_batch(u->arena);
    wire_add(u->batch, &versions);
    wire_int_array(u->batch, u->vids + u->at, count);
    u->at += count;
    return wire_lease_go(u->lease, req, u->batch, came, u);
}

/* ---- looking ---------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

/* Each once: a resource may be the latest of several values. */
static void take_vids(struct using *u)
{
    size_t rows = wire_rows(u->batch, 1), kept = 0;

    if (rows > (size_t)u->limit) {
        u->ret->cursor = ANDIRON_STR("more");
        rows = (size_t)u->limit;
    }
    u->vids = andiron_alloc(u->arena, (rows + 1) * sizeof(u->vids[0]));
    for (size_t i = 0; i < rows; i++)
        u->vids[i] = wire_get_int(u->batch, 1, i, 0);
    if (rows > 0)
        qsort(u->vids, rows, sizeof(u->vids[0]), compare);
    for (size_t i = 0; i < rows; i++) {
        if (i == 0 || u->vids[i] != u->vids[i - 1])
            u->vids[kept++] = u->vids[i];
    }
    u->count = kept;
}

static void named(void *arg, const struct andiron_error *err)
{
    struct using *u = arg;

    if (err != NULL)
        u->error = *err;
    andiron_resume(u->req);
}

static enum andiron_step looked(struct andiron_request *req, void *state)
{
    struct using *u = state;

    if (u->batch->reply.outcome != WIRE_OK)
        return end(u, &u->batch->reply.error);
    if (wire_get_int(u->batch, 0, 0, 0) != u->names.names && ++u->loads < LOADS_MAX) {
        /* Another node has added some. Loading needs a connection: whoever waits for one holds none. */
        wire_abandon(u->lease);
        u->lease = NULL;
        enum andiron_step step = andiron_wait(req, begin, u);
        naming_load(u->local, u->arena, named, u);
        return step;
    }
    take_vids(u);
    return next_slice(req, u);
}

static size_t length(const char *const *names)
{
    size_t n = 0;

    while (names[n] != NULL)
        n++;
    return n;
}

static enum andiron_step leased(struct andiron_request *req, void *state)
{
    struct using *u = state;
    struct names *names = u->local->store->names;
    size_t room = length(u->types) * length(u->params) + 1, count = 0;
    uint32_t kinds;

    if (u->lease->error.code != ANDIRON_OK)
        return end(u, &u->lease->error);
    u->names = naming_seen(u->local->store);
    int64_t *numbers = andiron_alloc(u->arena, room * sizeof(numbers[0]));
    for (const char *const *t = u->types; *t != NULL; t++) {
        int64_t type = names_type(names, andiron_str_of(*t));
        for (const char *const *p = u->params; type != 0 && *p != NULL; p++) {
            numbers[count] = names_param(names, type, andiron_str_of(*p), &kinds);
            count += numbers[count] != 0;
        }
    }
    u->batch = wire_batch(u->arena);
    naming_ask(u->batch);
    wire_add(u->batch, &values);
    wire_int_array(u->batch, numbers, count);
    wire_int8(u->batch, u->limit + 1);
    return wire_lease_go(u->lease, req, u->batch, looked, u);
}

static enum andiron_step begin(struct andiron_request *req, void *state)
{
    struct using *u = state;

    if (u->error.code != ANDIRON_OK)
        return end(u, &u->error);
    return wire_lease_ask(u->local->wire, WIRE_READ, WIRE_REPEATABLE, req, &u->lease, leased, u);
}

enum andiron_step service_in_use(void *self, struct andiron_request *req, const char *const *types,
                                 const char *const *params, size_t limit,
                                 const struct andiron_visitor *visitor, struct andiron_rows *ret,
                                 andiron_step_fn then, void *state)
{
    struct using *u = andiron_new(andiron_request_arena(req), struct using);

    *ret = (struct andiron_rows){ .total = -1 };
    *u = (struct using){ .local = store_local(self, andiron_request_loop(req)),
                         .req = req,
                         .arena = andiron_request_arena(req),
                         .types = types,
                         .params = params,
                         .visitor = visitor,
                         .ret = ret,
                         .limit = limit < INT32_MAX ? (int64_t)limit * NUMBERS_EACH : INT32_MAX,
                         .then = then,
                         .state = state };
    return begin(req, u);
}
