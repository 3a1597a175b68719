/*
 * What writes apply to and what their terms refer to; see txn.h. One round trip: rows of resources that
 * are there are locked, those that are new are added with their final numbers, and all are read. Numbers
 * of versions are drawn behind the locks, so that they grow with the versions of a resource.
 *
 * Locks are taken in one order (names of matches, rows by number, new rows by type and id, names of
 * claims, values of the index): transactions wait for each other, not in a circle.
 */
#include <stdlib.h>

#include "txn.h"

enum {
    AT_BEGIN, /* xid */
    AT_LOCK,  /* rid of what is locked */
    AT_DRAW,  /* numbers of versions, one for each write */
    AT_ITEMS,
    AT_CLAIMS,
    AT_TARGETS,
    AT_CLOCK,
    AT_COUNTS
};

/* The transaction has its number before it draws those of versions: see horizon.h. */
static const struct wire_sql begin = { "txn_begin",
                                       "SELECT pg_current_xact_id(),"
                                       "pg_advisory_xact_lock_shared($1,$2)",
                                       { WIRE_INT4, WIRE_INT4 } };
/* n: which write adds the row, from 1 on; 0: it is only referred to. */
static const struct wire_sql draw = {
    "txn_draw",
    "WITH d AS MATERIALIZED (SELECT nextval('vid') v FROM generate_series(1,$1)),"
    " a AS MATERIALIZED (SELECT array_agg(v) a FROM d),"
    " i AS (INSERT INTO resource(rid,type,id,vid,ver,st)"
    " SELECT nextval('rid'),u.t,u.id,(SELECT a FROM a)[u.n],"
    "CASE WHEN u.n=0 THEN 0 ELSE 1 END,CASE WHEN u.n=0 THEN 2 ELSE 0 END"
    " FROM unnest($2,$3,$4) u(t,id,n)"
    " WHERE NOT EXISTS(SELECT FROM resource r WHERE r.type=u.t AND r.id=u.id)"
    " ON CONFLICT(type,id) DO NOTHING)"
    " SELECT a FROM a",
    { WIRE_INT4, WIRE_INT2_ARRAY, WIRE_TEXT_ARRAY, WIRE_INT4_ARRAY }
};
#define LOCK_ROWS                                                                                  \
    "SELECT r.rid FROM unnest($1,$2) u(t,id) JOIN resource r ON r.type=u.t AND r.id=u.id"          \
    " ORDER BY r.rid FOR "
static const struct wire_sql lock = { "txn_lock",
                                      LOCK_ROWS "NO KEY UPDATE OF r",
                                      { WIRE_INT2_ARRAY, WIRE_TEXT_ARRAY } };
/* Against those that refer to the resource, and hold it while they look whether it is there. */
static const struct wire_sql lock_removed = { "txn_lock_removed",
                                              LOCK_ROWS "UPDATE OF r",
                                              { WIRE_INT2_ARRAY, WIRE_TEXT_ARRAY } };
static const struct wire_sql items_sql = {
    "txn_items",
    "SELECT u.n,r.rid,r.vid,r.ver,r.st,v.ts,v.keys,r.xmin=pg_current_xact_id()::xid"
    " FROM unnest($1,$2) WITH ORDINALITY u(t,id,n) JOIN resource r ON r.type=u.t AND r.id=u.id"
    " LEFT JOIN version v ON v.vid=r.vid",
    { WIRE_INT2_ARRAY, WIRE_TEXT_ARRAY }
};
static const struct wire_sql claims = {
    "txn_claims",
    "INSERT INTO claim AS c(name,exp) SELECT * FROM unnest($1,$2) u(name,exp) ORDER BY name"
    " ON CONFLICT(name) DO UPDATE SET exp=excluded.exp WHERE c.exp<=clock_timestamp()"
    " RETURNING name",
    { WIRE_TEXT_ARRAY, WIRE_TIMESTAMPTZ_ARRAY }
};
#define TARGETS                                                                                    \
    "SELECT u.n,r.rid,r.st FROM unnest($1,$2) WITH ORDINALITY u(t,id,n)"                           \
    " JOIN resource r ON r.type=u.t AND r.id=u.id"
static const struct wire_sql targets_sql = { "txn_targets",
                                             TARGETS,
                                             { WIRE_INT2_ARRAY, WIRE_TEXT_ARRAY } };
static const struct wire_sql targets_held = { "txn_targets_held",
                                              TARGETS " ORDER BY r.rid FOR KEY SHARE OF r",
                                              { WIRE_INT2_ARRAY, WIRE_TEXT_ARRAY } };
static const struct wire_sql clock_sql = { "txn_clock", "SELECT clock_timestamp()", { 0 } };

/* ---- targets ---------------------------------------------------------------------------------- */

static int compare_targets(const void *a, const void *b)
{
    const struct target *x = a, *y = b;
    return txn_compare_ids(x->type, x->id, y->type, y->id);
}

const struct target *txn_target(const struct txn *txn, int64_t type, andiron_str id)
{
    const struct target key = { .type = type, .id = id };

    if (txn->target_count == 0)
        return NULL;
    return bsearch(&key, txn->targets, txn->target_count, sizeof(key), compare_targets);
}

/* Everything that terms packed so far refer to. */
static void gather_targets(struct txn *txn)
{
    size_t room = 1, count = 0, n;

    for (const struct commit_job *job = txn->jobs; job != NULL; job = job->next) {
        (void)pack_targets(job->pack, &n);
        room += n;
    }
    txn->targets = andiron_alloc(txn->arena, room * sizeof(txn->targets[0]));
    for (const struct commit_job *job = txn->jobs; job != NULL; job = job->next) {
        const struct pack_target *t = pack_targets(job->pack, &n);
        for (size_t i = 0; i < n; i++)
            txn->targets[count++] = (struct target){ .type = t[i].type, .id = t[i].id };
    }
    qsort(txn->targets, count, sizeof(txn->targets[0]), compare_targets);
    txn->target_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || compare_targets(&txn->targets[txn->target_count - 1], &txn->targets[i]) != 0)
            txn->targets[txn->target_count++] = txn->targets[i];
    }
}

static void bind_targets(struct txn *txn, struct wire_batch *b)
{
    int64_t *types = andiron_alloc(txn->arena, (txn->target_count + 1) * sizeof(types[0]));
    andiron_str *ids = andiron_alloc(txn->arena, (txn->target_count + 1) * sizeof(ids[0]));

    for (size_t i = 0; i < txn->target_count; i++) {
        types[i] = txn->targets[i].type;
        ids[i] = txn->targets[i].id;
    }
    wire_add(b, txn->checks ? &targets_held : &targets_sql);
    wire_int_array(b, types, txn->target_count);
    wire_str_array(b, ids, txn->target_count);
}

static void take_targets(struct txn *txn, const struct wire_batch *b, size_t at)
{
    for (size_t i = 0; i < wire_rows(b, at); i++) {
        size_t n = (size_t)wire_get_int(b, at, i, 0);
        if (n == 0 || n > txn->target_count)
            continue;
        txn->targets[n - 1].rid = wire_get_int(b, at, i, 1);
        txn->targets[n - 1].state = wire_get_int(b, at, i, 2);
    }
    for (struct commit_job *job = txn->jobs; job != NULL; job = job->next) {
        size_t count;
        const struct pack_target *t = pack_targets(job->pack, &count);
        job->rids = andiron_alloc(txn->arena, (count + 1) * sizeof(job->rids[0]));
        for (size_t i = 0; i < count; i++) {
            const struct target *found = txn_target(txn, t[i].type, t[i].id);
            job->rids[i] = found != NULL ? found->rid : 0;
        }
    }
}

/* ---- rows that are new --------------------------------------------------------------------------- */

struct place {
    int64_t type, n;
    andiron_str id;
};

static int compare_places(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    int order = txn_compare_ids(x->type, x->id, y->type, y->id);
    return order != 0 ? order : (x->n < y->n) - (x->n > y->n); /* what writes it comes first */
}

/* Whether the write adds the resource if it is not there. */
static bool adds(const struct item *item)
{
    return !item->skip && !item->write->remove && item->write->if_version == 0 &&
           item->job->indexing == NULL;
}

static void add_draw(struct txn *txn, struct wire_batch *b, bool with_items)
{
    size_t room = (with_items ? txn->count : 0) + txn->target_count + 1, count = 0, kept = 0;
    struct place *places = andiron_alloc(txn->arena, room * sizeof(places[0]));
    int64_t *types = andiron_alloc(txn->arena, room * sizeof(types[0]));
    int64_t *numbers = andiron_alloc(txn->arena, room * sizeof(numbers[0]));
    andiron_str *ids = andiron_alloc(txn->arena, room * sizeof(ids[0]));

    for (size_t i = 0; with_items && i < txn->count; i++) {
        const struct item *item = &txn->items[i];
        if (adds(item))
            places[count++] = (struct place){ item->type, (int64_t)i + 1, item->write->ref.id };
    }
    /* References to nothing will be refused: they leave no trace. */
    for (size_t i = 0; !txn->checks && i < txn->target_count; i++)
        places[count++] = (struct place){ txn->targets[i].type, 0, txn->targets[i].id };
    qsort(places, count, sizeof(places[0]), compare_places);
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && txn_compare_ids(places[i - 1].type, places[i - 1].id, places[i].type,
                                     places[i].id) == 0)
            continue;
        types[kept] = places[i].type;
        numbers[kept] = places[i].n;
        ids[kept++] = places[i].id;
    }
    wire_add(b, &draw);
    wire_int4(b, with_items ? (int64_t)txn->count : 0);
    wire_int_array(b, types, kept);
    wire_str_array(b, ids, kept);
    wire_int_array(b, numbers, kept);
}

/* ---- one round trip ---------------------------------------------------------------------------------- */

struct asked {
    int64_t *types;
    andiron_str *ids;
    bool removes;
};

static struct asked ask_items(struct txn *txn)
{
    struct asked a = { .types = andiron_alloc(txn->arena, (txn->count + 1) * sizeof(a.types[0])),
                       .ids = andiron_alloc(txn->arena, (txn->count + 1) * sizeof(a.ids[0])) };

    for (size_t i = 0; i < txn->count; i++) {
        const struct item *item = &txn->items[i];
        a.types[i] = item->type; /* 0 is the type of nothing */
        a.ids[i] = item->write->ref.id.data != NULL ? item->write->ref.id : ANDIRON_STR("");
        a.removes |= item->write->remove;
    }
    return a;
}

static void add_asked(struct txn *txn, struct wire_batch *b, const struct wire_sql *sql,
                      const struct asked *a)
{
    wire_add(b, sql);
    wire_int_array(b, a->types, txn->count);
    wire_str_array(b, a->ids, txn->count);
}

static void add_claims(struct txn *txn, struct wire_batch *b)
{
    andiron_str *names = andiron_alloc(txn->arena, (txn->count + 1) * sizeof(names[0]));
    int64_t *ends = andiron_alloc(txn->arena, (txn->count + 1) * sizeof(ends[0]));
    size_t count = 0, room = txn->count + 1;

    for (const struct commit_job *job = txn->jobs; job != NULL; job = job->next) {
        if (job->commit->claim.data == NULL || count == room)
            continue;
        names[count] = job->commit->claim;
        ends[count++] = job->commit->claim_expires;
    }
    wire_add(b, &claims);
    wire_str_array(b, names, count);
    wire_int_array(b, ends, count);
}

static bool is_locked(const struct wire_batch *b, int64_t rid)
{
    size_t low = 0, high = wire_rows(b, AT_LOCK);

    while (low < high) {
        size_t middle = (low + high) / 2;
        int64_t at = wire_get_int(b, AT_LOCK, middle, 0);
        if (at == rid)
            return true;
        if (at < rid)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

/* false: another has added one of them since the locks were taken. */
static bool take_items(struct txn *txn, const struct wire_batch *b)
{
    size_t drawn = 0;
    const int64_t *vids = txn->count > 0 ? wire_get_ints(b, AT_DRAW, 0, 0, &drawn) : NULL;

    for (size_t i = 0; i < txn->count && i < drawn; i++)
        txn->items[i].new_vid = vids[i];
    for (size_t i = 0; i < wire_rows(b, AT_ITEMS); i++) {
        size_t n = (size_t)wire_get_int(b, AT_ITEMS, i, 0);
        if (n == 0 || n > txn->count)
            continue;
        struct item *item = &txn->items[n - 1];
        item->rid = wire_get_int(b, AT_ITEMS, i, 1);
        item->is_new = wire_get_int(b, AT_ITEMS, i, 7) != 0 && wire_is_null(b, AT_ITEMS, i, 5) &&
                       wire_get_int(b, AT_ITEMS, i, 4) == STATE_LIVE;
        if (item->is_new)
            continue; /* by this transaction: to the commit it is not there */
        if (wire_get_int(b, AT_ITEMS, i, 7) == 0 && !is_locked(b, item->rid))
            return false;
        item->vid = wire_get_int(b, AT_ITEMS, i, 2);
        item->version = wire_get_int(b, AT_ITEMS, i, 3);
        item->state = wire_get_int(b, AT_ITEMS, i, 4);
        item->updated = wire_get_int(b, AT_ITEMS, i, 5);
        item->old_keys = wire_get_str(b, AT_ITEMS, i, 6);
    }
    return true;
}

/* Commits whose name somebody has. */
static bool take_claims(struct txn *txn, const struct wire_batch *b)
{
    bool some = false;

    for (struct commit_job *job = txn->jobs; job != NULL; job = job->next) {
        bool taken = job->commit->claim.data == NULL;
        some |= !taken;
        for (size_t i = 0; !taken && i < wire_rows(b, AT_CLAIMS); i++)
            taken = andiron_str_eq(wire_get_str(b, AT_CLAIMS, i, 0), job->commit->claim);
        job->has_name = taken;
    }
    return some;
}

static void located(void *arg, struct wire_batch *b)
{
    struct txn *txn = arg;

    if (b->reply.outcome != WIRE_OK) {
        txn_failed(txn, b);
        return;
    }
    txn->xid = wire_get_int(b, AT_BEGIN, 0, 0);
    txn->clock = wire_get_int(b, AT_CLOCK, 0, 0);
    txn->voids = wire_get_int(b, AT_COUNTS, 0, 1);
    for (const struct commit_job *job = txn->jobs; job != NULL; job = job->next) {
        if (!job->packs_late && pack_voids(job->pack) != txn->voids) {
            txn_renamed(txn);
            return;
        }
    }
    if (!take_items(txn, b)) {
        txn_again(txn);
        return;
    }
    take_targets(txn, b, AT_TARGETS);
    txn->claims = take_claims(txn, b);
    txn_decide(txn);
}

void txn_locate(struct txn *txn)
{
    struct wire_batch *b = wire_batch(txn->arena);
    struct asked asked = ask_items(txn);

    gather_targets(txn);
    wire_add(b, &begin);
    wire_int4(b, LOCK_SPACE);
    wire_int4(b, LOCK_NAMES);
    add_asked(txn, b, asked.removes && txn->checks ? &lock_removed : &lock, &asked);
    add_draw(txn, b, true);
    add_asked(txn, b, &items_sql, &asked);
    add_claims(txn, b);
    bind_targets(txn, b);
    wire_add(b, &clock_sql);
    naming_ask(b);
    wire_lease_send(txn->lease, b, located, txn);
}

/* ---- targets alone ----------------------------------------------------------------------------------- */

static void targets_located(void *arg, struct wire_batch *b)
{
    struct txn *txn = arg;

    if (b->reply.outcome != WIRE_OK) {
        txn_failed(txn, b);
        return;
    }
    take_targets(txn, b, 1);
    txn->then(txn);
}

void locate_targets(struct txn *txn, void (*then)(struct txn *txn))
{
    struct wire_batch *b = wire_batch(txn->arena);

    txn->then = then;
    gather_targets(txn);
    add_draw(txn, b, false);
    bind_targets(txn, b);
    wire_lease_send(txn->lease, b, targets_located, txn);
}
