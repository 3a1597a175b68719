/*
 * Whether each commit of a transaction can be done, and what its writes become; see txn.h.
 */
#include <stdio.h>

#include "txn.h"

static const struct wire_sql referred = {
    "txn_referred",
    "SELECT u.n,x.vid FROM unnest($1) WITH ORDINALITY u(rid,n) CROSS JOIN param q"
    " JOIN ix_ref x ON x.p=q.p AND x.tgt=u.rid WHERE q.kind&$2<>0 LIMIT $3",
    { WIRE_INT8_ARRAY, WIRE_INT4, WIRE_INT8 }
};

/* ---- conditions ------------------------------------------------------------------------------ */

static void refuse_ref(const struct item *item, enum andiron_code code, const char *what)
{
    const struct andiron_ref *ref = &item->write->ref;

    andiron_error_set(&item->job->commit->error, code, "", "%.*s/%.*s %s", (int)ref->type.len,
                      ref->type.data, (int)ref->id.len, ref->id.data, what);
    txn_refuse(item->job, item->which);
}

static void test_conditions(struct item *item)
{
    struct andiron_write *write = item->write;
    bool live = item->vid != 0 && item->state == STATE_LIVE;
    char text[80];

    write->created = false;
    if (item->job->indexing != NULL) {
        item->skip = !live || (uint64_t)item->version != write->ref.version;
        return;
    }
    if (write->if_version != 0 && (!live || (uint64_t)item->version != write->if_version)) {
        snprintf(text, sizeof(text), "has version %lld, not the one in If-Match",
                 (long long)item->version);
        refuse_ref(item, ANDIRON_E_PRECONDITION,
                   live ? text : "does not exist, so no version can match");
        return;
    }
    if (write->if_absent && live && !item->matched) {
        refuse_ref(item, ANDIRON_E_PRECONDITION, "exists already");
        return;
    }
    if (write->remove && !live)
        item->skip = true;
    if (item->skip) {
        write->ref.version = (uint64_t)item->version;
        write->updated = item->updated;
    }
}

static void refuse_twice(struct txn *txn)
{
    for (size_t i = 1; i < txn->sorted_count; i++) {
        const struct item *a = txn->sorted[i - 1], *b = txn->sorted[i];
        if (a->job->is_out || a->job != b->job ||
            txn_compare_ids(a->type, a->write->ref.id, b->type, b->write->ref.id) != 0)
            continue;
        const struct item *later = a->which > b->which ? a : b;
        refuse_ref(later, ANDIRON_E_INVALID, "is written twice in one transaction");
    }
}

/* References to nothing. */
static void test_targets(const struct txn *txn, const struct item *item)
{
    const struct pack *pack = item->job->pack;
    struct keys_cursor at = pack_begin(pack, item->which);
    const struct pack_target *t;

    while ((t = pack_next_target(pack, &at)) != NULL) {
        const struct item *other = txn_item(txn, item->job, t->type, t->id);
        if (other != NULL && !other->write->remove)
            continue;
        const struct target *target = other == NULL ? txn_target(txn, t->type, t->id) : NULL;
        if (target != NULL && target->rid != 0 && target->state == STATE_LIVE)
            continue;
        andiron_str type = names_of_type(txn->store->names, t->type);
        andiron_error_set(&item->job->commit->error, ANDIRON_E_UNPROCESSABLE, "",
                          "refers to %.*s/%.*s, which does not exist", (int)type.len, type.data,
                          (int)t->id.len, t->id.data);
        txn_refuse(item->job, item->which);
        return;
    }
}

/* ---- what is referred to and removed ------------------------------------------------------------- */

static bool is_removed(const struct item *item)
{
    return !item->skip && item->job->commit->check_references && item->write->remove;
}

/* Whether this commit removes or rewrites the resource with that current version. */
static bool is_leaving(const struct txn *txn, int64_t vid)
{
    for (size_t i = 0; i < txn->count; i++) {
        if (!txn->items[i].skip && txn->items[i].vid == vid)
            return true;
    }
    return false;
}

static void stamp(struct txn *txn);

static void looked(void *arg, struct wire_batch *b)
{
    struct txn *txn = arg;

    if (b->reply.outcome != WIRE_OK) {
        txn_failed(txn, b);
        return;
    }
    for (size_t i = 0; i < wire_rows(b, 0); i++) {
        size_t n = (size_t)wire_get_int(b, 0, i, 0);
        const struct item *item = NULL;
        if (is_leaving(txn, wire_get_int(b, 0, i, 1)))
            continue;
        for (size_t j = 0; j < txn->count && n > 0; j++) {
            if (is_removed(&txn->items[j]) && --n == 0)
                item = &txn->items[j];
        }
        if (item == NULL)
            continue;
        andiron_error_set(&item->job->commit->error, ANDIRON_E_CONFLICT, "",
                          "other resources refer to it; remove or change them first");
        txn_refuse(item->job, item->which);
        break;
    }
    if (txn_weed(txn, true) == TXN_GO)
        stamp(txn);
}

/* Of a commit that is alone. false: nothing is removed. */
static bool look_for_referrers(struct txn *txn)
{
    int64_t *rids = andiron_alloc(txn->arena, (txn->count + 1) * sizeof(rids[0]));
    size_t count = 0;

    for (size_t i = 0; i < txn->count; i++) {
        if (is_removed(&txn->items[i]))
            rids[count++] = txn->items[i].rid;
    }
    if (count == 0)
        return false;
    struct wire_batch *b = wire_batch(txn->arena);
    wire_add(b, &referred);
    wire_int_array(b, rids, count);
    wire_int4(b, 1 << ANDIRON_TERM_REFERENCE);
    wire_int8(b, INT32_MAX);
    wire_lease_send(txn->lease, b, looked, txn);
    return true;
}

/* ---- versions, instants, bodies ------------------------------------------------------------------- */

static void stamp_job(struct txn *txn, struct commit_job *job)
{
    struct andiron_commit *commit = job->commit;
    struct item *items = &txn->items[job->first];
    andiron_usec now = txn->clock;

    if (job->indexing != NULL)
        return;
    for (size_t i = 0; i < commit->count; i++) {
        struct andiron_write *write = &commit->writes[i];
        if (items[i].skip)
            continue;
        if (items[i].vid != 0 && now < items[i].updated + 1000)
            now = items[i].updated + 1000;
        write->ref.version = (uint64_t)items[i].version + 1;
        write->updated = now;
        write->created = !write->remove && (items[i].vid == 0 || items[i].state != STATE_LIVE);
    }
    for (size_t i = 0; !job->stamps_late && i < commit->count; i++) {
        struct andiron_write *write = &commit->writes[i];
        if (!items[i].skip && write->stamp != NULL)
            write->stamp(write->stamp_state, job->arena, write);
    }
}

/* On the pool, if it is much. */
static void stamp_all(struct txn *txn)
{
    for (struct commit_job *job = txn->jobs; job != NULL; job = job->next) {
        stamp_job(txn, job);
        if (!job->packs_late)
            continue;
        for (size_t i = 0; i < job->commit->count; i++)
            pack_pass_over(job->pack, i, txn->items[job->first + i].skip);
        pack_again(job->pack);
        pack_run(job->pack); /* commit->error says it */
    }
}

static void test_all_targets(struct txn *txn)
{
    for (size_t i = 0; i < txn->count; i++) {
        const struct item *item = &txn->items[i];
        if (!item->skip && item->job->commit->check_references && !item->job->is_out &&
            !item->write->remove)
            test_targets(txn, item);
    }
}

/* Terms of a commit with matches are what they are only now; it is alone. */
static void packed_late(struct txn *txn)
{
    test_all_targets(txn);
    if (txn_weed(txn, true) == TXN_GO)
        txn_store(txn);
}

static void stamped(struct txn *txn)
{
    struct commit_job *job = txn->jobs;

    if (job->commit->error.code != ANDIRON_OK) {
        job->is_out = true;
        (void)txn_weed(txn, true);
    } else if (!job->packs_late) {
        txn_store(txn);
    } else if (pack_voids(job->pack) != txn->voids) {
        txn_renamed(txn);
    } else if (pack_wanted(job->pack) != NULL) {
        txn_name(txn);
    } else {
        locate_targets(txn, packed_late);
    }
}

static void stamp(struct txn *txn)
{
    txn_work(txn, stamp_all, stamped);
}

/* ---- deciding ----------------------------------------------------------------------------------------- */

/* Whether something was written for a commit that has failed. */
static bool left_something(const struct txn *txn, const struct commit_job *job)
{
    if (job->commit->claim.data != NULL && job->has_name)
        return true;
    for (size_t i = 0; i < job->commit->count; i++) {
        if (txn->items[job->first + i].is_new)
            return true;
    }
    return false;
}

void txn_decide(struct txn *txn)
{
    bool is_dirty = false;

    for (size_t i = 0; i < txn->count; i++) {
        struct item *item = &txn->items[i];
        if (item->job->is_out || (item->skip && item->write->ref.id.len == 0))
            continue; /* nothing matched, and there is nothing to do */
        if (item->matched && (uint64_t)item->version != item->seen_version) {
            txn_again(txn); /* changed between the search and the lock */
            return;
        }
        test_conditions(item);
    }
    txn_sort(txn);
    refuse_twice(txn);
    for (struct commit_job *job = txn->jobs; job != NULL; job = job->next) {
        if (job->is_out || job->has_name)
            continue;
        andiron_error_set(&job->commit->error, ANDIRON_E_CONFLICT, "", "the name is taken");
        txn_refuse(job, job->commit->count);
    }
    if (!txn->jobs->packs_late)
        test_all_targets(txn);
    for (struct commit_job *job = txn->jobs; job != NULL; job = job->next)
        is_dirty |= job->is_out && left_something(txn, job);
    if (txn_weed(txn, is_dirty) != TXN_GO)
        return;
    if (!txn->checks || !look_for_referrers(txn))
        stamp(txn);
}
