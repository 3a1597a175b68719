/*
 * Reads that are asked for together: what the requests of one loop read at the same time is one statement,
 * which costs the database and the loop little more than one of them; see wire_together().
 */
#include <stdlib.h>

#include <event2/event.h>

#include "pool.h"

enum {
    GROUP_MS = 2,     /* that reads wait for those under way, to go together */
    GROUP_ENOUGH = 12 /* of them do not wait */
};

/*
 * One group at a time: what comes up meanwhile is asked for together by the next one. More if many
 * wait, or the one under way takes its time.
 */
static bool may_go(const struct pool *p, bool is_late)
{
    return p->reads.count != 0 &&
           (p->groups == 0 || is_late || p->reads.count >= GROUP_ENOUGH * p->groups);
}

static struct group *group_new(struct wire_loop *loop)
{
    struct group *g = loop->spare;

    if (g != NULL)
        loop->spare = g->next;
    else
        g = calloc(1, sizeof(*g));
    if (g == NULL)
        abort(); /* out of memory */
    return g;
}

/* The first one that waits, and those behind it that ask for the same. */
static void send_group(struct pool *p, struct connection *c)
{
    struct queue *q = &p->reads;
    const struct wire_sql *many = q->first->batch->many;
    struct group *g = group_new(p->loop);

    together_begin(&g->together, many);
    for (struct wire_work **at = &q->first; *at != NULL && g->together.count < TOGETHER_MAX;) {
        if ((*at)->batch->many != many) {
            at = &(*at)->next;
            continue;
        }
        g->members[g->together.count] = pool_take(p, q, at);
        together_add(&g->together, g->members[g->together.count]->batch);
    }
    g->work = (struct wire_work){ .pool = p, .group = g };
    p->groups++;
    if (g->together.count == 1) {
        g->work.batch = g->members[0]->batch;
    } else {
        together_seal(&g->together);
        g->work.batch = &g->together.batch;
    }
    pool_send(&g->work, c, (struct around){ .begin = NULL });
}

void groups_pump(struct pool *p, bool is_late)
{
    static const struct timeval wait = { .tv_usec = GROUP_MS * 1000 };
    struct seat *s;

    while (may_go(p, is_late) && (s = pool_free_seat(p, true)) != NULL) {
        send_group(p, s->connection);
        is_late = false;
    }
    if (p->reads.count != 0 && event_pending(p->loop->nudge, EV_TIMEOUT, NULL) == 0 &&
        event_add(p->loop->nudge, &wait) != 0)
        abort(); /* out of memory */
}

/* The end of a turn of the loop: reads that came up in it go together. */
static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    struct wire_loop *loop = arg;

    (void)fd;
    (void)what;
    loop->is_turning = false;
    for (struct pool *p = loop->pools; p < loop->pools + WIRE_POOLS; p++)
        groups_pump(p, false);
}

static void on_nudge(evutil_socket_t fd, short what, void *arg)
{
    struct wire_loop *loop = arg;

    (void)fd;
    (void)what;
    for (struct pool *p = loop->pools; p < loop->pools + WIRE_POOLS; p++)
        groups_pump(p, true);
}

/* ---- what becomes of them ---------------------------------------------------------------------- */

static void group_free(struct pool *p, struct group *g)
{
    p->groups--;
    g->next = p->loop->spare;
    p->loop->spare = g;
}

void group_done(struct pool *p, struct group *g)
{
    struct wire_work *members[TOGETHER_MAX];
    size_t count = g->together.count;
    bool is_shared = g->work.batch == &g->together.batch,
         failed = g->work.batch->reply.outcome != WIRE_OK;

    if (is_shared && !failed)
        together_share(&g->together);
    memcpy(members, g->members, count * sizeof(members[0]));
    group_free(p, g);
    for (size_t i = 0; i < count; i++) {
        if (is_shared &&
            failed) { /* by one of them: each is asked for alone, and only that one fails */
            members[i]->is_alone = true;
            pool_push(members[i], false);
        } else {
            pool_tell(members[i]);
        }
    }
    if (is_shared && failed)
        pool_pump(p);
}

size_t group_lost(struct pool *p, struct group *g, struct wire_work *members[TOGETHER_MAX])
{
    size_t count = g->together.count;

    memcpy(members, g->members, count * sizeof(members[0]));
    PQclear(g->together.statement.result); /* what had come */
    g->together.statement.result = NULL;
    group_free(p, g);
    return count;
}

/* ---- life -------------------------------------------------------------------------------------- */

void groups_pump_soon(struct wire_loop *loop)
{
    if (loop->is_turning)
        return;
    loop->is_turning = true;
    event_active(loop->turn, 0, 0);
}

void groups_open(struct wire_loop *loop)
{
    loop->turn = event_new(andiron_loop_base(loop->loop), -1, 0, on_turn, loop);
    loop->nudge = event_new(andiron_loop_base(loop->loop), -1, 0, on_nudge, loop);
    if (loop->turn == NULL || loop->nudge == NULL)
        abort(); /* out of memory */
}

void groups_close(struct wire_loop *loop)
{
    if (loop->turn != NULL)
        event_free(loop->turn);
    if (loop->nudge != NULL)
        event_free(loop->nudge);
    while (loop->spare != NULL) {
        struct group *g = loop->spare;
        loop->spare = g->next;
        together_end(&g->together);
        free(g);
    }
}
