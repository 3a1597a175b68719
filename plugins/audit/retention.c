/*
 * A pass looks at PAGE events behind the last one forgotten; another follows at once if all were
 * old enough. What a crash left between saying and purging is purged by the first pass.
 */
#include "retention.h"

#include <event2/event.h>

#include "event.h"
#include "queue.h"
#include "record.h"
#include "writer.h"

enum { PAGE = 256, DEADLINE_MS = 30000, FIRST_MS = 1000, PERIOD_MIN_MS = 1000, PERIOD_MAX_MS = 3600000 };

struct audit_retention {
    struct audit *audit;
    struct andiron_loop *loop; /* NULL: not running */
    struct event *timer;
    int64_t period_ms;
    uint64_t purge_to; /* 0: nothing has to be purged */
    andiron_usec claimed; /* until then this process forgets */
    bool has_failed, was_full;
};

struct pass {
    struct audit_retention *retention;
    andiron_usec now;
    struct andiron_error error;
    bool taken, found;
    struct audit_head head;
    struct head_reading reading;
    char (*ids)[RECORD_ID + 1];
    struct andiron_ref *refs;
    size_t count;
    struct andiron_rows rows;
    struct andiron_purge purge;
};

static void set_timer(struct audit_retention *r, int64_t ms)
{
    struct timeval delay = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };
    if (r->timer != NULL)
        (void)event_add(r->timer, &delay); /* fails for want of memory alone, which aborts */
}

static void pass_over(void *arg)
{
    struct audit_retention *r = arg;
    set_timer(r, r->was_full ? 0 : r->period_ms);
}

static enum andiron_step gave_up(struct audit_retention *r, const struct andiron_error *err)
{
    if (!r->has_failed)
        andiron_log(r->audit->host, ANDIRON_LOG_WARN, "audit.kept",
                    "old audit events cannot be forgotten, which is tried again: %s", err->message);
    r->has_failed = true;
    return ANDIRON_DONE;
}

/* The count events up to number last. */
static void name_events(struct andiron_arena *arena, struct pass *p, uint64_t last, size_t count)
{
    p->ids = andiron_alloc(arena, count * sizeof(*p->ids));
    p->refs = andiron_alloc(arena, count * sizeof(*p->refs));
    p->count = count;
    for (size_t i = 0; i < count; i++) {
        record_id(last - count + 1 + i, p->ids[i]);
        p->refs[i] = (struct andiron_ref){ .type = ANDIRON_STR(AUDIT_TYPE),
                                           .id = andiron_str_of(p->ids[i]) };
    }
}

static enum andiron_step purged(struct andiron_request *req, void *state)
{
    struct pass *p = state;
    (void)req;
    if (p->purge.error.code != ANDIRON_OK)
        return gave_up(p->retention, &p->purge.error);
    p->retention->purge_to = 0;
    p->retention->has_failed = false;
    return ANDIRON_DONE;
}

static enum andiron_step purge(struct andiron_request *req, struct pass *p)
{
    struct audit *audit = p->retention->audit;
    uint64_t last = p->retention->purge_to;
    name_events(andiron_request_arena(req), p, last, last < PAGE ? (size_t)last : PAGE);
    p->purge = (struct andiron_purge){ .refs = p->refs, .count = p->count };
    p->retention->was_full = true;
    return audit_store(audit)->purge(audit->store.self, req, &p->purge, purged, p);
}

static enum andiron_step rows_read(struct andiron_request *req, void *state)
{
    struct pass *p = state;
    struct audit_retention *r = p->retention;
    andiron_usec oldest = andiron_now() - r->audit->config->keep * 1000;
    size_t old = 0;
    andiron_str content;

    if (p->rows.error.code != ANDIRON_OK)
        return gave_up(r, &p->rows.error);
    for (size_t i = 0; i < p->count; i++) {
        const struct andiron_row *row = &p->rows.rows[i];
        if (row->ref.id.len > 0 && !row->deleted && row->updated >= oldest)
            break;
        if (row->ref.id.len > 0 && !row->deleted)
            old = i + 1; /* one that is missing is forgotten only together with a later one */
    }
    if (old == 0)
        return ANDIRON_DONE;
    struct audit_event *event = event_of_count(AUDIT_FORGOT, (int64_t)old);
    event->forget_to = p->head.forgotten + old;
    if (record_read(andiron_request_arena(req), p->rows.rows[old - 1].body, &content,
                    event->forget_hash) != 0) {
        p->error.code = ANDIRON_E_INTERNAL;
        (void)andiron_error_set(&p->error, ANDIRON_E_INTERNAL, "", "AuditEvent/%s has been changed",
                                p->ids[old - 1]);
        event_drop(event);
        return gave_up(r, &p->error);
    }
    r->was_full = old == PAGE;
    (void)audit_queue_put(r->audit->queue, event);
    return ANDIRON_DONE;
}

static enum andiron_step head_found(struct andiron_request *req, void *state)
{
    struct pass *p = state;
    struct audit *audit = p->retention->audit;

    if (p->error.code != ANDIRON_OK)
        return gave_up(p->retention, &p->error);
    if (!p->found || p->head.last <= p->head.forgotten + 1)
        return ANDIRON_DONE; /* the last event stays */
    uint64_t count = p->head.last - 1 - p->head.forgotten;
    if (count > PAGE)
        count = PAGE;
    name_events(andiron_request_arena(req), p, p->head.forgotten + count, (size_t)count);
    return audit_store(audit)->read(audit->store.self, req, p->refs, p->count, &p->rows, rows_read,
                                    p);
}

static enum andiron_step find_head(struct andiron_request *req, struct pass *p)
{
    p->reading = (struct head_reading){ .ret = &p->head,
                                        .ret_found = &p->found,
                                        .ret_error = &p->error,
                                        .then = head_found,
                                        .state = p };
    return audit_head_find(p->retention->audit, req, &p->reading);
}

static enum andiron_step claimed(struct andiron_request *req, void *state)
{
    struct pass *p = state;
    if (p->error.code != ANDIRON_OK)
        return gave_up(p->retention, &p->error);
    if (!p->taken)
        return ANDIRON_DONE; /* another process does it */
    p->retention->claimed = p->now + p->retention->period_ms * 1000;
    return find_head(req, p);
}

static enum andiron_step begin(struct andiron_request *req, void *state)
{
    struct audit_retention *r = state;
    struct pass *p = andiron_new(andiron_request_arena(req), struct pass);
    struct audit *audit = r->audit;

    p->retention = r;
    r->was_full = false;
    andiron_at_release(andiron_request_arena(req), pass_over, r);
    p->now = andiron_now();
    if (r->purge_to != 0)
        return purge(req, p);
    if (p->now < r->claimed)
        return find_head(req, p);
    return audit_store(audit)->claim(audit->store.self, req, ANDIRON_STR("audit/retention"),
                                     p->now + r->period_ms * 1000, &p->taken, &p->error, claimed,
                                     p);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct audit_retention *r = arg;
    (void)fd;
    (void)what;
    andiron_job_start(r->loop, "audit.forget", DEADLINE_MS, begin, r);
}

struct audit_retention *audit_retention_new(struct audit *audit)
{
    struct audit_retention *r = andiron_new(andiron_host_arena(audit->host), struct audit_retention);
    r->audit = audit;
    r->period_ms = audit->config->keep / 10;
    if (r->period_ms < PERIOD_MIN_MS)
        r->period_ms = PERIOD_MIN_MS;
    if (r->period_ms > PERIOD_MAX_MS)
        r->period_ms = PERIOD_MAX_MS;
    return r;
}

int audit_retention_start(struct audit_retention *retention, struct andiron_loop *loop,
                          struct andiron_error *err)
{
    const struct andiron_store *store = audit_store(retention->audit);
    if (retention->audit->config->keep == 0)
        return 0;
    if (store->size < offsetof(struct andiron_store, purge) + sizeof(store->purge) ||
        store->purge == NULL)
        return andiron_error_set(err, ANDIRON_E_NOT_IMPLEMENTED, "audit.keep",
                                 "this store cannot forget; set keep = 0");
    retention->timer = evtimer_new(andiron_loop_base(loop), on_timer, retention);
    if (retention->timer == NULL)
        return andiron_error_set(err, ANDIRON_E_UNAVAILABLE, "", "no timer can be made");
    retention->loop = loop;
    set_timer(retention, FIRST_MS);
    return 0;
}

void audit_retention_stop(struct audit_retention *retention)
{
    if (retention->timer != NULL)
        event_free(retention->timer);
    retention->timer = NULL;
}

void audit_retention_agreed(struct audit_retention *retention, const struct audit_event *event)
{
    retention->purge_to = event->forget_to;
    set_timer(retention, 0);
}
