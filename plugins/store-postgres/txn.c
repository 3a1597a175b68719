/*
 * Life of a transaction: its beginning, its ends, and beginning anew; see txn.h.
 */
#include <event2/event.h>
#include <stdlib.h>

#include "replica.h"
#include "txn_life.h"
#include "watch.h"

enum {
    ATTEMPTS = 12, /* of what others get in the way of */
    LARGE = 32,    /* writes from which on the work goes to the pool */
    LOOKUPS = 600, /* of an outcome, each LOOKUP_MS after the other */
    LOOKUP_MS = 50
};

/*
 * What became of it. After a failover its number may be one that the new primary has not come to; the
 * rows tell then.
 */
static const struct wire_sql outcome = {
    "txn_outcome",
    "SELECT CASE WHEN $1<pg_snapshot_xmax(pg_current_snapshot())"
    " THEN pg_xact_status($1)='in progress' ELSE false END,"
    "EXISTS(SELECT FROM version WHERE vid=$2)",
    { WIRE_XID8, WIRE_INT8 }
};

static void start(struct txn *txn);

/* ---- the pool ---------------------------------------------------------------------------------- */

static void back_on_loop(void *arg)
{
    struct txn *txn = arg;
    txn->worked(txn);
}

static void work_on_pool(void *arg)
{
    struct txn *txn = arg;

    txn->work(txn);
    andiron_loop_post(txn->local->loop, back_on_loop, txn);
}

void txn_work(struct txn *txn, void (*work)(struct txn *txn), void (*worked)(struct txn *txn))
{
    if (txn->count <= LARGE) {
        work(txn);
        worked(txn);
        return;
    }
    txn->work = work;
    txn->worked = worked;
    andiron_pool_post(work_on_pool, txn);
}

/* ---- items --------------------------------------------------------------------------------------- */

int txn_compare_ids(int64_t type, andiron_str id, int64_t type2, andiron_str id2)
{
    size_t len = id.len < id2.len ? id.len : id2.len;

    if (type != type2)
        return type < type2 ? -1 : 1;
    int order = len > 0 ? memcmp(id.data, id2.data, len) : 0;
    return order != 0 ? order : (id.len > id2.len) - (id.len < id2.len);
}

static int compare_items(const void *a, const void *b)
{
    const struct item *const *x = a, *const *y = b;
    int order = txn_compare_ids((*x)->type, (*x)->write->ref.id, (*y)->type, (*y)->write->ref.id);
    return order != 0 ? order : ((*x)->which > (*y)->which) - ((*x)->which < (*y)->which);
}

void txn_sort(struct txn *txn)
{
    if (txn->sorted == NULL)
        txn->sorted = andiron_alloc(txn->arena, (txn->count + 1) * sizeof(txn->sorted[0]));
    txn->sorted_count = 0;
    for (size_t i = 0; i < txn->count; i++) {
        struct item *item = &txn->items[i];
        if (!item->skip && item->write->ref.id.len != 0)
            txn->sorted[txn->sorted_count++] = item;
    }
    if (txn->sorted_count > 1)
        qsort(txn->sorted, txn->sorted_count, sizeof(txn->sorted[0]), compare_items);
}

struct item *txn_item(const struct txn *txn, const struct commit_job *job, int64_t type,
                      andiron_str id)
{
    size_t low = 0, high = txn->sorted_count;

    while (low < high) {
        size_t middle = (low + high) / 2;
        struct item *item = txn->sorted[middle];
        int order = txn_compare_ids(item->type, item->write->ref.id, type, id);
        if (order == 0)
            return item->job == job ? item : NULL;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static void make_items(struct txn *txn)
{
    size_t count = 0;

    for (const struct commit_job *job = txn->jobs; job != NULL; job = job->next)
        count += job->commit->count;
    txn->items = andiron_alloc(txn->arena, (count + 1) * sizeof(txn->items[0]));
    txn->count = 0;
    for (struct commit_job *job = txn->jobs; job != NULL; job = job->next) {
        job->first = txn->count;
        txn->checks |= job->commit->check_references;
        for (size_t i = 0; i < job->commit->count; i++) {
            struct andiron_write *write = &job->commit->writes[i];
            write->ref = job->given[i];
            txn->items[txn->count++] = (struct item){
                .job = job, .write = write, .which = i, .type = pack_type(job->pack, i)
            };
        }
    }
}

/* ---- beginning ------------------------------------------------------------------------------------ */

static void granted(void *arg, struct wire_lease *lease)
{
    struct txn *txn = arg;

    if (lease->error.code != ANDIRON_OK) {
        txn_fail(txn, &lease->error);
        return;
    }
    if (txn->jobs->is_conditional)
        txn_settle(txn);
    else
        txn_locate(txn);
}

static void start(struct txn *txn)
{
    struct txn fresh = { .writer = txn->writer,
                         .local = txn->local,
                         .store = txn->store,
                         .jobs = txn->jobs,
                         .attempts = txn->attempts + 1,
                         .began = andiron_now() };

    *txn = fresh;
    txn->arena = andiron_arena_new(0);
    make_items(txn);
    txn->lease = wire_lease(txn->local->wire, WIRE_WRITE, WIRE_COMMITTED, txn->arena, granted, txn);
}

void txn_begin(struct writer *w, struct commit_job *jobs)
{
    struct txn *txn = calloc(1, sizeof(*txn));

    if (txn == NULL)
        abort(); /* out of memory: the worker ends and is restarted */
    txn->writer = w;
    txn->local = w->local;
    txn->store = w->store;
    txn->jobs = jobs;
    start(txn);
}

/* Lets go of the connection and of what belongs to one attempt. */
static void drop_attempt(struct txn *txn)
{
    wire_abandon(txn->lease);
    txn->lease = NULL;
    andiron_arena_free(txn->slice);
    txn->slice = NULL;
    andiron_arena_free(txn->scratch);
    txn->scratch = NULL;
    andiron_arena_free(txn->arena);
    txn->arena = NULL;
}

static void end(struct txn *txn)
{
    struct writer *w = txn->writer;

    drop_attempt(txn);
    free(txn);
    w->running--;
    writer_pump(w);
}

/* ---- ends --------------------------------------------------------------------------------------------- */

void txn_refuse(struct commit_job *job, size_t which)
{
    if (!job->is_out)
        job->commit->failed = which;
    job->is_out = true;
}

void txn_fail(struct txn *txn, const struct andiron_error *err)
{
    struct andiron_error why = *err; /* err may lie in what is let go of */
    struct commit_job *next;

    for (struct commit_job *job = txn->jobs; job != NULL; job = next) {
        next = job->next;
        job->commit->error = why;
        job->commit->failed = 0;
        writer_answer(job);
    }
    end(txn);
}

enum txn_wish txn_weed(struct txn *txn, bool is_dirty)
{
    struct commit_job **at = &txn->jobs;
    bool some = false;

    while (*at != NULL) {
        struct commit_job *job = *at;
        if (!job->is_out) {
            at = &job->next;
            continue;
        }
        *at = job->next;
        some = true;
        /* Its items stay where they are, and are passed over. */
        for (size_t i = 0; i < job->commit->count; i++)
            txn->items[job->first + i].skip = true;
        writer_answer(job);
    }
    if (txn->jobs == NULL) {
        end(txn);
        return TXN_OVER;
    }
    if (!some || !is_dirty)
        return TXN_GO;
    txn->attempts--; /* nobody was in the way */
    txn_again(txn);
    return TXN_AGAIN;
}

void txn_again(struct txn *txn)
{
    struct andiron_error err;

    if (txn->attempts >= ATTEMPTS) {
        andiron_error_set(&err, ANDIRON_E_UNAVAILABLE, "",
                          "others write the same resources all the time; try again later");
        txn_fail(txn, &err);
        return;
    }
    drop_attempt(txn);
    start(txn);
}

/* The commits go back to where names are looked up. */
static void prepare_again(struct txn *txn)
{
    struct commit_job *jobs = txn->jobs, *next;
    struct writer *w = txn->writer;

    drop_attempt(txn);
    free(txn);
    w->running--;
    for (; jobs != NULL; jobs = next) {
        next = jobs->next;
        jobs->next = NULL;
        writer_prepare(jobs);
    }
    writer_pump(w);
}

void txn_name(struct txn *txn)
{
    struct commit_job *job = txn->jobs;

    drop_attempt(txn);
    for (size_t i = 0; i < job->commit->count; i++)
        job->commit->writes[i].ref = job->given[i];
    writer_add_names(job);
    end(txn);
}

static void renamed(void *arg, const struct andiron_error *err)
{
    struct txn *txn = arg;

    if (err != NULL) {
        txn_fail(txn, err);
        return;
    }
    for (struct commit_job *job = txn->jobs; job != NULL; job = job->next)
        pack_again(job->pack);
    prepare_again(txn);
}

void txn_renamed(struct txn *txn)
{
    drop_attempt(txn); /* what loads the names needs the connection */
    txn->arena = andiron_arena_new(0);
    naming_load(txn->local, txn->arena, renamed, txn);
}

/* ---- what was committed ------------------------------------------------------------------------------- */

const struct entries_marks *txn_marks(struct txn *txn)
{
    struct writer *w = txn->writer;

    /* A value may have been removed since. */
    if (w->marks_voids != txn->voids)
        memset(&w->marks, 0, sizeof(w->marks));
    w->marks_voids = txn->voids;
    return &w->marks;
}

void txn_committed(struct txn *txn)
{
    struct commit_job *next;

    if (txn->voids == txn->writer->marks_voids && txn->values != NULL)
        entries_mark(txn->values, &txn->writer->marks);
    for (size_t i = 0; i < txn->count; i++) {
        const struct item *item = &txn->items[i];
        if (!item->skip && item->job->indexing == NULL &&
            watch_wants(txn->store->watches, item->write->ref.type))
            watch_note(txn->store->watches, item->write->ref.type, item->write->ref.id,
                       item->new_vid);
    }
    for (struct commit_job *job = txn->jobs; job != NULL; job = next) {
        next = job->next;
        store_count(txn->store->metrics.commits, 1);
        replica_wrote(txn->local, job->req, txn->lsn);
        writer_answer(job);
    }
    store_count(txn->store->metrics.resources, txn->written);
    if (txn->store->metrics.commit_time != NULL)
        andiron_observe(txn->store->metrics.commit_time, andiron_now() - txn->began);
    end(txn);
}

static void look_up(struct txn *txn);

static void look_up_again(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    look_up(arg);
}

static void look_up_later(struct txn *txn)
{
    const struct timeval pause = { .tv_usec = LOOKUP_MS * 1000 };

    (void)event_base_once(andiron_loop_base(txn->local->loop), -1, EV_TIMEOUT, look_up_again, txn,
                          &pause);
}

static void looked_up(void *arg, struct wire_batch *b)
{
    struct txn *txn = arg;
    bool known = b->reply.outcome == WIRE_OK;

    if (known && wire_get_int(b, 0, 0, 1) != 0)
        txn_committed(txn);
    else if (known && wire_get_int(b, 0, 0, 0) == 0)
        txn_again(txn);
    else if (++txn->lookups < LOOKUPS)
        look_up_later(txn);
    else
        txn_fail(txn, &b->reply.error);
}

static void look_up(struct txn *txn)
{
    struct wire_batch *b = wire_batch(txn->arena);

    wire_add(b, &outcome);
    wire_int8(b, txn->xid);
    wire_int8(b, txn->last_vid);
    wire_send(txn->local->wire, WIRE_WRITE, b, looked_up, txn);
}

/* ---- what was refused -------------------------------------------------------------------------------------- */

/* Deadlock, serialization, a row that another has added at the same time. */
static bool is_concurrency(const char *sqlstate)
{
    static const char *const states[] = { "40P01", "40001", "23505" };

    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        if (strcmp(sqlstate, states[i]) == 0)
            return true;
    }
    return false;
}

/* Each tries alone: the fault of one is not that of the others. */
static void part(struct txn *txn)
{
    struct commit_job *jobs = txn->jobs;

    for (struct commit_job *job = jobs; job != NULL; job = job->next)
        job->is_alone = true;
    writer_put_back(txn->writer, jobs);
    end(txn);
}

void txn_failed(struct txn *txn, const struct wire_batch *b)
{
    switch (b->reply.outcome) {
    case WIRE_UNKNOWN:
        if (txn->written > 0)
            look_up(txn);
        else
            txn_again(txn); /* nothing that could be there twice */
        return;
    case WIRE_LOST:
        txn_again(txn);
        return;
    case WIRE_FAILED:
        if (is_concurrency(b->reply.sqlstate))
            txn_again(txn);
        else if (txn->jobs->next != NULL)
            part(txn);
        else
            txn_fail(txn, &b->reply.error);
        return;
    default:
        txn_fail(txn, &b->reply.error);
    }
}
