/*
 * Reading resources: current and given versions.
 */
#include "commit.h"
#include "common/store/body.h"
#include "naming.h"
#include "replica.h"
#include "service.h"

/* Columns: ver, ts, deleted, enc, body; before them the place in the list. */
#define COLUMNS "v.ver,v.ts,v.op=3,v.enc,v.body"
static const struct wire_sql read_one = {
    "read_one",
    "SELECT " COLUMNS " FROM resource r JOIN version v ON v.vid=r.vid WHERE r.type=$1 AND r.id=$2",
    { WIRE_INT2, WIRE_TEXT }
};
static const struct wire_sql read_many = {
    "read_many",
    "SELECT u.n," COLUMNS " FROM unnest($1,$2) WITH ORDINALITY u(t,id,n)"
    " JOIN resource r ON r.type=u.t AND r.id=u.id JOIN version v ON v.vid=r.vid",
    { WIRE_INT2_ARRAY, WIRE_TEXT_ARRAY }
};
/* Versions of a resource are numbered without gaps, so the place tells the number. */
static const struct wire_sql read_versions = {
    "read_versions",
    "SELECT u.n," COLUMNS " FROM unnest($1,$2,$3) WITH ORDINALITY u(t,id,ver,n)"
    " JOIN resource r ON r.type=u.t AND r.id=u.id AND u.ver<=r.ver"
    " CROSS JOIN LATERAL (SELECT * FROM version w WHERE w.rid=r.rid ORDER BY w.vid DESC"
    " OFFSET r.ver-u.ver LIMIT 1) v WHERE v.ver=u.ver",
    { WIRE_INT2_ARRAY, WIRE_TEXT_ARRAY, WIRE_INT8_ARRAY }
};

struct reading {
    struct local *local;
    struct andiron_request *req;
    struct andiron_arena *arena;
    const struct andiron_ref *refs;
    size_t count;
    struct andiron_rows *ret;
    struct wire_batch *batch;
    size_t *places[2]; /* of current and given versions in refs */
    size_t counts[2];
    bool is_one;
    enum wire_pool pool;
    andiron_step_fn then;
    void *state;
};

static int fill(const struct wire_batch *b, size_t at, size_t i, unsigned column,
                const struct andiron_ref *ref, struct andiron_row *row, struct andiron_error *err)
{
    row->ref = *ref;
    row->ref.version = (uint64_t)wire_get_int(b, at, i, column);
    row->updated = wire_get_int(b, at, i, column + 1);
    row->deleted = wire_get_int(b, at, i, column + 2) != 0;
    if (row->deleted)
        return 0;
    row->body = wire_get_str(b, at, i, column + 4);
    return body_check(wire_get_int(b, at, i, column + 3), row->body, err);
}

static enum andiron_step answer(struct andiron_request *req, struct reading *r)
{
    if (r->ret->error.code != ANDIRON_OK)
        r->ret->count = 0;
    return r->then(req, r->state);
}

static enum andiron_step came(struct andiron_request *req, void *state)
{
    struct reading *r = state;
    const struct wire_batch *b = r->batch;
    size_t at = 0;

    if (b->reply.outcome != WIRE_OK)
        r->ret->error = b->reply.error;
    for (int kind = 0; kind < 2; kind++) {
        if (r->counts[kind] == 0 || r->ret->error.code != ANDIRON_OK)
            continue;
        for (size_t i = 0; i < wire_rows(b, at) && r->ret->error.code == ANDIRON_OK; i++) {
            size_t n = r->is_one ? 1 : (size_t)wire_get_int(b, at, i, 0);
            if (n == 0 || n > r->counts[kind])
                continue;
            n = r->places[kind][n - 1];
            (void)fill(b, at, i, r->is_one ? 0 : 1, &r->refs[n], &r->ret->rows[n], &r->ret->error);
        }
        at++;
    }
    return answer(req, r);
}

/* A text that no id can be is not sent. */
static bool is_text(andiron_str s)
{
    return s.len == 0 || memchr(s.data, '\0', s.len) == NULL;
}

static void ask_many(const struct local *local, struct reading *r, int kind)
{
    size_t count = r->counts[kind];
    int64_t *types = andiron_alloc(r->arena, (count + 1) * sizeof(types[0]));
    int64_t *versions = andiron_alloc(r->arena, (count + 1) * sizeof(versions[0]));
    andiron_str *ids = andiron_alloc(r->arena, (count + 1) * sizeof(ids[0]));

    for (size_t i = 0; i < count; i++) {
        const struct andiron_ref *ref = &r->refs[r->places[kind][i]];
        types[i] = names_type(local->store->names, ref->type);
        versions[i] = (int64_t)ref->version;
        ids[i] = ref->id;
    }
    wire_add(r->batch, kind == 0 ? &read_many : &read_versions);
    wire_int_array(r->batch, types, count);
    wire_str_array(r->batch, ids, count);
    if (kind == 1)
        wire_int_array(r->batch, versions, count);
}

static enum andiron_step ask(struct andiron_request *req, void *state)
{
    struct reading *r = state;
    const struct local *local = r->local;

    if (r->ret->error.code != ANDIRON_OK)
        return answer(req, r);
    r->batch = wire_batch(r->arena);
    r->is_one = r->counts[0] == 1 && r->counts[1] == 0;
    if (r->is_one) {
        const struct andiron_ref *ref = &r->refs[r->places[0][0]];
        wire_add(r->batch, &read_one);
        wire_int2(r->batch, names_type(local->store->names, ref->type));
        wire_text(r->batch, ref->id);
        wire_together(r->batch, &read_many);
        return wire_ask(local->wire, r->pool, req, r->batch, came, r);
    }
    for (int kind = 0; kind < 2; kind++) {
        if (r->counts[kind] > 0)
            ask_many(local, r, kind);
    }
    if (r->counts[0] > 0 && r->counts[1] > 0)
        wire_snapshot(r->batch);
    return wire_ask(local->wire, r->pool, req, r->batch, came, r);
}

static void refreshed(void *arg, const struct andiron_error *err)
{
    struct reading *r = arg;

    if (err != NULL)
        r->ret->error = *err;
    andiron_resume(r->req);
}

enum andiron_step service_read(void *self, struct andiron_request *req,
                               const struct andiron_ref *refs, size_t count,
                               struct andiron_rows *ret, andiron_step_fn then, void *state)
{
    struct reading *r = andiron_new(andiron_request_arena(req), struct reading);
    bool all_known = true;

    *ret = (struct andiron_rows){ .total = -1, .count = count };
    *r = (struct reading){ .local = store_local(self, andiron_request_loop(req)),
                           .req = req,
                           .arena = andiron_request_arena(req),
                           .refs = refs,
                           .count = count,
                           .ret = ret,
                           .pool = WIRE_REPLICA, /* unless one of them may not */
                           .then = then,
                           .state = state };
    ret->rows = andiron_alloc(r->arena, (count + 1) * sizeof(ret->rows[0]));
    for (int kind = 0; kind < 2; kind++)
        r->places[kind] = andiron_alloc(r->arena, (count + 1) * sizeof(size_t));
    for (size_t i = 0; i < count; i++) {
        int kind = refs[i].version != 0;
        if (!is_text(refs[i].id) || !is_text(refs[i].type) || refs[i].version > INT64_MAX)
            continue;
        r->places[kind][r->counts[kind]++] = i;
        all_known &= names_type(r->local->store->names, refs[i].type) != 0;
        if (r->pool == WIRE_REPLICA)
            r->pool = replica_pool(r->local, req, refs[i].type);
    }
    if (r->counts[0] + r->counts[1] == 0)
        return andiron_ready(req, then, state);
    if (all_known)
        return ask(req, r);
    /* Another node may have added the type. */
    enum andiron_step step = andiron_wait(req, ask, r);
    naming_refresh(r->local, r->arena, refreshed, r);
    return step;
}
