/*
 * Purging: resources that are to be as if they had never been, in slices.
 *
 * Index rows and the row of the resource go together with its current version, after all older ones:
 * whatever a crash leaves is a whole resource. Nobody writes meanwhile (LOCK_NAMES): a number that
 * was just looked up must not go away.
 */
#include "commit.h"
#include "entries.h"
#include "naming.h"
#include "service.h"

enum { SLICE = 100 /* versions that one transaction removes */, REFS = 50 };

static const struct wire_sql alone = { "purge_alone",
                                       "SELECT pg_advisory_xact_lock($1,$2)",
                                       { WIRE_INT4, WIRE_INT4 } };
static const struct wire_sql find = {
    "purge_find",
    "SELECT u.n,r.rid,r.vid,r.ver,v.keys,"
    "(SELECT count(*) FROM (SELECT FROM version w WHERE w.rid=r.rid LIMIT $3) c)"
    " FROM unnest($1,$2) WITH ORDINALITY u(t,id,n)"
    " JOIN restype t ON t.name=u.t JOIN resource r ON r.type=t.id AND r.id=u.id"
    " LEFT JOIN version v ON v.vid=r.vid WHERE r.st<>2",
    { WIRE_TEXT_ARRAY, WIRE_TEXT_ARRAY, WIRE_INT8 }
};
static const struct wire_sql drop_old = {
    "purge_old",
    "DELETE FROM version WHERE vid=ANY(ARRAY(SELECT vid FROM version WHERE rid=$1 AND vid<$2"
    " ORDER BY vid LIMIT $3))",
    { WIRE_INT8, WIRE_INT8, WIRE_INT8 }
};
static const struct wire_sql drop_versions = {
    "purge_versions",
    "DELETE FROM version v USING unnest($1) u(rid) WHERE v.rid=u.rid",
    { WIRE_INT8_ARRAY }
};
/* What others refer to stays as a stub. */
static const struct wire_sql keep_stubs = {
    "purge_stubs",
    "UPDATE resource r SET vid=NULL,ver=0,st=2 FROM unnest($1) u(rid) WHERE r.rid=u.rid"
    " AND EXISTS(SELECT FROM param q CROSS JOIN LATERAL (SELECT FROM ix_ref x WHERE x.p=q.p"
    " AND x.tgt=r.rid LIMIT 1) x WHERE q.kind&$2<>0)",
    { WIRE_INT8_ARRAY, WIRE_INT4 }
};
static const struct wire_sql drop_resources = {
    "purge_resources",
    "DELETE FROM resource r USING unnest($1) u(rid) WHERE r.rid=u.rid AND r.st<>2",
    { WIRE_INT8_ARRAY }
};

struct purging {
    struct local *local;
    struct store *store;
    struct andiron_purge *purge;
    size_t at;                   /* the first that is not done with */
    struct andiron_arena *arena; /* of a slice */
    struct wire_lease *lease;
    struct wire_batch *batch;
    size_t asked, next_at, purged; /* of this slice */
    andiron_step_fn then;
    void *state;
};

static enum andiron_step slice(struct andiron_request *req, struct purging *p);

static enum andiron_step end(struct andiron_request *req, struct purging *p,
                             const struct andiron_error *err)
{
    if (err != NULL)
        p->purge->error = *err;
    wire_abandon(p->lease);
    p->lease = NULL;
    return p->then(req, p->state);
}

static enum andiron_step sliced(struct andiron_request *req, void *state)
{
    struct purging *p = state;

    p->lease = NULL;
    if (p->batch->reply.outcome != WIRE_OK)
        return end(req, p, &p->batch->reply.error);
    p->at = p->next_at;
    p->purge->purged += p->purged;
    return slice(req, p);
}

/* Statements that remove what the slice has room for. -1: keys cannot be read. */
static int plan(struct purging *p, const struct wire_batch *found, struct wire_batch *b)
{
    struct entries *rows = entries_new(p->arena, &p->store->key);
    int64_t *rids = andiron_alloc(p->arena, (p->asked + 1) * sizeof(rids[0]));
    size_t *row_of = andiron_alloc(p->arena, (p->asked + 1) * sizeof(row_of[0]));
    int64_t budget = SLICE;
    size_t gone = 0;

    for (size_t i = 0; i < wire_rows(found, 1); i++)
        row_of[(size_t)wire_get_int(found, 1, i, 0) - 1] = i + 1;
    for (p->next_at = p->at; p->next_at < p->at + p->asked && budget > 0; p->next_at++) {
        const struct andiron_ref *ref = &p->purge->refs[p->next_at];
        size_t row = row_of[p->next_at - p->at];
        if (row == 0)
            continue;
        row--;
        int64_t rid = wire_get_int(found, 1, row, 1), vid = wire_get_int(found, 1, row, 2);
        int64_t versions = wire_get_int(found, 1, row, 5);
        bool again = false;
        if (ref->version != 0 && (uint64_t)wire_get_int(found, 1, row, 3) != ref->version)
            continue;
        for (size_t i = 0; i < gone; i++)
            again |= rids[i] == rid; /* named twice */
        if (again)
            continue;
        if (versions > budget) {
            wire_add(b, &drop_old);
            wire_int8(b, rid);
            wire_int8(b, vid);
            wire_int8(b, budget);
            break; /* the current one, too, in another slice */
        }
        budget -= versions;
        andiron_str keys = wire_get_str(found, 1, row, 4), none = { NULL, 0 };
        if (keys.len > 0 &&
            (entries_add(rows, keys, none, vid) != 0 || entries_add_values(rows, keys) != 0))
            return -1;
        rids[gone++] = rid;
    }
    p->purged = gone;
    if (gone == 0)
        return 0;
    entries_remove(rows, b);
    entries_remove_values(rows, b);
    wire_add(b, &drop_versions);
    wire_int_array(b, rids, gone);
    wire_add(b, &keep_stubs);
    wire_int_array(b, rids, gone);
    wire_int4(b, 1 << ANDIRON_TERM_REFERENCE);
    wire_add(b, &drop_resources);
    wire_int_array(b, rids, gone);
    naming_bump(b, true);
    return 0;
}

static enum andiron_step found(struct andiron_request *req, void *state)
{
    struct purging *p = state;
    const struct wire_batch *b = p->batch;
    struct andiron_error err;

    if (b->reply.outcome != WIRE_OK)
        return end(req, p, &b->reply.error);
    p->batch = wire_batch(p->arena);
    if (plan(p, b, p->batch) != 0) {
        andiron_error_set(&err, ANDIRON_E_INTERNAL, "",
                          "index entries of a stored resource cannot be read; the storage is "
                          "damaged or of a newer version");
        return end(req, p, &err);
    }
    return wire_finish_go(p->lease, req, p->batch, sliced, p);
}

static enum andiron_step leased(struct andiron_request *req, void *state)
{
    struct purging *p = state;
    andiron_str *types, *ids;

    if (p->lease->error.code != ANDIRON_OK)
        return end(req, p, &p->lease->error);
    p->asked = p->purge->count - p->at < REFS ? p->purge->count - p->at : REFS;
    types = andiron_alloc(p->arena, p->asked * sizeof(types[0]));
    ids = andiron_alloc(p->arena, p->asked * sizeof(ids[0]));
    for (size_t i = 0; i < p->asked; i++) {
        types[i] = p->purge->refs[p->at + i].type;
        ids[i] = p->purge->refs[p->at + i].id;
    }
    p->batch = wire_batch(p->arena);
    wire_add(p->batch, &alone);
    wire_int4(p->batch, LOCK_SPACE);
    wire_int4(p->batch, LOCK_NAMES);
    wire_add(p->batch, &find);
    wire_str_array(p->batch, types, p->asked);
    wire_str_array(p->batch, ids, p->asked);
    wire_int8(p->batch, SLICE + 1);
    return wire_lease_go(p->lease, req, p->batch, found, p);
}

static enum andiron_step slice(struct andiron_request *req, struct purging *p)
{
    if (p->at == p->purge->count)
        return p->then(req, p->state);
    p->arena = andiron_request_arena(req);
    return wire_lease_ask(p->local->wire, WIRE_WRITE, WIRE_COMMITTED, req, &p->lease, leased, p);
}

enum andiron_step service_purge(void *self, struct andiron_request *req,
                                struct andiron_purge *purge, andiron_step_fn then, void *state)
{
    struct purging *p = andiron_new(andiron_request_arena(req), struct purging);

    purge->error = (struct andiron_error){ .code = ANDIRON_OK };
    purge->purged = 0;
    *p = (struct purging){ .local = store_local(self, andiron_request_loop(req)),
                           .store = self,
                           .purge = purge,
                           .then = then,
                           .state = state };
    return slice(req, p);
}
