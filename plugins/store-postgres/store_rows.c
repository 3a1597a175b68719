/*
 * Rows of a transaction, a slice at a time, and its end; see txn.h.
 */
#include "txn.h"
#include "watch.h"

enum {
    SLICE = 500,          /* writes of a round trip */
    SLICE_BYTES = 8 << 20 /* of bodies */
};

static const struct wire_sql set_resources = {
    "resource_set",
    "UPDATE resource r SET vid=u.vid,ver=u.ver,st=u.st FROM unnest($1,$2,$3,$4) u(rid,vid,ver,st)"
    " WHERE r.rid=u.rid",
    { WIRE_INT8_ARRAY, WIRE_INT8_ARRAY, WIRE_INT8_ARRAY, WIRE_INT2_ARRAY }
};
static const struct wire_sql add_versions = {
    "version_add",
    "INSERT INTO version(vid,rid,ts,ver,type,op,enc,keys,body)"
    " SELECT vid,rid,ts,ver,type,op,0,keys,body"
    " FROM unnest($1,$2,$3,$4,$5,$6,$7,$8) u(vid,rid,ts,ver,type,op,keys,body)",
    { WIRE_INT8_ARRAY, WIRE_INT8_ARRAY, WIRE_TIMESTAMPTZ_ARRAY, WIRE_INT8_ARRAY, WIRE_INT2_ARRAY,
      WIRE_INT2_ARRAY, WIRE_BYTEA_ARRAY, WIRE_BYTEA_ARRAY }
};

static const struct wire_sql set_keys = {
    "version_keys",
    "UPDATE version v SET keys=u.keys FROM unnest($1,$2) u(vid,keys) WHERE v.vid=u.vid",
    { WIRE_INT8_ARRAY, WIRE_BYTEA_ARRAY }
};

/* Columns of a slice. */
struct columns {
    int64_t *vid, *rid, *ts, *ver, *type, *op;
    andiron_str *keys, *body;
    size_t count;
    int64_t *set_rid, *set_vid, *set_ver, *set_state;
    size_t set_count;
    int64_t *index_vid; /* versions that get other keys */
    andiron_str *index_keys;
    size_t index_count;
};

static struct columns columns_new(struct andiron_arena *arena, size_t room)
{
    struct columns c = { .count = 0 };
    int64_t **ints[] = { &c.vid,     &c.rid,     &c.ts,      &c.ver,       &c.type,     &c.op,
                         &c.set_rid, &c.set_vid, &c.set_ver, &c.set_state, &c.index_vid };

    for (size_t i = 0; i < sizeof(ints) / sizeof(ints[0]); i++)
        *ints[i] = andiron_alloc(arena, room * sizeof(int64_t));
    c.keys = andiron_alloc(arena, room * sizeof(andiron_str));
    c.body = andiron_alloc(arena, room * sizeof(andiron_str));
    c.index_keys = andiron_alloc(arena, room * sizeof(andiron_str));
    return c;
}

static void add_version(struct columns *c, const struct item *item, andiron_str keys)
{
    const struct andiron_write *write = item->write;
    size_t n = c->count++;

    c->vid[n] = item->new_vid;
    c->rid[n] = item->rid;
    c->ts[n] = write->updated;
    c->ver[n] = (int64_t)write->ref.version;
    c->type[n] = item->type;
    c->op[n] = write->remove ? OP_DELETE : write->created ? OP_CREATE : OP_UPDATE;
    c->keys[n] = keys;
    c->body[n] = write->remove ? (andiron_str){ NULL, 0 } : write->body;
    if (!write->remove && c->body[n].data == NULL)
        c->body[n] = ANDIRON_STR("");
    if (item->is_new)
        return;
    n = c->set_count++;
    c->set_rid[n] = item->rid;
    c->set_vid[n] = item->new_vid;
    c->set_ver[n] = (int64_t)write->ref.version;
    c->set_state[n] = write->remove ? STATE_DELETED : STATE_LIVE;
}

static void add_statements(struct wire_batch *b, const struct columns *c)
{
    if (c->set_count > 0) {
        wire_add(b, &set_resources);
        wire_int_array(b, c->set_rid, c->set_count);
        wire_int_array(b, c->set_vid, c->set_count);
        wire_int_array(b, c->set_ver, c->set_count);
        wire_int_array(b, c->set_state, c->set_count);
    }
    if (c->index_count > 0) {
        wire_add(b, &set_keys);
        wire_int_array(b, c->index_vid, c->index_count);
        wire_str_array(b, c->index_keys, c->index_count);
    }
    if (c->count == 0)
        return;
    wire_add(b, &add_versions);
    wire_int_array(b, c->vid, c->count);
    wire_int_array(b, c->rid, c->count);
    wire_int_array(b, c->ts, c->count);
    wire_int_array(b, c->ver, c->count);
    wire_int_array(b, c->type, c->count);
    wire_int_array(b, c->op, c->count);
    wire_str_array(b, c->keys, c->count);
    wire_str_array(b, c->body, c->count);
}

/* One write: its version, its index rows, and those that its old version had. */
static int add_write(struct txn *txn, const struct item *item, struct columns *c,
                     struct entries *added, struct entries *removed)
{
    const struct commit_job *job = item->job;
    struct andiron_write *write = item->write;
    andiron_str none = { NULL, 0 };
    andiron_str keys = none;

    if (job->stamps_late && write->stamp != NULL && !write->remove)
        write->stamp(write->stamp_state, txn->slice, write);
    if (!write->remove)
        keys = pack_keys(job->pack, item->which, job->rids, txn->slice);
    add_version(c, item, keys);
    if (job->stamps_late)
        write->body = none;
    if (item->old_keys.len > 0 && entries_add(removed, item->old_keys, none, item->vid) != 0)
        return -1;
    if (keys.len == 0)
        return 0;
    return entries_add(added, keys, none, item->new_vid) != 0 ||
                   entries_add_values(txn->values, keys) != 0
               ? -1
               : 0;
}

/* Other terms of the version that is there. */
static int add_terms(struct txn *txn, const struct item *item, struct columns *c,
                     struct entries *added, struct entries *removed)
{
    const struct commit_job *job = item->job;
    andiron_str given = pack_keys(job->pack, item->which, job->rids, txn->slice);
    andiron_str old = item->old_keys;
    andiron_str all = job->indexing->is_replacing ? given : keys_join(txn->slice, old, given);

    if (andiron_str_eq(all, old))
        return 0;
    c->index_vid[c->index_count] = item->vid;
    c->index_keys[c->index_count++] = all;
    return entries_add(added, all, old, item->vid) != 0 ||
                   entries_add(removed, old, all, item->vid) != 0 ||
                   entries_add_values(txn->values, all) != 0
               ? -1
               : 0;
}

/* Makes the next slice; on the pool, if it is much. */
static void make_slice(struct txn *txn)
{
    struct wire_batch *b;
    size_t bytes = 0, watched_count = 0,
           most = txn->at + SLICE < txn->count ? txn->at + SLICE : txn->count;

    txn->slice = andiron_arena_new(0);
    struct columns c = columns_new(txn->slice, most - txn->at + 1);
    const struct item **watched =
        andiron_alloc(txn->slice, (most - txn->at + 1) * sizeof(watched[0]));
    struct entries *added = entries_new(txn->slice, &txn->store->key);
    struct entries *removed = entries_new(txn->slice, &txn->store->key);
    for (; txn->at < most && bytes < SLICE_BYTES; txn->at++) {
        const struct item *item = &txn->items[txn->at];
        if (item->skip || item->job->is_out)
            continue;
        if ((item->job->indexing != NULL ? add_terms : add_write)(txn, item, &c, added, removed) !=
            0) {
            andiron_error_set(&txn->error, ANDIRON_E_INTERNAL, "",
                              "index entries of a stored resource cannot be read; the storage is "
                              "damaged or of a newer version");
            return;
        }
        if (item->job->indexing != NULL)
            continue;
        bytes += c.body[c.count - 1].len;
        if (watch_wants(txn->store->watches, item->write->ref.type))
            watched[watched_count++] = item;
        txn->last_vid = item->new_vid;
    }
    txn->written += c.count;
    b = wire_batch(txn->slice);
    entries_remove(removed, b);
    add_statements(b, &c);
    entries_insert(added, b);
    for (size_t i = 0; i < watched_count; i++)
        watch_notify(txn->store->watches, b, watched[i]->write->ref.type, watched[i]->write->ref.id,
                     watched[i]->new_vid);
    txn->batch = b;
}

static void send_slice(struct txn *txn);

static void slice_stored(void *arg, struct wire_batch *b)
{
    struct txn *txn = arg;

    if (b->reply.outcome != WIRE_OK) {
        txn_failed(txn, b);
        return;
    }
    andiron_arena_free(txn->slice);
    txn->slice = NULL;
    txn_work(txn, make_slice, send_slice);
}

static void finished(void *arg, struct wire_batch *b)
{
    struct txn *txn = arg;

    txn->lease = NULL;
    txn->lsn = b->reply.lsn;
    if (b->reply.outcome != WIRE_OK)
        txn_failed(txn, b);
    else
        txn_committed(txn);
}

static void send_slice(struct txn *txn)
{
    if (txn->error.code != ANDIRON_OK) {
        txn_fail(txn, &txn->error);
        return;
    }
    if (txn->at < txn->count) {
        wire_lease_send(txn->lease, txn->batch, slice_stored, txn);
        return;
    }
    entries_insert_values(txn->values, txn->batch, txn_marks(txn));
    wire_finish(txn->lease, txn->batch, finished, txn);
}

void txn_store(struct txn *txn)
{
    bool writes = txn->claims;

    for (size_t i = 0; i < txn->count && !writes; i++)
        writes = !txn->items[i].skip;
    if (!writes) {
        txn_committed(txn); /* there is nothing to wait for */
        return;
    }
    txn->values = entries_new(txn->arena, &txn->store->key);
    txn->at = 0;
    txn->written = 0;
    txn_work(txn, make_slice, send_slice);
}
