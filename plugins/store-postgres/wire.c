/*
 * Pools of a loop: what waits for a connection, and what the connections are at; see wire.h.
 */
#include "wire.h"

#include <assert.h>
#include <stdlib.h>

#include <event2/event.h>

#include "batch.h"
#include "pool.h"

enum { LOOK_MS = 100, GRACE_MS = 1000 /* beyond what the server allows a statement */ };

static const struct wire_sql begin_committed = { .name = "begin",
                                                 .text = "BEGIN ISOLATION LEVEL READ COMMITTED" };
static const struct wire_sql begin_repeatable = {
    .name = "begin_snapshot", .text = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
};
static const struct wire_sql commit = { .name = "commit", .text = "COMMIT" };

/* ---- ends of works --------------------------------------------------------------------- */

void pool_tell(struct wire_work *w)
{
    struct wire_batch *b = w->batch;

    if (b == NULL) {
        w->granted(w->arg, w->lease);
        return;
    }
    if (b->reply.outcome == WIRE_OK)
        batch_done(b);
    w->batch = NULL; /* a lease may send the next one from inside done() */
    w->done(w->arg, b);
}

static void tell_later(struct wire_work *w)
{
    struct wire_loop *loop = w->pool->loop;
    struct timeval now = { 0, 0 };

    w->next = NULL;
    *loop->over_last = w;
    loop->over_last = &w->next;
    if (event_add(loop->later, &now) != 0)
        abort(); /* out of memory */
}

static void on_later(evutil_socket_t fd, short what, void *arg)
{
    struct wire_loop *loop = arg;
    struct wire_work *w = loop->over;

    (void)fd;
    (void)what;
    loop->over = NULL;
    loop->over_last = &loop->over;
    while (w != NULL) {
        struct wire_work *next = w->next; /* w may be used again */
        pool_tell(w);
        w = next;
    }
}

static void set_error(struct wire_work *w, enum wire_outcome outcome, enum andiron_code code,
                      const char *message)
{
    if (w->batch == NULL) {
        andiron_error_set(&w->lease->error, code, "", "%s", message);
        return;
    }
    w->batch->reply = (struct wire_reply){ .outcome = outcome };
    andiron_error_set(&w->batch->reply.error, code, "", "%s", message);
}

static const char away[] = "the database is away; try again later";

/* ---- queues -------------------------------------------------------------------------------- */

static struct queue *queue_of(const struct wire_work *w)
{
    if (w->batch == NULL)
        return &w->pool->leases;
    return w->batch->many != NULL && !w->is_alone ? &w->pool->reads : &w->pool->queue;
}

void pool_push(struct wire_work *w, bool in_front)
{
    struct queue *q = queue_of(w);

    if (in_front) {
        w->next = q->first;
        q->first = w;
    } else {
        w->next = NULL;
        *q->last = w;
    }
    if (w->next == NULL)
        q->last = &w->next;
    q->count++;
    w->pool->loop->wire->waiting++;
}

/* Takes *at out. */
struct wire_work *pool_take(struct pool *p, struct queue *q, struct wire_work **at)
{
    struct wire_work *w = *at;

    *at = w->next;
    if (w->next == NULL)
        q->last = at;
    q->count--;
    p->loop->wire->waiting--;
    return w;
}

/*
 * One of those for writing, if writes leave two: what they take next is there, and a loop has few. The read pool
 * is one short where one of its connections listens.
 */
static struct seat *borrow(struct pool *writes)
{
    struct seat *ret = NULL;
    size_t idle = 0;

    if (writes->queue.count != 0 || writes->leases.count != 0)
        return NULL;
    for (struct seat *s = writes->seats; s < writes->seats + writes->seat_count; s++) {
        if (s->lease != NULL || !connection_is_ready(s->connection) ||
            connection_load(s->connection) != 0)
            continue;
        idle++;
        ret = s;
    }
    return idle > 1 ? ret : NULL;
}

/* The connection with the least to do; NULL: none has room. */
struct seat *pool_free_seat(struct pool *p, bool is_short)
{
    struct seat *best = NULL;

    for (struct seat *s = p->seats; s < p->seats + p->seat_count; s++) {
        if (s->lease != NULL || !connection_has_room(s->connection) ||
            (s->listens && !is_short && p->seat_count > 1))
            continue;
        if (best == NULL || connection_load(s->connection) < connection_load(best->connection))
            best = s;
    }
    if (best == NULL && p->kind == WIRE_READ && !is_short)
        best = borrow(&p->loop->pools[WIRE_WRITE]);
    return best;
}

void pool_send(struct wire_work *w, struct connection *c, struct around around)
{
    w->pool->loop->wire->under_way++;
    connection_send(c, w, w->batch, around);
}

static void send_alone(struct wire_work *w, struct connection *c)
{
    struct around around = { .begin = w->batch->in_snapshot ? &begin_repeatable : NULL };

    pool_send(w, c, around);
    /* In a unit of its own, so that what follows on the connection is outside whatever happens. */
    if (w->batch != NULL && w->batch->in_snapshot)
        connection_rollback(c);
}

void pool_pump(struct pool *p)
{
    struct seat *s;

    groups_pump(p, false);
    while (p->queue.first != NULL && (s = pool_free_seat(p, false)) != NULL)
        send_alone(pool_take(p, &p->queue, &p->queue.first), s->connection);
    while (p->leases.first != NULL && (s = pool_free_seat(p, false)) != NULL) {
        struct wire_work *w = pool_take(p, &p->leases, &p->leases.first);
        s->lease = w;
        w->seat = s;
        tell_later(w);
    }
}

/* A connection is free: writes first, whose it may be. */
static void pump_all(struct wire_loop *loop)
{
    pool_pump(&loop->pools[WIRE_WRITE]);
    pool_pump(&loop->pools[WIRE_READ]);
    pool_pump(&loop->pools[WIRE_REPLICA]);
}

/* How long the pool has had no connection; 0: it has one. */
static int64_t away_ms(const struct pool *p, int64_t now)
{
    int64_t least = INT64_MAX;

    for (const struct seat *s = p->seats; s < p->seats + p->seat_count; s++) {
        int64_t since = connection_down_since(s->connection);
        if (connection_is_ready(s->connection) || since == 0)
            return 0;
        if (now - since < least)
            least = now - since;
    }
    return least;
}

static void keep_looking(struct wire_loop *loop)
{
    struct timeval wait = { .tv_usec = LOOK_MS * 1000 };

    if (loop->is_looking)
        return;
    loop->is_looking = true;
    if (event_add(loop->look, &wait) != 0)
        abort(); /* out of memory */
}

/* By the connection that listens, whatever else is under way on it. */
static void submit_to_listener(struct wire_work *w)
{
    struct seat *s = w->pool->loop->listening;

    if (s != NULL && s->lease == NULL && connection_is_ready(s->connection)) {
        send_alone(w, s->connection);
        keep_looking(w->pool->loop);
        return;
    }
    set_error(w, WIRE_UNSENT, ANDIRON_E_UNAVAILABLE, away);
    tell_later(w);
}

static void submit(struct wire_work *w)
{
    struct pool *p = w->pool;
    const struct config *config = p->loop->wire->store->config;

    w->since_ms = connection_clock();
    if (p->kind == WIRE_LISTEN) {
        submit_to_listener(w);
        return;
    }
    if (p->kind == WIRE_REPLICA && pool_free_seat(p, true) == NULL)
        p = w->pool = &p->loop->pools[WIRE_READ];
    if (p->loop->is_ending || away_ms(p, w->since_ms) > config->connect_wait) {
        set_error(w, WIRE_UNSENT, ANDIRON_E_UNAVAILABLE, away);
    } else if (p->queue.count + p->reads.count + p->leases.count >= (size_t)config->queue_max) {
        set_error(w, WIRE_UNSENT, ANDIRON_E_UNAVAILABLE,
                  "too much waits for the database; try again later");
    } else {
        pool_push(w, false);
        keep_looking(p->loop);
        if (queue_of(w) == &p->reads)
            groups_pump_soon(p->loop);
        else
            pool_pump(p);
        return;
    }
    store_count(p->loop->wire->store->metrics.refused, 1);
    tell_later(w);
}

/* Fails what has waited too long. */
static void expire(struct pool *p, struct queue *q, int64_t now)
{
    while (q->first != NULL &&
           now - q->first->since_ms > p->loop->wire->store->config->connect_wait) {
        struct wire_work *w = pool_take(p, q, &q->first);
        set_error(w, WIRE_UNSENT, ANDIRON_E_UNAVAILABLE,
                  away_ms(p, now) > 0 ? away : "the database is too busy; try again later");
        store_count(p->loop->wire->store->metrics.refused, 1);
        tell_later(w);
    }
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
    struct wire_loop *loop = arg;
    int64_t now = connection_clock();
    bool is_busy = false;

    (void)fd;
    (void)what;
    loop->is_looking = false;
    for (struct pool *p = loop->pools; p < loop->pools + WIRE_POOLS; p++) {
        expire(p, &p->queue, now);
        expire(p, &p->reads, now);
        expire(p, &p->leases, now);
        is_busy =
            is_busy || p->queue.first != NULL || p->reads.first != NULL || p->leases.first != NULL;
        for (struct seat *s = p->seats; s < p->seats + p->seat_count; s++) {
            connection_look(s->connection, now);
            is_busy = is_busy || connection_load(s->connection) > 0;
        }
    }
    if (is_busy)
        keep_looking(loop);
}

/* ---- what connections tell ------------------------------------------------------------------ */

static struct seat *seat_of(struct pool *p, const struct connection *c)
{
    for (struct seat *s = p->seats; s < p->seats + p->seat_count; s++) {
        if (s->connection == c)
            return s;
    }
    return NULL;
}

static void count_up(struct pool *p, struct seat *s, bool is_up)
{
    if (s == NULL || s->is_up == is_up)
        return;
    s->is_up = is_up;
    p->loop->wire->ready[p->kind] += is_up ? 1 : -1;
}

static void on_free(void *arg, struct connection *c)
{
    count_up(arg, seat_of(arg, c), true);
    pump_all(((struct pool *)arg)->loop);
}

/* The transaction is over: the connection is for others again. */
static void end_lease(struct wire_work *w, bool roll_back)
{
    struct seat *s = w->seat;

    w->seat = NULL;
    if (s == NULL)
        return;
    s->lease = NULL;
    if (roll_back && w->is_begun)
        connection_rollback(s->connection);
    pump_all(w->pool->loop);
}

static void on_done(void *arg, struct wire_work *w)
{
    struct pool *p = arg;
    bool failed = w->batch->reply.outcome != WIRE_OK;

    p->loop->wire->under_way--;
    if (w->group != NULL) {
        group_done(p, w->group);
        return;
    }
    if (w->lease != NULL && (failed || w->is_finishing))
        end_lease(w, failed);
    pool_tell(w);
}

static void lose(struct wire_work *w, bool is_unknown)
{
    struct wire_loop *loop = w->pool->loop;
    enum wire_pool kind = w->pool->kind;
    bool writes_alone = w->lease == NULL && kind == WIRE_WRITE;

    if (w->lease == NULL && (kind == WIRE_READ || kind == WIRE_REPLICA) && !w->is_retried &&
        !loop->is_ending) {
        w->is_retried = true;
        w->since_ms = connection_clock();
        w->pool = &loop->pools[WIRE_READ];
        batch_reset(w->batch);
        pool_push(w, true);
        keep_looking(loop);
        return;
    }
    is_unknown = kind == WIRE_WRITE && (is_unknown || writes_alone);
    set_error(w, is_unknown ? WIRE_UNKNOWN : WIRE_LOST, ANDIRON_E_UNAVAILABLE,
              is_unknown
                  ? "the database went away while it was writing; whether it has is not known"
                  : away);
    w->seat = NULL;
    tell_later(w);
}

static void on_lost(void *arg, struct wire_work *w, bool is_unknown)
{
    struct pool *p = arg;

    p->loop->wire->under_way--;
    if (w->group == NULL) {
        lose(w, is_unknown);
        return;
    }
    struct wire_work *members[TOGETHER_MAX];
    size_t count = group_lost(p, w->group, members);
    for (size_t i = 0; i < count; i++)
        lose(members[i], false);
}

static void on_down(void *arg, struct connection *c)
{
    struct pool *p = arg;
    struct seat *s = seat_of(p, c);

    count_up(p, s, false);
    if (s == NULL)
        return;
    if (s->lease != NULL)
        s->lease->seat = NULL; /* its next batch is told so */
    s->lease = NULL;
    pump_all(p->loop);
}

static void on_up(void *arg, struct connection *c)
{
    struct wire_loop *loop = ((struct pool *)arg)->loop;

    if (loop->listening != NULL && loop->listening->connection == c)
        loop->listener.up(loop->listener.arg);
}

static void on_notified(void *arg, const char *payload)
{
    struct wire_loop *loop = ((struct pool *)arg)->loop;

    if (loop->listening != NULL)
        loop->listener.notified(loop->listener.arg, payload);
}

/* ---- batches ------------------------------------------------------------------------------------ */

static struct wire_work *work_new(struct wire_loop *loop, enum wire_pool pool,
                                  struct andiron_arena *arena)
{
    struct wire_work *w = andiron_new(arena, struct wire_work);

    w->pool = &loop->pools[pool];
    return w;
}

void wire_send(struct wire_loop *loop, enum wire_pool pool, struct wire_batch *b,
               void (*done)(void *arg, struct wire_batch *b), void *arg)
{
    struct wire_work *w = work_new(loop, pool, b->arena);

    assert(b->last == NULL || b->last->count == wire_sql_params(b->last->sql));
    w->batch = b;
    w->done = done;
    w->arg = arg;
    submit(w);
}

static void resume(void *arg, struct wire_batch *b)
{
    (void)b;
    andiron_resume(arg);
}

enum andiron_step wire_ask(struct wire_loop *loop, enum wire_pool pool, struct andiron_request *req,
                           struct wire_batch *b, andiron_step_fn then, void *state)
{
    enum andiron_step step = andiron_wait(req, then, state);

    wire_send(loop, pool, b, resume, req);
    return step;
}

/* ---- leases --------------------------------------------------------------------------------------- */

static void forget(void *arg)
{
    wire_abandon(arg);
}

struct wire_lease *wire_lease(struct wire_loop *loop, enum wire_pool pool,
                              enum wire_isolation isolation, struct andiron_arena *arena,
                              void (*granted)(void *arg, struct wire_lease *lease), void *arg)
{
    struct wire_lease *lease = andiron_new(arena, struct wire_lease);
    struct wire_work *w = work_new(loop, pool, arena);

    lease->work = w;
    w->lease = lease;
    w->isolation = isolation;
    w->granted = granted;
    w->arg = arg;
    andiron_at_release(arena, forget, lease);
    submit(w);
    return lease;
}

static void resume_leased(void *arg, struct wire_lease *lease)
{
    (void)lease;
    andiron_resume(arg);
}

enum andiron_step wire_lease_ask(struct wire_loop *loop, enum wire_pool pool,
                                 enum wire_isolation isolation, struct andiron_request *req,
                                 struct wire_lease **ret, andiron_step_fn then, void *state)
{
    enum andiron_step step = andiron_wait(req, then, state);

    *ret = wire_lease(loop, pool, isolation, andiron_request_arena(req), resume_leased, req);
    return step;
}

static void lease_send(struct wire_lease *lease, struct wire_batch *b, bool finish,
                       void (*done)(void *arg, struct wire_batch *b), void *arg)
{
    struct wire_work *w = lease->work;
    struct around around = { .begin = NULL };

    assert(w->batch == NULL && !b->in_snapshot);
    assert(b->last == NULL || b->last->count == wire_sql_params(b->last->sql));
    w->batch = b;
    w->done = done;
    w->arg = arg;
    w->is_finishing = finish;
    if (w->seat == NULL) {
        set_error(w, WIRE_LOST, ANDIRON_E_UNAVAILABLE, away);
        tell_later(w);
        return;
    }
    if (!w->is_begun)
        around.begin = w->isolation == WIRE_REPEATABLE ? &begin_repeatable : &begin_committed;
    if (finish) {
        around.commit = &commit;
        around.wants_lsn = w->pool->kind == WIRE_WRITE &&
                           w->pool->loop->wire->store->config->replica_dsn[0] != '\0';
    }
    w->is_begun = true;
    pool_send(w, w->seat->connection, around);
    keep_looking(w->pool->loop);
}

void wire_lease_send(struct wire_lease *lease, struct wire_batch *b,
                     void (*done)(void *arg, struct wire_batch *b), void *arg)
{
    lease_send(lease, b, false, done, arg);
}

enum andiron_step wire_lease_go(struct wire_lease *lease, struct andiron_request *req,
                                struct wire_batch *b, andiron_step_fn then, void *state)
{
    enum andiron_step step = andiron_wait(req, then, state);

    lease_send(lease, b, false, resume, req);
    return step;
}

void wire_finish(struct wire_lease *lease, struct wire_batch *b,
                 void (*done)(void *arg, struct wire_batch *b), void *arg)
{
    lease_send(lease, b, true, done, arg);
}

enum andiron_step wire_finish_go(struct wire_lease *lease, struct andiron_request *req,
                                 struct wire_batch *b, andiron_step_fn then, void *state)
{
    enum andiron_step step = andiron_wait(req, then, state);

    lease_send(lease, b, true, resume, req);
    return step;
}

void wire_abandon(struct wire_lease *lease)
{
    if (lease == NULL || lease->work->seat == NULL)
        return;
    assert(lease->work->batch == NULL);
    end_lease(lease->work, true);
}

/* ---- life -------------------------------------------------------------------------------------------- */

static void pool_init(struct pool *p, struct wire_loop *loop, enum wire_pool kind)
{
    *p = (struct pool){ .loop = loop, .kind = kind };
    p->queue.last = &p->queue.first;
    p->reads.last = &p->reads.first;
    p->leases.last = &p->leases.first;
}

static int pool_open(struct pool *p, struct wire_loop *loop, enum wire_pool kind, int64_t count)
{
    struct wire *wire = loop->wire;
    const struct config *config = wire->store->config;
    bool is_replica = kind == WIRE_REPLICA;
    struct connection_owner owner = {
        .up = on_up,
        .notified = on_notified,
        .free = on_free,
        .done = on_done,
        .lost = on_lost,
        .down = on_down,
        .arg = p,
    };

    p->settings = (struct connection_settings){
        .store = wire->store,
        .dsn = is_replica ? &wire->replica_dsn : &wire->dsn,
        .hosts = is_replica ? wire->replica_hosts : wire->hosts,
        .begin = wire->begin,
        .writes = kind == WIRE_WRITE,
        .keep_prepared = config->prepare,
        .connect_timeout = config->connect_timeout,
        .answer_timeout = config->statement_timeout + GRACE_MS,
        .window = (size_t)config->window,
    };
    p->seats = calloc((size_t)count, sizeof(p->seats[0]));
    if (p->seats == NULL)
        return -1;
    for (; p->seat_count < (size_t)count; p->seat_count++) {
        struct connection *c = connection_new(&p->settings, andiron_loop_base(loop->loop), &owner);
        if (c == NULL)
            return -1;
        p->seats[p->seat_count].connection = c;
        wire->wanted[kind]++;
    }
    return 0;
}

/* ---- replicas ------------------------------------------------------------------------------------------- */

enum { MEASURE_MS = 100, MEASURED_MS = 2000 };

static const struct wire_sql replayed = {
    .name = "replayed",
    .text = "SELECT (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()"
            " ELSE pg_current_wal_insert_lsn() END-'0/0'::pg_lsn)::bigint"
};

static void measure_later(struct wire_loop *loop)
{
    struct timeval wait = { .tv_usec = MEASURE_MS * 1000 };

    if (event_add(loop->measure, &wait) != 0)
        abort(); /* out of memory */
}

static void on_measured(void *arg, struct wire_batch *b)
{
    struct wire_loop *loop = arg;

    if (b->reply.outcome == WIRE_OK) {
        loop->replayed = (uint64_t)wire_get_int(b, 0, 0, 0);
        loop->replayed_ms = connection_clock();
    }
    measure_later(loop);
}

static void on_measure(evutil_socket_t fd, short what, void *arg)
{
    struct wire_loop *loop = arg;
    struct pool *p = &loop->pools[WIRE_REPLICA];

    (void)fd;
    (void)what;
    /* Of the replica itself: not where submit() would go without one. */
    if (pool_free_seat(p, false) == NULL) {
        measure_later(loop);
        return;
    }
    andiron_arena_free(loop->measure_arena);
    loop->measure_arena = andiron_arena_new(0);
    struct wire_batch *b = wire_batch(loop->measure_arena);
    wire_add(b, &replayed);
    wire_send(loop, WIRE_REPLICA, b, on_measured, loop);
}

static int replica_open(struct wire_loop *loop)
{
    if (loop->wire->replica_hosts == NULL)
        return 0;
    loop->measure = event_new(andiron_loop_base(loop->loop), -1, 0, on_measure, loop);
    if (loop->measure == NULL || pool_open(&loop->pools[WIRE_REPLICA], loop, WIRE_REPLICA,
                                           loop->wire->store->config->replica_connections) != 0)
        return -1;
    measure_later(loop);
    return 0;
}

uint64_t wire_replayed(const struct wire_loop *loop)
{
    return loop->measure != NULL && connection_clock() - loop->replayed_ms < MEASURED_MS
               ? loop->replayed
               : 0;
}

struct wire_loop *wire_loop_new(struct wire *wire, struct andiron_loop *loop,
                                struct andiron_error *err)
{
    const struct config *config = wire->store->config;
    struct wire_loop *ret = calloc(1, sizeof(*ret));

    if (ret == NULL)
        goto fail;
    ret->wire = wire;
    ret->loop = loop;
    ret->over_last = &ret->over;
    ret->later = event_new(andiron_loop_base(loop), -1, 0, on_later, ret);
    ret->look = event_new(andiron_loop_base(loop), -1, 0, on_look, ret);
    groups_open(ret);
    for (int kind = 0; kind < WIRE_POOLS; kind++)
        pool_init(&ret->pools[kind], ret, (enum wire_pool)kind);
    if (ret->later != NULL && ret->look != NULL &&
        pool_open(&ret->pools[WIRE_READ], ret, WIRE_READ, config->read_connections) == 0 &&
        pool_open(&ret->pools[WIRE_WRITE], ret, WIRE_WRITE, config->write_connections) == 0 &&
        replica_open(ret) == 0)
        return ret;
fail:
    wire_loop_free(ret);
    andiron_error_set(err, ANDIRON_E_UNAVAILABLE, "", "out of memory");
    return NULL;
}

static void pool_close(struct pool *p)
{
    int64_t now = INT64_MAX;

    for (size_t i = 0; i < p->seat_count; i++) {
        struct seat *s = &p->seats[i];
        struct connection *c = s->connection;
        count_up(p, s, false);
        if (s->lease != NULL)
            s->lease->seat = NULL;
        s->lease = NULL;
        connection_free(c); /* tells what is lost */
        p->loop->wire->wanted[p->kind]--;
    }
    p->seat_count = 0;
    expire(p, &p->queue, now);
    expire(p, &p->reads, now);
    expire(p, &p->leases, now);
    free(p->seats);
}

void wire_loop_free(struct wire_loop *loop)
{
    if (loop == NULL)
        return;
    loop->is_ending = true;
    for (struct pool *p = loop->pools; p < loop->pools + WIRE_POOLS; p++) {
        if (p->loop != NULL)
            pool_close(p);
    }
    while (loop->over != NULL)
        on_later(-1, 0, loop);
    struct event *events[] = { loop->later, loop->look, loop->measure };
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
        if (events[i] != NULL)
            event_free(events[i]);
    }
    groups_close(loop);
    andiron_arena_free(loop->measure_arena);
    free(loop);
}

void wire_listen(struct wire_loop *loop, const struct wire_listener *listener)
{
    struct seat *s = &loop->pools[WIRE_READ].seats[0];

    loop->listener = *listener;
    loop->listening = s;
    s->listens = true;
    if (connection_is_ready(s->connection))
        listener->up(listener->arg);
}
