/*
 * One job writes one batch: it takes events, makes bodies and terms on the pool, commits, and says
 * so to those that wait. Rows of where the chain stood are purged after some commits.
 */
#include "writer.h"

#include <stdlib.h>

#include <event2/event.h>

#include "event.h"
#include "queue.h"
#include "retention.h"

enum {
    BATCH = 256,
    DEADLINE_MS = 30000,
    RETRY_MS = 1000,
    TRIES = 8,
    REST_TICKS = 2000, /* turns of the loop, of 20 ms at most */
    HEADS_KEPT = 64 /* rows that are forgotten together */
};

struct audit_writer {
    struct audit *audit;
    struct andiron_loop *loop; /* set before other loops run, then only read; NULL: not started */
    struct event *timer;       /* of the loop's thread; NULL: stopped */
    atomic_bool is_asked; /* a post is under way */
    bool is_running, has_failed, knows_head;
    struct audit_head head;
    size_t old_count;
    char old[HEADS_KEPT][RECORD_ID + 1]; /* ids of rows of where the chain stood */
};

struct batch {
    struct audit_writer *writer;
    struct andiron_request *req;
    struct audit_event *events;
    size_t count, tries;
    struct audit_head head; /* after this batch */
    bool found, is_over;
    struct andiron_error error;
    struct head_reading reading;
    struct record *records;
    char head_id[RECORD_ID + 1];
    andiron_str head_body;
    struct andiron_write *writes;
    struct andiron_commit commit;
    struct andiron_ref *refs;
    struct andiron_purge purge;
};

andiron_str audit_key(const struct audit *audit)
{
    return andiron_str_of(audit->config->chain_key);
}

/* ---- when --------------------------------------------------------------------------------- */

static void set_timer(struct audit_writer *w, int64_t ms)
{
    struct timeval delay = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };
    if (w->timer != NULL)
        (void)event_add(w->timer, &delay); /* fails for want of memory alone, which aborts */
}

static void asked(void *arg)
{
    struct audit_writer *w = arg;
    atomic_store(&w->is_asked, false);
    if (w->timer != NULL && !w->is_running && !event_pending(w->timer, EV_TIMEOUT, NULL))
        set_timer(w, w->audit->config->delay);
}

static void asked_now(void *arg)
{
    struct audit_writer *w = arg;
    if (w->timer != NULL && !w->is_running && !w->has_failed)
        set_timer(w, 0);
}

void audit_writer_wake(struct audit_writer *writer, bool now)
{
    if (writer->loop == NULL)
        return;
    if (now)
        andiron_loop_post(writer->loop, asked_now, writer);
    else if (!atomic_exchange(&writer->is_asked, true))
        andiron_loop_post(writer->loop, asked, writer);
}

/* ---- what became of a batch --------------------------------------------------------------- */

static void tell(struct audit_event *e, bool failed)
{
    struct andiron_request *waits = e->waits;
    if (waits == NULL)
        return;
    e->waits = NULL;
    *e->ret_failed = failed;
    andiron_resume(waits);
}

/* Whatever became of the job, also where its deadline has passed. */
static void job_over(void *arg)
{
    struct batch *b = arg;
    struct audit_writer *w = b->writer;
    struct audit *audit = w->audit;

    w->is_running = false;
    if (!b->is_over) { /* given up: nobody knows whether it was written, so the head is read again */
        w->knows_head = false;
        for (struct audit_event *e = b->events; e != NULL; e = e->next)
            tell(e, true);
        audit_queue_return(audit->queue, b->events, b->count);
        atomic_store(&audit->is_failing, true);
    }
    if (w->timer != NULL && !audit_queue_is_empty(audit->queue))
        set_timer(w, atomic_load(&audit->is_failing) ? RETRY_MS : 0);
}

static enum andiron_step gave_up(struct batch *b, const struct andiron_error *err)
{
    struct audit_writer *w = b->writer;
    if (!w->has_failed)
        andiron_log(w->audit->host, ANDIRON_LOG_ERROR, "audit.unwritten",
                    "audit events cannot be written, which is tried again: %s", err->message);
    w->has_failed = true;
    return ANDIRON_DONE; /* job_over() sees to the events */
}

static enum andiron_step purged(struct andiron_request *req, void *state)
{
    (void)req;
    (void)state; /* rows that stay are no harm, and the next pass does not know them */
    return ANDIRON_DONE;
}

/* Old rows of where the chain stood go when there are enough of them. */
static enum andiron_step forget_heads(struct batch *b)
{
    struct audit_writer *w = b->writer;
    const struct andiron_store *store = audit_store(w->audit);
    struct andiron_arena *arena = andiron_request_arena(b->req);

    if (w->old_count < HEADS_KEPT) {
        memcpy(w->old[w->old_count++], b->head_id, sizeof(b->head_id));
        return ANDIRON_DONE;
    }
    size_t keep = 1; /* the newest before this one: another process may be reading it */
    size_t count = w->old_count - keep;
    struct andiron_ref *refs = andiron_alloc(arena, count * sizeof(*refs));
    for (size_t i = 0; i < count; i++)
        refs[i] = (struct andiron_ref){ .type = ANDIRON_STR(AUDIT_HEAD_TYPE),
                                        .id = andiron_str_of(andiron_copy(
                                            arena, andiron_str_of(w->old[i]))) };
    memmove(w->old[0], w->old[count], sizeof(w->old[0]));
    memcpy(w->old[1], b->head_id, sizeof(b->head_id));
    w->old_count = 2;
    if (store->size < offsetof(struct andiron_store, purge) + sizeof(store->purge) ||
        store->purge == NULL)
        return ANDIRON_DONE;
    b->purge = (struct andiron_purge){ .refs = refs, .count = count };
    return store->purge(w->audit->store.self, b->req, &b->purge, purged, b);
}

static enum andiron_step find_head(struct batch *b);

static enum andiron_step committed(struct andiron_request *req, void *state)
{
    struct batch *b = state;
    struct audit_writer *w = b->writer;
    struct audit_event *next;
    (void)req;

    if (b->commit.error.code != ANDIRON_OK) {
        w->knows_head = false;
        /* Another process was first: its events come before ours. */
        if ((b->commit.error.code == ANDIRON_E_CONFLICT ||
             b->commit.error.code == ANDIRON_E_PRECONDITION) &&
            ++b->tries < TRIES)
            return find_head(b);
        return gave_up(b, &b->commit.error);
    }
    w->head = b->head;
    w->knows_head = true;
    b->is_over = true;
    if (w->has_failed)
        andiron_log(w->audit->host, ANDIRON_LOG_WARN, "audit.written",
                    "audit events are written again");
    w->has_failed = false;
    atomic_store(&w->audit->is_failing, false);
    for (struct audit_event *e = b->events; e != NULL; e = next) {
        next = e->next;
        andiron_count(w->audit->recorded[e->kind], 1);
        if (e->kind == AUDIT_FORGOT)
            audit_retention_agreed(w->audit->retention, e);
        tell(e, false);
        event_drop(e);
    }
    b->events = NULL;
    return forget_heads(b);
}

/* ---- making it ---------------------------------------------------------------------------- */

static void stamp_head(void *state, struct andiron_arena *arena, struct andiron_write *write)
{
    (void)arena;
    write->body = *(const andiron_str *)state;
}

/* On the pool: hundreds of bodies and their terms take more than a millisecond. */
static void make(void *state)
{
    struct batch *b = state;
    struct audit *audit = b->writer->audit;
    const struct andiron_search *search = audit->search.table;
    struct andiron_arena *arena = andiron_request_arena(b->req);
    const char *base = andiron_host_setting(audit->host, "http.base-url");
    size_t i = 0;

    b->error.code = ANDIRON_OK;
    b->records = andiron_alloc(arena, b->count * sizeof(*b->records));
    b->writes = andiron_alloc(arena, (b->count + 1) * sizeof(*b->writes));
    for (const struct audit_event *e = b->events; e != NULL; e = e->next, i++) {
        struct andiron_write *write = &b->writes[i];
        andiron_json body;
        if (e->kind == AUDIT_FORGOT) {
            b->head.forgotten = e->forget_to;
            memcpy(b->head.forgotten_hash, e->forget_hash, AUDIT_HASH);
        }
        record_make(arena, audit_key(audit), base != NULL && base[0] != '\0' ? base : "andiron", e,
                    &b->head, &b->records[i]);
        *write = (struct andiron_write){ .ref = { .type = ANDIRON_STR(AUDIT_TYPE),
                                                  .id = andiron_str_of(b->records[i].id) },
                                         .if_absent = true,
                                         .stamp = record_stamp,
                                         .stamp_state = &b->records[i] };
        if (andiron_json_parse(arena, b->records[i].text, &body, &b->error) != 0 ||
            search->extract(audit->search.self, arena, body, &write->terms, &write->term_count,
                            &b->error) != 0)
            return;
    }
    record_id(b->head.last, b->head_id);
    b->head_body = head_write(arena, &b->head);
    b->writes[i] = (struct andiron_write){ .ref = { .type = ANDIRON_STR(AUDIT_HEAD_TYPE),
                                                    .id = andiron_str_of(b->head_id) },
                                           .if_absent = true,
                                           .stamp = stamp_head,
                                           .stamp_state = &b->head_body };
}

static enum andiron_step made(struct andiron_request *req, void *state)
{
    struct batch *b = state;
    struct audit *audit = b->writer->audit;
    if (b->error.code != ANDIRON_OK)
        return gave_up(b, &b->error);
    b->commit = (struct andiron_commit){ .writes = b->writes, .count = b->count + 1 };
    return audit_store(audit)->commit(audit->store.self, req, &b->commit, committed, b);
}

static enum andiron_step head_found(struct andiron_request *req, void *state)
{
    struct batch *b = state;
    if (b->error.code != ANDIRON_OK)
        return gave_up(b, &b->error);
    if (!b->found)
        b->head = (struct audit_head){ 0 };
    return andiron_offload(req, make, made, b);
}

static enum andiron_step find_head(struct batch *b)
{
    b->reading = (struct head_reading){ .ret = &b->head,
                                        .ret_found = &b->found,
                                        .ret_error = &b->error,
                                        .then = head_found,
                                        .state = b };
    return audit_head_find(b->writer->audit, b->req, &b->reading);
}

static enum andiron_step begin(struct andiron_request *req, void *state)
{
    struct audit_writer *w = state;
    struct batch *b = andiron_new(andiron_request_arena(req), struct batch);

    b->writer = w;
    b->req = req;
    b->events = audit_queue_take(w->audit->queue, BATCH, &b->count);
    andiron_at_release(andiron_request_arena(req), job_over, b);
    if (b->events == NULL) {
        b->is_over = true;
        return ANDIRON_DONE;
    }
    if (!w->knows_head)
        return find_head(b);
    b->head = w->head;
    return andiron_offload(req, make, made, b);
}

/* ---- where the chain stands --------------------------------------------------------------- */

/* Rows are in the order of their commits, or nearly so: the one that reached furthest counts. */
static enum andiron_step heads_read(struct andiron_request *req, void *state)
{
    struct head_reading *r = state;
    struct andiron_arena *arena = andiron_request_arena(req);

    *r->ret_found = false;
    *r->ret_error = r->rows.error;
    for (size_t i = 0; r->rows.error.code == ANDIRON_OK && i < r->rows.count; i++) {
        struct audit_head head;
        if (r->rows.rows[i].deleted || head_read(arena, r->rows.rows[i].body, &head) != 0)
            continue;
        if (!*r->ret_found || head.last > r->ret->last ||
            (head.last == r->ret->last && head.forgotten > r->ret->forgotten))
            *r->ret = head;
        *r->ret_found = true;
    }
    return r->then(req, r->state);
}

enum andiron_step audit_head_find(const struct audit *audit, struct andiron_request *req,
                                  struct head_reading *reading)
{
    static const char *const types[] = { AUDIT_HEAD_TYPE, NULL };
    reading->walk = (struct andiron_walk){ .types = types, .latest_only = true, .limit = 16 };
    reading->rows = (struct andiron_rows){ .total = -1 };
    return audit_store(audit)->walk(audit->store.self, req, &reading->walk, &reading->rows,
                                    heads_read, reading);
}

/* ---- life --------------------------------------------------------------------------------- */

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct audit_writer *w = arg;
    (void)fd;
    (void)what;
    if (w->is_running)
        return;
    w->is_running = true;
    andiron_job_start(w->loop, "audit.write", DEADLINE_MS, begin, w);
}

struct audit_writer *audit_writer_new(struct audit *audit)
{
    struct audit_writer *w = andiron_new(andiron_host_arena(audit->host), struct audit_writer);
    w->audit = audit;
    return w;
}

int audit_writer_start(struct audit_writer *writer, struct andiron_loop *loop,
                       struct andiron_error *err)
{
    writer->timer = evtimer_new(andiron_loop_base(loop), on_timer, writer);
    if (writer->timer == NULL)
        return andiron_error_set(err, ANDIRON_E_UNAVAILABLE, "", "no timer can be made");
    writer->loop = loop;
    return 0;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg; /* only wakes the loop */
}

/* What is queued when everybody has been served: the loop runs on until it is written. */
static void write_rest(struct audit_writer *w)
{
    struct event_base *base = andiron_loop_base(w->loop);
    struct event *tick = event_new(base, -1, EV_PERSIST, on_tick, NULL);
    const struct timeval period = { .tv_usec = 20000 };

    if (tick == NULL || event_add(tick, &period) != 0)
        return;
    set_timer(w, 0);
    for (int left = REST_TICKS;
         left > 0 && !w->has_failed && (w->is_running || !audit_queue_is_empty(w->audit->queue));
         left--)
        (void)event_base_loop(base, EVLOOP_ONCE); /* what it ran tells */
    event_free(tick);
}

void audit_writer_stop(struct audit_writer *writer)
{
    write_rest(writer);
    if (writer->timer != NULL)
        event_free(writer->timer);
    writer->timer = NULL;
}
