/*
 * Pools of a loop from the inside: what waits, what is under way, on which connections. For wire.c, and
 * for groups.c, which sends reads together.
 */
#ifndef STORE_POSTGRES_POOL_H
#define STORE_POSTGRES_POOL_H

#include "connection.h"
#include "servers.h"
#include "together.h"

/* A batch on its way, or a lease: in the arena of either. */
struct wire_work {
    struct wire_work *next;
    struct pool *pool;
    struct wire_batch *batch; /* NULL: a lease that waits, or between two batches */
    void (*done)(void *arg, struct wire_batch *b);
    void (*granted)(void *arg, struct wire_lease *lease);
    void *arg;
    int64_t since_ms;
    bool is_retried, is_alone;
    struct group *group; /* it is what a group sends */

    /* Of a lease. */
    struct wire_lease *lease;
    struct seat *seat; /* NULL: waits, or is over */
    enum wire_isolation isolation;
    bool is_begun, is_finishing;
};

/* Reads that are asked for together (wire_together()). */
struct group {
    struct group *next; /* spare */
    struct together together;
    struct wire_work work, *members[TOGETHER_MAX];
};

struct seat {
    struct connection *connection;
    struct wire_work *lease; /* that has it for itself */
    bool is_up;
    bool listens; /* and takes nothing that may take long, if there are others */
};

/* Works that wait. */
struct queue {
    struct wire_work *first, **last;
    size_t count;
};

struct pool {
    struct wire_loop *loop;
    enum wire_pool kind;
    struct connection_settings settings;
    struct seat *seats;
    size_t seat_count;
    struct queue queue, reads, leases; /* reads: that may go together */
    size_t groups;                     /* under way */
};

struct wire_loop {
    struct wire *wire;
    struct andiron_loop *loop;
    struct pool pools[WIRE_POOLS];
    struct wire_listener listener;
    struct seat *listening; /* of the read pool; NULL: none does */
    struct event *later, *look, *turn, *nudge;
    struct group *spare;
    bool is_turning;
    struct event *measure; /* the replica; NULL: there is none */
    struct andiron_arena *measure_arena;
    uint64_t replayed;
    int64_t replayed_ms;
    struct wire_work *over, **over_last; /* to be told of, not from inside a call */
    bool is_looking, is_ending;
};

/* Lets it wait; takes the one at *at out of a queue. */
void pool_push(struct wire_work *w, bool in_front);
struct wire_work *pool_take(struct pool *p, struct queue *q, struct wire_work **at);
/* The connection with the least to do; NULL: none has room. is_short: for what is over soon. */
struct seat *pool_free_seat(struct pool *p, bool is_short);
void pool_send(struct wire_work *w, struct connection *c, struct around around);
/* Sends what may be sent. */
void pool_pump(struct pool *p);
/* To whom it belongs: it is over. */
void pool_tell(struct wire_work *w);

/* ---- groups (groups.c) ----------------------------------------------------------------------- */

/* Sends reads that wait, together. is_late: however many are under way. */
void groups_pump(struct pool *p, bool is_late);
/* At the end of the loop's turn: reads that came up in it go together. */
void groups_pump_soon(struct wire_loop *loop);
/* Its answer is there. */
void group_done(struct pool *p, struct group *g);
/* The connection broke; it lists whom it was for in members. */
size_t group_lost(struct pool *p, struct group *g, struct wire_work *members[TOGETHER_MAX]);
void groups_open(struct wire_loop *loop);
void groups_close(struct wire_loop *loop);

#endif
