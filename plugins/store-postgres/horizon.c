/*
 * Looks at the sequence and at open transactions; see horizon.h.
 */
#include "horizon.h"

#include <pthread.h>
#include <stdlib.h>

#include <event2/event.h>

#include "connection.h"

enum { LOOKS = 64, ROUNDS = 6, PAUSE_MS = 8 };

struct look {
    int64_t vid, next_xid, at_ms;
    andiron_usec time;
};

struct horizon {
    pthread_mutex_t lock;
    struct look looks[LOOKS]; /* not decided, oldest first */
    size_t count;
    int64_t vid;
    andiron_usec time;
};

/*
 * An empty sequence has last_value 1, which nobody has drawn. The moment is before the sequence is read: when
 * the statement came.
 */
static const struct wire_sql last_vid = {
    .name = "horizon_vid",
    .text = "SELECT last_value-CASE WHEN is_called THEN 0 ELSE 1 END,statement_timestamp() FROM vid"
};
/* A statement of its own, so that its snapshot is taken behind that. */
static const struct wire_sql transactions = {
    .name = "horizon_transactions",
    .text = "SELECT pg_snapshot_xmax(s),pg_snapshot_xmin(s) FROM pg_current_snapshot() s"
};

struct horizon *horizon_new(void)
{
    struct horizon *h = calloc(1, sizeof(*h));

    if (h != NULL)
        pthread_mutex_init(&h->lock, NULL);
    return h;
}

void horizon_free(struct horizon *h)
{
    if (h == NULL)
        return;
    pthread_mutex_destroy(&h->lock);
    free(h);
}

/* Those that the oldest open transaction is not below are decided. */
static void decide(struct horizon *h, int64_t oldest_xid)
{
    size_t kept = 0;

    for (size_t i = 0; i < h->count; i++) {
        if (h->looks[i].next_xid > oldest_xid)
            h->looks[kept++] = h->looks[i];
        else if (h->looks[i].vid >= h->vid) {
            h->vid = h->looks[i].vid;
            h->time = h->looks[i].time > h->time ? h->looks[i].time : h->time;
        }
    }
    h->count = kept;
}

void horizon_take(struct horizon *h, andiron_usec time, int64_t last, int64_t next_xid,
                  int64_t oldest_xid)
{
    struct look look = { last, next_xid, connection_clock(), time };

    pthread_mutex_lock(&h->lock);
    /* Full: every other one is enough, the oldest above all. */
    if (h->count == LOOKS) {
        for (size_t i = 1; i < LOOKS / 2; i++)
            h->looks[i] = h->looks[2 * i];
        h->count = LOOKS / 2;
    }
    h->looks[h->count++] = look;
    decide(h, oldest_xid);
    pthread_mutex_unlock(&h->lock);
}

int64_t horizon_vid(struct horizon *h, andiron_usec *ret_time)
{
    pthread_mutex_lock(&h->lock);
    int64_t vid = h->vid;
    if (ret_time != NULL)
        *ret_time = h->time;
    pthread_mutex_unlock(&h->lock);
    return vid;
}

int64_t horizon_lag_ms(struct horizon *h)
{
    pthread_mutex_lock(&h->lock);
    int64_t lag = h->count > 0 ? connection_clock() - h->looks[0].at_ms : 0;
    pthread_mutex_unlock(&h->lock);
    return lag;
}

void horizon_look(struct wire_batch *b)
{
    wire_add(b, &last_vid);
    wire_add(b, &transactions);
}

void horizon_seen(struct horizon *h, const struct wire_batch *b, size_t at)
{
    horizon_take(h, wire_get_int(b, at, 0, 1), horizon_drawn(b, at), wire_get_int(b, at + 1, 0, 0),
                 wire_get_int(b, at + 1, 0, 1));
}

int64_t horizon_drawn(const struct wire_batch *b, size_t at)
{
    return wire_get_int(b, at, 0, 0);
}

/* ---- for a request ----------------------------------------------------------------------- */

struct finding {
    struct store *store;
    struct wire_batch *batch;
    struct event *pause;
    struct andiron_request *req;
    int64_t wanted; /* the vid of the first look */
    int rounds;
    int64_t *ret_vid;
    andiron_usec *ret_time;
    struct andiron_error *ret_error;
    andiron_step_fn then;
    void *state;
};

static enum andiron_step looked(struct andiron_request *req, void *arg);

static enum andiron_step look_again(struct andiron_request *req, void *arg)
{
    struct finding *f = arg;
    struct local *local = store_local(f->store, andiron_request_loop(req));

    f->batch = wire_batch(andiron_request_arena(req));
    horizon_look(f->batch);
    return wire_ask(local->wire, WIRE_READ, req, f->batch, looked, f);
}

static void on_pause(evutil_socket_t fd, short what, void *arg)
{
    struct finding *f = arg;

    (void)fd;
    (void)what;
    andiron_resume(f->req);
}

static void free_pause(void *arg)
{
    struct finding *f = arg;

    if (f->pause != NULL)
        event_free(f->pause);
}

static enum andiron_step looked(struct andiron_request *req, void *arg)
{
    struct finding *f = arg;
    struct timeval wait = { .tv_usec = PAUSE_MS * 1000 };

    if (f->batch->reply.outcome != WIRE_OK) {
        *f->ret_error = f->batch->reply.error;
        return f->then(req, f->state);
    }
    if (f->rounds == 0)
        f->wanted = horizon_drawn(f->batch, 0);
    horizon_seen(f->store->horizon, f->batch, 0);
    *f->ret_vid = horizon_vid(f->store->horizon, f->ret_time);
    if (*f->ret_time != 0 && (*f->ret_vid >= f->wanted || f->rounds + 1 == ROUNDS))
        return f->then(req, f->state);
    if (++f->rounds == ROUNDS) {
        andiron_error_set(
            f->ret_error, ANDIRON_E_UNAVAILABLE, "",
            "a transaction of the database has been open since this node started, so what "
            "is there cannot be told; try again later");
        return f->then(req, f->state);
    }
    enum andiron_step step = andiron_wait(req, look_again, f);
    if (event_add(f->pause, &wait) != 0)
        abort(); /* out of memory */
    return step;
}

enum andiron_step horizon_find(struct store *store, struct andiron_request *req, int64_t *ret_vid,
                               andiron_usec *ret_time, struct andiron_error *ret_error,
                               andiron_step_fn then, void *state)
{
    struct finding *f = andiron_new(andiron_request_arena(req), struct finding);

    *f = (struct finding){ .store = store,
                           .req = req,
                           .ret_vid = ret_vid,
                           .ret_time = ret_time,
                           .ret_error = ret_error,
                           .then = then,
                           .state = state };
    *ret_error = (struct andiron_error){ .code = ANDIRON_OK };
    f->pause = evtimer_new(andiron_loop_base(andiron_request_loop(req)), on_pause, f);
    if (f->pause == NULL)
        abort(); /* out of memory */
    andiron_at_release(andiron_request_arena(req), free_pause, f);
    return look_again(req, f);
}
